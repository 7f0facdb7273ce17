"""What the spine lets in: nothing from the future, and of what is said only what can be meant or is theirs to say."""

from __future__ import annotations

from .clock import from_iso, iso
from .errors import InvariantError
from .messages import SynthesizedTrade
from .types import Pair, Slice

LAST_MS = from_iso("9999-12-31T23:59:59.999Z")
"""The last time that a record can name."""

OWN_CHANNELS = frozenset(
    {
        "synthesized-trade-log",
        "trade-confirmations",
        "prospecting-proposals",
        "prospecting-consensus",
        "system-deployment",
        "system-hibernation",
        "pattern-validation-request",
        "pattern-validation-result",
        "pattern-narrative",
    }
)
"""What is said here, up to the colon, happened in this process; nobody outside can know it better, or act by it."""

OUTCOMES = ("collision", "conflict")
"""What a meeting of two ideas can be."""


def may_say(channel: str) -> bool:
    """Whether somebody outside may be heard on a channel."""
    return channel.partition(":")[0] not in OWN_CHANNELS


def plausible(message: SynthesizedTrade, at: int, interval_ms: int, pairs: tuple[Pair, ...]) -> bool:
    """Whether it is of this run and this slice, and every time that follows from it can be written down."""
    leave_at = message.at + message.horizon * interval_ms
    known = message.pair in pairs and message.outcome in OUTCOMES
    return known and message.at == at and message.at < leave_at <= LAST_MS


def refuse_the_future(slice_: Slice, interval_ms: int) -> None:
    """InvariantError names what a slice holds that was not known at its time."""
    if slice_.bars is not None and slice_.bars.opened + interval_ms > slice_.at:
        known_at = slice_.bars.opened + interval_ms
        raise InvariantError(f"look-ahead: bars known at {iso(known_at)} are in the slice of {iso(slice_.at)}")
    for tick in slice_.ticks:
        if tick.at > slice_.at:
            raise InvariantError(
                f"look-ahead: a trade of {tick.pair} at {iso(tick.at)} is in the slice of {iso(slice_.at)}"
            )
    for observation in slice_.observations:
        if observation.known_at > slice_.at:
            raise InvariantError(
                f"look-ahead: source {observation.source}, agent {observation.moat}_miner, id {observation.id} "
                f"is known at {iso(observation.known_at)}, after the slice of {iso(slice_.at)}"
            )
