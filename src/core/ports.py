"""The doors of the house: what the spine needs from outside, each as small as it can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

import msgspec

from .memory import Cluster, MemoryRecord, Recommendation, Similar, Where
from .messages import Message
from .types import (
    Approved,
    Command,
    Decision,
    Denied,
    Fill,
    FloatArray,
    Idea,
    Intent,
    Observation,
    Order,
    Outcome,
    Pair,
    Position,
    Side,
    Slice,
    Snapshot,
    Stream,
    Trade,
    Transition,
)


class Clock(Protocol):
    """Tells the time of the run."""

    def now_ms(self) -> int:
        """UTC milliseconds."""
        ...

    def reach(self, at_ms: int) -> None:
        """Move on to the slice's time."""
        ...


class Feed(Protocol):
    """Yields slices in order of time; iterating is the only thing the engine does with it."""

    pairs: tuple[Pair, ...]
    interval_ms: int
    simulated: bool

    def __iter__(self) -> Iterator[Slice]:
        """Slices, `at` strictly rising."""
        ...


class Failure(msgspec.Struct, frozen=True):
    """A handler or an agent that failed: who, where, what; the others went on."""

    owner: str
    where: str
    error: str


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was refused: kept and counted, never handled."""

    channel: str
    reason: str
    raw: str


class Foreign(msgspec.Struct, frozen=True):
    """A valid message of another producer; it waits for the next slice. `epoch` and `seq` are its numbers there."""

    channel: str
    producer: str
    message: Message
    epoch: int = 0
    seq: int = 0


class Origin(msgspec.Struct, frozen=True, gc=False):
    """What identifies a message: channel, producer, epoch of the producer's life, gap-free number in it."""

    channel: str
    producer: str
    epoch: int
    seq: int


Handler = Callable[[Message], None]


class Bus(Protocol):
    """Carries messages between agents. First in, first out; `publish` never calls a handler."""

    producer: str
    epoch: int

    def subscribe(self, pattern: str, handler: Handler, owner: str) -> None:
        """Deliver messages of `pattern` (a channel name, or `prefix:*`) to `handler` during `settle`."""
        ...

    def unsubscribe(self, owner: str) -> None:
        """Remove every subscription of `owner`; afterwards nothing reaches it."""
        ...

    def publish(self, channel: str, message: Message) -> None:
        """Queue a message; BusError when it does not belong there, InvariantError when it is from the future."""
        ...

    def quiet(self) -> bool:
        """Whether `settle` has nothing to do: it would deliver nothing and return True."""
        ...

    def settle(self) -> bool:
        """Deliver until all is quiet, generation by generation; False when the server did not answer in time."""
        ...

    def origin(self) -> Origin:
        """Which message is being delivered; InvariantError outside a delivery."""
        ...

    def said(self) -> int:
        """The number of the newest message of this life."""
        ...

    def go_on(self, said: int) -> None:
        """Continue the numbers of an earlier life, where it is the same epoch."""
        ...

    def drain_foreign(self) -> Sequence[Foreign]:
        """Valid messages of other producers since the last call, in order of arrival."""
        ...

    def deliver_foreign(self, foreign: Foreign) -> None:
        """Queue a foreign message for local handlers; `settle` delivers it. Nothing goes out again."""
        ...

    def drain_failures(self) -> Sequence[Failure]:
        """Handlers that raised since the last call."""
        ...

    def drain_dead_letters(self) -> Sequence[DeadLetter]:
        """Refused messages since the last call; when more came than are kept, the last one says how many."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Messages published so far, by channel template."""
        ...

    def ping(self) -> bool:
        """Whether messages can pass now."""
        ...

    def close(self) -> None:
        """Give back connections, threads and servers."""
        ...


