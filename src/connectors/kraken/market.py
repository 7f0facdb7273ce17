"""What is known of the market now: checked books, trades that count, growing bars; the newest word for each pair."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from threading import Event, Lock

import msgspec
import numpy as np

from ...core.config_streams import KrakenStreams
from ...core.ports import Clock
from ...core.types import Bar, FloatArray, Pair, Tick
from ...core.venue import VenueStatus
from ..symbols import split_symbol
from .bars import Bars
from .book import Book, Quote
from .said import BookSaid, Broken, CandleSaid, InstrumentSaid, InstrumentsSaid, Said, SystemSaid, TickerSaid, TradeSaid
from .subscriptions import Subscriptions
from .ticks import Collar, Screen

STATUSES = {
    "online": VenueStatus.ONLINE,
    "cancel_only": VenueStatus.CANCEL_ONLY,
    "reduce_only": VenueStatus.CANCEL_ONLY,
    "post_only": VenueStatus.POST_ONLY,
    "limit_only": VenueStatus.POST_ONLY,
    "maintenance": VenueStatus.MAINTENANCE,
}
"""What the exchange calls its states; every word that is not here lets nobody trade."""
_DELISTED = "delisted"


class Mark(msgspec.Struct, frozen=True):
    """The last price that could be believed, and when that was (UTC ms)."""

    price: Decimal
    at: int


class _Known(msgspec.Struct):
    """Everything known of one pair; `joined`: its trades of this connection have begun to come.

    `gone`: the exchange lists it no more, and is asked for nothing of it.
    """

    screen: Screen
    collar: Collar
    book: Book | None = None
    book_at: int = 0
    joined: bool = False
    gone: bool = False
    mark: Mark | None = None
    last: Tick | None = None
    ticker: TickerSaid | None = None
    ticker_at: int = 0
    instrument: InstrumentSaid | None = None
    status: VenueStatus | None = None


class Market:
    """The public half of an exchange. `take`, `opened` and `cut` belong to the stream; all else to any thread.

    `trades` counts trades that count, by pair; `refused` trades, candles and quotes that do not, by cause;
    `dropped_ticks` those that nobody fetched in time. `fresh` is set when a trade or a book brought something new.
    `tap` gets every trade that counts, on the stream's thread; it must not block. Of `unlisted` pairs nothing is wanted
    until the exchange names them among its instruments; one that is missing there is unlisted from then on.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        interval_ms: int,
        settings: KrakenStreams,
        clock: Clock,
        wanted: Subscriptions,
        unlisted: Collection[Pair] = (),
    ) -> None:
        self.pairs, self.interval_ms = tuple(pairs), interval_ms
        self.trades: Counter[Pair] = Counter()
        self.refused: Counter[str] = Counter()
        self.dropped_ticks = 0
        self.fresh = Event()
        self.tap: Callable[[Tick], None] | None = None
        self._settings, self._clock, self._wanted = settings, clock, wanted
        self._known = {pair: _Known(Screen(settings.belief), Collar(settings.belief)) for pair in pairs}
        self._bars = Bars(pairs, interval_ms)
        self._ticks: deque[Tick] = deque()
        self._newest: dict[Pair, Tick] = {}
        self._told: deque[tuple[Pair | None, VenueStatus]] = deque(maxlen=settings.events)
        self._system: VenueStatus | None = None
        self._lock = Lock()
        wanted.want("instrument", snapshot=True)
        for pair in unlisted:
            self._known[pair].gone = True
        self._want([pair for pair in self.pairs if pair not in unlisted])

    # --- the stream's thread -------------------------------------------------------------------------------------

    def opened(self) -> None:
        """A new connection stands; its snapshots come first."""

    def cut(self) -> None:
        """The connection is gone: no book may be used until its next snapshot."""
        with self._lock:
            for known in self._known.values():
                known.joined, known.ticker = False, None
                if known.book is not None:
                    known.book.invalidate("not connected")

    def take(self, said: Said) -> None:
        """One thing the exchange said."""
        with self._lock:
            match said:
                case TradeSaid():
                    self._trade(said)
                case BookSaid():
                    self._book(said)
                case CandleSaid():
                    self._candle(said)
                case TickerSaid():
                    self._ticker(said)
                case InstrumentsSaid():
                    self._instruments(said)
                case SystemSaid():
                    self._say_system(STATUSES.get(said.system, VenueStatus.MAINTENANCE))
                case Broken():
                    self._broken(said)

    def job(self) -> None:
        """Nothing that takes its time."""

    # --- any thread ----------------------------------------------------------------------------------------------

    def quote(self, pair: Pair) -> Quote | None:
        """Best prices now; None where the book is invalid, one-sided, crossed, locked, or silent for too long."""
        with self._lock:
            known = self._known[pair]
            return None if self._quote_trouble(known) or known.book is None else known.book.quote(known.book_at)

    def spreads(self) -> FloatArray:
        """(ask - bid) / middle of each pair now, read-only: of its book, else of its ticker; NaN without a good one."""
        with self._lock:
            spreads = np.array([self._spread(known) for known in self._known.values()])
        spreads.flags.writeable = False
        return spreads

    def mark(self, pair: Pair) -> Mark | None:
        """The last price that could be believed, however old; its age is the reader's to judge."""
        with self._lock:
            return self._known[pair].mark

    def instrument(self, pair: Pair) -> InstrumentSaid | None:
        """How the pair's numbers are written now; None before the exchange said so."""
        with self._lock:
            return self._known[pair].instrument

    def troubles(self) -> dict[Pair, str]:
        """Why a pair cannot be traded now, for those that cannot."""
        with self._lock:
            found = {pair: self._trouble(known) for pair, known in self._known.items()}
        return {pair: why for pair, why in found.items() if why}

    def statuses(self) -> Sequence[tuple[Pair | None, VenueStatus]]:
        """What opened or closed since the last call, in order; a pair of None is the whole exchange."""
        with self._lock:
            told = list(self._told)
            self._told.clear()
        return told

    def ticks(self, until_ms: int) -> tuple[Tick, ...]:
        """Trades before `until_ms` since the last call, in order of arrival."""
        with self._lock:
            taken = tuple(tick for tick in self._ticks if tick.at < until_ms)
            self._ticks = deque(tick for tick in self._ticks if tick.at >= until_ms)
        return taken

    def newest(self) -> Mapping[Pair, Tick]:
        """The newest trade of each pair that had one since the last call."""
        with self._lock:
            newest, self._newest = self._newest, {}
            self.fresh.clear()
        return newest

    def close_bars(self, opened: int) -> tuple[dict[Pair, Bar], tuple[Pair, ...]]:
        """The bars of an interval that is over, and the pairs about which it is not certain what they traded in it."""
        with self._lock:
            covered = {pair: self._covers(known, opened) for pair, known in self._known.items()}
            bars = self._bars.close(opened, covered)
        return bars, tuple(pair for pair in self.pairs if pair not in bars and not covered[pair])

    def seed(self, pair: Pair, price: Decimal) -> None:
        """A price known from history: the first trade is compared with it."""
        with self._lock:
            self._known[pair].collar.seed(price)

    def counts(self) -> dict[str, int]:
        """What did not count, by cause."""
        with self._lock:
            spikes = sum(known.collar.spikes for known in self._known.values())
            bars = {"late": self._bars.late, "disagreements": self._bars.disagreements, "lent_bars": self._bars.lent}
            return dict(self.refused) | bars | {"spikes": spikes, "dropped_ticks": self.dropped_ticks}

    # --- inside the lock -----------------------------------------------------------------------------------------

    def _want(self, pairs: Sequence[Pair]) -> None:
        self._wanted.want("trade", pairs, snapshot=True)
        self._wanted.want("ticker", pairs, snapshot=True)
        self._wanted.want("ohlc", pairs, interval=self.interval_ms // 60_000, snapshot=True)

    def _known_of(self, symbol: str) -> _Known | None:
        known = self._known.get(Pair(symbol)) or self._known.get(split_symbol(symbol) or Pair(""))
        if known is None:
            self.refused["unknown_symbol"] += 1
        return known

    def _trade(self, said: TradeSaid) -> None:
        known = self._known_of(said.symbol)
        if known is None:
            return
        known.joined = True
        why = known.screen.refused(said, self._clock.now_ms())
        if why:
            self.refused[why] += 1
            return
        pair = split_symbol(said.symbol) or Pair(said.symbol)
        for trade in known.collar.sift(said):
            self._bars.add(pair, trade)
            self.trades[pair] += 1
            known.mark = Mark(trade.price, trade.at)
            tick = Tick(pair, trade.at, float(trade.price), float(trade.amount))
            self._keep(tick)
            known.last = self._newest[pair] = tick
            self._ring()

    def _keep(self, tick: Tick) -> None:
        if len(self._ticks) >= self._settings.ticks:
            self._ticks.popleft()
            self.dropped_ticks += 1
        self._ticks.append(tick)
        if self.tap is not None:
            self.tap(tick)

    def _book(self, said: BookSaid) -> None:
        known = self._known_of(said.symbol)
        if known is None or known.book is None:
            return
        book, usable = known.book, not known.book.trouble
        known.book_at = self._clock.now_ms()
        if book.apply(said):
            self._marked(known, book)
        elif usable or said.snapshot:
            self._renew(said.symbol, book.trouble)

    def _marked(self, known: _Known, book: Book) -> None:
        quote = book.quote(known.book_at)
        if quote is None:
            self.refused[f"book_{book.state()}"] += 1
        elif known.collar.believes(quote.middle):
            known.mark = Mark(quote.middle, quote.at)
            self._ring()

    def _ticker(self, said: TickerSaid) -> None:
        known = self._known_of(said.symbol)
        if known is None:
            return
        if said.bid < said.ask:
            known.ticker, known.ticker_at = said, self._clock.now_ms()
        else:
            known.ticker = None
            self.refused["ticker_crossed"] += 1

    def _spread(self, known: _Known) -> float:
        quote: Quote | TickerSaid | None = None
        if known.book is not None and not self._quote_trouble(known):
            quote = known.book.quote(known.book_at)
        elif known.ticker is not None and not self._is_old(known.ticker_at):
            quote = known.ticker
        return math.nan if quote is None else float(2 * (quote.ask - quote.bid) / (quote.ask + quote.bid))

    def _ring(self) -> None:
        if not self.fresh.is_set():
            self.fresh.set()

    def _renew(self, symbol: str, why: str) -> None:
        self.refused[why] += 1
        self._wanted.renew("book", symbol)

    def _candle(self, said: CandleSaid) -> None:
        if self._known_of(said.symbol) is not None:
            self._bars.candle(split_symbol(said.symbol) or Pair(said.symbol), said)

    def _instruments(self, said: InstrumentsSaid) -> None:
        seen = set()
        for one in said.pairs:
            pair = split_symbol(one.symbol) or Pair(one.symbol)
            known = self._known.get(pair)
            if known is not None and one.status == _DELISTED:
                self._leave(pair, known)
            elif known is not None:
                seen.add(pair)
                self._instrument(pair, known, one)
        if said.snapshot:
            for pair in sorted(self._known.keys() - seen):
                self._leave(pair, self._known[pair])

    def _leave(self, pair: Pair, known: _Known) -> None:
        """The pair is listed no more: a subscription that is refused for ever would make the whole stream doubtful."""
        self._say(pair, known, VenueStatus.MAINTENANCE)
        symbol = pair if known.book is None else known.book.symbol
        for channel, name in (("trade", pair), ("ticker", pair), ("ohlc", pair), ("book", symbol)):
            self._wanted.drop(channel, name)
        known.gone, known.joined, known.book, known.ticker = True, False, None, None

    def _instrument(self, pair: Pair, known: _Known, one: InstrumentSaid) -> None:
        known.instrument = one
        if known.gone:
            known.gone = False
            self._want([pair])
        self._say(pair, known, STATUSES.get(one.status, VenueStatus.MAINTENANCE))
        digits = one.price_decimals, one.amount_decimals
        if known.book is None or known.book.digits != digits:
            changed = known.book is not None
            known.book = Book(one.symbol, self._settings.book_depth, *digits)
            self._wanted.want("book", (one.symbol,), depth=self._settings.book_depth, snapshot=True)
            if changed:
                self._renew(one.symbol, "precision")

    def _say(self, pair: Pair, known: _Known, status: VenueStatus) -> None:
        if status is not known.status:
            known.status = status
            self._told.append((pair, status))

    def _say_system(self, status: VenueStatus) -> None:
        if status is not self._system:
            self._system = status
            self._told.append((None, status))

    def _broken(self, said: Broken) -> None:
        """A change of a book that could not be read is one that is missing from it."""
        if said.channel != "book":
            return
        symbols = said.symbols or self.pairs
        for known in (self._known_of(symbol) for symbol in symbols):
            if known is not None and known.book is not None and not known.book.trouble:
                known.book.invalidate(said.cause)
                self._wanted.renew("book", known.book.symbol)

    def _quote_trouble(self, known: _Known) -> str:
        if known.book is None:
            return "no instrument"
        if known.book.state() != "ok":
            return known.book.trouble or f"book {known.book.state()}"
        return "stale" if self._is_old(known.book_at) else ""

    def _is_old(self, at: int) -> bool:
        return self._clock.now_ms() - at > 1000 * self._settings.belief.quote_age_seconds

    def _trouble(self, known: _Known) -> str:
        if known.gone:
            return "not listed there"
        if known.status is not VenueStatus.ONLINE:
            return f"status {known.status or 'unknown'}"
        return self._quote_trouble(known)

    def _covers(self, known: _Known, opened: int) -> bool:
        since = known.screen.covered_from
        return known.joined and since is not None and since < opened
