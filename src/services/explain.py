"""Why an order is what it is: from the votes behind it to what came of it, out of the record alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from ..core import records
from ..core.clock import from_iso, iso
from ..core.errors import InvariantError, NotFound, UsageError
from ..core.leaving import OPPOSED, OVER, STOPPED
from ..core.limits import text
from ..core.meeting import Heard, Meeting, TraderRules
from ..core.messages import BaselineIdea, MycelialIdea
from ..core.story import Line, Story
from ..core.traces import Reviewed, Rules, Told
from ..core.types import Fill, Order, OrderKind, Side, Stream, Trade
from .gate import cost, drawdown, every_control, spendable
from .replayed import EXIT, Decided, decide, decisive

STOP = "-stop"
"""How the id of an entry becomes that of its protective stop."""
_NAMED = 5
"""How many orders an error message names."""

Gate = dict[str, Any]


def find_order(story: Story, wanted: str) -> str:
    """The id of the one order that begins so; NotFound, or UsageError when there are several."""
    known = dict.fromkeys([*story.orders, *story.reviews, *(str(fill.order_id) for fill in story.fills)])
    if wanted in known:
        return wanted
    fitting = [one for one in known if wanted and one.startswith(wanted)]
    entries = [one for one in fitting if one.removesuffix(STOP) not in fitting or not one.endswith(STOP)]
    if len(entries) == 1:
        return entries[0]
    if entries:
        more = f" and {len(entries) - _NAMED} more" if len(entries) > _NAMED else ""
        raise UsageError(f"order {wanted!r} fits {', '.join(entries[:_NAMED])}{more}: write more of it")
    raise NotFound(f"{story.name}: no order {wanted!r} among {len(known)}; orders.jsonl names them")


def why(story: Story, wanted: str) -> dict[str, Any]:
    """Everything that led to an order and followed from it, as plain JSON.

    InvariantError when the stored messages, decided again, do not give what was recorded.
    """
    order_id = find_order(story, wanted)
    order = _order(story, order_id)
    seq, review = story.reviews.get(order_id, (0, None))
    told = _told(story, order)
    found: dict[str, Any] = {"order": _order_fields(order), "outcome": _outcome(story, order_id)}
    decided = None
    if told:
        rules = story.rules_at(told[0][0])
        decided = _checked(story, order, [one.meeting for _, one in told], rules)
        found |= _behind(told, decided, rules.trader)
    if order.side is Side.SELL:
        found["exit"] = _exit(story, order, decided)
    else:
        found["stops"] = list(_stops(story, order))
        if order.reason == "manual":
            found["command"] = _command(story, order, ("order",))
    if review is not None:
        found["data"] = review.data
    found["size"] = _size(story, order, review)
    found["gates"] = [*_trader_gates(told, decided, story), *_review_gates(story, seq, review, order)]
    return found


def _order(story: Story, order_id: str) -> Order:
    """The order, also one that was denied, or a stop, which nobody wrote down as an order: it came with its entry."""
    if order_id in story.orders:
        return story.orders[order_id]
    if order_id in story.reviews:
        return story.reviews[order_id][1].order
    fills = [fill for fill in story.fills if fill.order_id == order_id]
    entry = story.orders.get(order_id.removesuffix(STOP))
    armed = next((fill.at for fill in story.fills if entry is not None and fill.order_id == entry.id), fills[0].at)
    return Order(
        id=fills[0].order_id,
        pair=fills[0].pair,
        side=fills[0].side,
        amount=sum((fill.amount for fill in fills), Decimal(0)),
        kind=OrderKind.STOP,
        at=armed,
        reference=fills[0].price,
        reason=fills[0].reason,
    )


def _order_fields(order: Order) -> dict[str, Any]:
    fields = records.order_fields(order)
    return {name: str(value) if name in ("pair", "side", "kind") else value for name, value in fields.items()}


def _told(story: Story, order: Order) -> list[tuple[int, Told]]:
    """The rows of messages behind an order: the meeting of an entry, or all wishes to leave of an exit's slice."""
    here = [row for row in story.told if (row[1].meeting.at, row[1].meeting.pair) == (order.at, order.pair)]
    if order.reason == "entry":
        met = [row for row in here if len(row[1].meeting.heard) > 1]
        if not met:
            raise InvariantError(f"{story.name}: the record contradicts itself: no messages behind entry {order.id}")
        return met[:1]
    if order.reason == OPPOSED:
        return _of_one_life([row for row in here if len(row[1].meeting.heard) == 1])
    return []


