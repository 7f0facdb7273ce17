"""Why nothing was bought or sold of a pair at a time: the first gate that stopped it, out of the record alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from ..core.clock import iso
from ..core.errors import NotFound
from ..core.limits import text
from ..core.moats import MOATS
from ..core.story import Line, Silence, Story
from ..core.traces import (
    CANCELLED,
    NO_BAR,
    NO_TEAM,
    NOBODY,
    PARTS,
    SIGNALS,
    SWARM,
    SWARM_WORDS,
    UNHEARD,
    Reviewed,
)
from ..core.types import STATUSES, Pair, Stream
from .explain import moment, stage_at
from .gate import every_control

LAST = "last"
HAPPENINGS = ("intent", "conflict", "refusal", "order", "fill", "deployment", "lifecycle")
"""Lines that say that something happened to a pair."""

Gate = dict[str, Any]
Step = Callable[["Moment"], "Gate | None"]


class Moment(msgspec.Struct, frozen=True):
    """One pair at one slice: what was written down of it, and how analysts, learners and moats stood then.

    `here`: lines of the pair in this slice; `before`: all lines up to it. `baseline` and `swarm`: the newest rows and
    the slices that they are of.
    """

    story: Story
    pair: Pair
    at: int
    here: list[Line]
    before: list[Line]
    baseline: tuple[int, tuple[int, ...]] | None
    swarm: tuple[int, tuple[int, ...]] | None
    moats: tuple[int, ...]
    review: Reviewed | None

    def of_pair(self, *kinds: str) -> list[Line]:
        """Lines of these kinds about the pair, up to the slice."""
        return [line for line in self.before if line.get("pair") == self.pair and line["kind"] in kinds]


def slice_at(story: Story, text: str) -> int:
    """The newest slice at a time as people write it, or the last one; NotFound outside the run."""
    interval = story.newest_rules.interval_ms
    wanted = story.last if text == LAST else moment(text)
    if not story.first <= wanted < story.last + interval:
        span = f"{iso(story.first)} to {iso(story.last)}"
        raise NotFound(f"--at {text}: outside the run, which goes from {span}")
    return wanted // interval * interval


def why_not(story: Story, name: str, text: str) -> dict[str, Any]:
    """The gates in their order, the first that stopped the pair, and what happened before and after."""
    pair = story.pair(name)
    at = slice_at(story, text)
    now = _moment(story, pair, at)
    gates: list[Gate] = []
    for step in STEPS:
        found = step(now)
        if found is not None:
            gates.append(found)
            if found["passed"] is False:
                break
    orders = [line["order"] for line in now.here if line["kind"] == "order"]
    stopped = next((one for one in gates if one["passed"] is False), None)
    return {
        "pair": pair,
        "at": iso(at),
        "stopped_by": None if orders or stopped is None else stopped["gate"],
        "says": f"it did: order {', '.join(orders)}" if orders else _says(stopped),
        "gates": gates,
        "orders": orders,
        "stage": stage_at(story, pair, at),
        "halted": _halted(now),
        "moats": {moat: STATUSES[number].value for moat, number in zip(MOATS, now.moats, strict=False)},
        "before": _neighbour(now, reversed([line for line in story.lines if line["at"] < iso(at)])),
        "after": _neighbour(now, [line for line in story.lines if line["at"] > iso(at)]),
    }


def _says(stopped: Gate | None) -> str:
    return "every gate was passed" if stopped is None else str(stopped["says"])


def _moment(story: Story, pair: Pair, at: int) -> Moment:
    until = iso(at)
    before = [line for line in story.lines if line["at"] <= until]
    index = story.pairs.index(pair)
    silences = [one for one in story.silences if one.at <= at]
    reviews = [review for _, review in story.reviews.values() if (review.at, review.order.pair) == (at, pair)]
    return Moment(
        story=story,
        pair=pair,
        at=at,
        here=[line for line in before if line["at"] == until and line.get("pair") == pair],
        before=before,
        baseline=_newest(silences, index, lambda one: one.baseline),
        swarm=_newest(silences, index, lambda one: one.swarm),
        moats=next((one.moats for one in reversed(silences) if one.moats), ()),
        review=reviews[0] if reviews else None,
    )


def _newest(
    silences: Sequence[Silence], index: int, rows: Callable[[Silence], tuple[tuple[int, ...], ...]]
) -> tuple[int, tuple[int, ...]] | None:
    for one in reversed(silences):
        for row in rows(one):
            if row[0] == index:
                return one.at, row
    return None


def _neighbour(now: Moment, lines: Any) -> dict[str, Any] | None:
    """The first of these lines in which something happened to the pair."""
    found = next((line for line in lines if line.get("pair") == now.pair and line["kind"] in HAPPENINGS), None)
    return None if found is None else {name: found.get(name) for name in ("at", "kind", "side", "reason", "order")}


def gate(name: str, passed: bool, says: str, **shown: Any) -> Gate:
    """One row of the gates."""
    return {"gate": name, "passed": passed, "says": says, **shown}


# --- the steps, in order -----------------------------------------------------------------------------------------


def _team(now: Moment) -> Gate:
    deployments = [line for line in now.of_pair("deployment") if line.get("outcome") != "refused"]
    if now.baseline is not None and now.baseline[1][1] != NO_TEAM:
        since = f", since {deployments[-1]['at']}" if deployments else ""
        return gate("team", True, f"it has a team{since}")
    refused = [line for line in now.of_pair("deployment") if line.get("outcome") == "refused"]
    if deployments and deployments[-1]["reason"] == "retired":
        says = f"its team retired at {deployments[-1]['at']}"
    else:
        says = "it has no team: nobody deployed one"
        says += f"; the last consensus was refused: {refused[-1]['reason']}" if refused else ""
    votes = {str(line["source"]): [line["at"], *line["voters"]] for line in now.of_pair("vote")}
    consensus = [{"at": line["at"], "team": line["source"], "confidence": line["confidence"]}
                 for line in now.of_pair("consensus")][-1:]  # fmt: skip
    told = [{name: line.get(name) for name in ("at", "reason", "team")} for line in refused[-1:]]
    if not votes:
        says += "; no explorer ever proposed it"
    return gate("team", False, says, explorers=votes, consensus=consensus, refused=told)


def _data(now: Moment) -> Gate:
    if any(line["kind"] == "bus_down" and line["at"] == iso(now.at) for line in now.before):
        return gate("data", False, "the bus was down in this slice")
    if now.baseline is not None and now.baseline[1][1] == NO_BAR:
        return gate("data", False, f"no bar was announced since {iso(now.baseline[0])}")
    silent = [moat for moat, number in zip(MOATS, now.moats, strict=False) if STATUSES[number].value not in SPEAKING]
    return gate("data", True, f"it had a bar; moats without data: {', '.join(silent) or 'none'}", abstaining=silent)


SPEAKING = ("OK", "NEUTRAL")
"""Words of moats that have data of the moment."""


def _missing(now: Moment, stream: Stream) -> bool:
    """Whether no idea of a stream was there: said now, or a window before and not used since."""
    window = now.story.newest_rules.trader.window_ms
    since = iso(now.at - window)
    ideas = [line for line in now.of_pair("idea") if line["source"] == stream.value and line["at"] >= since]
    if not ideas:
        return True
    used = [line for line in now.of_pair("intent", "conflict", "refusal") if "analysts" in line]
    return any(ideas[-1]["at"] <= line["at"] < iso(now.at) for line in used)


def _baseline(now: Moment) -> Gate:
    votes = [] if now.baseline is None else list(_votes(now.pair, now.baseline[1]))
    needed = now.story.newest_rules.trader.required_votes
    if not _missing(now, Stream.BASELINE):
        return gate("baseline", True, "the analysts agreed", votes=votes)
    said = [vote for vote in votes if vote["side"] is not None]
    says = f"no baseline agreement: {len(said)} of {len(votes)} analysts saw a signal, {needed} must agree"
    since = None if now.baseline is None else iso(now.baseline[0])
    return gate("baseline", False, says, votes=votes, since=since)


def _votes(pair: Pair, row: tuple[int, ...]) -> Iterator[dict[str, Any]]:
    """The analysts' votes of a row of silence; a side of None is an abstention."""
    for team, (signal, confidence) in enumerate(zip(row[2:5], row[5:8], strict=True), 1):
        side = None if signal == 0 else ("buy" if signal > 0 else "sell")
        told = {"side": side, "confidence": confidence / PARTS, "signal": SIGNALS[abs(signal)]}
        yield {"analyst": f"analyst-{pair}-{team}", **told}


