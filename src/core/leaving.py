"""Why a position is left by the fixed exits: the words of the record, and the numbers compiled books have for them."""

from __future__ import annotations

STOP, OPPOSITE, HORIZON = range(3)
"""Its stop was reached; an idea of its stream wants to be out; the horizon of the idea behind it is over."""
REASONS = ("stop", "opposite_idea", "horizon")
STOPPED, OPPOSED, OVER = REASONS