def _of_one_life(rows: list[tuple[int, Told]]) -> list[tuple[int, Told]]:
    """A slice that was walked again after a crash told the same once more, under other numbers."""
    if not rows:
        return []
    first = rows[0][1].meeting.heard[0].origin
    lives = [one.meeting.heard[0].origin for _, one in rows]
    return [row for row, origin in zip(rows, lives, strict=True)
            if (origin.producer, origin.epoch) == (first.producer, first.epoch)]  # fmt: skip


# --- decided again -----------------------------------------------------------------------------------------------


def _checked(story: Story, order: Order, meetings: Sequence[Meeting], rules: Rules) -> Decided:
    """What the messages come to; InvariantError when that is not what was recorded."""
    decided = decide(meetings, rules.trader)
    if not decided.acts or decided.side is not order.side:
        raise _contradiction(story, order, f"its messages come to {decided.refused or decided.outcome}")
    here = [line for line in story.lines if line["at"] == iso(order.at) and line.get("pair") == order.pair]
    if decided.outcome == EXIT:
        _check_wishes(story, order, meetings, rules.trader, here)
        return decided
    lines = [line for line in here if line["kind"] == "intent"]
    if not lines:
        raise _contradiction(story, order, "no intent was recorded")
    for name, value in _recorded(decided).items():
        if lines[0].get(name) != value:
            raise _contradiction(story, order, f"{name} was {lines[0].get(name)!r}, its messages give {value!r}")
    return decided


def _recorded(decided: Decided) -> dict[str, Any]:
    """The fields of the recorded intent that follow from the messages."""
    baseline, mycelial = decided.baseline, decided.mycelial
    assert baseline is not None, "a collision has two ideas"
    assert mycelial is not None, "a collision has two ideas"
    return {
        "side": str(decided.side),
        "edge": mycelial.edge,
        "baseline_confidence": baseline.score,
        "mycelial_score": mycelial.score,
        "analysts": list(baseline.voters),
        "learners": list(mycelial.voters),
    }


def _check_wishes(
    story: Story, order: Order, meetings: Sequence[Meeting], rules: TraderRules, here: Sequence[Line]
) -> None:
    """Every wish to leave must be an idea that was recorded in this slice, with the same voters and score."""
    known = [(line.get("source"), line.get("score"), line.get("voters")) for line in here if line["kind"] == "idea"]
    for meeting in meetings:
        one = decide([meeting], rules)
        idea = one.baseline or one.mycelial
        stream = Stream.BASELINE if one.baseline is not None else Stream.MYCELIAL
        if idea is None or (stream.value, idea.score, list(idea.voters)) not in known:
            raise _contradiction(story, order, "a message is no idea that was recorded")


def _contradiction(story: Story, order: Order, what: str) -> InvariantError:
    return InvariantError(f"{story.name}: the record contradicts itself at order {order.id}: {what}; see `verify`")


def _behind(told: Sequence[tuple[int, Told]], decided: Decided, rules: TraderRules) -> dict[str, Any]:
    """Votes and ideas with the messages that carried them, and who was decisive."""
    meetings = [one.meeting for _, one in told]
    needed = decisive(meetings, rules)
    baseline = [_baseline(heard, m.at, needed, decided) for m in meetings for heard in m.heard if _is_baseline(heard)]
    swarm = [_swarm(heard, m.at, needed) for m in meetings for heard in m.heard if not _is_baseline(heard)]
    found: dict[str, Any] = {"baseline": baseline[0] if baseline else None, "swarm": swarm[0] if swarm else None}
    idea = decided.mycelial
    if idea is not None and decided.outcome != EXIT:
        found["intent"] = {"side": str(idea.side), "edge": idea.edge, "horizon": idea.horizon, "score": idea.score}
    found["replay"] = {"reproduces": True, "decisive": needed}
    found["data"] = told[0][1].data
    return found


def _is_baseline(heard: Heard) -> bool:
    return isinstance(heard.message, BaselineIdea)


def _message(heard: Heard, at: int) -> dict[str, Any]:
    origin = heard.origin
    told = {"channel": origin.channel, "producer": origin.producer, "epoch": origin.epoch, "seq": origin.seq}
    return {"message": told, "at": iso(heard.message.at), "age_ms": at - heard.message.at}


def _baseline(heard: Heard, at: int, needed: Sequence[str], decided: Decided) -> dict[str, Any]:
    message = heard.message
    assert isinstance(message, BaselineIdea), "chosen by its type"
    votes = [
        {
            "analyst": vote.voter,
            "side": str(vote.side),
            "confidence": vote.confidence,
            "signal": vote.reason,
            "decisive": vote.voter in needed,
        }
        for vote in message.votes
    ]
    found = {"votes": votes, "price": message.price, **_message(heard, at)}
    if decided.baseline is not None:
        found |= {"side": str(decided.baseline.side), "confidence": decided.baseline.score}
    return found


