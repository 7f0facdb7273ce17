"""The supervisor: turns intents, ideas and commands into one plan a symbol."""

from .plan import FixedSupervisor

__all__ = ["FixedSupervisor"]
