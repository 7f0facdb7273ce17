"""Builds the one object that says what a run came to, as `backtest --json` prints it and `result.json` keeps it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from ..core import metrics, records
from ..core.config import StatisticsSettings
from ..core.portfolio import Portfolio, money
from ..core.timeframes import DAY_MS, timeframe_name
from ..core.types import MONEY_STEP, STREAMS, FloatArray, IntArray, Pair, Stream, Trade
from .findings import by_strategy, rivalry
from .recorder import Recorded
from .text import money as money_shown
from .text import percent
from .undefined import reasons

EDGE_TESTED = "mycelial_edge_tested"
"""The shadow book that takes the swarm's ideas only where their edge exceeds the cost."""

CONTROLS = {"ridge": "control-ridge", "noise": "control-noise"}
"""The shadow books of the simple learners that the swarm has to beat, by how the result calls them."""
NO_IDEAS = frozenset(
    {
        "implausible_idea",
        "implausible_intent",
        "implausible_proposal",
        "no_such_group",
        "no_such_source",
        "not_entitled",
        "source_failing",
        "source_speaks",
        "source_stale",
        "source_switched_off",
        "source_too_young",
    }
)
"""Refusals of messages and of requests: nobody wanted to trade when they were counted."""

NOTHING_TO_CLOSE = "nothing_to_close"
"""The refusal of a sell idea of a pair that nobody holds."""

CONTROL_NAMES = {"ridge": "pooled ridge", "noise": "noise learner"}
"""How people call them."""

_BYTES_PER_MB = 1024 * 1024


class RunFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the Reports cannot know of a run. `wall_s` in seconds, from outside; `trades` by book, all closed ones.

    `counts` and `refusals` are the engine's, `messages` the bus's, by channel template. `equity` is what a run that
    saw no slice still has, for it may go on from an earlier one; None: the start equity. `marked_at` says when the
    mark of each held pair became known (UTC ms). `rivals_ideas`: ideas of the simple learners by
    book, all of them and those with an edge above the cost. `horizons` name the strategy types, in intervals; `moats`,
    `synthesis`, `discovery` and `effects` are sections of the result that others made. Without `statistics` nobody is
    compared with the simple learners.
    """

    run_id: str
    mode: str
    seed: int
    pairs: tuple[Pair, ...]
    interval_ms: int
    wall_s: float
    data_sha256: str
    config_sha256: str
    census: Mapping[str, int]
    trades: Mapping[str, Sequence[Trade]]
    portfolio: Portfolio
    equity: Decimal | None = None
    counts: Mapping[str, int]
    refusals: Mapping[str, int]
    messages: Mapping[str, int]
    simulated: bool = False
    consensus: Mapping[str, int] = {}
    deployments: Mapping[str, Any] = {}
    lifecycle: Mapping[str, int] = {}
    agreement: Mapping[str, float | None] = {}
    haven: Mapping[str, Any] = {}
    learning: Mapping[str, Mapping[str, int]] = {}
    rivals_ideas: Mapping[str, tuple[int, int]] = {}
    horizons: Mapping[str, int] = {}
    statistics: StatisticsSettings | None = None
    moats: Mapping[str, Mapping[str, Any]] = {}
    synthesis: Mapping[str, Any] = {}
    discovery: Mapping[str, Any] = {}
    effects: Mapping[str, Any] = {}
    marked_at: Mapping[Pair, int] = {}


def build(recorded: Recorded, facts: RunFacts) -> dict[str, Any]:
    """The result in the order in which it is printed; plain JSON types, None where a figure is not defined.

    `undefined` says why, by the dotted place of each. Ratios are of 1, not per cent; money in quote currency as
    numbers, times ISO-8601 UTC.
    """
    result = {
        **_identity(recorded, facts),
        "census": dict(facts.census),
        "streams": {stream.value: _stream(stream.value, recorded, facts) for stream in STREAMS},
        "account": _account(recorded, facts),
        "market_change_ratio": _market_change(recorded),
        "collisions": facts.counts.get("collisions", 0),
        "conflicts": facts.counts.get("conflicts", 0),
        "refusals": dict(sorted(facts.refusals.items())),
        "abstentions": recorded.abstentions,
        "consensus": dict(facts.consensus),
        "deployments": dict(facts.deployments),
        "lifecycle": dict(facts.lifecycle),
        "messages": dict(sorted(facts.messages.items())),
        "simulated": recorded.simulated or facts.simulated,
        EDGE_TESTED: _stream(EDGE_TESTED, recorded, facts),
        "buy_and_hold": _buy_and_hold(recorded),
        "ideas": {name: recorded.ideas.get(name, 0) for name in (Stream.BASELINE.value, Stream.MYCELIAL.value)},
        "agreement": dict(facts.agreement),
        "haven": dict(facts.haven),
        "learning": {name: dict(counts) for name, counts in facts.learning.items()},
        "open_positions": _open_positions(recorded, facts),
        "faults": recorded.faults,
        "controls": _controls(recorded, facts),
        "strategy_types": {
            book: by_strategy(facts.trades.get(book, ()), facts.horizons, facts.interval_ms) for book in _books(facts)
        },
        "moats": {
            name: {**fields, "abstentions": recorded.abstentions.get(name, 0)} for name, fields in facts.moats.items()
        },
        "synthesis": dict(facts.synthesis),
        "discovery": dict(facts.discovery),
        "effects": dict(facts.effects),
        "rss_slope_mb_per_100k_bars": recorded.rss_slope,
    }
    return {**result, "undefined": reasons(result), "verdict": verdict(result)}


def to_json(result: Mapping[str, Any]) -> bytes:
    """The result as one line of JSON with its fields in order; no NaN can be in it (it would be null)."""
    return msgspec.json.encode(result) + b"\n"


def peak_rss_mb() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / _BYTES_PER_MB


def _identity(recorded: Recorded, facts: RunFacts) -> dict[str, Any]:
    return {
        "run_id": facts.run_id,
        "mode": facts.mode,
        "seed": facts.seed,
        "timeframe": timeframe_name(facts.interval_ms),
        "pairs": list(facts.pairs),
        "timerange": [None if at is None else records.stamp(at) for at in (recorded.started, recorded.ended)],
        "bars": recorded.bars,
        "wall_s": facts.wall_s,
        "bars_per_s": recorded.bars / facts.wall_s if facts.wall_s > 0 else None,
        "peak_rss_mb": peak_rss_mb(),
        "data_sha256": facts.data_sha256,
        "config_sha256": facts.config_sha256,
        "orders_sha256": recorded.orders_sha256,
        "decisions_sha256": recorded.decisions_sha256,
    }


def _books(facts: RunFacts) -> list[str]:
    """The books of a run in the order in which they are shown."""
    known = (*[stream.value for stream in STREAMS], EDGE_TESTED)
    return [*known, *[book for book in CONTROLS.values() if book in facts.trades]]


def _controls(recorded: Recorded, facts: RunFacts) -> dict[str, dict[str, Any]]:
    """The books of the simple learners, and the swarm's edge-tested one against each; none where there are none."""
    found = {}
    for name, book in CONTROLS.items():
        if book in facts.trades and facts.statistics is not None:
            swarm, rival = (_book_returns(each, recorded, facts) for each in (EDGE_TESTED, book))
            against = rivalry(swarm, rival, CONTROL_NAMES[name], facts.statistics, facts.seed)
            ideas, believed = facts.rivals_ideas.get(book, (0, 0))
            counts = {"ideas": ideas, "ideas_above_cost": believed}
            found[name] = {**_stream(book, recorded, facts), **counts, "swarm_against": against}
    return found


def _book_returns(book: str, recorded: Recorded, facts: RunFacts) -> FloatArray:
    """Daily returns of a book's start equity plus closed profit."""
    start = facts.portfolio.start
    times, equity = metrics.closed_equity(facts.trades.get(book, ()), start)
    return _daily_returns(recorded, times, equity, float(start))