def _swarm(heard: Heard, at: int, needed: Sequence[str]) -> dict[str, Any]:
    message = heard.message
    assert isinstance(message, MycelialIdea), "chosen by its type"
    learners = [{"learner": name, "decisive": name in needed} for name in message.learners]
    said = {"side": str(message.side), "score": message.score, "edge": message.edge, "horizon": message.horizon}
    return {"learners": learners, **said, **_record(message), "price": message.price, **_message(heard, at)}


def _record(message: MycelialIdea) -> dict[str, Any]:
    """How its learners did so far; nothing where a record of an earlier version does not tell."""
    if not message.product_focus:
        return {}
    names = ("product_focus", "strategy_type", "agent_generation", "trade_count", "win_rate", "total_pnl")
    return {"record": {name: getattr(message, name) for name in (*names, "simulated_pnl", "interestingness")}}


# --- exits and commands ------------------------------------------------------------------------------------------


def _exit(story: Story, order: Order, decided: Decided | None) -> dict[str, Any]:
    """Why a position was left, and the entry that it ends."""
    entry = _entry_of(story, order)
    found: dict[str, Any] = {"reason": order.reason, "entry": None if entry is None else str(entry.id)}
    if order.reason == OVER and entry is not None and entry.leave_at is not None:
        found |= {"entered": iso(entry.at), "leave_at": iso(entry.leave_at)}
    if order.reason == STOPPED and entry is not None and entry.stop is not None:
        price = next(fill.price for fill in story.fills if fill.order_id == entry.id)
        found |= {"entry_price": records.plain(price), "stop_ratio": records.plain(entry.stop)}
        found["trigger"] = records.plain(price * (1 - entry.stop) if order.trigger is None else order.trigger)
    if order.reason in ("flatten", "manual", "emergency_shutdown"):
        found["command"] = _command(story, order, ("flatten", "order", "emergency_shutdown"))
    if decided is not None:
        found["wished_by"] = "baseline" if decided.baseline is not None else "mycelial"
    return found


def _stops(story: Story, entry: Order) -> Iterator[dict[str, Any]]:
    """The stops that the coordinator placed behind an entry, each with what became of it, up to the next entry."""
    bought = [fill for fill in story.fills if fill.pair == entry.pair and fill.side is Side.BUY]
    mine = [fill.at for fill in bought if fill.order_id == entry.id]
    until = min((fill.at for fill in bought if mine and fill.order_id != entry.id and fill.at > mine[0]), default=None)
    for one in story.orders.values():
        placed = one.reason == STOPPED and one.pair == entry.pair and one.side is Side.SELL and one.trigger is not None
        if placed and mine and mine[0] <= one.at and (until is None or one.at < until):
            states = [state.state for state in story.states if state.id == one.id]
            yield {
                "order": str(one.id),
                "amount": records.plain(one.amount),
                "trigger": records.plain(one.trigger or Decimal(0)),
                "at": iso(one.at),
                "state": states[-1] if states else None,
            }


def _entry_of(story: Story, order: Order) -> Order | None:
    if order.id.endswith(STOP):
        return story.orders.get(order.id.removesuffix(STOP))
    bought = [fill for fill in story.fills if fill.pair == order.pair and fill.side is Side.BUY and fill.at <= order.at]
    return story.orders.get(str(bought[-1].order_id)) if bought else None


def _command(story: Story, order: Order, kinds: Sequence[str]) -> dict[str, Any] | None:
    """The command that an order obeys: of this slice, of its pair or of all."""
    here = [line for line in story.lines if line["at"] == iso(order.at) and line["kind"] in kinds]
    mine = [line for line in here if line.get("pair") in (None, order.pair) and "order" not in line]
    return {name: mine[0].get(name) for name in ("kind", "reason", "source")} if mine else None


# --- gates, size, outcome ----------------------------------------------------------------------------------------


def gate(name: str, passed: bool | None, figure: Any = None, limit: Any = None) -> Gate:
    """One row of the gates; `passed` None: it was not reached."""
    return {"gate": name, "passed": passed, "figure": figure, "limit": limit}


