"""The spine: how a slice walks through it, what strangers may do to it, and how it goes on after a cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from src.agents import KINDS
from src.connectors.memory_ledger import Kept, MemoryLedger
from src.core.bus import LocalBus
from src.core.clock import SimClock, iso
from src.core.config import LedgerSettings
from src.core.envelopes import Envelope, encode
from src.core.errors import BrokerError, InvariantError
from src.core.messages import Control, Message, MycelialIdea, SynthesizedTrade, TradeConfirmation
from src.core.ports import Broker, Handler, Row
from src.core.signing import sign
from src.core.types import (
    Approved,
    Command,
    CommandKind,
    Observation,
    Pair,
    Side,
    Slice,
    Stream,
    Tick,
)
from tests.agents.made import ETH
from tests.checks.agent_checks import SETTINGS, history
from tests.golden import tape
from tests.walked import Walk
from tests.worlds import settings

SECRET = "correct horse battery staple"
LINES = Walk().all().lines()
"""The decisions of the tape, undisturbed."""


def slice_of(walk: Walk, bar: int, **changes: Any) -> Slice:
    return Slice(int(walk.history.times[bar]), walk.history.block(bar), **changes)


def lines_from(bar: int) -> list[dict[str, object]]:
    """The decisions of the tape from this bar on."""
    return [line for line in LINES if str(line["at"]) >= iso(tape.closed_at(bar))]


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ahead", [1, 1000])
def test_an_observation_from_the_future_stops_the_run_and_is_named(ahead: int) -> None:
    walk = Walk()
    at = tape.closed_at(0)
    canary = Observation("GitHub API", "code", "commit-77", "ethereum", at, at + ahead, {"commits": 1.0})
    with pytest.raises(InvariantError) as caught:
        walk.see(slice_of(walk, 0, observations=(canary,)))
    assert caught.value.exit_code == 6
    for word in ("GitHub API", "code_miner", "commit-77", f"00.{ahead % 1000:03d}Z" if ahead < 1000 else "01.000Z"):
        assert word in str(caught.value)


def test_what_is_known_at_this_very_moment_is_fine() -> None:
    walk = Walk()
    at = tape.closed_at(0)
    seen = Observation("GitHub API", "code", "commit-77", "ethereum", at - 5, at, {"commits": 1.0})
    report = walk.see(slice_of(walk, 0, observations=(seen,), ticks=(Tick(tape.PAIR, at, 1.0, 1.0),)))
    assert report.bars == 1


def test_bars_and_trades_from_the_future_stop_the_run() -> None:
    walk = Walk()
    early = Slice(tape.closed_at(0) - 1, walk.history.block(0))
    with pytest.raises(
        InvariantError, match=r"bars known at 2021-01-01T01:00:00.000Z are in the slice of .*00:59:59.999Z"
    ):
        walk.see(early)
    tick = Tick(tape.PAIR, tape.closed_at(0) + 1, 1.0, 1.0)
    with pytest.raises(InvariantError, match=r"a trade of BTC/USDT at 2021-01-01T01:00:00.001Z"):
        walk.see(slice_of(walk, 0, ticks=(tick,)))


@pytest.mark.parametrize("back", [0, 1, tape.HOUR])
def test_time_rises_strictly(back: int) -> None:
    walk = Walk()
    walk.until(5)
    with pytest.raises(InvariantError, match="time ran backwards") as caught:
        walk.see(Slice(tape.closed_at(5) - back, None))
    assert caught.value.exit_code == 6


def test_slices_without_bars_change_nothing_else() -> None:
    walk = Walk()
    for bar in range(tape.BARS):
        walk.until(bar)
        report = walk.see(Slice(tape.closed_at(bar) + 17, None))
        assert (report.bars, report.orders, report.fills, report.decisions) == (0, (), (), ())
        assert not report.snapshot.fresh.any()
        assert np.array_equal(report.snapshot.close, walk.reports[-2].snapshot.close)
    assert walk.lines() == LINES
    assert walk.reports[-1].slices == 2 * tape.BARS


# --- ledger, broker ---------------------------------------------------------------------------------------------------


class TrailReceipt:
    def __init__(self, inner: Kept, rows: Sequence[Row], trail: list[tuple[str, str]]) -> None:
        self._inner, self._rows, self._trail = inner, rows, trail

    def wait(self, timeout: float | None = None) -> None:
        self._inner.wait(timeout)
        self._trail += [("durable", row.key) for row in self._rows]


class TrailLedger(MemoryLedger):
    def __init__(self, tree: LedgerSettings) -> None:
        super().__init__(tree)
        self.trail: list[tuple[str, str]] = []

    def append(self, rows: Sequence[Row], durable: bool) -> Any:
        return TrailReceipt(super().append(rows, durable), rows, self.trail)


class TrailBroker:
    """Passes everything on to the exchange; notes what was submitted, and refuses the sides it is told to."""

    def __init__(self, inner: Broker, trail: list[tuple[str, str]], refuses: frozenset[Side] = frozenset()) -> None:
        self._inner, self._trail, self._refuses = inner, trail, refuses

    def submit(self, approved: Approved) -> None:
        self._trail.append(("submit", f"order:{approved.order.id}"))
        if approved.order.side in self._refuses:
            raise BrokerError("the exchange is closed")
        self._inner.submit(approved)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def trailed(refuses: frozenset[Side] = frozenset(), **changes: Any) -> tuple[Walk, list[tuple[str, str]]]:
    walk = Walk(make_ledger=TrailLedger, **changes)
    assert isinstance(walk.ledger, TrailLedger)
    trail = walk.ledger.trail
    walk.house.desk.broker = TrailBroker(walk.house.desk.broker, trail, refuses)  # type: ignore[assignment]
    return walk, trail


def test_orders_are_durable_before_the_broker_sees_them() -> None:
    walk, trail = trailed()
    walk.all()
    sent = [key for step, key in trail if step == "submit"]
    assert len(sent) == 2
    for key in sent:
        assert trail.index(("durable", key)) < trail.index(("submit", key))


def test_fills_are_durable_before_anybody_hears_of_them() -> None:
    walk, trail = trailed()
    known: list[bool] = []

    def heard(message: Message) -> None:
        assert isinstance(message, TradeConfirmation)
        known.append(any(step == "durable" and key.startswith(f"fill:{message.order_id}") for step, key in trail))

    walk.bus.subscribe("trade-confirmations", heard, "listener")
    walk.all()
    assert known == [True, True]


def test_m_f24_an_entry_the_broker_refuses_leaves_no_position_and_the_run_goes_on() -> None:
    walk, _ = trailed(frozenset({Side.BUY}))
    walk.all()
    (refusal,) = walk.decided(45, "refusal")
    assert (refusal.reason, refusal.side) == ("broker_refused", Side.BUY)
    assert walk.house.engine.refusals == {"broker_refused": 1}
    states = [json.loads(row.body) for row in walk.ledger.rows("order")]
    assert [row["state"] for row in states if "state" in row] == ["rejected"]
    assert (walk.reports[-1].equity, walk.ledger.rows("fill")) == (Decimal(10_000), [])
    assert [row for row in walk.ledger.rows("trade") if b'"synthesized"' in row.body] == []
    assert len(walk.reports) == tape.BARS


def test_an_exit_the_broker_refuses_is_tried_again() -> None:
    walk, trail = trailed(frozenset({Side.SELL}))
    walk.until(53)
    assert [step for step, _ in trail].count("submit") == 4
    assert [len(walk.decided(bar, "refusal")) for bar in (51, 52, 53)] == [1, 1, 1]
    walk.house.desk.broker = walk.house.desk.broker._inner  # type: ignore[attr-defined]
    walk.all()
    assert [fill.side for report in walk.reports for fill in report.fills] == [Side.BUY, Side.SELL]


# --- cut one channel -------------------------------------------------------------------------------------------------


def cut(pattern: str) -> list[dict[str, object]]:
    """The decisions of the tape when nobody hears `pattern`."""

    class Cut(LocalBus):
        def subscribe(self, wanted: str, handler: Handler, owner: str) -> None:
            if wanted != pattern:
                super().subscribe(wanted, handler, owner)

    walk = Walk(make_bus=lambda clock: Cut(clock, settings().bus)).all()
    assert not walk.house.model.faults
    return walk.lines()


def ideas(*streams: str) -> list[dict[str, object]]:
    return [line for line in LINES if line["kind"] == "idea" and line["source"] in streams]


@pytest.mark.parametrize(
    ("pattern", "left"),
    [
        ("market-data:*", ("mycelial",)),
        ("baseline-trade-ideas:*", ("mycelial",)),
        ("mycelial-trade-ideas", ("baseline",)),
        ("synthesized-trade-log", ("baseline", "mycelial")),
    ],
)
def test_m_f05_cut_one_channel_and_the_decision_disappears_and_nothing_else(
    pattern: str, left: tuple[str, ...]
) -> None:
    assert cut(pattern) == ideas(*left)


@pytest.mark.parametrize("pattern", ["trade-confirmations", "system-control"])
def test_what_only_watches_decides_nothing_on_the_tape(pattern: str) -> None:
    assert cut(pattern) == LINES


def test_m_f05_all_channels_together_give_one_trade() -> None:
    assert [line["kind"] for line in LINES if line["kind"] != "idea"] == ["intent", "order", "fill", "order", "fill"]


# --- the bus is down -------------------------------------------------------------------------------------------------


class Flaky(LocalBus):
    """Delivers, but says that the server did not answer in time while `down`."""

    down = False

    def quiet(self) -> bool:
        return super().quiet() and not self.down

    def settle(self) -> bool:
        return super().settle() and not self.down


def flaky() -> tuple[Walk, Flaky]:
    walk = Walk(make_bus=lambda clock: Flaky(clock, settings().bus))
    assert isinstance(walk.bus, Flaky)
    return walk, walk.bus


def test_a_bus_that_is_down_refuses_entries_and_is_written_down() -> None:
    walk, bus = flaky()
    walk.until(44)
    bus.down = True
    report = walk.until(45)
    assert (report.bus_up, report.orders) == (False, ())
    assert [line.reason for line in walk.decided(45, "refusal")] == ["bus_down"]
    assert [line.kind for line in report.decisions].count("bus_down") == 1
    bus.down = False
    walk.all()
    assert walk.house.engine.refusals == {"bus_down": 1}
    assert [report.bus_up for report in walk.reports].count(False) == 1


def test_exits_go_on_while_the_bus_is_down() -> None:
    walk, bus = flaky()
    walk.until(46)
    bus.down = True
    walk.all()
    plain = [line for line in walk.lines() if line["kind"] != "bus_down"]
    assert plain == LINES


# --- strangers -------------------------------------------------------------------------------------------------------


def local(walk: Walk) -> LocalBus:
    assert isinstance(walk.bus, LocalBus)
    return walk.bus


def without_voice() -> Walk:
    """The tape, on which nobody of the own learners speaks."""
    return Walk(kinds=[kind for kind in tape.kinds() if kind.name != "pattern_learner"], bus__control_secret=SECRET)


def strange_idea(at: int, **changes: Any) -> MycelialIdea:
    values: dict[str, Any] = {
        "source": "their-learner", "at": at, "known_at": at, "pair": tape.PAIR, "price": 92.5, "side": Side.BUY,
        "score": 0.9, "edge": 0.02, "horizon": 6, "learners": ("x", "y", "z"),
    }  # fmt: skip
    return MycelialIdea(**(values | changes))


def raw_of(message: Any, seq: int = 1, producer: str = "stranger") -> bytes:
    return encode(Envelope(producer, 9, seq, message))


def test_a_strangers_idea_is_written_down_and_delivered_with_the_next_slice_only() -> None:
    walk = without_voice()
    walk.until(44)
    local(walk).receive("mycelial-trade-ideas", raw_of(strange_idea(tape.closed_at(44))))
    local(walk).settle()
    assert walk.decided(44, "idea")[-1].source == "baseline"
    walk.until(45)
    (journaled,) = walk.decided(45, "foreign")
    assert (journaled.source, journaled.detail) == ("stranger", {"channel": "mycelial-trade-ideas"})
    assert [line.source for line in walk.decided(45, "idea")] == ["mycelial", "baseline"]
    assert [order.side for order in walk.reports[-1].orders] == [Side.BUY]
    rows = [json.loads(row.body) for row in walk.ledger.rows("decisions")]
    assert "foreign" in [line["kind"] for row in rows for line in row["lines"]]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (raw_of(strange_idea(tape.closed_at(44) + 1)), "from the future"),
        (b"{", "malformed message"),
        (b"\xff\x00", "malformed message"),
        (b'"' + raw_of(strange_idea(tape.START)).replace(b'"', b'\\"') + b'"', "malformed message"),
        (raw_of(strange_idea(tape.START)).replace(b"0.02", b"1e999"), "malformed message"),
        (raw_of(strange_idea(tape.START)).replace(b"0.02", b"NaN"), "malformed message"),
        (raw_of(Control(source="s", at=1, known_at=1, command=CommandKind.HALT, reason="r")), "does not belong"),
    ],
)
def test_what_cannot_be_believed_is_a_dead_letter_and_the_run_goes_on(raw: bytes, reason: str) -> None:
    walk = without_voice()
    walk.until(44)
    local(walk).receive("mycelial-trade-ideas", raw)
    walk.all()
    (letter,) = walk.decided(45, "dead_letter")
    assert reason in str(letter.reason)
    assert walk.house.engine.counts == {}
    assert not walk.house.model.faults


FORGED: tuple[dict[str, Any], ...] = (
    {"pair": ETH},
    {"at": 10**18},
    {"at": -(10**18)},
    {"horizon": 2**62},
    {"horizon": -5},
    {"score": 1e300},
    {"at": tape.START},
)


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_a_valid_message_that_nobody_can_mean_does_not_end_the_run(forged: dict[str, Any]) -> None:
    walk = without_voice()
    walk.until(44)
    local(walk).receive(
        "mycelial-trade-ideas",
        raw_of(strange_idea(**({"at": tape.closed_at(44), "known_at": tape.closed_at(44)} | forged))),
    )
    walk.all()
    assert [line.reason for line in walk.decided(45, "refusal")] == ["implausible_idea"]
    assert walk.house.engine.counts == {}
    assert not walk.house.model.faults


def test_nobody_outside_makes_an_intent_or_a_fill() -> None:
    walk = without_voice()
    walk.until(44)
    at = tape.closed_at(44)
    intent = SynthesizedTrade(
        source="trader", at=at, known_at=at, pair=tape.PAIR, outcome="collision", side=Side.BUY, price=92.5,
        baseline_confidence=0.9, mycelial_score=0.9, edge=0.9, horizon=6, analysts=("a", "b"), learners=("x", "y", "z"),
        baseline_at=at, mycelial_at=at,
    )  # fmt: skip
    fill = TradeConfirmation(
        source="engine", at=at, known_at=at, pair=tape.PAIR, side=Side.BUY, stream=Stream.SYNTHESIZED, order_id="o",
        amount="1", price="1", fee="0", slippage="0", reason="entry",
    )  # fmt: skip
    local(walk).receive("synthesized-trade-log", raw_of(intent, 1))
    local(walk).receive("trade-confirmations", raw_of(fill, 2))
    walk.all()
    letters = walk.decided(45, "dead_letter")
    assert [letter.source for letter in letters] == ["synthesized-trade-log", "trade-confirmations"]
    assert [order for report in walk.reports for order in report.orders] == []


def test_an_intent_that_cannot_be_is_refused() -> None:
    for changes in ({"pair": ETH}, {"horizon": 0}, {"horizon": 2**62}, {"outcome": "triumph"}, {"at": 10**18}):
        walk = without_voice()
        walk.until(10)
        at = tape.closed_at(10)
        good: dict[str, Any] = {
            "source": "rogue", "at": at, "known_at": at, "pair": tape.PAIR, "outcome": "collision", "side": Side.BUY,
            "price": 1.0, "baseline_confidence": 0.9, "mycelial_score": 0.9, "edge": 0.9, "horizon": 6,
            "analysts": ("a", "b"), "learners": ("x", "y", "z"), "baseline_at": at, "mycelial_at": at,
        }  # fmt: skip
        walk.bus.publish("synthesized-trade-log", SynthesizedTrade(**(good | changes)))
        walk.all()
        assert [line.reason for line in walk.decided(11, "refusal")] == ["implausible_intent"]
        assert not walk.reports[-1].halted
        assert [order for report in walk.reports for order in report.orders] == []


def test_long_names_of_strangers_do_not_cost_the_record_its_lines() -> None:
    walk = without_voice()
    walk.until(44)
    for number in range(30):
        raw = raw_of(strange_idea(tape.closed_at(44)), producer=f"{number}" + "x" * 60_000)
        local(walk).receive("mycelial-trade-ideas", raw)
        local(walk).receive("market-data:" + "y" * 60_000, raw)
    walk.until(45)
    (row,) = [row for row in walk.ledger.rows("decisions") if row.at == tape.closed_at(45)]
    assert len(row.body) < 64_000
    assert not walk.ledger.rows("dead_letter")


def command(kind: CommandKind, at: int) -> Control:
    return Control(source="operator", at=at, known_at=at, command=kind, reason="maintenance")


def test_an_unsigned_command_is_a_dead_letter() -> None:
    for signed in (
        command(CommandKind.HALT, tape.closed_at(9)),
        sign(command(CommandKind.HALT, tape.closed_at(9)), "guess"),
    ):
        walk = without_voice()
        walk.until(9)
        local(walk).receive("system-control", raw_of(signed))
        report = walk.until(10)
        assert report.halted == ""
        assert [line.reason for line in walk.decided(10, "dead_letter")] == ["command without a valid signature"]


def test_m_f21_a_signed_halt_is_obeyed_with_the_next_slice_and_resumed_by_a_signed_command() -> None:
    walk = without_voice()
    walk.until(9)
    local(walk).receive("system-control", raw_of(sign(command(CommandKind.HALT, tape.closed_at(9)), SECRET), 1))
    assert walk.reports[-1].halted == ""
    assert walk.until(10).halted == "maintenance"
    assert [line.source for line in walk.decided(10, "halt")] == ["operator"]
    assert [json.loads(row.body)["kind"] for row in walk.ledger.rows("command")] == ["halt"]
    local(walk).receive("system-control", raw_of(sign(command(CommandKind.RESUME, tape.closed_at(10)), SECRET), 2))
    assert walk.until(11).halted == ""


@pytest.mark.parametrize("kind", [CommandKind.RESUME, CommandKind.STOP, CommandKind.FLATTEN])
def test_a_member_of_the_swarm_may_ask_for_a_halt_and_for_nothing_else(kind: CommandKind) -> None:
    walk = Walk()
    walk.put(Command(CommandKind.HALT, "by hand", "control", id="1"))
    walk.until(3)
    wish = Control(source="learner-x", at=tape.closed_at(3), known_at=tape.closed_at(3), command=kind, reason="please")
    walk.bus.publish("system-control", wish)
    walk.until(5)
    assert (walk.reports[-1].halted, walk.reports[-1].stopping) == ("by hand", False)
    assert [(line.reason, line.source) for line in walk.decided(4, "refusal")] == [("not_entitled", "learner-x")]


# --- commands ---------------------------------------------------------------------------------------------------------


def test_commands_are_durable_numbered_and_in_order() -> None:
    walk = Walk()
    walk.put(Command(CommandKind.HALT, "one", "control", id="a"))
    walk.put(Command(CommandKind.RESUME, "two", "control", id="b"))
    walk.put(Command(CommandKind.STOP, "three", "control", id="c"))
    report = walk.until(0)
    at = tape.closed_at(0)
    assert [row.key for row in walk.ledger.rows("command")] == [f"command:{at}:{n}" for n in (1, 2, 3)]
    assert [line.kind for line in report.decisions] == ["halt", "resume", "stop"]
    assert (report.halted, report.stopping) == ("", True)


def test_a_halted_run_refuses_the_entry_at_the_trader_and_goes_on_when_resumed() -> None:
    walk = Walk()
    walk.put(Command(CommandKind.HALT, "by hand", "control", id="a"))
    walk.all()
    assert walk.house.engine.refusals == {"halted": 1}
    assert [order for report in walk.reports for order in report.orders] == []
    assert walk.house.engine.counts == {"collisions": 1}


def test_an_order_asked_for_while_halted_is_not_let_go_by_a_resume_in_the_same_slice() -> None:
    walk = Walk()
    buy = Command(CommandKind.ORDER, "manual order", "control", Pair("BTC/USDT"), Side.BUY, Decimal("0.01"), "order")
    walk.until(9)
    walk.put(Command(CommandKind.HALT, "by hand", "control", id="halt"))
    walk.until(10)
    walk.put(buy)
    walk.put(Command(CommandKind.RESUME, "go on", "control", id="resume"))
    report = walk.until(11)
    assert (report.halted, report.orders) == ("", ())
    assert [(line.reason, line.detail["order"]) for line in walk.decided(11, "refusal")] == [("halted", "order")]
    assert walk.house.engine.refusals == {"halted": 1}
    walk.put(msgspec.structs.replace(buy, id="again"))
    assert [order.reason for order in walk.until(12).orders] == ["manual"]


def test_flatten_sells_what_is_held() -> None:
    walk = Walk()
    walk.until(47)
    walk.put(Command(CommandKind.FLATTEN, "going home", "control", id="a"))
    report = walk.until(48)
    assert [(order.side, order.reason) for order in report.orders] == [(Side.SELL, "flatten")]
    walk.all()
    assert [order.at for report in walk.reports for order in report.orders] == [tape.closed_at(45), tape.closed_at(48)]


# --- the same again --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bar", [0, 30, 44, 45, 46, 50, 51, 52])
def test_state_in_the_middle_gives_the_same_rest(bar: int) -> None:
    first = Walk()
    first.until(bar)
    raw = first.saved()
    later = Walk()
    later.restore(raw, first.ledger)
    later.until(tape.BARS - 1, first=bar + 1)
    first.all()
    assert later.lines() == lines_from(bar + 1)
    assert later.reports[-1].equity == first.reports[-1].equity
    assert later.reports[-1].slices == first.reports[-1].slices
    since = [row for row in first.ledger.written if row.at > tape.closed_at(bar)]
    assert [row for row in later.ledger.written if row.at > 0] == since, "nothing but the rules of the new life"
    assert later.house.engine.counts == first.house.engine.counts
    assert later.saved() == first.saved()


def test_a_halt_survives_a_restart() -> None:
    first = Walk()
    first.put(Command(CommandKind.HALT, "by hand", "control", id="a"))
    first.until(30)
    later = Walk()
    later.restore(first.saved(), first.ledger)
    later.until(tape.BARS - 1, first=31)
    assert {report.halted for report in later.reports} == {"by hand"}
    assert later.house.engine.refusals == {"halted": 1}


def wild(seed: int = 7, **further: object) -> Walk:
    """The whole real swarm over a wild walk of three pairs, cheap enough for its edges to pay."""
    changes = {f"learners__{name}": getattr(SETTINGS.learners, name) for name in (
        "rank_window", "rank_warmup", "entry_score", "calibration_min_t2")}  # fmt: skip
    changes |= {f"indicators__{name}": getattr(SETTINGS.indicators, name) for name in (
        "volume_window", "atr_rank_window", "volatility_warmup")}  # fmt: skip
    changes |= {"builder__bootstrap_pairs": list(history().pairs), "learners__team": 6, "learners__standard": {}}
    costs = {"costs__fee_ratio": "0.00001", "costs__slippage_ratio": "0"}
    return Walk(history(), KINDS, seed=seed, **(changes | costs | further))


def test_m_f18_the_whole_swarm_runs_without_a_fault_and_trades() -> None:
    walk = wild().all()
    assert not walk.house.model.faults
    assert walk.house.engine.counts["collisions"] > 5
    assert len([fill for report in walk.reports for fill in report.fills]) > 5


def test_the_whole_swarm_goes_on_from_a_state_in_the_middle() -> None:
    first = wild()
    first.until(140)
    raw = first.saved()
    later = wild()
    later.restore(raw, first.ledger)
    later.until(len(history().times) - 1, first=141)
    first.all()
    assert [report.decisions for report in later.reports] == [report.decisions for report in first.reports[141:]]
    assert later.saved() == first.saved()


def test_the_same_run_twice_is_the_same_to_the_byte() -> None:
    first, second = wild().all(), wild().all()
    assert first.lines() == second.lines()
    assert first.ledger.written == second.ledger.written
    assert first.saved() == second.saved()


def test_another_seed_changes_the_learners_and_nothing_of_the_analysts() -> None:
    first, second = wild().all(), wild(seed=8).all()
    by_source = [
        {source: [line for line in walk.lines() if line["kind"] == "idea" and line["source"] == source]
         for source in ("baseline", "mycelial")}
        for walk in (first, second)
    ]  # fmt: skip
    assert by_source[0]["baseline"] == by_source[1]["baseline"] != []
    assert by_source[0]["mycelial"] != by_source[1]["mycelial"]


def test_pairs_of_the_run_alone_are_accepted() -> None:
    walk = Walk()
    block = msgspec.structs.replace(walk.history.block(0), pairs=(Pair("X/Y"),))
    with pytest.raises(InvariantError, match="bars of X/Y"):
        walk.see(Slice(tape.closed_at(0), block))


def test_a_clock_told_twice_is_not_moved_by_a_refused_slice() -> None:
    walk = Walk()
    walk.until(3)
    before = walk.clock.now_ms()
    with pytest.raises(InvariantError):
        walk.see(Slice(before, None))
    assert walk.clock.now_ms() == before
    assert isinstance(walk.clock, SimClock)
