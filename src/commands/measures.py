"""Watches a run and keeps the figures of its metrics: some are counted with each slice, the rest looked up at times."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

import msgspec

from ..connectors.metrics_http import Distribution, Figures, Labels, Series, Spread, capped
from ..connectors.sources.standing import SourceHealth
from ..core.clock import Timer, wall_ms
from ..core.config_monitoring import MetricsSettings
from ..core.engine import Report
from ..core.moats import MOATS
from ..core.standing import Level, Throw
from ..core.types import Decision, Fill, MoatView, Order, Stage, Stream, Trade
from ..services.writer import Writer
from ..wiring import House

SLICE_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
EXECUTION_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
LATENCY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds of the histograms; they are part of the format, dashboards ask for quantiles over them."""
ORDERS_KEPT = 10_000
"""Orders that wait for their execution; beyond, the oldest are no longer timed."""
INTERVALS_PATIENCE = 2.0
"""So many intervals without a slice are still life."""
_PROBATION = {Stage.PROBATION: 1.0, Stage.DEEP_PROBATION: 2.0, Stage.HIBERNATED: 3.0, Stage.DELISTED: 4.0}
_STANDING = {Level.REDUCE_ONLY.value: 1.0, Level.HALTED.value: 2.0}
NONE: Labels = ()


class Around(msgspec.Struct):
    """What a run has beside its house; what is not there yet says nothing."""

    health: Callable[[], Sequence[SourceHealth]] | None = None
    took_s: Callable[[], float] = lambda: 0.0
    interval_s: float = 0.0
    thrown: Callable[[], Throw | None] = lambda: None
    beside: Callable[[], Mapping[str, Series]] = dict
    system: Callable[[], Mapping[str, float]] = dict


