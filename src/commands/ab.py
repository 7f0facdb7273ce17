"""`mycelial ab`: which source of information, and which part of the society, is worth anything."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ..backtesting import report
from ..backtesting.code_hash import code_sha256
from ..backtesting.evidence.comparison import CANNOT_TELL, POWER, SUPPORTED, Question, Trades, judged, thinned
from ..backtesting.evidence.placebo import shuffled
from ..backtesting.result import EDGE_TESTED
from ..backtesting.text import NOTHING
from ..connectors.config_files import config_sha256
from ..core.clock import iso
from ..core.config import Settings
from ..core.errors import UsageError
from ..core.history import HistoryFeed
from ..core.moats import MOATS
from ..core.timeframes import timeframe_name
from ..core.types import FloatArray
from . import common
from .ab_plan import SWARM, AbPlan, Comparison, Planned, Side, planned
from .arms import AnyFeed, Arm, Walked, book_returns, walk_arm, walk_arms
from .finite import EvidenceOptions, finite_feed
from .outcome import new_run_id

FILE = "ab.json"
BOOKS = {"swarm": SWARM, "edge-tested": EDGE_TESTED}
"""Whose returns may stand for an arm."""


class AbOptions(EvidenceOptions, frozen=True, kw_only=True):
    """Arguments of `ab`."""

    only: str | None = None
    book: str = "swarm"
    out: Path | None = None


def run(options: AbOptions) -> None:
    """Walk all arms over the same data, judge every comparison, write the file and print."""
    loaded = common.settings(options.config, options.env, options.sets).settings
    book = _book(options.book)
    feed = finite_feed(options, loaded)
    moats = speaking(feed, loaded)
    plan = planned(moats, book, loaded.controls.enabled)
    if options.only is not None:
        plan = plan.only([name.strip() for name in options.only.split(",")])
    out = options.out or common.RUNS / f"ab-{new_run_id()}"
    _writable(out)
    walked = walk_plan(plan, feed, options)
    answer = answered(plan, walked, feed, options, loaded, book)
    common.answer(answer, out / FILE, options.json, _print)


def speaking(feed: AnyFeed, settings: Settings) -> tuple[str, ...]:
    """The moats that are switched on and of which these data hold anything; the others are named."""
    seen = {one.moat for one in feed.observations} if isinstance(feed, HistoryFeed) else set()
    silent = [moat for moat in settings.moats.board.enabled if moat not in seen]
    if silent:
        common.say(f"not compared, nothing was said in these data: {', '.join(silent)}")
    return tuple(moat for moat in MOATS if moat in seen and moat in settings.moats.board.enabled)


class MisledArm(Arm, frozen=True):
    """An arm that hears what some moats say at the wrong time."""

    shuffled: tuple[str, ...] = ()
    shuffle_seed: int = 0


def walk_misled(arm: MisledArm, feed: AnyFeed) -> Walked:
    """Walk it; the shuffling is made where it is walked, for feeds are shared and not sent."""
    if arm.shuffled and isinstance(feed, HistoryFeed):
        moved = shuffled(feed.observations, arm.shuffled, arm.shuffle_seed, int(feed.history.times[-1]))
        feed = HistoryFeed(feed.history, moved)
    return walk_arm(arm, feed)


def walk_plan(plan: AbPlan, feed: AnyFeed, options: AbOptions) -> dict[str, Walked]:
    """Every arm by name."""
    arms = [_arm(one, options) for one in plan.needed()]
    walked = walk_arms(arms, feed, options.jobs, _teller(options, arms), walk_misled)
    return {one.name: one for one in walked}


def _arm(one: Planned, options: AbOptions) -> MisledArm:
    settings = common.settings(options.config, options.env, (*options.sets, *one.sets)).settings
    return MisledArm(one.name, settings, options.seed + one.seed_step, one.shuffled, options.seed)


def _teller(options: AbOptions, arms: Sequence[Arm]) -> Callable[[int, Walked], None]:
    def tell(number: int, walked: Walked) -> None:
        if not options.json:
            common.say(f"{arms[number].name}: {walked.result['wall_s']:.1f} s")

    return tell


def answered(
    plan: AbPlan, walked: dict[str, Walked], feed: AnyFeed, options: AbOptions, settings: Settings, book: str
) -> dict[str, Any]:
    """The whole answer in plain JSON types."""
    questions = [_question(one, walked, settings, options.seed) for one in plan.comparisons]
    answers = judged(questions, settings.statistics, options.seed, len(questions))
    rule, covered = settings.statistics, feed.history.timerange
    return {
        "seed": options.seed,
        "pairs": list(feed.pairs),
        "timeframe": timeframe_name(feed.interval_ms),
        "timerange": [iso(covered.start_ms or 0), iso(covered.end_ms or 0)],
        "simulated": feed.simulated,
        "book": book,
        "code_sha256": code_sha256(),
        "config_sha256": config_sha256(settings),
        "trials": len(questions),
        "correction": "Holm",
        "confidence_ratio": rule.confidence_ratio,
        "block_days": rule.block_days,
        "draws": rule.draws,
        "arms": [_told(one, walked[one.name], book) for one in plan.needed()],
        "comparisons": [
            {"group": one.group, "arm": _named(one.arm), "reference": _named(one.reference),
             "placebo_arm": _named(one.placebo), "placebo_kind": one.placebo_kind, **answer}
            for one, answer in zip(plan.comparisons, answers, strict=True)
        ],
        "verdict": _summed([answer["verdict"] for answer in answers]),
    }  # fmt: skip


def _question(one: Comparison, walked: dict[str, Walked], settings: Settings, seed: int) -> Question:
    sides = [_side(side, walked, settings, seed) for side in (one.arm, one.reference, one.placebo)]
    (arm, reference, placebo), counts = zip(*sides, strict=True)
    return Question(one.name, arm, reference, placebo, one.says, Trades(*counts))


def _side(side: Side, walked: dict[str, Walked], settings: Settings, seed: int) -> tuple[FloatArray, int]:
    """Daily returns, and how many trades they are of."""
    found = walked[side.arm]
    if side.like is None:
        return found.returns[side.book], len(found.trades[side.book])
    trades = thinned(found.trades[side.book], len(found.trades[side.like]), seed, f"{side.book}:{side.like}")
    return book_returns(trades, settings.account.start_quote, found.days), len(trades)


def _told(one: Planned, found: Walked, book: str) -> dict[str, Any]:
    kept = ("data_sha256", "config_sha256", "orders_sha256", "decisions_sha256", "seed")
    returns = found.returns[book]
    return {
        "name": one.name,
        "set": list(one.sets),
        "shuffled": list(one.shuffled),
        "trades": len(found.trades[book]),
        "mean_daily": float(returns.mean()) if len(returns) else None,
        **{name: found.result[name] for name in kept},
    }


def _named(side: Side) -> str:
    return f"{side.arm}:{side.book}" + ("" if side.like is None else f" at random as often as {side.like}")


def _summed(verdicts: Sequence[str]) -> str:
    """One plain sentence over all of them."""
    supported, open_ = verdicts.count(SUPPORTED), verdicts.count(CANNOT_TELL)
    rest = len(verdicts) - supported - open_
    return f"Of {len(verdicts)} comparisons {supported} are supported, {rest} are not, {open_} cannot be told."


def _book(name: str) -> str:
    if name not in BOOKS:
        raise UsageError(f"--book {name!r}: choose {', '.join(BOOKS)}")
    return BOOKS[name]


def _writable(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / FILE).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}; name a folder that can be written") from error


def _print(answer: dict[str, Any]) -> None:
    shown = report.terminal(sys.stdout)
    source = " on SIMULATED data" if answer["simulated"] else ""
    title = f"A/B{source}: daily difference of {answer['book']}, {answer['trials']} comparisons"
    table = Table(title=title, caption=_read_as(answer), caption_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column in ("Comparison", "Verdict") else "right")
    for one in answer["comparisons"]:
        table.add_row(*_cells(one))
    shown.print(table)
    for one in answer["comparisons"]:
        common.out(one["says"])
    common.out(answer["verdict"])


COLUMNS = (
    "Comparison", "Trades", "Arm %", "Difference %", "Interval", "Effect", "Found from %", "Placebo %", "Family p",
    "Verdict",
)  # fmt: skip


def _read_as(answer: dict[str, Any]) -> str:
    """What the columns mean, for somebody who sees them for the first time."""
    days, level = answer["comparisons"][0]["days"], answer["confidence_ratio"]
    return (
        f"Per day, over {days} days, interval of {level:.0%} from blocks of {answer['block_days']} days. Trades: arm / "
        f"reference. Effect: difference in its own daily deviations. Found from: the smallest true difference that "
        f"would have been found with {POWER:.0%}. Placebo: its difference from the reference. Family p: corrected for "
        f"{answer['trials']} comparisons ({answer['correction']})."
    )


def _cells(one: dict[str, Any]) -> tuple[str, ...]:
    bounds = NOTHING if one["low"] is None else f"{_percent(one['low'])} .. {_percent(one['high'])}"
    family = NOTHING if one["p_family"] is None else f"{one['p_family']:.3f}"
    effect = NOTHING if one["effect_size"] is None else f"{one['effect_size']:+.2f}"
    least = NOTHING if one["least_found"] is None else f"{100 * one['least_found']:.4f}"
    placebo = NOTHING if one["placebo"] is None else _percent(one["placebo"]["difference"])
    trades = f"{one['arm_trades']:,} / {one['reference_trades']:,}"
    arm, difference = _percent(one["arm_mean"]), _percent(one["difference"])
    return one["name"], trades, arm, difference, bounds, effect, least, placebo, family, one["verdict"]


def _percent(value: float | None) -> str:
    return NOTHING if value is None else f"{100 * value:+.4f}"
