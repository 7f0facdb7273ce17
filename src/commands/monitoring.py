"""Opens everything that watches a run and gives it back again: metrics, log, messages to people, the sign of life."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path

import msgspec

from .. import __version__
from ..connectors.config_files import secret_values
from ..connectors.discord import Discord, Notice, Severity, webhook_path
from ..connectors.heartbeat import FILE, Heartbeat, ping_address
from ..connectors.kraken.key_file import read_key
from ..connectors.logs import Logs
from ..connectors.metrics_http import MetricsServer, Series
from ..connectors.private_file import Secret, read_private
from ..connectors.redaction import Redaction, secrets_of, url_secrets
from ..connectors.sqlite_ledger import LedgerReader
from ..connectors.state_folder import StateFolder
from ..connectors.system_figures import SystemFigures
from ..core.clock import Timer
from ..core.config import Settings
from ..core.errors import ConfigError, MycelialError
from ..core.timeframes import DAY_MS
from ..core.types import Trade
from ..services.kill_switch import KillSwitch
from ..services.runner import Observer, Runner
from ..services.writer import Writer
from ..wiring import House
from . import common
from .announcing import Announcer
from .feeds import Source
from .measures import NONE, Measures

_SHOWN = 400
"""Characters of an error in a message to people."""
_OUTCOMES = ("sent", "repeated", "dropped", "failed")


class Monitor:
    """Watches one run. What cannot be opened ends the run before it begins; what fails later never does."""

    def __init__(
        self, settings: Settings, house: House, ledger: Writer, folder: StateFolder, source: Source, run_id: str,
        bus_url: str, stack: ExitStack,
    ) -> None:  # fmt: skip
        self._settings, self._timer = settings.monitoring, Timer()
        self._source, self._redaction = source, redaction_of(settings)
        self._house, self._start = house, settings.account.start_quote
        self._ledger = LedgerReader(folder.ledger_path, settings.ledger)
        self._redaction.learn(url_secrets(bus_url))
        self._discord = discord_of(settings, self._redaction, self._timer)
        app = {
            "version": __version__, "mode": folder.mode, "feed": source.name, "timeframe": source.timeframe,
            "run": run_id, "simulated": str(source.feed.simulated).lower(),
        }  # fmt: skip
        self.measures = Measures(house, ledger, self._settings.metrics, app, self._timer)
        self.logs = Logs(self._settings.logs, folder.path, run_id, self._redaction)
        stack.callback(self.logs.close)
        stack.callback(self._close_discord)
        self._following = False
        self._title = title = f"[{folder.mode.upper()}{' SIMULATED' if source.feed.simulated else ''}]"
        self.announcer = Announcer(
            house, ledger, self.logs.logger, self._tell, title, source.history_ends, self.measures.alarm
        )
        self._heartbeat = self._open_heartbeat(folder.path)
        self.metrics = self._open_metrics(bus_url, folder.ledger_path, stack)
        for part in (self._heartbeat, self.metrics):
            if part is not None:
                stack.callback(part.close)

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Who hears the Reports."""
        return (self.measures, self.announcer)

    def follow(self, runner: Runner, switch: KillSwitch, speed: float | None, trades: Sequence[Trade]) -> None:
        """Begin: the run is about to walk, at this speed; `trades` are those of earlier lives."""
        around = self.measures.around
        around.health, around.thrown = self._source.health, switch.thrown
        around.took_s = lambda: runner.took_seconds
        around.interval_s = interval_s(self._source, speed)
        around.beside = self._beside
        self.measures.recall(trades)
        self._following = True
        self._recall_day(trades)
        for part in (self._discord, self._heartbeat, self.metrics):
            if part is not None:
                part.start()
        if self.metrics is not None:
            common.say(f"metrics on http://127.0.0.1:{self.metrics.port}/metrics")
        self.logs.logger.info("started", pid=os.getpid(), feed=self._source.name, pairs=list(self._source.pairs))

    def ended(self, error: BaseException | None) -> None:
        """The run is over: well (None, or Ctrl-C), or by an error, which is told to people as well."""
        if error is None or isinstance(error, KeyboardInterrupt):
            self.logs.logger.info("ended")
            return
        kind, known = type(error).__name__, isinstance(error, MycelialError)
        self.logs.logger.critical(
            "ended by an error", error=kind, reason=str(error), exc_info=None if known else error
        )  # fmt: skip
        if self._discord is not None and not self._following:
            self._discord.start()
        text = f"{self._title} ENDED by an error: {kind}: {error}"
        self._tell(Notice("faults", Severity.CRITICAL, text[:_SHOWN], "ended"))

    def _recall_day(self, trades: Sequence[Trade]) -> None:
        """The day in which an earlier life ended goes on with the equity it began with: the last one written before."""
        at = self._house.clock.now_ms()
        if at > 0:
            row = self._ledger.newest("mark", at - at % DAY_MS)
            begun = self._start if row is None else Decimal(msgspec.json.decode(row.body)["equity"])
            self.announcer.recall(at, begun, trades)

    def _tell(self, notice: Notice) -> None:
        if self._discord is not None:
            self._discord.tell(notice)

    def _close_discord(self) -> None:
        """What could not be told any more is a line of the log, which is closed after it."""
        if self._discord is not None:
            self._discord.close()
            if self._discord.left:
                self.logs.logger.warning("messages to people were not sent before the end", count=self._discord.left)

    def _open_heartbeat(self, folder: Path) -> Heartbeat:
        settings = self._settings.heartbeat
        url = None if settings.url_file is None else _address("monitoring.heartbeat.url_file", settings.url_file)
        if url is not None:
            self._redaction.learn((ping_address(url).text,))
        return Heartbeat(folder / FILE, url, settings, self.measures.silent, self._timer)

    def _open_metrics(self, bus_url: str, ledger: Path, stack: ExitStack) -> MetricsServer | None:
        settings = self._settings.metrics
        if settings.port is None:
            return None
        system = SystemFigures(bus_url, ledger, settings.server_seconds, self._timer)
        stack.callback(system.close)
        self.measures.around.system = system.read
        return MetricsServer(settings.port, self.measures.figures, self.measures.silent)

    def _beside(self) -> dict[str, Series]:
        """Figures of those who watch."""
        found: dict[str, Series] = {"log_lines_dropped_total": {NONE: float(self.logs.dropped)}}
        if self._heartbeat.beat_ms is not None:
            found["heartbeat_timestamp_seconds"] = {NONE: self._heartbeat.beat_ms / 1000}
        if self._discord is not None:
            counts = self._discord.counts
            found["discord_failed"] = {NONE: float(bool(self._discord.failure))}
            found["discord_messages_total"] = {(outcome,): float(counts[outcome]) for outcome in _OUTCOMES}
        return found


