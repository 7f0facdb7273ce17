"""One seed, one schedule: how the market moves, what is wished for, and every fault, as plain data that can be cut."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ...core.types import Pair
from .draws import Draws

START = 1_700_000_000_000
"""When every simulated life begins (UTC ms); any other time would do."""
ACTIVE_MS = 130_000
"""So long wishes and faults come; afterwards nothing fails any more."""
PAIRS = (Pair("BTC/USDT"), Pair("ETH/USDT"), Pair("ADA/USDT"))
OPENING = {PAIRS[0]: 40_000.0, PAIRS[1]: 2_500.0, PAIRS[2]: 0.5}
CHANNELS = {"place": 48, "cancel": 48, "ask": 400}
"""How many messages of each kind a fault may hit."""
SKEWS = (-5_000, -900, -700, -400, -100, 100, 400, 700, 900, 5_000)
SHARES = (0.1, 0.25, 0.5)
"""Of the kinds of faults, how many are on: few together reach deep, many together meet in odd ways."""

CLASSES = (
    "lost_request",
    "lost_reply",
    "error_before",
    "error_after",
    "late",
    "disconnect",
    "twice",
    "crash",
    "kill",
    "status",
    "skew",
    "human",
    "thin",
    "disk",
    "slow_disk",
    "pause",
    "gap",
)
"""Faults by kind. Each is on or off in a schedule, and a schedule is cut by leaving kinds out."""

MESSAGES = ("lost_request", "lost_reply", "error_before", "error_after", "late")
"""Those that hit one message."""


class Fault(msgspec.Struct, frozen=True):
    """Something that goes wrong. `at`: ms from the start, or the number of the message of `channel` it hits.

    `size`: how long (ms), how late (ms), or after how many calls, by kind. `what`: a status, a state, a pair.
    """

    kind: str
    at: int
    size: int = 0
    channel: str = ""
    what: str = ""


class Wish(msgspec.Struct, frozen=True):
    """What a strategy or a policy wants at a time (ms from the start).

    buy or bid, sell or flatten, raise the stop (`raise`) or make it a stop-limit (`guard`), drop what waits to be
    bought. `part` is a share of what may be used: of an entry's size or of the position, in thousandths.
    """

    at: int
    number: int
    kind: str
    pair: Pair
    part: int


class Schedule(msgspec.Struct, frozen=True):
    """Everything that happens in one run."""

    seed: int
    wishes: tuple[Wish, ...]
    faults: tuple[Fault, ...]

    def without(self, kinds: frozenset[str]) -> Schedule:
        """The same without faults of some kinds."""
        return msgspec.structs.replace(self, faults=tuple(one for one in self.faults if one.kind not in kinds))


def schedule(seed: int, always: frozenset[str] = frozenset()) -> Schedule:
    """The schedule of a seed, with some kinds of faults always on."""
    draws = Draws(seed, "schedule")
    often = draws.pick(SHARES)
    on = [kind for kind in CLASSES if draws.chance(often) or kind in always]
    faults = [fault for kind in on for fault in _faults(kind, draws)]
    return Schedule(seed, tuple(_wishes(Draws(seed, "wishes"))), tuple(faults))


def _wishes(draws: Draws) -> Iterator[Wish]:
    count = draws.whole(12, 24)
    times = sorted(draws.whole(3_000, ACTIVE_MS) for _ in range(count))
    for number, at in enumerate(times):
        kind = draws.pick(("buy", "buy", "buy", "bid", "bid", "sell", "sell", "raise", "guard", "drop", "flatten"))
        yield Wish(at, number, kind, draws.pick(PAIRS), draws.whole(200, 1000))


def _faults(kind: str, draws: Draws) -> Iterator[Fault]:
    if kind in MESSAGES:
        yield from _of_messages(kind, draws)
    elif kind == "skew":
        yield Fault(kind, 0, draws.pick(SKEWS))
    elif kind == "thin":
        yield Fault(kind, 0, draws.whole(1, 20))
    else:
        for _ in range(draws.whole(1, 4)):
            fault = _timed(kind, draws.whole(2_000, ACTIVE_MS), draws)
            yield fault
            if kind == "kill" and draws.chance(0.7):  # a person looked, and cleared it
                yield Fault(kind, fault.at + draws.whole(3_000, 30_000), 1, what="active")


def _of_messages(kind: str, draws: Draws) -> Iterator[Fault]:
    often = 0.04 + 0.2 * draws.ratio()
    for channel, count in CHANNELS.items():
        rate = often if channel != "ask" else often / 3
        for number in range(count):
            if draws.chance(rate):
                yield Fault(kind, number, draws.whole(3_000, 40_000) if kind == "late" else 0, channel)


def _timed(kind: str, at: int, draws: Draws) -> Fault:
    if kind == "crash":  # after so many calls through a seam
        return Fault(kind, at, draws.whole(1, 14), what=draws.pick(("once", "once", "again")))
    if kind == "kill":
        return Fault(kind, at, draws.whole(1, 6), what=draws.pick(("halted", "halted", "reduce_only")))
    if kind == "status":
        return Fault(kind, at, draws.whole(2_000, 20_000), what=draws.pick(("maintenance", "cancel_only", "post_only")))
    if kind in ("human", "gap"):
        return Fault(kind, at, draws.whole(1, 1000), what=draws.pick(PAIRS))
    longest = {"pause": 60_000, "disk": 6_000, "slow_disk": 12_000}.get(kind, 20_000)
    return Fault(kind, at, draws.whole(500, longest))
