"""The exchange as a feed: history, then bars of trades, held against the exchange's own, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from threading import Thread

import numpy as np
import pytest

from src.connectors.kraken.bars import Bars, block_of
from src.connectors.kraken.feed import KrakenFeed, PublicStream, live_feed
from src.connectors.kraken.said import TradeSaid
from src.connectors.sources.joined import MarketAndSources
from src.connectors.sources.poller import Poller
from src.connectors.ticks import TickFeed
from src.connectors.trade_files import read_trades
from src.core.errors import Gone, NotFound, Unavailable, UsageError
from src.core.types import Bar, Pair, Slice
from src.core.venue import VenueStatus
from tests.kraken.desk import kraken
from tests.kraken.rest_server import RestServer
from tests.kraken.streaming import BTC, DOGE, ETH, MINUTE, Stage, stage, streams
from tests.kraken.tape import Printed, Tape
from tests.recorded import RECORDED
from tests.settings.leaves import tree

TRADES = RECORDED / "ticks" / "kraken_v2_trades_b.parquet"


@pytest.fixture
def there() -> Iterator[Stage]:
    with stage() as built:
        # In the middle of a minute, so that none ends by itself while a test looks on.
        built.clock.moved_ms = 30_000 - built.clock.now_ms() % MINUTE
        yield built


class History:
    """What REST would say: a bar a minute; `failing` where it does not answer."""

    def __init__(self, count: int = 3, prices: dict[Pair, float] | None = None) -> None:
        self.count, self.failing = count, False
        self.prices = prices or {}
        self.asked: list[tuple[Pair, int]] = []
        self.lent: dict[int, Bar] = {}

    def __call__(self, pair: Pair, interval_ms: int, since: int) -> Sequence[Bar]:
        first = not any(known == pair for known, _ in self.asked)
        self.asked.append((pair, since))
        if self.failing:
            raise Unavailable("away")
        if not first:
            return [bar for at, bar in sorted(self.lent.items()) if at >= since]
        price = self.prices.get(pair, 50000.0)
        return [Bar(pair, since + n * interval_ms, price, price, price, price, 1.0) for n in range(self.count)]


def feed(there: Stage, history: History, pairs: tuple[Pair, ...] = (BTC,)) -> KrakenFeed:
    settings = streams(there.server)
    public = PublicStream(pairs, MINUTE, settings, there.clock, there.ports(settings))
    built = KrakenFeed(public, settings, history, there.clock, there.timer, history.count * MINUTE)
    there.stack.callback(built.close)
    return built


def opened(there: Stage, history: History, pairs: tuple[Pair, ...] = (BTC,)) -> tuple[KrakenFeed, Iterator[Slice]]:
    """A feed whose warm-up is over and whose stream is there."""
    built = feed(there, history, pairs)
    slices = iter(built)
    for _ in range(history.count):
        next(slices)
    there.timer.until(lambda: not built.troubles())
    return built, slices


def traded(there: Stage, built: KrakenFeed, *trades: tuple[str, str]) -> None:
    """Trades happen, and have arrived."""
    seen: dict[Pair, float] = {}
    for price, amount in trades:
        there.server.trade("BTC/USD", price, amount)
    amount = float(trades[-1][1])

    def last() -> bool:
        seen.update({pair: tick.amount for pair, tick in built.public.market.newest().items()})
        return seen.get(BTC) == amount

    there.timer.until(last)


def closed(there: Stage, slices: Iterator[Slice]) -> Slice:
    """The interval ends."""
    there.clock.moved_ms += MINUTE
    return next(slices)


def only(slice_: Slice) -> Bar | None:
    return None if slice_.bars is None else slice_.bars.bar(0)


def test_history_comes_first_and_then_the_bars_of_the_trades(there: Stage) -> None:
    history = History()
    built = feed(there, history)
    slices = iter(built)
    warm = [next(slices) for _ in range(3)]
    assert [slice_.at for slice_ in warm] == [
        built.history_ends - 2 * MINUTE,
        built.history_ends - MINUTE,
        built.history_ends,
    ]
    there.timer.until(lambda: not built.troubles())
    traded(there, built, ("50000.0", "0.25"), ("50002.0", "0.5"))
    first = closed(there, slices)
    assert only(first) is None  # nobody knows what was traded before we came
    assert [tick.amount for tick in first.ticks] == [0.25, 0.5]
    traded(there, built, ("50001.0", "1.0"), ("50003.0", "2.0"), ("49999.5", "0.25"), ("50000.5", "0.125"))
    second = closed(there, slices)
    assert second.at == first.at + MINUTE == built.history_ends + 2 * MINUTE
    assert only(second) == Bar(BTC, second.at - MINUTE, 50001.0, 50003.0, 49999.5, 50000.5, 3.375)
    assert (second.simulated, built.simulated, built.missing) == (False, False, 1)


def test_the_first_interval_is_the_exchanges_own(there: Stage) -> None:
    built, slices = opened(there, History())
    own = ("50010.0", "50020.0", "49990.0", "50000.0")
    there.server.candle("BTC/USD", built.history_ends, 1, own, "7.5")
    traded(there, built, ("50000.0", "0.25"))
    assert only(closed(there, slices)) == Bar(BTC, built.history_ends, 50010.0, 50020.0, 49990.0, 50000.0, 7.5)
    assert built.public.market.counts()["lent_bars"] == 1


def test_a_missed_trade_is_seen_by_its_number_and_the_bar_is_asked_for(there: Stage) -> None:
    history = History()
    built, slices = opened(there, history)
    traded(there, built, ("50000.0", "0.25"))
    closed(there, slices)
    there.server.lose_trade("BTC/USD", "50009.0", "4")
    traded(there, built, ("50001.0", "0.5"))
    at = built.history_ends + MINUTE
    history.lent[at] = Bar(BTC, at, 50000.0, 50009.0, 50000.0, 50001.0, 4.5)
    assert only(closed(there, slices)) == history.lent[at]
    assert history.asked[-1] == (BTC, at)
    traded(there, built, ("50001.0", "0.75"))
    assert only(closed(there, slices)) == Bar(BTC, at + MINUTE, 50001.0, 50001.0, 50001.0, 50001.0, 0.75)


def test_without_an_answer_the_pair_has_no_bar(there: Stage) -> None:
    history = History()
    built, slices = opened(there, history)
    traded(there, built, ("50000.0", "0.25"))
    history.failing = True
    slice_ = closed(there, slices)
    assert (slice_.bars, built.missing) == (None, 1)


def test_a_cut_inside_an_interval_loses_no_trade(there: Stage) -> None:
    built, slices = opened(there, History())
    traded(there, built, ("50000.0", "0.25"))
    closed(there, slices)
    traded(there, built, ("50001.0", "0.5"))
    there.server.cut()
    there.server.lose_trade("BTC/USD", "50007.0", "4")
    there.timer.until(lambda: built.public.stream.losses == 1 and not built.troubles())
    traded(there, built, ("50002.0", "0.75"))
    bar = only(closed(there, slices))
    assert bar == Bar(BTC, built.history_ends + MINUTE, 50001.0, 50007.0, 50001.0, 50002.0, 5.25)


def test_a_bar_that_differs_from_the_exchanges_is_counted(there: Stage) -> None:
    built, slices = opened(there, History())
    traded(there, built, ("50000.0", "0.25"))
    closed(there, slices)
    begun = built.history_ends + MINUTE
    there.server.candle("BTC/USD", begun, 1, ("50000.0", "50000.0", "50000.0", "50000.0"), "0.5")
    traded(there, built, ("50000.0", "0.5"))
    assert only(closed(there, slices)) is not None
    assert built.public.market.counts()["disagreements"] == 0
    there.server.candle("BTC/USD", begun + MINUTE, 1, ("50000.0", "50000.0", "50000.0", "50000.0"), "0.6")
    traded(there, built, ("50000.0", "0.5"))
    assert only(closed(there, slices)) is not None
    assert built.public.market.counts()["disagreements"] == 1


def test_close_ends_the_iteration_from_another_thread(there: Stage) -> None:
    built, slices = opened(there, History())
    ended: list[list[Slice]] = []
    thread = Thread(target=lambda: ended.append(list(slices)))
    thread.start()
    built.close()
    thread.join(10.0)
    assert ended == [[]]


def test_a_restart_says_nothing_twice(there: Stage) -> None:
    built = feed(there, History())
    slices = iter(built.start_after(built.history_ends - MINUTE))
    assert next(slices).at == built.history_ends


def test_a_clock_that_was_set_back_is_waited_for(there: Stage) -> None:
    """The life before ended with a pulse in the middle of an interval that has, by this clock, not begun yet."""
    built = feed(there, History())
    last = built.history_ends + 2 * MINUTE + 45_000
    slices = iter(built.start_after(last))
    built.meanwhile = lambda: True
    seen: list[Slice] = []
    thread = Thread(target=lambda: seen.append(next(slices)))
    thread.start()
    there.timer.until(lambda: not built.troubles())
    assert seen == []  # nothing of the warm-up, and no pulse before the record's end
    there.clock.moved_ms += 2 * MINUTE + 20_000  # 50 s into that interval
    thread.join(10.0)
    assert last < seen[0].at < built.history_ends + 3 * MINUTE
    assert seen[0].bars is None
    built.meanwhile = lambda: False
    there.clock.moved_ms += MINUTE
    assert next(slices).at == built.history_ends + 3 * MINUTE


def test_no_history_and_bars_that_nobody_makes_are_refused(there: Stage) -> None:
    with pytest.raises(NotFound, match="no bars of BTC/USD since"):
        next(iter(feed(there, History(0))))
    settings = streams(there.server)
    with pytest.raises(UsageError, match="no bars of 120 s there"):
        PublicStream((BTC,), 2 * MINUTE, settings, there.clock, there.ports(settings))


@pytest.mark.skipif(not TRADES.is_file(), reason="recorded data are absent: set MYCELIAL_DATA to their folder")
def test_recorded_trades_make_the_bars_of_a_replay(there: Stage) -> None:
    """The same trades over sockets and from the file: the same whole bars, to the last bit."""
    recorded = read_trades([TRADES])
    prices = {pair: float(recorded.price[recorded.pair == place][0]) for place, pair in enumerate(recorded.pairs)}
    replay = [slice_.bars for slice_ in TickFeed(recorded, MINUTE)]
    assert replay[0] is not None
    there.clock.moved_ms += int(recorded.at[0]) - there.clock.now_ms()
    built, slices = opened(there, History(3, prices), (BTC, DOGE))
    live, done = [], 0
    for end in range(built.history_ends + MINUTE, int(recorded.at[-1]) + 1, MINUTE):
        upto = int(np.searchsorted(recorded.at, end))
        for row in range(done, upto):
            symbol = recorded.pairs[recorded.pair[row]]
            price, amount = Decimal(str(recorded.price[row])), Decimal(str(recorded.amount[row]))
            there.clock.moved_ms += max(0, int(recorded.at[row]) - there.clock.now_ms())
            there.server.trade(symbol, str(price), f"{amount:f}", int(recorded.at[row]))
            there.timer.until(lambda row=row: sum(built.public.market.trades.values()) == row + 1)
        there.clock.moved_ms += max(0, end + 500 - there.clock.now_ms())
        live.append(next(slices).bars)
        done = upto
    whole = {block.opened: block for block in live if block is not None}
    for block in replay:
        assert block is not None
        # The other pair's first trade came inside this bar: what was before it the stream cannot know.
        assert whole[block.opened].bar(0) == block.bar(0) is not None
        assert whole[block.opened].bar(1) is None


def test_a_pair_that_is_delisted_later_stays_without_bars_and_the_others_go_on(there: Stage) -> None:
    with closing(RestServer(there.state)) as rest:
        now = there.clock.now_ms() // MINUTE * MINUTE
        printed = [Printed((now + at) * 1_000_000, Decimal(50000), Decimal(1)) for at in range(-720_000, 0, 30_000)]
        rest.public.tapes["BTC/USD"] = Tape(printed)
        shipped = kraken(rest.url).model_copy(update={"streams": streams(there.server)})
        ports = there.ports(shipped.streams)
        delisted = there.state.pairs.pop("ETH/USD")
        with pytest.raises(UsageError, match="not listed there: ETH/USD"):
            live_feed((BTC, ETH), MINUTE, 10 * MINUTE, shipped, there.clock, ports)
        with pytest.raises(Gone, match="none of ETH/USD is listed there any more"):
            live_feed((ETH,), MINUTE, 10 * MINUTE, shipped, there.clock, ports, gone_on=True)
        built = live_feed((BTC, ETH), MINUTE, 10 * MINUTE, shipped, there.clock, ports, gone_on=True)
        there.stack.callback(built.close)
        assert (built.pairs, built.public.unlisted) == ((BTC, ETH), {ETH})
        slices = iter(built)
        warm = [next(slices) for _ in range(10)]
        assert [slice_.bars is not None and slice_.bars.present.tolist() for slice_ in warm] == [[True, False]] * 10
        there.timer.until(lambda: list(built.troubles()) == ["ETH/USD: not listed there"])
        assert (built.public.stream.troubles(), there.alerts) == ([], [])  # nothing was asked for that is refused
        for closes in range(2):
            traded(there, built, ("50000.0", f"0.{closes + 1}"))
            last = closed(there, slices)
        assert only(last) == Bar(BTC, last.at - MINUTE, 50000.0, 50000.0, 50000.0, 50000.0, 0.2)
        assert built.missing == 0
        there.state.pairs["ETH/USD"] = delisted
        there.server.instruments()
        there.timer.until(lambda: ETH not in built.public.market.troubles())


def test_a_pair_that_is_delisted_meanwhile_does_not_make_the_stream_doubtful(there: Stage) -> None:
    public = there.public((BTC, ETH))
    public.market.seed(BTC, Decimal(50000))
    there.quoted(public, ETH)
    del there.state.pairs["ETH/USD"]
    there.server.cut()
    there.timer.until(lambda: public.stream.losses == 1 and public.troubles() == ["ETH/USD: not listed there"])
    assert public.stream.troubles() == []
    assert (ETH, VenueStatus.MAINTENANCE) in public.statuses()
    there.server.trade("BTC/USD", "50000.0", "0.25")
    there.timer.until(lambda: public.market.trades[BTC] == 1)


def test_a_trade_in_the_millisecond_of_a_close_belongs_to_the_next_bar() -> None:
    bars = Bars((BTC,), MINUTE)
    for number, at in enumerate((60_000, 119_999, 120_000)):
        bars.add(BTC, TradeSaid(BTC, number, at, Decimal(100 + number), Decimal(1), False))
    (bar,) = bars.close(60_000, {BTC: True}).values()
    assert (bar.open, bar.close, bar.volume) == (100.0, 101.0, 2.0)
    bars.add(BTC, TradeSaid(BTC, 9, 119_999, Decimal(1), Decimal(1), False))
    assert bars.late == 1
    (after,) = bars.close(120_000, {BTC: True}).values()
    assert (after.open, after.volume) == (102.0, 1.0)


def test_pairs_without_a_bar_are_no_numbers() -> None:
    block = block_of((BTC, ETH), 0, {ETH: Bar(ETH, 0, 1.0, 2.0, 0.5, 1.5, 3.0)})
    assert block is not None
    assert block.present.tolist() == [False, True]
    assert np.isnan(block.close[0])
    assert (block.volume.tolist(), block.bar(0)) == ([0.0, 3.0], None)
    assert block_of((BTC,), 0, {}) is None


def test_the_whole_feed_over_rest_and_sockets(there: Stage) -> None:
    """As `--feed kraken` builds it: pairs and history by REST, trades by WebSocket, no key."""
    with closing(RestServer(there.state)) as rest:
        now = there.clock.now_ms() // MINUTE * MINUTE
        for symbol, price in (("BTC/USD", "50000.0"), ("ETH/USD", "3000.00")):
            printed = [Printed((now + at) * 1_000_000, Decimal(price), Decimal(1)) for at in range(-720_000, 0, 30_000)]
            rest.public.tapes[symbol] = Tape(printed)
        shipped = kraken(rest.url).model_copy(update={"streams": streams(there.server)})
        ports = there.ports(shipped.streams)
        with pytest.raises(UsageError, match="not listed there: NO/USD"):
            live_feed((BTC, Pair("NO/USD")), MINUTE, 10 * MINUTE, shipped, there.clock, ports)
        built = live_feed((ETH, BTC), MINUTE, 10 * MINUTE, shipped, there.clock, ports)
        there.stack.callback(built.close)
        assert built.pairs == (BTC, ETH)
        slices = iter(MarketAndSources(built, Poller((), tree().moats, there.clock, there.timer)))
        warm = [next(slices)]
        while warm[-1].at < built.history_ends:
            warm.append(next(slices))
        assert len(warm) == 10
        assert all(slice_.bars is not None and slice_.bars.count() == 2 for slice_ in warm)
        there.timer.until(lambda: not built.troubles())
        for closes in range(2):
            traded(there, built, ("50000.0", f"0.{closes + 1}"))
            last = closed(there, slices)
        assert only(last) == Bar(BTC, last.at - MINUTE, 50000.0, 50000.0, 50000.0, 50000.0, 0.2)
        built.close()
