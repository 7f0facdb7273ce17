"""The moats that learners belong to; their place is the number that the colony keeps."""

from ..core.moats import MOATS

HOMES = ("market", *MOATS)
