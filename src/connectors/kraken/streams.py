"""Keeps one WebSocket connection of the exchange alive, on a thread of its own, whatever the kit or the venue does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from threading import Thread
from typing import Protocol

import msgspec

from ...core.clock import Timer
from ...core.config_streams import StreamConnections
from ...core.errors import Unavailable
from ...core.randomness import generator_for
from .attempts import Attempts, ConnectionBudget
from .connection import Client, Token
from .parse import Reader
from .said import AnswerSaid, Said
from .subscriptions import Subscriptions

Pause = Callable[[asyncio.Event, float], Awaitable[bool]]


class Listener(Protocol):
    """Who is told what a connection says; on the stream's thread, except that `job`'s answer runs on another."""

    def opened(self) -> None:
        """A new connection stands; nothing was subscribed on it yet."""
        ...

    def cut(self) -> None:
        """It is gone."""
        ...

    def take(self, said: Said) -> None:
        """One thing that was said."""
        ...

    def job(self) -> Callable[[], None] | None:
        """Something that may take its time, to be done beside the stream; None for nothing. One at a time."""
        ...


async def pause(event: asyncio.Event, seconds: float) -> bool:
    """Wait until `event` is set or so many seconds have passed; True when it was set."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True


class Ports(msgspec.Struct, frozen=True):
    """What a stream needs from outside. `alert` gets one line for people; it must not block.

    From `seed` and the stream's name comes its jitter; `between` waits between two attempts, so that a test can let
    hours pass at once.
    """

    timer: Timer
    budget: ConnectionBudget
    seed: int
    alert: Callable[[str], None]
    between: Pause = pause


