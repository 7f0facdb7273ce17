"""Every measure that a run publishes, in one table: registry, document and dashboards are held against it."""

from __future__ import annotations

from typing import Literal, NamedTuple

PREFIX = "mycelial_"
Kind = Literal["counter", "gauge", "histogram", "info"]


class Measure(NamedTuple):
    """One measure. `name` is without prefix, that of a counter with its `_total`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str


def _rows(kind: Kind, *rows: tuple[str, str, str]) -> tuple[Measure, ...]:
    return tuple(Measure(name, kind, tuple(labels.split()), told) for name, labels, told in rows)


MEASURES: tuple[Measure, ...] = (
    *_rows("info", ("app", "", "What runs: version, mode, feed, timeframe, run, whether prices are made up.")),
    *_rows(
        "gauge",
        ("system_cpu_percent", "", "Load of this machine's processors since the last look."),
        ("system_memory_percent", "", "Memory of this machine in use."),
        ("system_memory_bytes", "", "Resident memory of this process."),
        ("redis_connection_status", "", "1 while the server of the bus answers, else 0; absent without one."),
        ("redis_used_memory_bytes", "", "Memory of the server of the bus."),
        ("redis_connected_clients", "", "Connections to the server of the bus."),
        ("redis_total_keys", "", "How many keys the server of the bus holds."),
        ("database_size_bytes", "", "The ledger with its write-ahead log."),
        ("active_agents_total", "", "Agents that live now."),
        ("active_agents_by_type", "type", "Agents that live now, by class."),
    ),
    *_rows(
        "counter",
        ("agents_spawned_total", "", "Agents that were born, the standard swarm included."),
        ("agents_stopped_total", "", "Agents that left with their team."),
        ("consensus_reached_total", "team_type", "Assets on which explorers agreed, by team."),
    ),
    *_rows("gauge", ("consensus_rate", "", "Consensus per second over the last while.")),
    *_rows(
        "counter",
        ("deployments_attempted_total", "", "Teams that were asked for."),
        ("deployments_successful_total", "", "Teams that were born."),
        ("deployments_rejected_total", "reason", "Teams that were refused."),
    ),
    *_rows(
        "gauge",
        ("active_assets_total", "", "Pairs with a team."),
        ("hibernated_assets_total", "", "Pairs that sleep."),
        ("cumulative_pnl_percent", "asset", "Sum of net returns of the account's closed trades."),
        ("cumulative_pnl_usd", "asset", "Net profit of the account's closed trades, in quote currency."),
    ),
    *_rows("counter", ("trades_executed_total", "asset direction", "Executions of the account.")),
    *_rows("histogram", ("trade_execution_duration_seconds", "", "From an order to its execution, in market time.")),
    *_rows(
        "gauge",
        ("win_rate_percent", "", "Closed trades of the account with a profit; NaN before the first."),
        ("probation_level", "asset", "0 well, 1 and 2 on probation, 3 hibernated, 4 delisted."),
        ("moat_signal_quality", "moat", "Share of a moat's parts that can be used, weighted by age, 0 to 1."),
        ("moat_last_update_timestamp", "moat", "When a source of the moat last answered (Unix seconds)."),
        ("moat_interval_seconds", "moat", "How often the moat's sources are asked."),
    ),
    *_rows(
        "counter",
        ("moat_api_calls_total", "moat", "Questions to the moat's sources."),
        ("moat_api_errors_total", "moat", "Questions that failed."),
    ),
    *_rows("histogram", ("moat_api_latency_seconds", "moat", "How long answers took.")),
    *_rows(
        "counter",
        ("cross_moat_signals_detected_total", "asset moat_type", "How often a moat began to say something unusual."),
    ),
    *_rows(
        "gauge",
        ("equity_quote", "", "The account with open positions, in quote currency."),
        ("cash_quote", "", "The account's cash."),
        ("drawdown_ratio", "", "Loss from the highest equity."),
        ("open_positions", "", "Pairs that are held."),
        ("halted", "", "1 while everything is reduced or halted."),
        ("standing_level", "scope", "1 reduced, 2 halted, for everything or one pair; absent where it is active."),
        ("unknown_orders", "", "Orders whose outcome nobody knows now."),
        ("bus_up", "", "1 when messages passed in the last slice."),
        ("ledger_backlog_rows", "", "Rows that are not on the disk yet."),
        ("ledger_failed", "", "1 while the ledger cannot be written."),
        ("memory_failed", "", "1 while the store behind the pattern memory fails."),
        ("memory_records", "", "Moments that the pattern memory knows."),
        ("agents_quarantined", "", "Agents that were taken out for their faults."),
        ("slice_timestamp_seconds", "", "Time of the newest slice (Unix seconds, market time)."),
        ("feed_age_seconds", "", "Since the last slice, by the machine's clock."),
        ("feed_interval_seconds", "", "Between slices when all goes well; 0 at full speed."),
        ("heartbeat_timestamp_seconds", "", "The last sign of life (Unix seconds)."),
        ("discord_failed", "", "1 while messages do not get through."),
    ),
    *_rows("histogram", ("slice_duration_seconds", "", "From a slice's arrival to its decisions.")),
    *_rows(
        "counter",
        ("slices_total", "", "Slices since the start of the process."),
        ("bars_total", "", "Bars in them."),
        ("decisions_total", "kind", "Lines of the record of decisions."),
        ("orders_total", "reason", "Orders that the gate approved."),
        ("refusals_total", "reason", "What was refused, by reason."),
        ("trades_closed_total", "stream", "Round trips that closed, of the account and of the books beside it."),
        ("alarms_total", "code", "What a person was called for."),
        ("halts_total", "", "How often everything was halted."),
        ("agent_faults_total", "agent", "Faults of agents."),
        ("bus_messages_total", "channel", "Messages published."),
        ("log_lines_dropped_total", "", "Lines of the log that found no room."),
        ("discord_messages_total", "outcome", "Messages to people: sent, repeated, dropped, failed."),
    ),
)


def exposed() -> dict[str, Measure]:
    """Every name that can stand in a query, with its measure: histograms have three, an app's info one."""
    found: dict[str, Measure] = {}
    for measure in MEASURES:
        ends = {"histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}.get(measure.kind, ("",))
        found |= {f"{PREFIX}{measure.name}{end}": measure for end in ends}
    return found
