"""An exchange's streams at work with everything that their settings are for: cuts, refusals, floods, a slow history."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from src.connectors.kraken.attempts import Attempts, ConnectionBudget
from src.connectors.kraken.feed import KrakenFeed, PublicStream
from src.connectors.kraken.private import private_account
from src.connectors.kraken.streams import Ports
from src.connectors.kraken.subscriptions import Subscriptions
from src.core.config_streams import KrakenStreams
from src.core.randomness import generator_for
from src.core.types import Bar
from tests.connectors.test_kraken_streams import Half
from tests.kraken.streaming import BTC, MINUTE, Stage, bought, stage, streams
from tests.settings.watched import Watch


def streaming(watch: Watch, folder: Path) -> None:
    """A feed and an account at the local exchange, and the pauses of an outage."""
    with stage() as there, ExitStack() as stack:
        settings = watch.over(streams(there.server), "kraken.streams")
        ports = Ports(there.timer, ConnectionBudget(settings.connection), 7, there.alerts.append)
        public = PublicStream((BTC,), MINUTE, settings, there.clock, ports)
        bars = [Bar(BTC, there.clock.now_ms() // MINUTE * MINUTE - MINUTE, 50000.0, 50000.0, 50000.0, 50000.0, 1.0)]
        feed = KrakenFeed(public, settings, lambda *_: bars, there.clock, there.timer, MINUTE)
        stack.callback(feed.close)
        slices = iter(feed)
        next(slices)
        there.timer.until(lambda: not feed.troubles())
        there.server.trade("BTC/USD", "50000.0")
        there.timer.until(lambda: public.market.trades[BTC] == 1)
        there.clock.moved_ms += 2 * MINUTE
        next(slices)
        _account(there, settings, ports, stack)
        there.server.faults.refuse = {("trade", "BTC/USD")}
        there.server.cut()
        there.timer.until(lambda: there.alerts)
    wanted = Subscriptions(settings.connection)
    wanted.want("trade", ("BTC/USD",))
    assert len(wanted.due(0.0)) == len(wanted.due(60.0)) == 1
    attempts = Attempts(settings.connection, generator_for(7, "y"))
    for at in range(8):
        attempts.went_down(float(at))
        attempts.pause_s()
        attempts.alarm(float(at))
    attempts.came_up(9.0)
    attempts.settled(10.0)


def _account(there: Stage, settings: KrakenStreams, ports: Ports, stack: ExitStack) -> None:
    account = private_account(Half(there.state), settings, there.clock, ports, there.state.new_token, 0)
    stack.callback(account.close)
    account.open()
    bought(there.state, "1", "50001", "ours")
    there.timer.until(lambda: (account.events(), not account.private.troubles())[1])