def interval_s(source: Source, speed: float | None) -> float:
    """Seconds of this machine between two slices: an exchange has its own pace, and without a speed there is none."""
    if speed is None and source.exchange is None:
        return 0.0
    return source.interval_ms / 1000 / (speed or 1.0)


def redaction_of(settings: Settings) -> Redaction:
    """Knows every secret of the settings, of the environment and of the key file."""
    redaction = Redaction(secrets_of(os.environ))
    redaction.learn(secret_values(settings))
    if settings.kraken.key_file is not None:
        try:
            key = read_key(Path(settings.kraken.key_file))
        except ConfigError:  # whoever needs the key says what is wrong with its file; here nothing is learnt from it
            return redaction
        redaction.learn((key.key, key.secret))
    return redaction


def discord_of(settings: Settings, redaction: Redaction, timer: Timer) -> Discord | None:
    """The webhook of the settings, not started yet; None where there is none."""
    wanted = settings.monitoring.discord
    if wanted.webhook_file is None:
        return None
    address = _address("monitoring.discord.webhook_file", wanted.webhook_file)
    path = webhook_path(address)
    redaction.learn((address.text, path.text, path.text.rpartition("/")[2]))
    return Discord(path, wanted, redaction.clean, timer)


def _address(setting: str, file: str) -> Secret:
    return read_private(setting, Path(file).expanduser())
