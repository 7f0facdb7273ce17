"""Brings Kraken's history into the data folder: trades, page by page and resumable, and the bars that follow from them.

Kraken serves 720 candles and no more, so bars are made of trades; the candles that are served then check them.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event

import msgspec
import numpy as np

from ...core.clock import Timer, iso
from ...core.config_venues import KrakenSettings
from ...core.errors import CheckFailed, DataError, Malformed, NotFound, Unavailable, UsageError
from ...core.history import BarColumns
from ...core.timeframes import MINUTE_MS, TimeRange, timeframe_ms, timeframe_name
from ...core.types import BoolArray, FloatArray, IntArray, Pair
from ..bar_files import check_bars, gaps, read_parquet, write_parquet
from ..data_folder import merge
from ..durable import alone, explained
from ..history import bar_path
from ..trade_bars import TradeBars
from .errors import KrakenTrouble, Verdict
from .journal import Kept, Page, PageJournal
from .listing import Listings
from .rest import Candle, KrakenRest, PublicTrade

VENUE = "kraken"
TRADES_FOLDER = "trades"
"""Beside `ohlcv`: what bars are made of, TRADES/kraken/BASE-QUOTE.pages."""
_SERVED_MINUTES = (1440, 240, 60, 30, 15, 5, 1)
_MS_NS = 1_000_000

Say = Callable[[str], None]


class Downloaded(msgspec.Struct, frozen=True):
    """One file that was written. Times are opens in UTC ms; `missing` counts intervals in which nothing was traded.

    `trades` is how many the journal holds, `missing_trades` how many numbers it lacks between first and last.
    `checked` candles of `checked_timeframe`, as served, agree with the trades.
    """

    pair: Pair
    timeframe: str
    path: str
    sha256: str
    bars: int
    first: int
    last: int
    missing: int
    trades: int
    missing_trades: int
    checked: int
    checked_timeframe: str


class Downloader:
    """Asks public endpoints only, at the pace of the settings, and again after what may pass by itself."""

    def __init__(self, rest: KrakenRest, settings: KrakenSettings, data_dir: Path, timer: Timer, say: Say) -> None:
        self._rest, self._settings, self._data_dir = rest, settings, data_dir
        self._timer, self._say = timer, say
        self._asked_at = float("-inf")

    def download(self, pairs: Sequence[str], timeframes: Sequence[str], window: TimeRange) -> tuple[Downloaded, ...]:
        """All of `pairs` in all `timeframes`, in order.

        NotFound for a pair that Kraken does not list; Unavailable when it stays silent or refuses, what came is kept;
        CheckFailed when candles it serves contradict its trades, nothing of that pair is written then.
        """
        intervals = [timeframe_ms(name) for name in timeframes]
        listings = self._again("AssetPairs", self._rest.listings)
        names = [(Pair(pair), _name(listings, pair)) for pair in pairs]
        return tuple(done for pair, name in names for done in self._pair(pair, name, intervals, window))

    def _pair(self, pair: Pair, name: str, intervals: Sequence[int], window: TimeRange) -> list[Downloaded]:
        path = self._data_dir / TRADES_FOLDER / VENUE / f"{pair.replace('/', '-')}.pages"
        with explained(path):
            journal = PageJournal.open(path)
        try:
            complete_ms = self._trades(pair, name, journal, window)
            found = _Made(journal, [*intervals, *(_served(interval) for interval in intervals)])
            return [self._bars(pair, name, journal, found, interval, window, complete_ms) for interval in intervals]
        finally:
            journal.close()

    # --- trades ----------------------------------------------------------------------------------------------------

    def _trades(self, pair: Pair, name: str, journal: PageJournal, window: TimeRange) -> int:
        """Ask until the end of `window`, or now; until when the journal is complete (UTC ms)."""
        since = journal.last or _since(window)
        if journal.first is not None and window.start_ms is not None and int(journal.first) > int(_since(window)):
            begins = iso(int(journal.first) // _MS_NS)
            raise UsageError(f"{pair}: the trades kept begin at {begins}; remove their .pages file to begin earlier")
        # The venue's clock: by one that is ahead of it a bar would count as whole too early.
        now_ms = self._again("Time", self._rest.time)
        end_ms = now_ms if window.end_ms is None else min(now_ms, window.end_ms)
        while True:
            if int(since) // _MS_NS >= end_ms:
                return end_ms
            page = self._page(name, since, journal.number)
            if page.trades or page.last != since:
                journal.append(page)
            if page.last == since:
                return end_ms
            since = page.last
            self._say(f"{pair}: {journal.trades:,} trades to {iso(int(since) // _MS_NS)}")

    def _page(self, name: str, since: str, number: int | None) -> Page:
        trades, last = self._again("Trades", lambda: self._rest.trades(name, since))
        if int(last) < int(since):
            raise Malformed(f"kraken Trades: after {since} comes {last}, which is earlier")
        fresh = _fresh(trades, number)
        if fresh and number is not None and fresh[0].number > number + 1:
            # Several trades of one nanosecond may lie on both sides of a page's end.
            before = str(max(0, int(since) - 1))
            repeated, last_again = self._again("Trades", lambda: self._rest.trades(name, before))
            if _fresh(repeated, number):
                fresh, last = _fresh(repeated, number), last_again
        kept = [Kept(one.at_ns, str(one.price), str(one.amount), one.number) for one in fresh]
        return Page(since, last, kept)

    def _again[T](self, where: str, ask: Callable[[], T]) -> T:
        """Ask at the pace of the settings, and again, ever later, what may pass by itself; Unavailable in the end."""
        manners = self._settings.download
        wait = manners.backoff_first_seconds
        for left in reversed(range(manners.attempts)):
            self._pause(self._asked_at + self._settings.budget.public_interval_seconds - self._timer.seconds())
            self._asked_at = self._timer.seconds()
            try:
                return ask()
            except KrakenTrouble as trouble:
                if trouble.complaint.verdict not in (Verdict.UNKNOWN, Verdict.LIMITED):
                    raise
                if not left:
                    raise Unavailable(f"{trouble}, {manners.attempts} times; run it again to go on there") from None
                self._say(f"{trouble}; again in {wait:g} s")
            self._pause(wait)
            wait = min(wait * 2, manners.backoff_cap_seconds)
        raise Unavailable(f"kraken {where}: not asked")

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._timer.wait(Event(), seconds)

    # --- bars ------------------------------------------------------------------------------------------------------

    def _bars(
        self,
        pair: Pair,
        name: str,
        journal: PageJournal,
        made: _Made,
        interval: int,
        window: TimeRange,
        complete_ms: int,
    ) -> Downloaded:
        served = _served(interval)
        begin_ms = -(-int(journal.first or 0) // _MS_NS)
        checked = self._check(pair, name, made.bars(served, begin_ms, complete_ms), served, begin_ms, complete_ms)
        bars = _inside(made.bars(interval, begin_ms, complete_ms), window)
        if not len(bars.opened):
            raise NotFound(f"{pair}: no trade makes a whole {timeframe_name(interval)} bar in {window}")
        path = bar_path(self._data_dir, VENUE, timeframe_name(interval), pair)
        check_bars(bars, interval, path)
        with explained(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with alone(path):
                bars = _with_existing(path, bars, interval)
                write_parquet(path, bars)
        return Downloaded(
            pair,
            timeframe_name(interval),
            str(path),
            hashlib.sha256(path.read_bytes()).hexdigest(),
            len(bars.opened),
            int(bars.opened[0]),
            int(bars.opened[-1]),
            gaps(bars.opened, interval)[0],
            journal.trades,
            made.missing,
            checked,
            timeframe_name(served),
        )

    def _check(self, pair: Pair, name: str, bars: BarColumns, interval: int, begin_ms: int, complete_ms: int) -> int:
        """How many candles that are served agree; CheckFailed names the first that does not."""
        candles = self._again("OHLC", lambda: self._rest.candles(name, interval // MINUTE_MS))
        ours = {int(opened): row for row, opened in enumerate(bars.opened)}
        for candle in (one for one in candles if one.trades and begin_ms <= one.opened <= complete_ms - interval):
            row = ours.get(candle.opened)
            different = "no trade" if row is None else self._difference(candle, bars, row)
            if different:
                at = f"{timeframe_name(interval)} bar of {iso(candle.opened)}"
                raise CheckFailed(f"{pair}: {different} in the {at}, against the candle served; nothing was written")
        return sum(one.opened in ours for one in candles)

    def _difference(self, candle: Candle, bars: BarColumns, row: int) -> str:
        manners = self._settings.download
        served = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        limits = (*[manners.price_tolerance_ratio] * 4, manners.volume_tolerance_ratio)
        for word, value, mine, limit in zip(_WORDS, served, bars.values(), limits, strict=True):
            if abs(float(mine[row]) - float(value)) > limit * float(value):
                return f"{word} {mine[row]} instead of {value}"
        return ""


_WORDS = ("open", "high", "low", "close", "volume")


class _Made:
    """The bars of a journal in several lengths, made in one pass."""

    def __init__(self, journal: PageJournal, intervals: Sequence[int]) -> None:
        makers = {interval: TradeBars(interval) for interval in intervals}
        self.missing, number = 0, None
        for page in journal.pages():
            if not page.trades:
                continue
            times, prices, amounts = _columns(page.trades)
            for maker in makers.values():
                _add(maker, times, prices, amounts)
            first = page.trades[0].number if number is None else number + 1
            self.missing += page.trades[-1].number - first + 1 - len(page.trades)
            number = page.trades[-1].number
        self._made = {interval: maker.bars() for interval, maker in makers.items()}

    def bars(self, interval: int, begin_ms: int, complete_ms: int) -> BarColumns:
        """Those of which every moment was asked for."""
        bars = self._made[interval]
        return _taken(bars, (bars.opened >= begin_ms) & (bars.opened + interval <= complete_ms))


def _add(maker: TradeBars, times: IntArray, prices: FloatArray, amounts: FloatArray) -> None:
    try:
        maker.add(times, prices, amounts)
    except ValueError as error:
        raise DataError(f"kraken Trades: {error}") from None


def _columns(trades: list[Kept]) -> tuple[IntArray, FloatArray, FloatArray]:
    times = np.array([one.at_ns // _MS_NS for one in trades], np.int64)
    prices = np.array([float(one.price) for one in trades])
    return times, prices, np.array([float(one.amount) for one in trades])


def _fresh(trades: Sequence[PublicTrade], number: int | None) -> list[PublicTrade]:
    return [one for one in trades if number is None or one.number > number]


def _since(window: TimeRange) -> str:
    """Exclusive, in ns; 0 is the first trade there ever was."""
    return "0" if window.start_ms is None else str(max(0, window.start_ms * _MS_NS - 1))


def _served(interval: int) -> int:
    """The longest candle that Kraken serves and whose length fits into a bar's, in ms; a minute for shorter bars."""
    return next((m * MINUTE_MS for m in _SERVED_MINUTES if interval % (m * MINUTE_MS) == 0), MINUTE_MS)


def _name(listings: Listings, pair: str) -> str:
    try:
        return listings.symbols.names(Pair(pair)).altname
    except Malformed:
        near = difflib.get_close_matches(pair, listings.symbols.pairs(), n=3)
        hint = f"; did you mean {', '.join(near)}?" if near else "; pairs are written BTC/USD"
        raise NotFound(f"kraken lists no pair {pair}{hint}") from None


def _inside(bars: BarColumns, window: TimeRange) -> BarColumns:
    inside = np.ones(len(bars.opened), np.bool_)
    if window.start_ms is not None:
        inside &= bars.opened >= window.start_ms
    if window.end_ms is not None:
        inside &= bars.opened < window.end_ms
    return _taken(bars, inside)


def _taken(bars: BarColumns, which: BoolArray) -> BarColumns:
    return BarColumns(bars.opened[which], *(column[which] for column in bars.values()))


def _with_existing(path: Path, bars: BarColumns, interval: int) -> BarColumns:
    """Bars that are there already stay; DataError where they disagree."""
    if not path.exists():
        return bars
    old = read_parquet(path)
    check_bars(old, interval, path)
    return merge(old, bars, path, path)
