"""The spine: how one slice of market data walks through the house. One `on_slice` for every mode."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from . import lines, records
from .clock import from_iso, iso
from .desk import Desk, Settled
from .errors import BrokerError, InvariantError
from .lines import ENGINE
from .market import Market
from .messages import Control, Deployment, Message, SynthesizedTrade
from .model import MycelialModel, short
from .ports import Bus, Clock, DeadLetter, Experience, Foreign, Ledger, Life, Memory, Row, Tracker
from .traces import Traces
from .types import (
    AccountView,
    Approved,
    Command,
    CommandKind,
    Decision,
    Denied,
    Fill,
    Idea,
    Intent,
    Order,
    Pair,
    Slice,
    Snapshot,
    Stage,
    Stream,
    Trade,
    Transition,
)

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


class Mailbox:
    """Commands wait here for the next slice; any thread may put, only the spine drains."""

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()

    def put(self, command: Command) -> None:
        """Ask for something."""
        self._commands.append(command)

    def drain(self) -> list[Command]:
        """Everything asked for since the last slice, in order."""
        commands = []
        while self._commands:
            commands.append(self._commands.popleft())
        return commands

    def waiting(self) -> list[Command]:
        """What is asked for and not taken yet, in order."""
        return list(self._commands)


class Report(msgspec.Struct, frozen=True):
    """Everything one slice led to; ledger, screens, metrics and files live on Reports.

    `written`: each of the decisions as `records.decision_line`.
    """

    at: int
    slices: int
    bars: int
    decisions: tuple[Decision, ...]
    written: tuple[bytes, ...]
    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    trades: tuple[Trade, ...]
    equity: Decimal
    cash: Decimal
    halted: str
    bus_up: bool
    stopping: bool
    simulated: bool
    snapshot: Snapshot


class Engine:
    """Walks slices through market, model, desk and ledger."""

    def __init__(
        self,
        clock: Clock,
        bus: Bus,
        market: Market,
        model: MycelialModel,
        desk: Desk,
        tracker: Tracker,
        ledger: Ledger,
        sends: bool = True,
        life: Life | None = None,
        max_age_ms: int = LAST_MS,
        patience_ms: int = 0,
        memory: Memory | None = None,
        experience: Experience | None = None,
    ) -> None:
        self.inbox = Mailbox()
        self.recalled: list[Foreign] = []
        self.halted = ""
        self.stopping = False
        self.ends_at: int | None = None  # an emergency shutdown waits no longer for its sales
        self.bus_was_down = False  # set while a slice is walked once more that had no bus: what it refused stays so
        self.refusals: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._bus = bus
        self._market = market
        self._model = model
        self._desk = desk
        self._tracker = tracker
        self._ledger = ledger
        self._sends = sends
        self._life = life
        self._max_age_ms = max_age_ms
        self._patience_ms = patience_ms
        self._memory = memory
        self._experience = experience
        self._slices = 0
        self._reached = -1
        self._numbers: Counter[str] = Counter()
        self._collisions: list[SynthesizedTrade] = []
        self._deployed: list[Pair] = []
        self._traces = Traces()
        desk.reviews = []
        bus.subscribe("synthesized-trade-log", self._on_collision, ENGINE)
        bus.subscribe("system-control", self._on_control, ENGINE)
        bus.subscribe("system-deployment", self._on_deployment, ENGINE)

    def on_slice(self, slice_: Slice) -> Report:
        """The ten steps of the life of a slice."""
        _refuse_the_future(slice_, self._model.interval_ms)
        self._reach(slice_.at)
        self._slices += 1
        self._numbers.clear()
        if self._memory is not None:
            self._memory.on_slice(slice_.at)
        decisions: list[Decision] = []
        commands = self._take_commands(slice_.at, decisions)
        settled = self._settle(slice_, decisions)
        snapshot = self._market.push(slice_)
        up = self._model.on_snapshot(snapshot, self._account()) and not self.bus_was_down
        if not up:
            decisions.append(Decision(slice_.at, "bus_down", source="bus"))
        ideas = self._collect(snapshot, decisions)
        intents = self._intents(decisions)
        orders = self._decide(intents, ideas, commands, snapshot, up, decisions)
        closed = self._tracker.on_slice(slice_, snapshot, ideas)
        trades = (*settled.trades, *closed)
        if self.ends_at is not None and (slice_.at >= self.ends_at or not self._desk.portfolio.positions):
            self.stopping = True
        written = tuple([records.decision_line(decision) for decision in decisions])
        self._journal(slice_.at, written, trades, settled, self._explain(snapshot))
        return self._report(slice_, snapshot, decisions, written, orders, settled, trades, up)

    # step 2
    def _reach(self, at: int) -> None:
        """Time rises strictly: a second slice of one instant would write over the records of the first."""
        if at <= self._reached:
            raise InvariantError(f"time ran backwards: a slice of {iso(at)} after that of {iso(self._reached)}")
        self._clock.reach(at)
        self._reached = at

    # step 3
    def _take_commands(self, at: int, decisions: list[Decision]) -> list[Command]:
        recalled, self.recalled = self.recalled, []
        for foreign in (*recalled, *self._bus.drain_foreign()):
            self._take_foreign(foreign, at, decisions)
        decisions.extend(lines.letter_line(at, letter) for letter in self._bus.drain_dead_letters())
        commands = self.inbox.drain()
        for command in commands:
            self._obey(command, at)
            decisions.append(lines.command_line(command, at))
        return commands

    def _take_foreign(self, foreign: Foreign, at: int, decisions: list[Decision]) -> None:
        """Journaled with the slice it enters in, so that the same day can be walked again."""
        message = foreign.message
        if isinstance(message, Control):
            self.inbox.put(Command(message.command, message.reason, message.source, group=message.group))
            return
        if foreign.channel.partition(":")[0] in OWN_CHANNELS:
            letter = DeadLetter(foreign.channel, f"not for {foreign.producer!r} to say", "")
            decisions.append(lines.letter_line(at, letter))
            return
        row = records.row(at, "foreign", f"{at}:{self._number('foreign')}", foreign)
        self._ledger.append([row], durable=False)
        detail: dict[str, Any] = {"channel": short(foreign.channel)}
        decisions.append(Decision(at, "foreign", source=short(foreign.producer), detail=detail))
        self._bus.deliver_foreign(foreign)

    def _obey(self, command: Command, at: int) -> None:
        number = self._number("command")
        self._ledger.append([records.row(at, "command", f"{at}:{number}", command)], durable=True).wait()
        if command.kind is CommandKind.HALT:
            self.halted = command.reason or "halted"
        elif command.kind is CommandKind.EMERGENCY_SHUTDOWN:
            self.halted = f"emergency shutdown: {command.reason or 'no reason given'}"
            self.ends_at = at + self._patience_ms
        elif command.kind is CommandKind.RESUME:
            if self.halted:
                self._desk.forget_peak()
            self.halted, self.ends_at = "", None
        elif command.kind is CommandKind.STOP:
            self.stopping = True
        self._bus.publish("system-control", lines.control(command, at))

    # step 4
    def _settle(self, slice_: Slice, decisions: list[Decision]) -> Settled:
        settled = self._desk.settle(slice_)
        if settled.fills:
            self._write_fills(slice_.at, settled.fills)
            decisions.extend(lines.fill_line(fill) for fill in settled.fills)
        for trade in settled.trades:
            self._tracker.account_trade(trade)
        if settled.trades and self._experience is not None:
            self._experience.on_trades(slice_.at, settled.trades)
        if self._life is not None:
            self._age(self._life.on_trades(slice_.at, settled.trades), decisions)
            self._age(self._life.on_bars(slice_), decisions)
        desk, at = self._desk, slice_.at
        silent = desk.fallen_silent(at, self._max_age_ms)
        decisions.extend(lines.stale_line(at, pair, desk.mark_of(pair), desk.marked_at[pair]) for pair in silent)
        return settled

    def _age(self, changes: Sequence[Transition], decisions: list[Decision]) -> None:
        """Assets came to another stage of their life; who hibernates or is delisted loses its team in this slice."""
        for change in changes:
            decisions.append(lines.stage_line(change))
            if change.after is Stage.DELISTED:
                self._desk.cancel_entries(change.pair)
            if change.after in (Stage.HIBERNATED, Stage.DELISTED):
                self._bus.publish("system-hibernation", lines.hibernation(change))

    def _write_fills(self, at: int, fills: Sequence[Fill]) -> None:
        rows = [records.row(at, "fill", fill.id, fill) for fill in fills]
        self._ledger.append([*rows, *_filled(fills), self._mark(at)], durable=True).wait()
        for fill in fills:
            self._bus.publish("trade-confirmations", lines.confirmation(fill))

    def _account(self) -> AccountView:
        desk = self._desk
        return AccountView(
            float(desk.equity), float(desk.peak_equity), float(desk.portfolio.cash), frozenset(desk.portfolio.positions)
        )

    # step 6
    def _on_collision(self, message: Message) -> None:
        if isinstance(message, SynthesizedTrade) and self._plausible(message):
            self._collisions.append(message)
        else:
            self._refuse(message, "implausible_intent")

    def _plausible(self, message: SynthesizedTrade) -> bool:
        """Whether it is of this run and this slice, and every time that follows from it can be written down."""
        leave_at = message.at + message.horizon * self._model.interval_ms
        known = message.pair in self._market.pairs and message.outcome in OUTCOMES
        return known and message.at == self._reached and message.at < leave_at <= LAST_MS

    def _on_control(self, message: Message) -> None:
        """A member of the swarm may ask for a halt; the rest comes from outside, but for what learners look after."""
        if not isinstance(message, Control) or message.source == ENGINE:
            return
        if message.command is CommandKind.HALT:
            self.inbox.put(Command(message.command, message.reason, message.source))
        elif message.command is not CommandKind.FORCE_SHARE:
            self._refuse(message, "not_entitled")

    def _on_deployment(self, message: Message) -> None:
        if isinstance(message, Deployment) and message.pair in self._market.pairs:
            self._deployed.append(message.pair)

    def _refuse(self, message: Message, reason: str) -> None:
        self._model.note(Decision(self._reached, "refusal", reason=reason, source=short(message.source)))

    def _collect(self, snapshot: Snapshot, decisions: list[Decision]) -> list[tuple[Stream, Idea]]:
        ideas, notes = self._model.outbox.drain()
        decisions.extend(lines.idea_line(stream, idea) for stream, idea in ideas)
        decisions.extend(notes)
        deployed, self._deployed = self._deployed, []
        for pair in deployed:
            if self._life is not None:
                self._age(self._life.on_deployment(snapshot.at, pair), decisions)
        for note in notes:
            if note.kind in ("refusal", "abstention"):
                self.refusals[note.reason or note.kind] += 1
        return ideas

    # step 7 and 8
    def _intents(self, decisions: list[Decision]) -> list[Intent]:
        met, self._collisions = self._collisions, []
        intents = []
        for message in met:
            decisions.append(lines.meeting_line(message))
            self.counts["collisions" if message.outcome == "collision" else "conflicts"] += 1
            if message.refused:
                self.refusals[message.refused] += 1
            elif message.outcome == "collision":
                intents.append(_intent(message))
        return intents

    def _decide(
        self,
        intents: list[Intent],
        ideas: Sequence[tuple[Stream, Idea]],
        commands: Sequence[Command],
        snapshot: Snapshot,
        up: bool,
        decisions: list[Decision],
    ) -> tuple[Order, ...]:
        plain_ideas = [idea for _, idea in ideas]
        verdicts = self._desk.decide(intents, plain_ideas, commands, snapshot, self.halted, up)
        approved = []
        for verdict in verdicts:
            if isinstance(verdict, Denied):
                self.refusals[verdict.reason] += 1
                decisions.append(lines.refusal_line(verdict))
            else:
                approved.append(verdict)
                decisions.append(lines.order_line(verdict.order))
        sent = self._send(snapshot.at, approved, decisions)
        if sent and self._experience is not None:
            self._experience.on_entries(Stream.SYNTHESIZED.value, sent, intents, snapshot)
        return tuple(verdict.order for verdict in approved)

    # step 9
    def _send(self, at: int, approved: Sequence[Approved], decisions: list[Decision]) -> list[Order]:
        """Written down first, then sent, then the outcome is written; the orders that arrived."""
        sent: list[Order] = []
        if not approved:
            return sent
        rows = [records.row(at, "order", verdict.order.id, verdict.order) for verdict in approved]
        self._ledger.append(rows, durable=True).wait()
        failed: list[Row] = []
        for verdict in approved:
            if not self._sends:
                continue
            try:
                self._desk.send(verdict)
                sent.append(verdict.order)
            except BrokerError as error:
                self.refusals["broker_refused"] += 1
                failed.append(records.state_row(verdict.order.id, verdict.order.pair, "rejected", at))
                decisions.append(lines.refusal_line(Denied(verdict.order, at, "broker_refused", str(error))))
        if failed:
            self._ledger.append(failed, durable=True).wait()
        return sent

    # step 10
    def _explain(self, snapshot: Snapshot) -> list[Row]:
        """The messages behind meetings, what the gate looked at, and what changed of why nobody spoke."""
        meetings, silences = self._model.outbox.drain_traces()
        reviews, life = self._desk.reviews or (), self._life
        pairs = [review.verdict.order.pair for review in reviews]
        multipliers = {pair: Decimal(1) if life is None else life.multiplier(pair) for pair in pairs}
        epoch = f"{self._bus.producer}:{self._bus.epoch}"
        return self._traces.rows(snapshot, meetings, silences, reviews, multipliers, epoch)

    def _journal(
        self,
        at: int,
        written: Sequence[bytes],
        trades: Sequence[Trade],
        settled: Settled,
        traces: Sequence[Row],
    ) -> None:
        rows = [records.row(at, "trade", trade.id, trade) for trade in trades]
        rows += [records.state_row(o.order_id, o.pair, o.state, o.at) for o in self._desk.broker.outcomes()]
        if self._memory is not None:
            rows += [records.memory_row(at, record) for record in self._memory.fresh()]
        rows += records.decision_rows(at, written)
        rows += traces
        if self._desk.portfolio.positions and not settled.fills:
            rows.append(self._mark(at))
        if rows:
            self._ledger.append(rows, durable=False)

    def _mark(self, at: int) -> Row:
        desk = self._desk
        fields = {
            "at": at,
            "cash": records.plain(desk.portfolio.cash),
            "equity": records.plain(desk.equity),
            "positions": {pair: records.plain(p.amount) for pair, p in desk.portfolio.positions.items()},
        }
        return records.row(at, "mark", str(at), fields)

    def _number(self, kind: str) -> int:
        self._numbers[kind] += 1
        return self._numbers[kind]

    def _report(
        self,
        slice_: Slice,
        snapshot: Snapshot,
        decisions: Sequence[Decision],
        written: tuple[bytes, ...],
        orders: tuple[Order, ...],
        settled: Settled,
        trades: tuple[Trade, ...],
        up: bool,
    ) -> Report:
        return Report(
            at=slice_.at,
            slices=self._slices,
            bars=0 if slice_.bars is None else int(slice_.bars.present.sum()),
            decisions=tuple(decisions),
            written=written,
            orders=orders,
            fills=settled.fills,
            trades=trades,
            equity=self._desk.equity,
            cash=self._desk.portfolio.cash,
            halted=self.halted,
            bus_up=up,
            stopping=self.stopping,
            simulated=slice_.simulated,
            snapshot=snapshot,
        )

    def state(self) -> dict[str, Any]:
        """Everything a restart needs."""
        return {
            "at": self._clock.now_ms(),
            "slices": self._slices,
            "halted": self.halted,
            "waiting": [msgspec.to_builtins(command) for command in self.inbox.waiting() if not command.id],
            "refusals": dict(self.refusals),
            "counts": dict(self.counts),
            "market": self._market.state(),
            "model": self._model.state(),
            "desk": self._desk.state(),
            "broker": self._desk.broker.state(),
            "tracker": self._tracker.state(),
            "life": {} if self._life is None else self._life.state(),
            "experience": {} if self._experience is None else self._experience.state(),
            "traces": self._traces.state(),
            "said": self._bus.said(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._clock.reach(state["at"])
        self._reached = state["at"]
        for command in state["waiting"]:
            self.inbox.put(msgspec.convert(command, Command))
        self._slices, self.halted = state["slices"], state["halted"]
        self.refusals, self.counts = Counter(state["refusals"]), Counter(state["counts"])
        self._market.restore(state["market"])
        self._model.restore(state["model"])
        self._desk.restore(state["desk"])
        self._desk.broker.restore(state["broker"])
        self._tracker.restore(state["tracker"])
        if self._life is not None:
            self._life.restore(state["life"])
        if self._experience is not None:
            self._experience.restore(state["experience"])
        self._traces.restore(state["traces"])
        self._bus.go_on(state["said"])


def _refuse_the_future(slice_: Slice, interval_ms: int) -> None:
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


def _intent(message: SynthesizedTrade) -> Intent:
    return Intent(message.pair, message.side, message.at, message.mycelial_score, message.edge, message.horizon)


def _filled(fills: Sequence[Fill]) -> list[Row]:
    return [records.state_row(fill.order_id, fill.pair, "filled", fill.at) for fill in fills if fill.final]
