"""Live against the local exchange, in processes of their own over real sockets, with Kraken's kit."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from src.connectors.control import ask
from src.connectors.state_folder import find
from tests.kraken.exchange_state import OrderRow
from tests.kraken.local import LocalKraken, live, seconds

from .cli import SECONDS, Process, journal, sound

READY_SECONDS = 30.0
AMOUNT = Decimal("0.01")


@pytest.fixture
def exchange() -> Iterator[LocalKraken]:
    with LocalKraken() as there:
        yield there


def told(process: Process, command: str, **fields: Any) -> dict[str, Any]:
    return ask(find(process.state), command, SECONDS, **fields)


def ready(process: Process) -> float:
    """Seconds until it says that orders may leave."""
    begun = seconds()
    process.until(lambda answer: answer["orders"].get("ready"))
    return seconds() - begun


def stop_of(exchange: LocalKraken) -> OrderRow | None:
    """The stop that rests there."""
    return next((o for o in exchange.ours() if o.ordertype.startswith("stop") and o.status == "open"), None)


def bought(exchange: LocalKraken, process: Process) -> OrderRow:
    """A position by hand, with its stop at the exchange."""
    assert told(process, "order", pair="BTC/USD", side="buy", amount=str(AMOUNT))["ok"]
    stop: OrderRow = exchange.until(lambda: stop_of(exchange))
    return stop


def test_an_order_becomes_a_position_with_its_stop_there_and_survives_a_kill(
    exchange: LocalKraken, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with live(exchange, tmp_path) as process:
        process.line("MODE LIVE: REAL MONEY. Account kraken, key ...")
        stop = bought(exchange, process)
        process.until(lambda answer: answer["positions"].get("BTC/USD") == str(AMOUNT))
        entry = next(order for order in exchange.ours() if order.side == "buy")
        assert (entry.qty, entry.status, stop.qty) == (AMOUNT, "closed", AMOUNT)
        assert stop.trigger is not None
        assert stop.trigger < entry.average
        process.popen.kill()
        process.end()
    with live(exchange, tmp_path) as process:
        took = ready(process)
        assert took < READY_SECONDS
        process.until(lambda answer: answer["positions"].get("BTC/USD") == str(AMOUNT))
        assert [order.txid for order in exchange.ours()] == [entry.txid, stop.txid], "no double, no orphan"
        assert told(process, "flatten", pair="BTC/USD")["ok"]
        process.until(lambda answer: not answer["positions"])
        assert stop.status == "canceled"
        assert told(process, "stop")["ok"]
        process.result()
    fills = [msgspec.json.decode(body) for _, _, body in journal(state, "fill")]
    assert [(fill["side"], Decimal(fill["amount"]), fill["simulated"]) for fill in fills] == [
        ("buy", AMOUNT, False),
        ("sell", AMOUNT, False),
    ]
    assert sum((o.qty if o.side == "buy" else -o.qty for o in exchange.ours() if o.filled), Decimal(0)) == 0
    assert sound(state)
