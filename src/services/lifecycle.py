"""The life of an asset: who loses gets less, who goes on losing sleeps, and consensus may wake it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import compress
from typing import Any

import msgspec

from ..core.config import Lifecycle
from ..core.intake import LAST_MS
from ..core.ports import Life
from ..core.timeframes import DAY_MS
from ..core.types import Pair, Slice, Stage, Trade, Transition

ZERO, FULL = Decimal(0), Decimal(1)
_WELL = (Stage.ACTIVE, Stage.REVIVED)
_ASLEEP = (Stage.HIBERNATED, Stage.DELISTED)


class Standing(msgspec.Struct, frozen=True):
    """One asset: its stage and since when, the sum of its trades' net returns, since when it is on probation (ms)."""

    stage: Stage
    since: int
    profit_ratio: Decimal = ZERO
    probation_since: int | None = None


class AssetLife(Life):
    """Keeps the stage of every asset that had a team, or a trade.

    Limits are exact decimals: a sum of exactly -5 % is normal. Levels are lifted one at a time, each after it stood
    for `lift_after_intervals`. The time on probation counts both levels and ends when the asset is well again. An
    asset that is revived begins with a sum of zero: what it lost before was the reason to let it sleep.
    """

    def __init__(self, settings: Lifecycle, interval_ms: int) -> None:
        self._settings = settings
        self._lift_ms = settings.lift_after_intervals * interval_ms
        self._hibernation_ms = round(settings.hibernation_days * DAY_MS)
        self._delisted_ms = round(settings.delisted_days * DAY_MS)
        self._standings: dict[Pair, Standing] = {}
        self._probation: list[Pair] = []
        self._quiet_until = 0  # before then (UTC ms) only a trade moves an asset
        self._seen: dict[Pair, int] = {}
        self._whole: tuple[tuple[Pair, ...], int] | None = None  # when all had a bar, not in `_seen` yet

    def on_trades(self, at: int, trades: Sequence[Trade]) -> Sequence[Transition]:
        """Count closed trades and the time that passed; all changes of a slice are made together, or none is."""
        if not trades and (at < self._quiet_until or not self._probation):
            return ()
        changed: dict[Pair, Standing] = {}
        for trade in trades:
            before = changed.get(trade.pair) or self._standings.get(trade.pair) or Standing(Stage.ACTIVE, at)
            total = before.profit_ratio + trade.profit_ratio
            changed[trade.pair] = msgspec.structs.replace(before, profit_ratio=total)
        moved = []
        for pair in sorted({*changed, *self._probation}):
            before = changed.get(pair) or self._standings[pair]
            after = self._aged(before, at)
            if after.stage is not before.stage:
                moved.append(_transition(pair, before, after, at))
            changed[pair] = after
        if any(self._standings.get(pair) != after for pair, after in changed.items()):
            self._keep({**self._standings, **changed})
        self._quiet_until = self._next_deadline(at)
        return moved

    def _next_deadline(self, at: int) -> int:
        """When time alone may lift an asset on probation, or put it to sleep, after it did not at `at`."""
        looked = [self._standings[pair] for pair in self._probation]
        times = [one.since + self._lift_ms for one in looked]
        times += [began + self._hibernation_ms for one in looked if (began := one.probation_since) is not None]
        return min([time for time in times if time > at], default=LAST_MS)

    def on_bars(self, slice_: Slice) -> Sequence[Transition]:
        """An asset with a team and without a bar for `delisted_days`, while others have bars, is delisted.

        One that never had a bar is not: it is not listed yet. A venue that is silent altogether delists nobody.
        """
        block, at = slice_.bars, slice_.at
        count = 0 if block is None else block.count()
        if block is None or not count:
            return ()
        if count == len(block.pairs):
            self._whole = (block.pairs, at)
            return ()
        self._see()
        self._seen.update(dict.fromkeys(compress(block.pairs, block.present.tolist()), at))
        gone = [pair for pair in sorted(self._standings) if self._is_gone(pair, at)]
        moved = [_transition(pair, self._standings[pair], self._delisted(pair, at), at) for pair in gone]
        if gone:
            self._keep({**self._standings, **{pair: self._delisted(pair, at) for pair in gone}})
        return moved

    def _see(self) -> None:
        """Note what was put off in slices in which every pair had a bar."""
        if self._whole is not None:
            pairs, at = self._whole
            self._seen.update(dict.fromkeys(pairs, at))
            self._whole = None

    def _is_gone(self, pair: Pair, at: int) -> bool:
        return self._standings[pair].stage not in _ASLEEP and at - self._seen.get(pair, at) >= self._delisted_ms

    def _delisted(self, pair: Pair, at: int) -> Standing:
        return Standing(Stage.DELISTED, at, self._standings[pair].profit_ratio)

    def on_deployment(self, at: int, pair: Pair) -> Sequence[Transition]:
        """The first team of an asset makes it active, one after its sleep revives it; else nothing changes.

        What was delisted comes back with its sum, and stands where that puts it.
        """
        before = self._standings.get(pair)
        if before is not None and before.stage not in _ASLEEP:
            return ()
        after = Standing(Stage.ACTIVE if before is None else Stage.REVIVED, at)
        if before is not None and before.stage is Stage.DELISTED:
            after = self._aged(Standing(Stage.REVIVED, at, before.profit_ratio), at)
        self._keep({**self._standings, pair: after})
        return (Transition(at, pair, None if before is None else before.stage, after.stage, after.profit_ratio),)

    def multiplier(self, pair: Pair) -> Decimal:
        """Full size, half, a quarter, nothing while it hibernates or is delisted."""
        standing = self._standings.get(pair)
        if standing is None or standing.stage in _WELL:
            return FULL
        if standing.stage in _ASLEEP:
            return ZERO
        deep = standing.stage is Stage.DEEP_PROBATION
        return self._settings.deep_probation_size if deep else self._settings.probation_size

    def stage(self, pair: Pair) -> Stage | None:
        """The stage of an asset; None where it never had a team or a trade."""
        standing = self._standings.get(pair)
        return None if standing is None else standing.stage

    def standing(self, pair: Pair) -> Standing | None:
        """Where an asset stands; None where it never had a team or a trade."""
        return self._standings.get(pair)

    def standings(self) -> Mapping[Pair, Standing]:
        """Where every asset stands; another mapping after every change, and never one that changes."""
        return self._standings

    def counts(self) -> Mapping[str, int]:
        """How many assets are in each stage, in the order of stages."""
        found = Counter(standing.stage for standing in self._standings.values())
        return {stage.value: found[stage] for stage in Stage if found[stage]}

    def _keep(self, standings: dict[Pair, Standing]) -> None:
        self._standings, self._quiet_until = standings, 0
        self._probation = [pair for pair, one in standings.items() if one.probation_since is not None]

    def _aged(self, now: Standing, at: int) -> Standing:
        """The asset after its sum or the time changed; at most one level better, as much worse as it is."""
        if now.stage in _ASLEEP:
            return now
        stage = self._stage(now, at)
        well = stage in _WELL
        since = now.since if stage is now.stage else at
        began = None if well else (at if now.probation_since is None else now.probation_since)
        if began is not None and self._sleeps(now.profit_ratio, at - began):
            return Standing(Stage.HIBERNATED, at, now.profit_ratio)
        return Standing(stage, since, now.profit_ratio, began)

    def _stage(self, now: Standing, at: int) -> Stage:
        total, settings = now.profit_ratio, self._settings
        if total < settings.deep_probation_ratio:
            return Stage.DEEP_PROBATION
        if now.stage in _WELL:
            return Stage.PROBATION if total < settings.probation_ratio else now.stage
        if at - now.since < self._lift_ms:
            return now.stage
        if now.stage is Stage.DEEP_PROBATION:
            return Stage.PROBATION if total > settings.deep_lift_ratio else now.stage
        return Stage.ACTIVE if total > settings.lift_ratio else now.stage

    def _sleeps(self, total: Decimal, probation_ms: int) -> bool:
        return total < self._settings.hibernation_ratio and probation_ms >= self._hibernation_ms

    def state(self) -> dict[str, Any]:
        """Every standing, sums as decimal strings, and when each pair had its last bar."""
        self._see()
        standings = {pair: msgspec.to_builtins(standing) for pair, standing in self._standings.items()}
        return {"standings": standings, "seen": dict(self._seen)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._keep({Pair(pair): msgspec.convert(one, Standing) for pair, one in state["standings"].items()})
        self._whole = None
        self._seen = {Pair(pair): at for pair, at in state["seen"].items()}


def _transition(pair: Pair, before: Standing, after: Standing, at: int) -> Transition:
    began = before.probation_since
    return Transition(at, pair, before.stage, after.stage, after.profit_ratio, 0 if began is None else at - began)
