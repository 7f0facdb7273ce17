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
from tests.kraken.exchange_state import ALL_RIGHTS, Happening, OrderRow
from tests.kraken.local import LocalKraken, licensed, live, seconds, stated

from .cli import SECONDS, Process, Say, journal, refused, sound

READY_SECONDS = 30.0
AMOUNT = Decimal("0.01")


@pytest.fixture
def exchange() -> Iterator[LocalKraken]:
    with LocalKraken() as there:
        yield there


def told(process: Process, command: str, **fields: Any) -> dict[str, Any]:
    return ask(find(process.state), command, SECONDS, **fields)


def ready(process: Process) -> float:
    """Seconds from its first word, so that a busy machine's imports do not count, until orders may leave."""
    process.line("^start-up 1/")
    begun = seconds()
    process.until(lambda answer: answer["orders"].get("ready"))
    return seconds() - begun


def stop_of(exchange: LocalKraken) -> OrderRow | None:
    """The stop that rests there."""
    return next((o for o in exchange.ours() if o.ordertype.startswith("stop") and o.status == "open"), None)


def killed_when(exchange: LocalKraken, process: Process, exec_type: str) -> None:
    """It dies at the very moment in which the exchange says that of an order of ours: no answer ever arrives."""

    def listen(happening: Happening) -> None:
        if happening.exec_type == exec_type and happening.order.cl_ord_id:
            process.popen.kill()

    forget = exchange.state.subscribe(listen)
    try:
        process.end()
    finally:
        forget()


def held(exchange: LocalKraken) -> Decimal:
    """What our orders there add up to."""
    return sum((o.filled if o.side == "buy" else -o.filled for o in exchange.ours()), Decimal(0))


def fills(state: Path) -> list[tuple[str, Decimal, bool]]:
    """Side, amount, and whether it was made up, of what the portfolio took in."""
    rows = [msgspec.json.decode(body) for _, _, body in journal(state, "fill")]
    return [(row["side"], Decimal(row["amount"]), row["simulated"]) for row in rows]