def _stream(book: str, recorded: Recorded, facts: RunFacts) -> dict[str, Any]:
    """A book's closed trades; drawdown and Sharpe of its start equity plus closed profit."""
    trades, start = facts.trades.get(book, ()), facts.portfolio.start
    stats = metrics.trade_stats(trades, start)
    _, equity = metrics.closed_equity(trades, start)
    fall = metrics.max_drawdown(np.concatenate(([float(start)], equity)))
    returns = _book_returns(book, recorded, facts)
    return {
        "trades": stats.trades,
        "win_ratio": stats.win_ratio,
        "total_profit_ratio": stats.profit_ratio,
        "max_drawdown_ratio": fall.ratio,
        "profit_factor": stats.profit_factor,
        "sharpe": metrics.sharpe(returns),
        "fees": float(stats.fees),
    }


def _daily_returns(recorded: Recorded, times: IntArray, values: FloatArray, start: float) -> FloatArray:
    if len(recorded.days) == 0:
        return np.empty(0)
    first, last = int(recorded.days[0]), int(recorded.days[-1])
    return metrics.daily_returns(metrics.daily_last(times, values, first, last, start), start)


def _account(recorded: Recorded, facts: RunFacts) -> dict[str, Any]:
    """The marked account: open positions count at their last close."""
    start, equity = float(facts.portfolio.start), recorded.curve.equity_quote()
    fall = metrics.max_drawdown(np.concatenate(([start], equity)))
    returns = _daily_returns(recorded, recorded.curve.at, equity, start)
    return {
        "start_equity": start,
        "end_equity": float(equity[-1]) if len(equity) else float(facts.equity or start),
        "fees": float(facts.portfolio.fees),
        "slippage": float(facts.portfolio.slippage),
        "max_drawdown_ratio": fall.ratio,
        "sharpe": metrics.sharpe(returns),
        "fills": recorded.fills,
    }


def _last_closes(recorded: Recorded) -> FloatArray:
    return recorded.daily_closes[-1] if len(recorded.daily_closes) else np.empty(0)


def _market_change(recorded: Recorded) -> float | None:
    return metrics.market_change(recorded.first_closes, _last_closes(recorded))


def _buy_and_hold(recorded: Recorded) -> dict[str, Any]:
    """Equal stakes in every pair, held from first to last close, before costs; daily closes."""
    days = recorded.days
    if len(days) == 0:
        return {"total_profit_ratio": None, "max_drawdown_ratio": None, "sharpe": None}
    growth = metrics.buy_and_hold(recorded.first_closes, recorded.daily_closes)
    ends = (days + 1) * DAY_MS
    curve = np.concatenate(([1.0], growth))
    return {
        "total_profit_ratio": _market_change(recorded),
        "max_drawdown_ratio": metrics.max_drawdown(curve).ratio,
        "sharpe": metrics.sharpe(_daily_returns(recorded, ends, growth, 1.0)),
    }


def _open_positions(recorded: Recorded, facts: RunFacts) -> list[dict[str, Any]]:
    """What is still held at the end, marked to the last close, before the costs of leaving."""
    marks = dict(zip(facts.pairs, _last_closes(recorded).tolist(), strict=False))
    rows = []
    for pair, position in sorted(facts.portfolio.positions.items()):
        mark = marks.get(pair, float(position.entry))
        value = (position.amount * money(mark)).quantize(MONEY_STEP)
        rows.append(
            {
                "pair": pair,
                "amount": float(position.amount),
                "entry_price": float(position.entry),
                "opened_at": records.stamp(position.opened_at),
                "mark": mark,
                **_age_of(pair, recorded, facts),
                "cost": float(position.cost),
                "value": float(value),
                "profit": float(value - position.cost),
            }
        )
    return rows