class Source(Protocol):
    """One place outside the market that is asked again and again. It may block; whoever asks has a thread for it.

    `simulated` marks sources that invent what they say; every observation of theirs says so, too.
    """

    name: str
    moat: str
    interval_seconds: float
    simulated: bool

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        """What it says at `now_ms`, things said before included; a kind of SourceError when it gives nothing."""
        ...

    def notices(self) -> Sequence[str]:
        """What the last fetch found that a person should mend, though it did not stop it."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


class Supervisor(Protocol):
    """Turns intents and its own rules into one plan a symbol."""

    def plan(
        self, intents: Sequence[Intent], ideas: Sequence[Idea], commands: Sequence[Command], state: SpineState
    ) -> Sequence[Order]:
        """Orders wanted at this slice, exits first; at most one for a pair."""
        ...

    def moot(self, ideas: Sequence[Idea], commands: Sequence[Command], state: SpineState) -> Sequence[Pair]:
        """Pairs that are not held and whose waiting entries are no longer wanted."""
        ...

    def leaves(self, ideas: Sequence[Idea], positions: Mapping[Pair, Position], at: int) -> bool:
        """Whether any of the positions is to be left at `at` (UTC ms), a command apart."""
        ...


class Gate(Protocol):
    """The only door to a broker. `looked`: what was seen for the newest order, None where nobody keeps it."""

    looked: Any

    def review(self, order: Order, state: SpineState) -> Approved | Denied:
        """Approve or deny one order; orders approved earlier in the slice count."""
        ...


class Stateful(Protocol):
    """A part whose state survives a restart."""

    def state(self) -> dict[str, Any]:
        """Everything needed to go on: numbers, strings, lists, dicts and numpy arrays."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        ...


class Life(Stateful, Protocol):
    """Where every asset stands in its life, by what its trades came to."""

    def on_trades(self, at: int, trades: Sequence[Trade]) -> Sequence[Transition]:
        """Count the account's trades that closed, and the time that passed; what changed by it, in order of pairs."""
        ...

    def on_bars(self, slice_: Slice) -> Sequence[Transition]:
        """Notice which assets have bars no more while others have; what changed by it, in order of pairs."""
        ...

    def on_deployment(self, at: int, pair: Pair) -> Sequence[Transition]:
        """A pair has a team: it lives, or lives again."""
        ...

    def multiplier(self, pair: Pair) -> Decimal:
        """What the size of an entry is multiplied by, in [0, 1]."""
        ...

    def counts(self) -> Mapping[str, int]:
        """How many assets are in each stage."""
        ...

    def standings(self) -> object:
        """Another object after every change: as long as it is the same, so are all multipliers."""
        ...


class Broker(Stateful, Protocol):
    """Takes approved orders and says what became of them."""

    def fills(self, slice_: Slice) -> Sequence[Fill]:
        """Executions that became known with this slice, in order."""
        ...

    def submit(self, approved: Approved) -> None:
        """Send one order; BrokerError when it certainly did not arrive.

        A sell withdraws what still waits to be bought of its pair. An id is executed at most once.
        """
        ...

    def cancel(self, pair: Pair, side: Side | None = None) -> Sequence[Order]:
        """Cancel what is open for a pair, stops included, or only what waits on one side; returns what it was."""
        ...

    def open_orders(self) -> Sequence[Order]:
        """Orders that rest or wait, stops included, each with the amount that is left of it."""
        ...

    def outcomes(self) -> Sequence[Outcome]:
        """What became of orders since the last call, fills apart."""
        ...


class OrderPath(Protocol):
    """Whoever stands between desk and exchange, where somebody does."""

    def clear(self, pair: Pair | None, reason: str) -> None:
        """A person lifted the halt of a pair, or of everything (None)."""
        ...

    def reconcile(self, name: str) -> None:
        """Ask the exchange about everything now; `name` is that of the wish."""
        ...

    def notices(self, at: int) -> Sequence[Decision]:
        """Lines for the record of the slice of `at` (UTC ms), each once."""
        ...


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row for the ledger: `kind`, a `key` that makes it unique, canonical JSON."""

    at: int
    kind: str
    key: str
    body: bytes


class Counsel(Stateful, Protocol):
    """What a supervisor's policies said; their state survives a restart."""

    def rows(self) -> Sequence[Row]:
        """What is new since the last call, for the ledger."""
        ...


class Receipt(Protocol):
    """A promise that rows will be durable."""

    def wait(self, timeout: float | None = None) -> None:
        """Return when COMMIT has returned; LedgerError when the rows could not be written."""
        ...


class Ledger(Protocol):
    """Append-only record. Durable rows are waited for, telemetry is not."""

    def append(self, rows: Sequence[Row], durable: bool) -> Receipt:
        """Queue rows in order."""
        ...

    def checkpoint(self, at: int, state: bytes) -> None:
        """Queue the state from which a restart goes on; replaces the one before."""
        ...

    def close(self) -> None:
        """Drain and give back the file."""
        ...


