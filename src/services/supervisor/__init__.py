"""The supervisor: turns intents, ideas and commands into one plan a symbol."""

from .plan import FixedSupervisor, full_size

__all__ = ["FixedSupervisor", "full_size"]