def _swarm(now: Moment) -> Gate:
    shown = {} if now.swarm is None else _figures(now.swarm)
    if not _missing(now, Stream.MYCELIAL):
        return gate("swarm", True, "enough learners agreed")
    needed = now.story.newest_rules.trader.min_learners
    state = NOBODY if now.swarm is None else now.swarm[1][1]
    words = SWARM_WORDS[state] if state <= CANCELLED else "the idea was not heard, or had been used"
    if state not in (NOBODY, UNHEARD):
        most = max(shown["buying"], shown["selling"])
        words += f" ({most} of the {needed} that are needed; best score {shown['best_score']:g}, "
        words += f"best edge {shown['best_edge']:g}, {shown['silenced']} silenced, {shown['warming']} without a score)"
    return gate("swarm", False, f"no swarm idea: {words}", **shown)


def _figures(found: tuple[int, tuple[int, ...]]) -> dict[str, Any]:
    """The columns of a row of silence by name, in their units; `since` is when they were so."""
    named = dict(zip(SWARM[2:], found[1][2:], strict=True))
    scaled = {name: value / PARTS if name.startswith("best") else value for name, value in named.items()}
    return {**scaled, "since": iso(found[0])}


def _meeting(now: Moment) -> Gate:
    """Whether the two ideas met, were on one side, and what the trader made of it."""
    met = [line for line in now.here if line["kind"] in ("intent", "conflict", "refusal") and "analysts" in line]
    if not met:
        return gate(
            "collision", False, "no collision: the ideas were too far apart, or were said after the other's end"
        )
    line = met[0]
    shown = {name: line[name] for name in ("edge", "baseline_confidence", "mycelial_score", "analysts", "learners")}
    shown["cost"] = now.story.newest_rules.trader.least_edge
    if line["kind"] == "conflict":
        return gate(
            "conflict", False, f"opposite sides: the swarm wants to {line['side']}, the analysts do not", **shown
        )
    if line["kind"] == "refusal":
        return gate(line["reason"], False, _refused(line, shown["cost"], _halted(now)), **shown)
    return gate("collision", True, f"an intent to {line['side']}", **shown)