class Stream:
    """One connection and its successors. `start`, `close`, `troubles` and the counters are for any thread.

    A message is read, handed to the listener, and done with: nothing that goes wrong there ends the connection, it is
    counted in `faults`. The connection counts as dead when it says nothing at all for `silence_seconds`.
    """

    def __init__(
        self,
        name: str,
        url: str,
        settings: StreamConnections,
        listener: Listener,
        wanted: Subscriptions,
        ports: Ports,
        token: Token | None = None,
    ) -> None:
        self.name = name
        self.reader = Reader()
        self.connections = self.losses = self.faults = 0
        self.last_error = "not started"
        self._url, self._settings, self._token = url, settings, token
        self._listener, self._wanted, self._ports = listener, wanted, ports
        self._attempts = Attempts(settings, generator_for(ports.seed, f"kraken:{name}"))
        self._heard_s = 0.0
        self._told_s: dict[str, float] = {}
        self._up = False
        self._doomed = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop, self._wake = asyncio.Event(), asyncio.Event()
        self._closing = False
        self._job: asyncio.Task[None] | None = None
        self._thread = Thread(target=self._serve, name=f"kraken-{name}", daemon=True)

    def start(self) -> None:
        """Begin to connect, where that was not done yet; returns at once."""
        if self._thread.ident is None:
            self._thread.start()

    def close(self) -> None:
        """Leave, and give back the thread; waits as long as connecting and leaving may take together."""
        self._closing = True
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._end)
        if self._thread.is_alive():
            self._thread.join(2 * (self._settings.connect_seconds + self._settings.close_seconds))

    def troubles(self) -> Sequence[str]:
        """Why what this stream says must not be relied on now; empty when it may."""
        if not self._up:
            return (f"{self.name} stream: not connected: {self.last_error}",)
        silent_s = self._ports.timer.seconds() - self._heard_s
        if silent_s > self._settings.silence_seconds:
            return (f"{self.name} stream: silent for {silent_s:.1f} s",)
        return [f"{self.name} stream: not subscribed: {what}" for what in self._wanted.missing()]

    @property
    def up(self) -> bool:
        """Whether a connection stands."""
        return self._up

    # --- the stream's thread -------------------------------------------------------------------------------------

    def _serve(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.set_exception_handler(lambda _, what: self._fault(what.get("exception")))
            runner.run(self._live())

    async def _live(self) -> None:
        while not self._closing:
            if self._ports.budget.spend(self._ports.timer.seconds()):
                await self._attempt()
            if not self._closing:
                await self._rest()

    async def _rest(self) -> None:
        now_s = self._ports.timer.seconds()
        away_s = self._attempts.alarm(now_s)
        if away_s is not None:
            self._ports.alert(f"kraken {self.name} stream: away for {away_s:.0f} s: {self.last_error}; trying on")
        wait_s = max(self._attempts.pause_s(), self._ports.budget.wait_s(now_s))
        if wait_s > 0.0:
            await self._ports.between(self._stop, wait_s)

    async def _attempt(self) -> None:
        """One connection from beginning to end. Nothing ends the attempts but `close`."""
        client = Client(self._url, self._hear, self._wake.set, self._settings.received_messages, self._token)
        try:
            await client.open(self._settings.connect_seconds)
            await self._session(client)
        except Exception as error:  # noqa: BLE001 - whatever the kit raises: the next attempt is the answer to it
            self.last_error = _line(error)
        finally:
            await self._leave(client)

    async def _leave(self, client: Client) -> None:
        if self._up:
            self._up = False
            self.losses += 1
            self._listener.cut()
        self._attempts.went_down(self._ports.timer.seconds())
        self._job = None
        try:
            await client.leave(self._settings.close_seconds)
        except Exception as error:  # noqa: BLE001 - the kit's remains must not keep us from a new connection
            self.last_error = _line(error)

    async def _session(self, client: Client) -> None:
        self.connections += 1
        self._heard_s = self._ports.timer.seconds()
        self._attempts.came_up(self._heard_s)
        self._doomed = ""
        self._wanted.reset()
        self._listener.opened()
        self._up = True
        while not self._closing:
            self._check(client)
            for request in self._wanted.due(self._ports.timer.seconds()):
                await asyncio.wait_for(client.send_message(request), self._settings.connect_seconds)
            self._beside()
            self._wake.clear()
            await pause(self._wake, self._settings.check_seconds)

    def _check(self, client: Client) -> None:
        now_s = self._ports.timer.seconds()
        if not client.alive or self._doomed:
            raise Unavailable(self._doomed or "connection lost")
        if now_s - self._heard_s > self._settings.silence_seconds:
            raise Unavailable(f"silent for {now_s - self._heard_s:.1f} s")
        if self._attempts.settled(now_s):
            self._ports.alert(f"kraken {self.name} stream: steady again")

    def _beside(self) -> None:
        """The listener's own work, which may block: never on this thread."""
        if self._job is not None and not self._job.done():
            return
        job = self._listener.job()
        if job is not None:
            self._job = asyncio.create_task(asyncio.to_thread(job))
            self._job.add_done_callback(self._worked)

    def _worked(self, job: asyncio.Task[None]) -> None:
        if not job.cancelled() and job.exception() is not None:
            self._fault(job.exception())

    def _hear(self, raw: bytes) -> None:
        self._heard_s = self._ports.timer.seconds()
        try:
            for said in self.reader.read(raw):
                if isinstance(said, AnswerSaid):
                    self._answered(said)
                else:
                    self._listener.take(said)
        except Exception as error:  # noqa: BLE001 - an exception here makes the kit reconnect until the venue bans us
            self._fault(error)

    def _answered(self, answer: AnswerSaid) -> None:
        trouble = self._wanted.answered(answer, self._heard_s)
        if trouble:
            self._refused(trouble)
            # A token is good for one connection: a refusal there may be its end, and only a new one helps.
            self._doomed = trouble if self._token is not None else ""

    def _refused(self, trouble: str) -> None:
        """Tell it once, and then hourly: it is asked for again every few seconds."""
        told_s = self._told_s.get(trouble)
        if told_s is None or self._heard_s - told_s >= self._settings.alert_every_seconds:
            self._told_s[trouble] = self._heard_s
            self._ports.alert(f"kraken {self.name} stream: {trouble}")

    def _fault(self, error: BaseException | None) -> None:
        self.faults += 1
        if self.faults == 1:
            self._ports.alert(f"kraken {self.name} stream: a message could not be handled: {_line(error)}")

    def _end(self) -> None:
        self._stop.set()
        self._wake.set()


def _line(error: BaseException | None) -> str:
    """An error in one line of bounded length."""
    text = str(error).splitlines()[0][:200] if str(error) else ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
