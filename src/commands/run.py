"""`mycelial run`: the long-running process, from start or restart to a drained end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from ..agents.population import members, society
from ..backtesting import result as results
from ..backtesting.recorder import Recorder
from ..backtesting.series import Series
from ..connectors.config_files import Loaded
from ..connectors.control import ControlServer
from ..connectors.halt_file import HaltFile
from ..connectors.recorded_run import BUS_DOWN, foreign_of, withheld_of
from ..connectors.redaction import shown_url
from ..connectors.sqlite_ledger import LedgerReader, SqliteSink
from ..connectors.state_folder import StateFolder
from ..core import checkpoint, records
from ..core.clock import SimClock, Timer, iso
from ..core.config import Haven, Settings
from ..core.errors import LedgerError, MycelialError, UsageError
from ..core.history import SliceDigest
from ..core.ports import Receipt, Row
from ..core.standing import Level
from ..core.traces import census_row
from ..core.types import Command, CommandKind, Slice, Trade
from ..services.commands import command_handlers
from ..services.kill_switch import KillSwitch
from ..services.recovery import Recorded, catch_up
from ..services.runner import Observer, Pace, Runner
from ..services.writer import Writer
from ..wiring import Plan, build
from . import buses, common, live, memories
from .at_exchange import on_exchange
from .candles import Candles
from .feeds import Source, digested, open_source, speed_of
from .given import Inputs, given_row
from .heap import spared
from .monitoring import Monitor
from .options import ProcessOptions
from .outcome import conditions, new_run_id, result_of
from .progress import Progress
from .signals import Signals
from .status import Board

_MODES = ("paper", "advise", live.LIVE)
REPORTS = "runs"
"""The folder in a state folder that holds a report of each life of the process."""
REFUSED = "refused"
"""The kind of rows that say of a command, by its id, that whoever asked for it was answered with an error."""
_SAFER = (CommandKind.HALT, CommandKind.EMERGENCY_SHUTDOWN)
"""What may still take effect when it was answered with an error."""


class Remembered(msgspec.Struct, frozen=True):
    """What an earlier process left: state, how far the journal goes, commands, and those not carried out yet."""

    state: dict[str, Any] | None
    until: int
    trades: tuple[Trade, ...]
    recorded: Recorded
    pending: tuple[Command, ...]


def run(options: ProcessOptions) -> None:
    """Run until the feed ends, `mycelial stop`, Ctrl-C or SIGTERM; then print the result."""
    loaded = common.settings(options.config, options.env, options.sets)
    settings = loaded.settings
    mode = options.mode or settings.run.mode
    if mode not in _MODES:
        raise UsageError(f"--mode {mode!r}: write advise, paper or live")
    verdict = live.refuse(options.mode, settings, loaded.origin, common.RUNS) if mode == live.LIVE else None
    source = open_source(live.on_the_exchange(options, mode), settings)
    speed = None if source.exchange is not None else speed_of(options.speed or settings.run.speed)
    with ExitStack() as stack:
        folder = stack.enter_context(StateFolder.open(options.state or Path("state") / mode, mode))
        signals = stack.enter_context(Signals(HaltFile(folder.path)))
        result = _Session(options, loaded, source, folder, stack, signals, verdict).run(mode, speed)
    _print(result, options)


class _Session:
    """One life of the process: everything it opens is closed by `stack`, in reverse order."""

    def __init__(
        self,
        options: ProcessOptions,
        loaded: Loaded,
        source: Source,
        folder: StateFolder,
        stack: ExitStack,
        signals: Signals,
        verdict: Path | None = None,
    ) -> None:
        settings, self._loaded = loaded.settings, loaded
        self._signals = signals
        self._options = options
        self._settings = settings
        self._source = source
        self._folder = folder
        self._timer = Timer()
        identity = {
            "cash": records.plain(settings.account.start_quote),
            "feed": source.name,
            "interval_ms": source.interval_ms,
            "pairs": list(source.pairs),
            "seed": options.seed,
        }
        self._run_id = new_run_id()
        if folder.unclean:
            common.say("the process before was not stopped but ended: every page of its ledger is looked at")
        sink = SqliteSink(
            folder.ledger_path, settings.ledger, mode=folder.mode, ledger_id=self._run_id, thorough=folder.unclean
        )  # fmt: skip
        self._ledger = Writer(sink, settings.ledger, self._timer)
        stack.callback(self._ledger.close)
        given = given_row(options, settings, source.name, source.pairs, source.interval_ms, folder.mode)
        self._remembered = _remember(folder.ledger_path, settings, identity, given)
        self._ledger.append([records.row(0, "start", "0", identity), given], durable=True).wait()
        clock = SimClock()
        bus = buses.open_bus(options.bus, clock, settings.bus)
        stack.callback(bus.close)
        self._bus_shown = shown_url(bus.url)
        simulation = source.name == "simulated"
        plan = Plan(source.pairs, source.interval_ms, options.seed, simulation=simulation, mode=folder.mode)
        self._exchange = on_exchange(
            settings, source, folder, self._ledger, options.seed, verdict, stack, bus.url
        )  # fmt: skip
        way = None if self._exchange is None else self._exchange.path
        self._house = build(settings, plan, clock, bus.bus, self._ledger, timer=self._timer, way=way)
        if self._exchange is not None:
            self._exchange.built(self._house)
        self._stack = stack
        stack.callback(self._house.memory.close)
        watched = (settings, self._house, self._ledger, folder, source, self._run_id, bus.url)
        self._monitor = Monitor(*watched, stack)
        if source.exchange is not None:
            source.exchange.note = self._monitor.announcer.note

    def run(self, mode: str, speed: float | None) -> dict[str, Any]:
        """Recover, open the socket, walk, save; the result. How it ended is told to whoever watches."""
        try:
            result = self._live(mode, speed)
        except BaseException as error:
            self._monitor.ended(error)
            raise
        self._monitor.ended(None)
        return result

    def _live(self, mode: str, speed: float | None) -> dict[str, Any]:
        house, timer = self._house, self._timer
        self._greet(mode, speed)
        slices = self._recover()
        recorder = Recorder()
        series = Series(self._settings.statistics.kept_intervals)
        switch = self._arm()
        board = Board(house, self._ledger, series, mode, self._source, self._bus_shown, timer)
        board.switch = switch
        candles = Candles()
        pace = Pace(speed, timer, self._source.history_ends)
        progress = self._stack.enter_context(
            Progress(house.engine, timer, None, self._source.feed.simulated, self._options.json)
        )
        progress.paced_from = self._source.history_ends
        seen = (recorder.take, series.take, candles.take, board, Inputs(self._ledger), progress, switch.observe)
        observers: list[Observer] = [*seen, *self._monitor.observers]
        stop = None if self._exchange is None else self._exchange.join(observers, board)
        every = self._settings.ledger.checkpoint_seconds
        runner = Runner(house.engine, self._ledger, timer, pace, observers, every, stop)
        if self._exchange is not None:
            self._exchange.runner = runner
        self._open_socket(runner, board, switch, candles)
        self._monitor.follow(runner, switch, speed, self._remembered.trades)
        digest = SliceDigest(self._source.pairs, self._source.interval_ms)
        started = timer.seconds()
        self._signals.drains(runner)
        with spared():
            runner.run(digested(slices, digest))
        who = census_row(house.clock.now_ms(), self._run_id, members(house.world), society(house.world))
        self._ledger.append([who], durable=True).wait()
        result = result_of(house, recorder, self._run_id, mode, timer.seconds() - started, digest.hexdigest(), series)
        self._report(recorder, result)
        return result

    def _report(self, recorder: Recorder, result: dict[str, Any]) -> None:
        """Leave what `report` shows of this life; the decisions stand in the ledger."""
        out = self._folder.path / REPORTS / self._run_id
        trades = self._house.tracker.trades
        recorder.save(results.to_json(result), trades, conditions(self._loaded), out)
        common.say(f"`mycelial report {out}` shows it")

    def _recover(self) -> Iterable[Slice]:
        """Take up where an earlier process ended; the slices that are left."""
        remembered, engine = self._remembered, self._house.engine
        at = 0 if remembered.state is None else int(remembered.state["at"])
        start = None if remembered.state is None else at
        memories.recall(self._house, self._folder, start, self._timer)
        if remembered.state is not None:
            engine.restore(remembered.state)
            self._house.tracker.recall(trade for trade in remembered.trades if trade.exit_at <= at)
        slices: Iterator[Slice]
        if self._exchange is not None:
            slices = self._exchange.recover(start, remembered.recorded)
        elif remembered.until > (start or 0):
            slices = iter(self._source.after(start))
            count, taken = catch_up(engine, slices, remembered.until, remembered.recorded)
            common.say(f"caught up over {count} slices, to {iso(remembered.until)}")
            slices = slices if taken is None else chain((taken,), slices)
        else:
            slices = iter(self._source.after(start))
            if start is not None:
                common.say(f"goes on after {iso(start)}")
        for wish in self._left():
            common.say(f"asked for before it ended, and done now: {wish.kind.value} ({wish.reason})")
            engine.inbox.put(wish)
        if engine.halted:
            common.say(f"halted: {engine.halted}; `mycelial resume REASON` lifts it")
        return slices

    def _left(self) -> list[Command]:
        """What is left of wishes that an earlier life had not come to."""
        return [wish for command in self._remembered.pending for wish in _left_of(command, self._settings.haven)]

    def _arm(self) -> KillSwitch:
        """From here on nothing is sent without asking the kill switch."""
        engine = self._house.engine
        inbox, flag = engine.inbox, HaltFile(self._folder.path)
        switch = KillSwitch(engine.standing, flag, inbox.put, common.say, inbox.waiting)
        for wish in self._left():
            switch.foresee(wish, handed=True)
        self._signals.halts(switch)
        engine.outbound.guard = switch if self._exchange is None else self._exchange.arm(switch)
        switch.start(self._timer, self._settings.limits.switch_poll_seconds)
        self._stack.callback(switch.close)
        return switch

    def _open_socket(self, runner: Runner, board: Board, switch: KillSwitch, candles: Candles) -> None:
        def record(command: Command) -> None:
            switch.foresee(command)
            kept = command.level == Level.HALTED and switch.without_ledger(command)  # it outlasts the ledger as well
            try:
                self._write_down(command, kept)
            except LedgerError:
                ends = command.kind is CommandKind.STOP  # nothing of it is left for later, and no ledger is needed
                if not (ends or kept or switch.without_ledger(command)):
                    raise

        def put(command: Command) -> None:
            if command.kind is CommandKind.RESUME:
                try:
                    switch.clear(command.pair)
                except UsageError as error:
                    with suppress(LedgerError):  # it is queued then, and what he is told is why nothing was lifted
                        self._refuse(command, error).wait()
                    raise
            switch.hand_over(command)
            if command.kind is CommandKind.STOP:
                runner.stop.set()
            elif command.kind is CommandKind.EMERGENCY_SHUTDOWN and self._exchange is None:
                runner.hasten()  # at an exchange slices come when something is asked, and time cannot be hastened

        handlers = command_handlers(put, record, board.status, self._source.pairs, lambda: uuid4().hex)
        told = {"census": board.population, "candles": candles.told, "reconciled": board.reconciled}
        server = ControlServer(self._folder.socket_path, {**handlers, **told})
        self._stack.callback(server.close)

    def _write_down(self, command: Command, kept: bool) -> None:
        """Durable when this returns; what is not, and would not make things safer, is never done later either.

        What is `kept` elsewhere as well is waited for half as long, so that whoever asked hears of it in time.
        """
        seconds = self._settings.ledger.durable_timeout_seconds / (2 if kept else 1)
        row = records.row(self._house.clock.now_ms(), "asked", command.id, command)
        receipt = self._ledger.append([row], durable=True)
        try:
            receipt.wait(seconds)
        except LedgerError as error:
            if command.kind in _SAFER:
                raise
            if not self._ledger.withdraw(receipt):
                self._refuse(command, error)
            cause = self._ledger.failure or "the disk is slow"
            raise LedgerError(f"{command.kind.value}: it cannot be written down, so it is not done: {cause}") from error

    def _refuse(self, command: Command, error: MycelialError) -> Receipt:
        """Write down, behind what was asked, that it was answered with an error: no later life does it."""
        body = {"id": command.id, "kind": command.kind.value, "reason": str(error)}
        return self._ledger.append([records.row(self._house.clock.now_ms(), REFUSED, command.id, body)], durable=True)

    def _greet(self, mode: str, speed: float | None) -> None:
        market = "SIMULATED market: every price is made up" if self._source.feed.simulated else "recorded days"
        pace = "as fast as it can" if speed is None else f"{speed:g}x"
        if self._exchange is not None:
            market, pace = f"the market at {self._source.name}", "as it happens"
        mode = "ADVICE ONLY: nothing is sent" if mode == "advise" else mode
        common.say(f"mycelial {mode} | {market} | {len(self._source.pairs)} pairs, {self._source.timeframe} | {pace}")
        common.say_experiment(self._settings)
        common.say(
            f"state {self._folder.path} | bus {self._bus_shown or 'inside the process'} | Ctrl-C drains and stops"
        )


def _remember(path: Path, settings: Settings, identity: dict[str, Any], given: Row) -> Remembered:
    """What the ledger says of earlier processes; UsageError for another run, LedgerError where it was changed."""
    reader = LedgerReader(path, settings.ledger)
    for row in reader.rows("start"):
        _refuse_other_run(path, msgspec.json.decode(row.body), identity)
    _refuse_changed(reader, given)
    saved = reader.checkpoint()
    since = None if saved is None else saved[0]
    tail = reader.tail(settings.ledger.group_rows)
    commands = tuple((row.at, msgspec.json.decode(row.body, type=Command)) for row in reader.rows("command"))
    done = {command.id for _, command in commands}
    done |= {msgspec.json.decode(row.body)["id"] for row in reader.rows(REFUSED)}
    asked = (msgspec.json.decode(row.body, type=Command) for row in reader.rows("asked"))
    return Remembered(
        state=None if saved is None else checkpoint.load(saved[1]),
        until=max((row.at for row in tail), default=0),
        trades=tuple(msgspec.json.decode(row.body, type=Trade) for row in reader.rows("trade")),
        recorded=Recorded(
            commands,
            tuple((row.at, foreign_of(row.body)) for row in reader.rows("foreign")),
            frozenset(row.at for row in reader.rows("decisions", since) if BUS_DOWN in row.body),
            withheld_of(reader.rows("order", since), reader.rows("decisions", since)),
        ),
        pending=tuple(c for c in asked if c.id not in done and c.kind is not CommandKind.STOP),
    )


def _left_of(command: Command, haven: Haven) -> tuple[Command, ...]:
    """What is left of an unanswered wish: an emergency shutdown is over, but its halt and its sales are not."""
    if command.kind is not CommandKind.EMERGENCY_SHUTDOWN:
        return (command,)
    halt = msgspec.structs.replace(command, kind=CommandKind.HALT, reason=f"emergency shutdown: {command.reason}")
    return (halt, msgspec.structs.replace(command, kind=CommandKind.FLATTEN)) if haven.emergency_flatten else (halt,)


def _refuse_other_run(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    differing = [name for name in sorted(now) if before.get(name) != now[name]]
    if differing:
        told = "; ".join(f"{name} was {before.get(name)!r}, is {now[name]!r}" for name in differing)
        raise UsageError(f"{path}: belongs to another run ({told}); use another --state, or the same arguments")


def _refuse_changed(reader: LedgerReader, given: Row) -> None:
    """Before anything is written: a row that stands for the same cannot say something else."""
    row = reader.row(given.key)
    if row is not None and row.body != given.body:
        raise LedgerError(f"{reader.path}: row {row.seq} was changed after it was written; ask `mycelial verify`")


def _print(result: dict[str, Any], options: ProcessOptions) -> None:
    if options.json:
        common.out_json(result)
    else:
        common.out(str(result["verdict"]))
        common.out(results.to_json(result).decode().rstrip())