def _refused(line: Line, least: float, halted: str | None) -> str:
    words = {
        "edge_below_cost": f"the edge of {line['edge']:g} does not exceed the cost of a round trip, {least:g}",
        "halted": f"entries are halted: {halted}",
        "nothing_to_close": "both wanted to sell, and nothing was held",
        "memory_advises_against": "memory advised against it: moments like this one ended badly",
    }
    return words.get(line["reason"], str(line["reason"]))


def _halted(now: Moment) -> str | None:
    """The reason of a halt that was in force."""
    reason = None
    for line in now.before:
        if line["kind"] in ("halt", "emergency_shutdown"):
            reason = line.get("reason") or "halted"
        elif line["kind"] == "resume":
            reason = None
    return reason


def _gatekeeper(now: Moment) -> Gate:
    """The supervisor and the risk gate."""
    if now.review is None:
        return gate("supervisor", False, "the supervisor planned no order of it")
    if now.review.denied:
        order, figures = str(now.review.order.id), _figures_of(now)
        says = f"the risk gate denied order {order}: {now.review.denied}"
        says += f" ({figures['value']} against a limit of {figures['limit']})" if figures.get("limit") else ""
        return gate(now.review.denied, False, says, order=order, multiplier=str(now.review.multiplier), **figures)
    return gate("risk_gate", True, "the risk gate approved it")


def _figures_of(now: Moment) -> dict[str, str]:
    """What the control that denied an order saw, and its limit: judged again by what was written down."""
    review = now.review
    assert review is not None, "an order was denied"
    seq, _ = now.story.reviews[str(review.order.id)]
    for control in every_control(review.order, review.looked, now.story.rules_at(seq).limits):
        if control.name == review.denied:
            return {"value": text(control.value), "limit": text(control.limit)}
    return {}


def _broker(now: Moment) -> Gate:
    assert now.review is not None, "an order was approved"
    order = str(now.review.order.id)
    kept = [line for line in now.here if line["kind"] == "refusal" and line["reason"] == "kill_switch"]
    if kept:
        says = f"the kill switch was thrown before order {order} left: {kept[0].get('value')}"
        return gate("kill_switch", False, says, order=order)
    refused = [line for line in now.here if line["kind"] == "refusal" and line["reason"] == "broker_refused"]
    lost = [one.state for one in now.story.states if one.id == order and one.state in ("rejected", "cancelled")]
    if refused or lost:
        return gate(
            "broker", False, f"the broker did not execute order {order}: {(lost or ['rejected'])[0]}", order=order
        )
    return gate("broker", True, "the broker took it", order=order)


STEPS: tuple[Step, ...] = (_team, _data, _baseline, _swarm, _meeting, _gatekeeper, _broker)
"""The order in which a pair passes them."""