def _trader_gates(told: Sequence[tuple[int, Told]], decided: Decided | None, story: Story) -> Iterator[Gate]:
    if decided is None or decided.baseline is None or decided.mycelial is None:
        return
    rules, meeting = story.rules_at(told[0][0]).trader, told[0][1].meeting
    baseline, mycelial = decided.baseline, decided.mycelial
    yield gate("rule_of_3", True, len(baseline.voters), rules.required_votes)
    yield gate("learners", True, len(mycelial.voters), rules.min_learners)
    yield gate("window_ms", True, abs(baseline.at - mycelial.at), rules.window_ms)
    yield gate("same_side", True, str(mycelial.side), str(baseline.side))
    if mycelial.side is Side.BUY:
        yield gate("trader_halted", True, meeting.halted or "no")
        yield gate("edge_against_cost", True, mycelial.edge, rules.least_edge)
        yield gate("memory", True, meeting.advice or "not asked")


def _review_gates(story: Story, seq: int, review: Reviewed | None, order: Order) -> Iterator[Gate]:
    if review is None:
        return
    yield gate("supervisor", True, f"{order.reason}, size x {records.plain(review.multiplier)}")
    limits = story.rules_at(seq).limits
    looked, stopped = review.looked, False
    shown = {
        "bad_amount": (records.plain(order.amount), "> 0"),
        "nothing_to_close": (records.plain(order.amount), records.plain(looked.position)),
        "halted": (looked.halted or "no", ""),
        "bus_down": ("up" if looked.bus_up else "down", ""),
        "drawdown": (_ratio(drawdown(looked)), records.plain(limits.max_drawdown_ratio)),
        "stale_data": (looked.age_ms, limits.max_age_ms),
        "position_open": (records.plain(looked.position), "0"),
        "order_open": ("yes" if looked.buying else "no", ""),
        "max_positions": (looked.pairs, limits.max_positions),
        "insufficient_cash": (_money(cost(order, limits)), _money(spendable(looked, limits))),
    }
    for control in every_control(order, looked, limits):
        name, objects = control.name, control.objects
        figures = shown.get(name) or (text(control.value), text(control.limit))
        yield gate(name, None if stopped else not objects, *figures)
        stopped |= objects
        if objects and name != review.denied:
            raise _contradiction(story, order, f"{name} objects, the gate said {review.denied or 'yes'!r}")
        if stopped:
            return
    if review.denied:
        raise _contradiction(story, order, f"no control objects, the gate said {review.denied!r}")


def _ratio(value: Decimal) -> str:
    return records.plain(value.quantize(Decimal("0.000001")))


def _money(value: Decimal) -> str:
    return records.plain(value.quantize(Decimal("0.00000001")))


def _size(story: Story, order: Order, review: Reviewed | None) -> dict[str, Any]:
    """The multiplier of the asset's stage of life, which counts for entries."""
    stage = stage_at(story, order.pair, order.at)
    multiplier = None if review is None else records.plain(review.multiplier)
    return {"multiplier": multiplier, "stage": stage}


def stage_at(story: Story, pair: str, at: int) -> str | None:
    """Where an asset stood in its life; None before it had a team."""
    moment = iso(at)
    stages = [line["reason"] for line in story.lines
              if line["kind"] == "lifecycle" and line.get("pair") == pair and line["at"] <= moment]  # fmt: skip
    return stages[-1] if stages else None


def _outcome(story: Story, order_id: str) -> dict[str, Any]:
    """What became of an order: refused, or its states, fills, and the trade that it opened or closed."""
    fills = [fill for fill in story.fills if fill.order_id == order_id]
    states = [{"state": one.state, "at": iso(one.at)} for one in story.states if one.id == order_id]
    _, review = story.reviews.get(order_id, (0, None))
    denied = review.denied if review is not None else ""
    refused = [line["reason"] for line in story.lines if line["kind"] == "refusal" and line.get("order") == order_id]
    return {
        "refused": denied or (refused[0] if refused else None),
        "states": states,
        "fills": [records.fill_fields(fill) for fill in fills],
        "trades": [records.trade_fields(trade) for trade in _trades(story, fills)],
    }


def _trades(story: Story, fills: Sequence[Fill]) -> list[Trade]:
    """Closed trades of the account that a fill opened or closed."""
    times = {(fill.pair, fill.side, fill.at) for fill in fills}
    return [
        trade
        for trade in story.trades
        if (trade.pair, Side.BUY, trade.entry_at) in times or (trade.pair, Side.SELL, trade.exit_at) in times
    ]


def moment(text: str) -> int:
    """A time as people write it, in UTC ms; UsageError for anything else."""
    try:
        return from_iso(text)
    except (ValueError, OverflowError):
        raise UsageError(f"--at {text!r}: write 2022-03-01, 2022-03-01T14:00 or last") from None
