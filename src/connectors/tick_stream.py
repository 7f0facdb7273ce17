"""Ticks on a Redis stream, for whoever must not miss one: what a server forgot its producer tells it again.

Every entry has an id of its producer's (`epoch-number`, without gaps) and names the one before it. So an entry that
is sent twice is refused the second time, one that is missing is noticed, and none depends on what the server kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from hiredis import pack_command
from redis.exceptions import ResponseError

from ..core.errors import BusError
from ..core.types import Tick
from .redaction import shown_url
from .redis_wire import WIRE_ERRORS, Connection, open_connection

Word = str | bytes | int
NOTHING = "0-0"
"""The id before the first one, as the server writes it."""
POISON = ":poison"
"""Behind a stream's name: where entries are put that could not be dealt with."""
_DECODER = msgspec.json.Decoder(Tick)


class TickId(NamedTuple):
    """Which life of a producer, and the number within it, from 1 on."""

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"


def tick_id(text: str) -> TickId:
    """`epoch-number` as two numbers; ValueError for anything else."""
    epoch, _, number = text.partition("-")
    return TickId(int(epoch), int(number))


class _Server:
    """One connection, made when it is needed; an answer that is an error of the server's is returned, not raised."""

    def __init__(self, url: str, seconds: float) -> None:
        self._url, self._seconds = url, seconds
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection of the last call stands, as far as is known."""
        return self._connection is not None

    def call(self, *words: Word, wait: float = 0.0) -> Any:
        """The answer to one command, for which the server may take `wait` seconds more."""
        return self.calls([words], wait)[0]

    def calls(self, commands: Iterable[Sequence[Word]], wait: float = 0.0) -> list[Any]:
        """The answers to commands sent in one go; BusError when one did not come."""
        asked: list[Any] = list(commands)  # the vendor's types know of tuples of one word alone
        try:
            if self._connection is None:
                self._connection = open_connection(self._url, self._seconds, self._seconds)
            self._connection.send_packed_command([b"".join(pack_command(words) for words in asked)])
            return [self._answer(self._connection, self._seconds + wait) for _ in asked]
        except WIRE_ERRORS as error:
            self.close()
            raise BusError(f"no stream at {shown_url(self._url)}: {error}") from error

    @staticmethod
    def _answer(connection: Connection, seconds: float) -> Any:
        try:
            return connection.read_response(True, timeout=seconds, disconnect_on_error=False)
        except ResponseError as error:
            return error

    def close(self) -> None:
        """Give back the connection."""
        if self._connection is not None:
            self._connection.disconnect()
            self._connection = None


class TickWriter:
    """The one producer of a stream; every life of it has a higher epoch. Use from one thread.

    `epoch` is what it begins with, the time for instance; where the stream is there already, because a clock was set
    back, it begins one above. Of two producers the one that began earlier is refused from then on.
    The stream and this process keep `keep` entries each. `lost` counts those that were pushed out of here before a
    server had taken them; `trouble` says why nothing can be sent, "" while it can.
    """

    def __init__(self, url: str, stream: str, epoch: int, keep: int, timeout_seconds: float) -> None:
        self.lost = 0
        self.trouble = ""
        self._server = _Server(url, timeout_seconds)
        self._stream, self._keep = stream, keep
        self._last = self._sent = TickId(epoch, 0)
        self._before = ""
        self._met = False
        self._kept: deque[tuple[TickId, str, bytes]] = deque()

    def add(self, ticks: Iterable[Tick]) -> bool:
        """Number ticks, keep them and send what can be sent; whether the server has all of them."""
        fresh = [msgspec.json.encode(tick) for tick in ticks]
        if not self._before and not self._begin():
            self._before = NOTHING  # what the life before left is not known: a reader takes it for a gap
        for raw in fresh:
            before = self._before
            self._last = TickId(self._last.epoch, self._last.number + 1)
            self._before = str(self._last)
            self._kept.append((self._last, before, raw))
            if len(self._kept) > self._keep:
                gone, _, _ = self._kept.popleft()
                self.lost += gone > self._sent
        return self.flush()

    def flush(self) -> bool:
        """Send what the server does not have; whether it has everything then. Never raises for a server's absence."""
        try:
            self._sent = self._newest()  # which a server that was emptied, or is an older copy, tells anew
            self._rise_above(self._sent)
            if self._sent > self._last:
                raise BusError(f"{self._stream}: another producer is at {self._sent}")
            self._send([entry for entry in self._kept if entry[0] > self._sent])
        except BusError as error:
            self.trouble = str(error)
            return False
        self.trouble = ""
        return True

    def close(self) -> None:
        """Give back the connection."""
        self._server.close()

    def _begin(self) -> bool:
        try:
            newest = self._newest()
        except BusError as error:
            self.trouble = str(error)
            return False
        self._rise_above(newest)
        self._before = str(newest)
        return True

    def _rise_above(self, newest: TickId) -> None:
        """At the first word of a server: what is kept for it gets a higher epoch than what it has of earlier lives."""
        old, new = f"{self._last.epoch}-", f"{max(self._last.epoch, newest.epoch + 1)}-"

        def risen(name: str) -> str:
            return new + name.removeprefix(old) if name.startswith(old) else name

        if not self._met and new != old:
            self._last, self._before = tick_id(risen(str(self._last))), risen(self._before)
            self._kept = deque((tick_id(risen(str(name))), risen(before), raw) for name, before, raw in self._kept)
        self._met = True

    def _newest(self) -> TickId:
        """The last id that the server knows of, whatever it was before."""
        told = self._server.call("XINFO", "STREAM", self._stream)
        if isinstance(told, ResponseError):  # there is no such stream
            return tick_id(NOTHING)
        return tick_id(_pairs(told)["last-generated-id"].decode())

    def _send(self, entries: Sequence[tuple[TickId, str, bytes]]) -> None:
        if not entries:
            return
        commands = (
            ("XADD", self._stream, "MAXLEN", self._keep, str(name), "after", before, "tick", raw)
            for name, before, raw in entries
        )
        for (name, _, _), answer in zip(entries, self._server.calls(commands), strict=True):
            if isinstance(answer, ResponseError) and "equal or smaller" not in str(answer):
                raise BusError(f"{self._stream}: {answer}")
            self._sent = name


