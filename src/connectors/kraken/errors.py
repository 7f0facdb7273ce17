"""Says what an error of Kraken means for an order: certainly no, unknown, or come back later; by table, never by guess.

The strings are those of Kraken's error guide. What stands in no table is `UNKNOWN`, whatever it looks like.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from types import MappingProxyType

import msgspec

from ...core.errors import SourceError
from ..venues.text import plain


class Verdict(StrEnum):
    """What an error says about what was asked for."""

    NO = "no"
    """Certainly not done."""
    UNKNOWN = "unknown"
    """Done or not: nothing was said about it."""
    LIMITED = "limited"
    """Certainly not done; too many questions."""
    LOCKOUT = "lockout"
    """Certainly not done; the key is locked for a while, and asking makes it longer."""
    NONCE = "nonce"
    """Certainly not done; Kraken has seen a higher nonce of this key."""


class Complaint(msgspec.Struct, frozen=True):
    """`code` is ours (`insufficient_funds`), `text` theirs, `until` when to come back (UTC ms) where that was said."""

    verdict: Verdict
    code: str
    text: str
    until: int | None = None


class KrakenTrouble(SourceError):
    """Kraken did not do, or did not say that it did, what it was asked."""

    def __init__(self, where: str, complaint: Complaint) -> None:
        super().__init__(f"kraken {where}: {complaint.text}")
        self.complaint = complaint


_NO = (
    "EAPI:Invalid key", "EAPI:Invalid signature", "EAPI:Bad request", "EAPI:Feature disabled", "EAuth:Failed",
    "EAccount:Invalid permissions",
    "EGeneral:Invalid arguments", "EGeneral:Permission denied", "EGeneral:Unknown method",
    "EOrder:Insufficient funds", "EOrder:Insufficient margin", "EOrder:Invalid order", "EOrder:Invalid price",
    "EOrder:Unknown order", "EOrder:Unknown position", "EOrder:Order minimum not met", "EOrder:Cost minimum not met",
    "EOrder:Tick size check failed", "EOrder:Orders limit exceeded", "EOrder:Positions limit exceeded",
    "EOrder:Cannot open position", "EOrder:Cannot open opposing position", "EOrder:Margin allowance exceeded",
    "EOrder:Margin level too low", "EOrder:Margin position size exceeded", "EOrder:Post only order",
    "EOrder:Reduce only", "EOrder:Scheduled orders limit exceeded",
    "EQuery:Unknown asset pair", "EQuery:Unknown asset",
    "EService:Deadline elapsed", "EService:Market in cancel_only mode", "EService:Market in post_only mode",
)  # fmt: skip
_UNKNOWN = ("EService:Unavailable", "EService:Busy", "EService:Timeout", "EGeneral:Internal error")
_LIMITED = ("EAPI:Rate limit exceeded", "EOrder:Rate limit exceeded", "EGeneral:Too many requests")


def _code(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.partition(":")[2].lower()).strip("_")


TABLE: Mapping[str, tuple[Verdict, str]] = MappingProxyType(
    {text: (Verdict.NO, _code(text)) for text in _NO}
    | {text: (Verdict.UNKNOWN, _code(text)) for text in _UNKNOWN}
    | {text: (Verdict.LIMITED, _code(text)) for text in _LIMITED}
    | {
        "EAPI:Invalid nonce": (Verdict.NONCE, "invalid_nonce"),
        "EGeneral:Temporary lockout": (Verdict.LOCKOUT, "temporary_lockout"),
    }
)
"""Every string that is known; a detail may follow after another colon."""
_THROTTLED = re.compile(r"EService:\s?Throttled:\s?(?:UTC )?([0-9]{10})(?:\.[0-9]+)?")
_GRAVEST = (Verdict.UNKNOWN, Verdict.LOCKOUT, Verdict.NONCE, Verdict.LIMITED, Verdict.NO)


def classify(errors: Sequence[object]) -> Complaint | None:
    """What a list of errors says; None when nothing in it is an error (texts with W are warnings).

    Of several the least certain one counts.

    >>> classify(["EGeneral:Invalid arguments:volume"]).verdict, classify(["EOrder:Brand new"]).verdict
    (<Verdict.NO: 'no'>, <Verdict.UNKNOWN: 'unknown'>)
    """
    found = [_one(error) for error in errors if not (isinstance(error, str) and error.startswith("W"))]
    return min(found, key=lambda complaint: _GRAVEST.index(complaint.verdict), default=None)


def _one(error: object) -> Complaint:
    text = plain(error)
    throttled = _THROTTLED.fullmatch(text)
    if throttled:
        return Complaint(Verdict.LIMITED, "throttled", text, int(throttled[1]) * 1000)
    group, _, rest = text.partition(":")
    verdict, code = TABLE.get(f"{group}:{rest.partition(':')[0]}", (Verdict.UNKNOWN, "unknown_error"))
    return Complaint(verdict, code, text)