class Measures:
    """An observer. `figures` may be asked from any thread and gives what nobody changes any more."""

    def __init__(
        self,
        house: House,
        ledger: Writer,
        settings: MetricsSettings,
        app: Mapping[str, str],
        timer: Timer,
        now_ms: Callable[[], int] = wall_ms,
    ) -> None:
        self.around = Around()
        self._house, self._ledger, self._settings, self._app = house, ledger, settings, app
        self._timer, self._now_ms = timer, now_ms
        self._counts: dict[str, Counter[Labels]] = {}
        self._slices, self._bars, self._halts = 0, 0, 0
        self._durations, self._executions = Distribution(SLICE_SECONDS), Distribution(EXECUTION_SECONDS)
        self._latencies: dict[str, Distribution] = {}
        self._calls: Counter[str] = Counter()
        self._asking = Lock()  # of latencies and calls, which whoever reads the figures counts
        self._ordered_at: dict[str, int] = {}
        self._profits: dict[str, tuple[float, float]] = {}
        self._trades = self._wins = 0
        self._loud: set[tuple[int, int]] = set()
        self._unread: list[tuple[float, int, bool, Sequence[Decision]]] = []
        self._alive: frozenset[str] = frozenset()
        self._population = -1
        self._agreed: deque[tuple[float, int]] = deque()
        self._was_halted = False
        self._begun_s = self._seen_s = timer.seconds()
        self._taken_s = float("-inf")
        self._alarms: Counter[Labels] = Counter()
        self._taken = Figures(app=app)

    # --- told by the spine ---------------------------------------------------------------------------------------

    def __call__(self, report: Report) -> None:
        """Put one slice down; it is counted when the figures are looked up, since most slices are not looked at."""
        now_s = self._timer.seconds()
        self._seen_s = now_s
        self._unread.append((self.around.took_s(), report.bars, bool(report.halted), report.decisions))
        if report.orders or report.fills or report.trades:
            self._count_orders(report.orders, report.fills)
            self._count_trades(report.trades)
        if now_s - self._taken_s >= self._settings.every_seconds or report.stopping:
            self._take(report, now_s)

    def recall(self, trades: Iterable[Trade]) -> None:
        """Trades of an earlier life of this run."""
        self._count_trades(tuple(trades))

    def alarm(self, code: str) -> None:
        """A person was called."""
        self._alarms[(code,)] += 1

    # --- asked by whoever reads ----------------------------------------------------------------------------------

    def figures(self) -> Figures:
        """The newest figures, with those that change without a slice: an exchange's next one may be an hour away."""
        taken = self._taken
        sources, latencies = self._of_sources()
        alone = {
            "feed_age_seconds": self.age_s,
            "feed_interval_seconds": self.around.interval_s,
            "ledger_backlog_rows": float(self._ledger.backlog),
            "ledger_failed": float(self._ledger.failure is not None),
            **self.around.system(),
        }
        series = {**taken.series, **sources, **{name: {NONE: value} for name, value in alone.items()}}
        series |= {**self.around.beside(), "alarms_total": dict(self._alarms)}
        distributions = {**taken.distributions, "moat_api_latency_seconds": latencies}
        return msgspec.structs.replace(taken, series=series, distributions=distributions)

    @property
    def age_s(self) -> float:
        """Seconds since the last slice, or since the start."""
        return self._timer.seconds() - self._seen_s

    def silent(self) -> str:
        """Why this is no life: no slice for too long; empty while there is one."""
        patience = INTERVALS_PATIENCE * self.around.interval_s + self._settings.stale_seconds
        return f"no slice for {self.age_s:.0f} s" if self.age_s > patience else ""

    # --- counting ------------------------------------------------------------------------------------------------

    def _add(self, name: str, labels: Iterable[Labels]) -> None:
        self._counts.setdefault(name, Counter()).update(labels)

    def _count_orders(self, orders: Sequence[Order], fills: Sequence[Fill]) -> None:
        self._add("orders_total", ((order.reason,) for order in orders))
        self._add("trades_executed_total", ((fill.pair, fill.side.value) for fill in fills))
        for fill in fills:
            ordered_at = self._ordered_at.get(fill.order_id)
            if ordered_at is not None:
                self._executions.observe((fill.at - ordered_at) / 1000)
            if fill.final:
                self._ordered_at.pop(fill.order_id, None)
        self._ordered_at |= {order.id: order.at for order in orders}
        while len(self._ordered_at) > ORDERS_KEPT:
            del self._ordered_at[next(iter(self._ordered_at))]

    def _count_trades(self, trades: Sequence[Trade]) -> None:
        self._add("trades_closed_total", ((trade.stream.value,) for trade in trades))
        for trade in trades:
            if trade.stream is Stream.SYNTHESIZED:
                ratio, profit = self._profits.get(trade.pair, (0.0, 0.0))
                self._profits[trade.pair] = (ratio + float(trade.profit_ratio), profit + float(trade.profit))
                self._trades += 1
                self._wins += trade.profit > 0

    def _hear(self, view: MoatView, report: Report) -> None:
        """A moat that begins to be as far from its mean of a pair as explorers look for is a signal."""
        least = self._house.settings.prospecting.moat_min_z
        rows, columns = (abs(view.values) >= least).nonzero()
        loud = set(zip(rows.tolist(), columns.tolist(), strict=True))
        pairs = report.snapshot.pairs
        began = [(pairs[row], MOATS[column]) for row, column in sorted(loud - self._loud)]
        self._add("cross_moat_signals_detected_total", began)
        self._loud = loud

    # --- looking up ----------------------------------------------------------------------------------------------

    def _take(self, report: Report, now_s: float) -> None:
        """Copy everything, so that whoever reads needs nothing of the spine."""
        self._taken_s = now_s
        self._read()
        if report.snapshot.moats is not None:
            self._hear(report.snapshot.moats, report)
        most = self._settings.max_series
        counted = {name: capped(counts, most) for name, counts in self._counts.items()}
        spread = {"slice_duration_seconds": self._durations, "trade_execution_duration_seconds": self._executions}
        series = {**counted, **self._of_account(report), **self._of_swarm(now_s), **self._of_moats(report)}
        distributions = {name: {NONE: one.copy()} for name, one in spread.items()}
        self._taken = Figures(series, distributions, self._app)

    def _read(self) -> None:
        """Count the slices since the last look."""
        unread, self._unread = self._unread, []
        for took_s, bars, halted, _ in unread:
            self._slices += 1
            self._bars += bars
            self._durations.observe(took_s)
            if halted is not self._was_halted:
                self._was_halted = halted
                self._halts += halted
        self._add("decisions_total", ((one.kind,) for *_, decisions in unread for one in decisions))

    def _of_account(self, report: Report) -> dict[str, Series]:
        house, most = self._house, self._settings.max_series
        peak = house.desk.peak_equity
        standing = {scope: _STANDING.get(one["state"], 0.0) for scope, one in house.engine.standing.shown().items()}
        thrown = self.around.thrown()  # and not yet part of what is decided
        if thrown is not None:
            standing["all"] = max(standing.get("all", 0.0), _STANDING.get(thrown.level.value, 0.0))
        single = {
            "equity_quote": float(report.equity),
            "cash_quote": float(report.cash),
            "drawdown_ratio": max(0.0, 1.0 - float(report.equity / peak)) if peak > 0 else 0.0,
            "open_positions": len(house.desk.portfolio.positions),
            "halted": bool(report.halted) or "all" in standing,
            "unknown_orders": self._unknown(),
            "bus_up": report.bus_up,
            "memory_failed": house.memory.failure is not None,
            "memory_records": len(house.memory),
            "slice_timestamp_seconds": report.at / 1000,
            "slices_total": self._slices,
            "bars_total": self._bars,
            "halts_total": self._halts,
            "win_rate_percent": 100.0 * self._wins / self._trades if self._trades else float("nan"),
        }
        profits = list(self._profits.items())[:most]
        return {
            **_alone(single),
            "standing_level": {(scope,): level for scope, level in standing.items()},
            "cumulative_pnl_percent": {(pair,): 100.0 * ratio for pair, (ratio, _) in profits},
            "cumulative_pnl_usd": {(pair,): profit for pair, (_, profit) in profits},
            "refusals_total": capped({(why,): count for why, count in house.engine.refusals.items()}, most),
        }

    def _unknown(self) -> float:
        """As the gate counts them, or the order path where there is one."""
        path = self._house.path
        return float(max(self._house.watch.unknown_orders(), 0 if path is None else path.shown.get("unknown", 0)))

    def _of_swarm(self, now_s: float) -> dict[str, Series]:
        house, figures, most = self._house, self._house.world.figures, self._settings.max_series
        teams = house.settings.prospecting.teams
        census = {kind: count for kind, count in house.model.census().items() if kind != "total"}
        self._count_births(figures.deployed + figures.retired)
        stages = ((pair, house.life.stage(pair)) for pair in list(house.market.pairs)[:most])
        single = {
            "active_agents_total": sum(census.values()),
            "consensus_rate": self._consensus_rate(now_s, sum(figures.consensus.values())),
            "deployments_attempted_total": figures.attempted,
            "deployments_successful_total": figures.deployed,
            "active_assets_total": len(house.world.active),
            "hibernated_assets_total": house.life.counts().get(Stage.HIBERNATED.value, 0),
            "agents_quarantined": len(house.model.quarantined),
        }
        return {
            **_alone(single),
            "active_agents_by_type": {(kind,): float(count) for kind, count in census.items()},
            "agents_spawned_total": self._total("agents_spawned_total"),
            "agents_stopped_total": self._total("agents_stopped_total"),
            "consensus_reached_total": {(one.name,): float(figures.consensus[one.name]) for one in teams},
            "deployments_rejected_total": {(why,): float(count) for why, count in figures.refused.items()},
            "probation_level": {(pair,): _PROBATION.get(stage, 0.0) for pair, stage in stages if stage is not None},
            "agent_faults_total": capped({(name,): count for name, count in house.model.faults.items()}, most),
            "bus_messages_total": {(channel,): float(count) for channel, count in house.bus.counts().items()},
        }

    def _count_births(self, population: int) -> None:
        """Who came and who left, where teams changed."""
        if population == self._population:
            return
        self._population = population
        alive = frozenset(agent.name for agent in self._house.model.members())
        self._add("agents_spawned_total", [NONE] * len(alive - self._alive))
        self._add("agents_stopped_total", [NONE] * len(self._alive - alive))
        self._alive = alive

    def _total(self, name: str) -> Series:
        counts = self._counts.get(name)
        return {NONE: 0.0 if counts is None else float(counts[NONE])}

    def _consensus_rate(self, now_s: float, total: int) -> float:
        """Per second, between now and the oldest look within the window."""
        window_s, looks = self._settings.rate_window_seconds, self._agreed
        if not looks or now_s - looks[-1][0] >= window_s / 60:
            looks.append((now_s, total))
        while len(looks) > 1 and now_s - looks[1][0] >= window_s:
            looks.popleft()
        since_s, before = looks[0]
        return max(0, total - before) / max(now_s - since_s, 1.0)

    def _of_moats(self, report: Report) -> dict[str, Series]:
        view = report.snapshot.moats
        quality: dict[Labels, float] = {}
        if view is not None:
            quality = {(moat,): float(view.parts.quality[at]) for at, moat in enumerate(MOATS)}
        return {"moat_signal_quality": quality}

    def _of_sources(self) -> tuple[dict[str, Series], dict[Labels, Spread]]:
        """Series of the sources as they stand now, and how long their answers took."""
        if self.around.health is None:
            return {}, {}
        with self._asking:
            series = self._counted(self.around.health())
            return series, {(moat,): one.copy() for moat, one in self._latencies.items()}

    def _counted(self, sources: Sequence[SourceHealth]) -> dict[str, Series]:
        calls: Counter[Labels] = Counter()
        errors: Counter[Labels] = Counter()
        answered: dict[Labels, float] = {}
        for one in sources:
            calls[one.moat,] += one.api_calls
            errors[one.moat,] += one.api_errors
            if one.age_s is not None:
                at = self._now_ms() / 1000 - one.age_s
                answered[one.moat,] = max(at, answered.get((one.moat,), at))
            if one.latency_s is not None and one.api_calls > self._calls[one.name]:
                self._latencies.setdefault(one.moat, Distribution(LATENCY_SECONDS)).observe(one.latency_s)
            self._calls[one.name] = one.api_calls
        paces = self._house.settings.moats.pace
        return {
            "moat_api_calls_total": dict(calls),
            "moat_api_errors_total": dict(errors),
            "moat_last_update_timestamp": answered,
            "moat_interval_seconds": {moat: getattr(paces, moat[0]).interval_seconds for moat in calls},
        }


def _alone(values: Mapping[str, Any]) -> dict[str, Series]:
    """Measures without labels."""
    return {name: {NONE: float(value)} for name, value in values.items()}