class Batch(msgspec.Struct, frozen=True):
    """Ticks by their ids, each to be acknowledged by `done`; `gap`: something before them is gone for good."""

    ticks: tuple[tuple[str, Tick], ...]
    gap: bool


class TickReader:
    """One consumer of a group. Every tick is handed out until it is acknowledged, once in a life of this object.

    An effect that outlives the process is to be keyed by the id: a tick may come again after a restart. What another
    consumer left for `idle_ms` is taken over; what was handed out `deliveries` times in vain, or cannot be read, goes
    to the stream's poison and counts in `poisoned`. `last`: the newest id dealt with before, where the caller knows.
    """

    def __init__(
        self,
        url: str,
        stream: str,
        group: str,
        consumer: str,
        *,
        idle_ms: int,
        deliveries: int,
        batch: int,
        keep: int,
        timeout_seconds: float,
        last: str = NOTHING,
    ) -> None:
        self.poisoned = 0
        self._server = _Server(url, timeout_seconds)
        self._stream, self._group, self._consumer = stream, group, consumer
        self._idle_ms, self._deliveries, self._batch, self._keep = idle_ms, deliveries, batch, keep
        self._last = last
        self._placed = False
        self._under_way: set[str] = set()
        self._done: dict[str, None] = {}

    def read(self, wait_ms: int = 0) -> Batch:
        """What is there, at most a batch; waits so long for something. BusError while there is no server."""
        if not (self._server.connected and self._placed):
            self._place()
        self._bury()
        claimed, gap = self._claim()
        fresh, gap_in_fresh = self._fresh(0 if claimed else wait_ms)
        return Batch(tuple(claimed + fresh), gap or gap_in_fresh)

    def done(self, ids: Sequence[str]) -> None:
        """Acknowledge; not to be handed out again in this life even where the server does not hear of it."""
        for name in ids:
            self._under_way.discard(name)
            self._done[name] = None
        while len(self._done) > self._keep:
            del self._done[next(iter(self._done))]
        if ids:
            self._server.call("XACK", self._stream, self._group, *ids)

    def close(self) -> None:
        """Give back the connection; what was not acknowledged comes to whoever reads next."""
        self._server.close()

    def _place(self) -> None:
        """The group, made anew where a server forgot it: behind what was read already."""
        answer = self._server.call("XGROUP", "CREATE", self._stream, self._group, self._last, "MKSTREAM")
        if isinstance(answer, ResponseError):
            if "BUSYGROUP" not in str(answer):
                raise BusError(f"{self._stream}: {answer}")
            groups = [_pairs(one) for one in self._server.call("XINFO", "GROUPS", self._stream)]
            told = next(one for one in groups if one["name"] == self._group.encode())["last-delivered-id"].decode()
            self._last = str(max(tick_id(self._last), tick_id(told)))
        self._placed = True

    def _bury(self) -> None:
        pending = self._asked("XPENDING", self._stream, self._group, "IDLE", self._idle_ms, "-", "+", self._batch)
        for name, _, _, times in pending:
            if times >= self._deliveries and name.decode() not in self._under_way:
                found = self._asked("XRANGE", self._stream, name, name)
                self._poison(name.decode(), found[0][1] if found else [])

    def _poison(self, name: str, fields: Sequence[bytes]) -> None:
        self.poisoned += 1
        words: Sequence[Word] = ("XADD", self._stream + POISON, "MAXLEN", self._keep, "*", "id", name, *fields)
        self._server.calls([words, ("XACK", self._stream, self._group, name)])

    def _claim(self) -> tuple[list[tuple[str, Tick]], bool]:
        """What somebody left, and whether some of that is not in the stream any more."""
        told = self._asked(
            "XAUTOCLAIM", self._stream, self._group, self._consumer, self._idle_ms, NOTHING, "COUNT", self._batch
        )
        return self._taken(told[1]), bool(told[2:] and told[2])

    def _fresh(self, wait_ms: int) -> tuple[list[tuple[str, Tick]], bool]:
        block = ("BLOCK", wait_ms) if wait_ms else ()
        words = ("XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", self._batch, *block, "STREAMS")
        told = self._asked(*words, self._stream, ">", wait=wait_ms / 1000)
        entries = told[0][1] if told else []
        gap, known = False, tick_id(self._last)
        for name, fields in entries:
            this = tick_id(name.decode())
            if this > known:
                gap = gap or _pairs(fields).get("after", b"").decode() != str(known)
                known = this
        self._last = str(known)
        return self._taken(entries), gap

    def _taken(self, entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[tuple[str, Tick]]:
        taken = []
        for raw_name, fields in entries:
            name = raw_name.decode()
            if name in self._done:  # dealt with, and the server did not hear of it
                self._server.call("XACK", self._stream, self._group, name)
            elif name not in self._under_way:
                tick = _tick(fields)
                if tick is None:
                    self._poison(name, fields)
                    continue
                self._under_way.add(name)
                taken.append((name, tick))
        return taken

    def _asked(self, *words: Word, wait: float = 0.0) -> Any:
        """The answer; BusError where the server refuses, and then the group is looked for before the next read."""
        answer = self._server.call(*words, wait=wait)
        if isinstance(answer, ResponseError):
            self._placed = False
            raise BusError(f"{self._stream}: {answer}")
        return answer


def _pairs(flat: Sequence[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=False)}


def _tick(fields: Sequence[bytes]) -> Tick | None:
    try:
        return _DECODER.decode(_pairs(fields)["tick"])
    except (msgspec.DecodeError, KeyError, UnicodeDecodeError):
        return None