def _age_of(pair: Pair, recorded: Recorded, facts: RunFacts) -> dict[str, Any]:
    """Since when the mark of a position stands, and how old (seconds) it is at the end: hours, where its bars ended."""
    at, ended = facts.marked_at.get(pair), recorded.ended
    if at is None or ended is None:
        return {"marked_at": None, "mark_age_s": None}
    return {"marked_at": records.stamp(at), "mark_age_s": (ended - at) / 1000}


def quote_of(pairs: Sequence[str]) -> str:
    """The currency that money figures are in; empty when the pairs do not share one.

    >>> quote_of(["BTC/USDT", "ETH/USDT"])
    'USDT'
    """
    quotes = {pair.partition("/")[2] for pair in pairs}
    return quotes.pop() if len(quotes) == 1 else ""


def verdict(result: Mapping[str, Any]) -> str:
    """One plain sentence: whether money was lost, how much, and what holding the market would have done."""
    toxic = result["haven"].get("toxic", 0)
    told = _told(result)
    told = f"ADVICE ONLY, no order was sent. {told}" if result["mode"] == "advise" else told
    return f"EXPERIMENT with {toxic} learners poisoned on purpose. {told}" if toxic else told


def _told(result: Mapping[str, Any]) -> str:
    account, trades = result["account"], result["streams"][Stream.SYNTHESIZED.value]["trades"]
    opening = "On simulated data, the" if result["simulated"] else "The"
    if trades == 0 and not result["open_positions"] and account["end_equity"] == account["start_equity"]:
        return f"{_no_trade(result)}{_market(result)}."
    quote = quote_of(result["pairs"])
    change = Decimal(repr(account["end_equity"])) - Decimal(repr(account["start_equity"]))
    return f"{opening} account {_change(change, account, quote)} in {_deals(trades, result)}{_market(result)}."


def _change(change: Decimal, account: Mapping[str, Any], quote: str) -> str:
    costs = f"after {_amount(account['fees'], quote)} of fees and {_amount(account['slippage'], quote)} of slippage"
    if change == 0:
        return f"neither gained nor lost, {costs},"
    ratio = abs(change) / Decimal(repr(account["start_equity"]))
    verb = "lost" if change < 0 else "gained"
    return f"{verb} {_amount(abs(change), quote)} ({percent(float(ratio))} %), {costs},"


def _amount(amount: float | Decimal, quote: str) -> str:
    return f"{money_shown(amount)} {quote}".rstrip()


def _deals(trades: int, result: Mapping[str, Any]) -> str:
    closed = f"{trades} closed {'trade' if trades == 1 else 'trades'}"
    held = len(result["open_positions"])
    return f"{closed} with {held} still open" if held else closed


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def refused_ideas(refusals: Mapping[str, int]) -> dict[str, int]:
    """The refusals of somebody who wanted to trade, by reason."""
    return {reason: count for reason, count in refusals.items() if reason not in NO_IDEAS}


def _no_trade(result: Mapping[str, Any]) -> str:
    where = " on simulated data" if result["simulated"] else ""
    refusals = refused_ideas(result["refusals"])
    if refusals:
        most = max(refusals, key=lambda reason: (refusals[reason], reason))
        met, refused = _many(result["collisions"], "collision"), _many(sum(refusals.values()), "refusal")
        why = f"{met}, {refused}, most often {most}"
    else:
        ideas = result["ideas"]
        why = f"{ideas['baseline']} baseline and {ideas['mycelial']} mycelial ideas, {result['collisions']} collisions"
    return f"No trade was made{where}: {why}; the account neither gained nor lost"


def _market(result: Mapping[str, Any]) -> str:
    change = result["market_change_ratio"]
    if change is None:
        return ""
    shown = percent(abs(change))
    verb = "lost" if change < 0 else "gained"
    result_of_holding = "neither gained nor lost" if float(shown) == 0 else f"{verb} {shown} %"
    return f"; buying and holding the market would have {result_of_holding}"