@pytest.mark.long
def test_an_order_survives_a_kill_before_its_answer_and_nothing_is_doubled_or_orphaned(
    exchange: LocalKraken, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with live(exchange, tmp_path) as process:
        process.line("MODE LIVE: REAL MONEY. Account kraken, key ...")
        assert told(process, "order", pair="BTC/USD", side="buy", amount=str(AMOUNT))["ok"]
        killed_when(exchange, process, "new")
    with live(exchange, tmp_path) as process:
        assert ready(process) < READY_SECONDS
        process.until(lambda answer: answer["positions"].get("BTC/USD") == str(AMOUNT))
        stop: OrderRow = exchange.until(lambda: stop_of(exchange))
        (entry,) = (order for order in exchange.ours() if order.side == "buy")
        assert (entry.qty, entry.status, stop.qty) == (AMOUNT, "closed", AMOUNT)
        assert stop.trigger is not None
        assert stop.trigger < entry.average
        assert told(process, "halt", reason="enough")["ok"]
        sent = len(exchange.rest.calls("AddOrder"))
        assert told(process, "order", pair="ETH/USD", side="buy", amount="0.1")["ok"]
        process.until(lambda answer: answer["refusals"].get("halted", 0) > 0)
        assert len(exchange.rest.calls("AddOrder")) == sent, "something left after the halt was answered"
        assert told(process, "resume", reason="it is over")["ok"]
        assert told(process, "flatten", pair="BTC/USD")["ok"]
        process.until(lambda answer: not answer["positions"])
        assert stop.status == "canceled"
        assert told(process, "stop")["ok"]
        process.result()
    assert [order.side for order in exchange.ours()] == ["buy", "sell", "sell"], "entry, stop, exit and no other"
    assert held(exchange) == 0
    assert fills(state) == [("buy", AMOUNT, False), ("sell", AMOUNT, False)]
    assert sound(state)


@pytest.mark.long
@pytest.mark.parametrize("moment", ["pending_new", "trade", "filled", "canceled"])
def test_a_kill_at_any_moment_of_an_order_leaves_what_the_exchange_has(
    exchange: LocalKraken, tmp_path: Path, moment: str
) -> None:
    with live(exchange, tmp_path) as process:
        ready(process)
        assert told(process, "order", pair="BTC/USD", side="buy", amount=str(AMOUNT))["ok"]
        if moment == "canceled":  # of the stop, which makes room for the exit
            exchange.until(lambda: stop_of(exchange))
            assert told(process, "flatten", pair="BTC/USD")["ok"]
        killed_when(exchange, process, moment)
    with live(exchange, tmp_path) as process:
        assert ready(process) < READY_SECONDS
        process.until(lambda answer: Decimal(answer["positions"].get("BTC/USD", "0")) == held(exchange))
        stop = exchange.until(lambda: stop_of(exchange))
        assert stop.qty == held(exchange) == AMOUNT
        assert len([order for order in exchange.ours() if order.side == "buy"]) == 1
        process.popen.terminate()
        process.result()
        assert f"left at the exchange: sell {AMOUNT} BTC/USD (stop): rests there" in process.stderr
    assert sound(tmp_path / "state")


@pytest.mark.long
def test_m6_a_pair_that_was_delisted_while_it_was_held_stays_in_the_books_and_the_others_are_traded(
    exchange: LocalKraken, tmp_path: Path
) -> None:
    eth = Decimal("0.1")
    with live(exchange, tmp_path) as process:
        ready(process)
        assert told(process, "order", pair="ETH/USD", side="buy", amount=str(eth))["ok"]
        exchange.until(lambda: stop_of(exchange))
        process.popen.kill()
        process.end()
    exchange.state.delist("ETH/USD")  # its stop goes with it
    exchange.rested()
    with live(exchange, tmp_path) as process:
        process.line("^ETH/USD is not listed at kraken any more")
        ready(process)
        assert told(process, "order", pair="BTC/USD", side="buy", amount=str(AMOUNT))["ok"]
        stop: OrderRow = exchange.until(lambda: stop_of(exchange))
        assert (stop.symbol, stop.qty) == ("BTC/USD", AMOUNT)
        sent, begun = len(exchange.rest.calls("AddOrder")), len(journal(tmp_path / "state", "decisions"))
        told(process, "order", pair="ETH/USD", side="sell", amount=str(eth))

        def refusals() -> list[bytes]:
            rows = [body for _, _, body in journal(tmp_path / "state", "decisions")[begun:]]
            return [body for body in rows if b"ETH/USD" in body and b"refusal" in body]

        answer = process.until(lambda answer: answer["positions"].get("BTC/USD") == str(AMOUNT) and bool(refusals()))
        assert b'"reason":"venue_not_online"' in refusals()[0]
        assert Decimal(answer["positions"]["ETH/USD"]) == eth
        assert len(exchange.rest.calls("AddOrder")) == sent
        process.popen.terminate()
        process.result()
    assert sound(tmp_path / "state")


@pytest.mark.parametrize(
    ("leave_out", "said"),
    [
        ("--mode", "but --mode live is not given"),
        ("run", "a file of yours has to say"),
        ("kraken", "names no key"),
        ("limits", "takes no limits from the shipped file"),
    ],
)
def test_g3_each_of_the_facts_has_to_agree(say: Say, tmp_path: Path, leave_out: str, said: str) -> None:
    words = ("--bus", "local", "--pairs", "BTC/USD")
    config = stated(tmp_path, leave_out)
    licensed(tmp_path, words)
    mode = () if leave_out == "--mode" else ("--mode", "live")
    refused(say("run", *mode, *config, *words), 4, said)


def test_a_key_that_can_withdraw_is_refused_at_the_start(say: Say, tmp_path: Path) -> None:
    with LocalKraken(ALL_RIGHTS | {"withdraw-funds"}) as exchange:
        config = stated(tmp_path)
        licensed(tmp_path, exchange.words)
        refused(say("run", "--mode", "live", *config, *exchange.words), 4, "the key can withdraw")
        assert not exchange.rest.calls("AddOrder")
