"""The spine: how one slice of market data walks through the house. One `on_slice` for every mode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from . import lines, records
from .clock import iso
from .desk import Desk, Settled
from .errors import InvariantError
from .intake import LAST_MS, may_say, plausible, refuse_the_future
from .journal import Journal
from .lines import ENGINE
from .mailbox import Mailbox
from .market import Market
from .messages import Control, Deployment, Message, SynthesizedTrade
from .model import MycelialModel, short
from .outbound import Outbound
from .portfolio import ZERO
from .ports import Bus, Clock, Counsel, DeadLetter, Experience, Foreign, Ledger, Life, Memory, OrderPath, Tracker
from .report import Report
from .standing import Level, Standing
from .types import (
    AccountView,
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

__all__ = ["Engine", "Mailbox", "Report"]

_OF_ONE_PAIR = (CommandKind.HALT, CommandKind.RESUME)
"""Commands of which the swarm hears only where they are for everything."""


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
        counsel: Counsel | None = None,
        standing: Standing | None = None,
    ) -> None:
        self.inbox = Mailbox()
        self.recalled: list[Foreign] = []
        self.standing = standing or Standing()
        self.outbound = Outbound(desk, ledger, sends)
        self.path: OrderPath | None = None
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
        self._life = life
        self._max_age_ms = max_age_ms
        self._patience_ms = patience_ms
        self._memory = memory
        self._experience = experience
        self._counsel = counsel
        self._slices = 0
        self._reached = -1
        self._numbers: Counter[str] = Counter()
        self._collisions: list[SynthesizedTrade] = []
        self._deployed: list[Pair] = []
        self._journal = Journal(bus, model, desk, life, memory)
        self._seen_equity = self._seen_peak = ZERO  # of which `_view` is
        self._view = AccountView(0.0, 0.0, 0.0, frozenset())
        desk.reviews = []
        bus.subscribe("synthesized-trade-log", self._on_collision, ENGINE)
        bus.subscribe("system-control", self._on_control, ENGINE)
        bus.subscribe("system-deployment", self._on_deployment, ENGINE)

    @property
    def halted(self) -> str:
        """Why nothing may be bought; empty where something may."""
        return self.standing.reason

    def on_slice(self, slice_: Slice) -> Report:
        """The ten steps of the life of a slice."""
        at = slice_.at
        refuse_the_future(slice_, self._model.interval_ms)
        self._reach(at)
        self._slices += 1
        if self._numbers:
            self._numbers.clear()
        if self._memory is not None:
            self._memory.on_slice(at)
        decisions: list[Decision] = []
        commands = self._take_commands(at, decisions)
        settled = self._settle(slice_, decisions)
        snapshot = self._market.push(slice_)
        up = self._model.on_snapshot(snapshot, self._account()) and not self.bus_was_down
        if not up:
            decisions.append(Decision(at, "bus_down", source="bus"))
        ideas = self._collect(snapshot, decisions)
        intents = self._intents(decisions)
        orders = self._decide(intents, ideas, commands, snapshot, up, decisions)
        closed = self._tracker.on_slice(slice_, snapshot, ideas)
        trades = (*settled.trades, *closed) if closed else settled.trades
        if self.ends_at is not None and (at >= self.ends_at or not self._desk.portfolio.positions):
            self.stopping = True
        if self.path is not None:
            self._notice(self.path.notices(at), decisions)
        written = records.decision_lines(decisions) if decisions else ()
        rows = self._journal.of_slice(snapshot, written, trades, bool(settled.fills))  # step 10
        if self._counsel is not None:
            rows.extend(self._counsel.rows())
        if rows:
            self._ledger.append(rows, durable=False)
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
        if self.recalled:
            recalled, self.recalled = self.recalled, []
            for foreign in recalled:
                self._take_foreign(foreign, at, decisions)
        for foreign in self._bus.drain_foreign():
            self._take_foreign(foreign, at, decisions)
        letters = self._bus.drain_dead_letters()
        if letters:
            decisions += [lines.letter_line(at, letter) for letter in letters]
        commands = self.inbox.drain()
        if not commands:
            return commands
        barred: list[Command] = []
        for command in commands:
            if self.standing.bars(command):
                barred.append(command)
            self._obey(command, at)
            decisions.append(lines.command_line(command, at))
        lifted = [command for command in barred if not self.standing.bars(command)]
        for command in lifted:  # the others are denied as every entry is that is wanted while halted
            decisions.append(lines.barred_line(command, at))
            self.refusals["halted"] += 1
        return [command for command in commands if command not in lifted] if lifted else commands

    def _take_foreign(self, foreign: Foreign, at: int, decisions: list[Decision]) -> None:
        """Journaled with the slice it enters in, so that the same day can be walked again."""
        message = foreign.message
        if isinstance(message, Control):
            self.inbox.put(Command(message.command, message.reason, message.source, group=message.group))
            return
        if not may_say(foreign.channel):
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
            level = Level(command.level or Level.REDUCE_ONLY)
            self.standing.throw(level, command.reason or "halted", command.source, command.pair)
        elif command.kind is CommandKind.EMERGENCY_SHUTDOWN:
            reason = f"emergency shutdown: {command.reason or 'no reason given'}"
            self.standing.throw(Level.REDUCE_ONLY, reason, command.source)
            self.ends_at = at + self._patience_ms
        elif command.kind is CommandKind.RESUME:
            self._resume(command.pair, command.reason)
        elif command.kind is CommandKind.STOP:
            self.stopping = True
        elif command.kind is CommandKind.RECONCILE and self.path is not None:
            self.path.reconcile(command.id)
        if command.pair is None or command.kind not in _OF_ONE_PAIR:
            self._bus.publish("system-control", lines.control(command, at))

    def _resume(self, pair: Pair | None, reason: str) -> None:
        """A person lifts the state of a pair, or of everything, and with it what was counted against the account."""
        if pair is None:
            if self.halted:
                self._desk.forget_peak()
            self.ends_at = None
            self._desk.forgive()
        self.standing.clear(pair)
        if self.path is not None:
            self.path.clear(pair, reason)

    # step 4
    def _settle(self, slice_: Slice, decisions: list[Decision]) -> Settled:
        desk, at = self._desk, slice_.at
        settled = desk.settle(slice_)
        if settled.fills:
            self._write_fills(at, settled.fills)
            decisions.extend(lines.fill_line(fill) for fill in settled.fills)
        if settled.trades:
            for trade in settled.trades:
                self._tracker.account_trade(trade)
            if self._experience is not None:
                self._experience.on_trades(at, settled.trades)
        if self._life is not None:
            changes = [*self._life.on_trades(at, settled.trades), *self._life.on_bars(slice_)]
            if changes:
                self._age(changes, decisions)
        silent = desk.fallen_silent(at, self._max_age_ms)
        if silent:
            decisions += [lines.stale_line(at, pair, desk.mark_of(pair), desk.marked_at[pair]) for pair in silent]
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
        self._ledger.append(self._journal.of_fills(at, fills), durable=True).wait()
        for fill in fills:
            self._bus.publish("trade-confirmations", lines.confirmation(fill, at))

    def _account(self) -> AccountView:
        desk = self._desk
        equity, peak, cash, held = desk.equity, desk.peak_equity, desk.portfolio.cash, desk.portfolio.positions
        if equity is self._seen_equity and peak is self._seen_peak and self._view.held == held.keys():
            return self._view  # of most slices in which nothing is held
        self._seen_equity, self._seen_peak = equity, peak
        self._view = AccountView(float(equity), float(peak), float(cash), frozenset(held))
        return self._view

    # step 6
    def _on_collision(self, message: Message) -> None:
        interval_ms, pairs = self._model.interval_ms, self._market.pairs
        if isinstance(message, SynthesizedTrade) and plausible(message, self._reached, interval_ms, pairs):
            self._collisions.append(message)
        else:
            self._refuse(message, "implausible_intent")

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
        if ideas:
            decisions += [lines.idea_line(stream, idea) for stream, idea in ideas]
        decisions += notes
        if self._deployed:
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
        intents: list[Intent] = []
        if not self._collisions:
            return intents
        met, self._collisions = self._collisions, []
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
        desk, plain_ideas = self._desk, [idea for _, idea in ideas]
        desk.follow(snapshot)
        for pair in self.standing.pairs:
            desk.cancel_entries(pair)
        if not commands and desk.rests(intents, plain_ideas, snapshot.at) and desk.covered():
            return ()
        verdicts = desk.decide(intents, plain_ideas, commands, snapshot, self.halted, up)
        approved = []
        for verdict in verdicts:
            if isinstance(verdict, Denied):
                self.refusals[verdict.reason] += 1
                decisions.append(lines.refusal_line(verdict))
            else:
                approved.append(verdict)
                decisions.append(lines.order_line(verdict.order))
        sent = self.outbound.send(snapshot.at, approved, decisions, self.refusals)  # step 9
        if sent and self._experience is not None:
            self._experience.on_entries(Stream.SYNTHESIZED.value, sent, intents, snapshot)
        return tuple(verdict.order for verdict in approved)

    def _notice(self, notices: Sequence[Decision], decisions: list[Decision]) -> None:
        """What the order path has to say of the slice."""
        decisions += notices
        for line in notices:
            if line.kind == "refusal":
                self.refusals[line.reason or line.kind] += 1

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
            slice_.at,
            self._slices,
            0 if slice_.bars is None else slice_.bars.count(),
            tuple(decisions),
            written,
            orders,
            settled.fills,
            trades,
            self._desk.equity,
            self._desk.portfolio.cash,
            self.halted,
            up,
            self.stopping,
            slice_.simulated,
            snapshot,
        )

    def state(self) -> dict[str, Any]:
        """Everything a restart needs."""
        return {
            "at": self._clock.now_ms(),
            "slices": self._slices,
            "standing": self.standing.state(),
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
            "counsel": {} if self._counsel is None else self._counsel.state(),
            "traces": self._journal.state(),
            "said": self._bus.said(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self._clock.reach(state["at"])
        self._reached = state["at"]
        for command in state["waiting"]:
            self.inbox.put(msgspec.convert(command, Command))
        self._slices = state["slices"]
        self.standing.restore(state.get("standing"))
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
        if self._counsel is not None:
            self._counsel.restore(state["counsel"])
        self._journal.restore(state["traces"])
        self._bus.go_on(state["said"])


def _intent(message: SynthesizedTrade) -> Intent:
    return Intent(message.pair, message.side, message.at, message.mycelial_score, message.edge, message.horizon)