class Tracker(Stateful, Protocol):
    """Keeps the books of the streams that only exist on paper, with the rules and costs of the account."""

    def on_slice(self, slice_: Slice, snapshot: Snapshot, ideas: Sequence[tuple[Stream, Idea]]) -> Sequence[Trade]:
        """Trades of the shadow books that closed at this slice."""
        ...

    def account_trade(self, trade: Trade) -> None:
        """A trade of the account closed."""
        ...


class Rival(Stateful, Protocol):
    """Somebody simple whom the swarm has to beat: it sees what the swarm sees and takes part in nothing.

    `name` is that of its book.
    """

    name: str

    def ideas(self, snapshot: Snapshot) -> Sequence[Idea]:
        """Its ideas of this slice, which has bars; at most one a pair."""
        ...


class SpineState(msgspec.Struct):
    """What supervisor and gate may look at while one slice is decided. Money in quote currency.

    `halted` is the reason of a halt, empty when there is none; `reserved` the cash promised to entries that
    wait or were approved in this slice.
    """

    snapshot: Snapshot
    positions: Mapping[Pair, Position]
    open_orders: Sequence[Order]
    cash: Decimal
    equity: Decimal
    peak_equity: Decimal
    halted: str
    bus_up: bool
    reserved: Decimal


class Experience(Stateful, Protocol):
    """Remembers what became of entries: the moment they were decided in, and what they came to."""

    def learns_from(self, book: str) -> bool:
        """Whether it keeps anything of the entries of that book; it need not hear of the others."""
        ...

    def on_entries(self, book: str, orders: Sequence[Order], intents: Sequence[Intent], snapshot: Snapshot) -> None:
        """Orders that a book sent in the slice of `snapshot`, and the intents of that slice."""
        ...

    def on_intents(self, book: str, intents: Sequence[Intent], snapshot: Snapshot) -> None:
        """Intents of that slice that became entries of a book, where nobody needs the orders."""
        ...

    def on_trades(self, at: int, trades: Sequence[Trade]) -> None:
        """Trades of a book that closed in the slice of `at` (UTC ms); told before the book's entries of that slice."""
        ...


class Memory(Protocol):
    """Similar moments and what became of them. No answer holds what was not known at the query's `as_of` (UTC ms)."""

    def on_slice(self, at: int) -> None:
        """A slice begins (UTC ms): nothing that is remembered in it may be known later; a new day forgets the old."""
        ...

    def fresh(self) -> Sequence[MemoryRecord]:
        """What was new since the last call, in order, each version once: for the ledger, whoever remembered it."""
        ...

    def remember(self, records: Sequence[MemoryRecord]) -> None:
        """Keep records in order; one that is known already changes nothing. DataError for one that does not fit."""
        ...

    def similar(self, vector: FloatArray, k: int, as_of: int, where: Where = ...) -> Sequence[Similar]:
        """At most `k` records nearest to `vector` (dimensions,) by cosine, nearest first, equally near ones by id."""
        ...

    def recommend(self, vector: FloatArray, as_of: int, where: Where = ...) -> Recommendation:
        """Advice from similar moments whose outcome was known, wins and losses together."""
        ...

    def forget(self, before: int) -> int:
        """Drop what was last seen before that time (UTC ms); returns how many records went."""
        ...

    def clusters(self, as_of: int, where: Where = ...) -> Sequence[Cluster]:
        """Groups of records that lie together, the largest first; the same for the same records and seed."""
        ...

    def close(self) -> None:
        """Give back files and threads."""
        ...


class MemoryStore(Protocol):
    """A projection of the memory that others may browse; written behind, never asked by a decision, never fatal.

    `failure` says what is wrong with it now, None when nothing is.
    """

    failure: str | None

    def put(self, records: Sequence[MemoryRecord]) -> None:
        """Queue records; returns at once, whatever state the store is in."""
        ...

    def forget(self, before: int) -> None:
        """Queue the removal of what was last seen before that time (UTC ms)."""
        ...

    def close(self) -> None:
        """Write what is queued, as far as that is possible in time, and give back files and threads."""
        ...
