"""Kraken's REST side at work at the local one, so that it can be seen which settings it looks at."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from src.commands.exchange_feed import pairs_of
from src.connectors.kraken.build import kraken_venue
from src.connectors.kraken.download import Downloader
from src.core.clock import Timer
from src.core.config_venues import KrakenSettings
from src.core.errors import Unavailable
from src.core.timeframes import TimeRange
from src.core.venue import Acknowledged, Answered, Ask, ClientId
from tests.kraken.desk import BTC, KEY, SECRET, Desk, kraken, place
from tests.kraken.rest_server import Fault
from tests.kraken.tape import Printed, Tape
from tests.settings.watched import Watch


def ventured(watch: Watch, folder: Path) -> None:
    """An order, a cancellation, questions, refusals of all sorts, and a download."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    key.write_text(f"{KEY}\n{SECRET}\n")
    key.chmod(0o400)
    desk = Desk(folder)
    try:
        settings = kraken(desk.server.url, download__backoff_first_seconds=0.001, download__attempts=2)
        settings = watch.over(settings.model_copy(update={"key_file": str(key)}), "kraken")
        assert BTC in pairs_of(None, settings)
        desk.venue = kraken_venue(settings, folder, desk.clock, desk.timer)
        desk.venue.open()
        _trade(desk)
        _download(desk, settings, folder)
    finally:
        desk.close()


def _trade(desk: Desk) -> None:
    desk.venue.place(place("first"))
    resting = desk.next(Acknowledged)
    desk.venue.ask(1, Ask.CLOSED_ORDERS, since=0)
    desk.venue.ask(2, Ask.EXECUTIONS, since=0)
    desk.venue.ask(3, Ask.TIME)
    answered = [desk.next(Answered).number for _ in range(3)]
    assert sorted(answered) == [1, 2, 3]
    desk.venue.cancel(4, ClientId("first"), resting.venue_id, BTC)
    for text in ("EAPI:Invalid nonce", "EAPI:Rate limit exceeded", "EGeneral:Temporary lockout"):
        desk.fault("AddOrder", "error", text)
    for number in range(3):
        desk.clock.pass_ms(20_000)
        name = f"n{number}"
        desk.venue.place(place(name, deadline=desk.clock.at + 10_000))
        desk.until(lambda event, name=name: getattr(event, "client_id", "") == name)  # type: ignore[misc]


def _download(desk: Desk, settings: KrakenSettings, folder: Path) -> None:
    begin = desk.clock.at - desk.clock.at % 60_000
    times = [(begin - 300_000 + 10_000 * number) * 1_000_000 for number in range(20)]
    desk.server.public.tapes["BTC/USD"] = Tape(Printed(at, Decimal(5), Decimal(1)) for at in times)
    downloader = Downloader(desk.rest, settings, folder / "data", Timer(), lambda text: None)
    downloader.download(["BTC/USD"], ["1m"], TimeRange())
    desk.server.faults.append(Fault("AssetPairs", "refuse", times=2))
    with pytest.raises(Unavailable):
        downloader.download(["BTC/USD"], ["1m"], TimeRange())
