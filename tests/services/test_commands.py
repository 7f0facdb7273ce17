"""Commands are checked, written down, and only then put and answered."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from src.core.engine import Mailbox
from src.core.errors import LedgerError, MycelialError, NotFound, UsageError
from src.core.types import Command, CommandKind, Pair, Side
from src.services.commands import command_handlers

PAIRS = (Pair("BTC/USD"), Pair("ETH/USD"))


class Run:
    """What a run offers: a journal, a mailbox, a status."""

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.journal: list[Command] = []
        self.log: list[str] = []
        self.full = False
        self.handlers = command_handlers(self._put, self._record, lambda: {"equity": Decimal("100")}, PAIRS)

    def _put(self, command: Command) -> None:
        self.log.append("put")
        self.mailbox.put(command)

    def _record(self, command: Command) -> None:
        if self.full:
            raise LedgerError("the disk is full")
        self.log.append("record")
        self.journal.append(command)

    def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        return self.handlers[name](fields)


def test_halt_is_written_down_before_it_is_put() -> None:
    run = Run()
    answer = run.ask("halt", reason="  exchange\tmaintenance ")
    expected = Command(CommandKind.HALT, "exchange maintenance", "control", level="halted")
    assert run.log == ["record", "put"]
    assert run.journal == run.mailbox.drain() == [expected]
    assert answer == {
        "command": "halt",
        "effect": "nothing leaves from now on but stops and what you ask for to get out; what waits to be bought "
        "is cancelled with the next slice, and there are no new teams; `mycelial resume REASON` lifts it",
        "reason": "exchange maintenance",
    }


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("halt", {"reduce_only": True}, Command(CommandKind.HALT, "why", "control", level="reduce_only")),
        ("halt", {"reduce_only": False}, Command(CommandKind.HALT, "why", "control", level="halted")),
        ("halt", {"pair": "ETH/USD"}, Command(CommandKind.HALT, "why", "control", PAIRS[1], level="halted")),
        ("resume", {"pair": "ETH/USD"}, Command(CommandKind.RESUME, "why", "control", PAIRS[1])),
    ],
)
def test_halts_of_a_pair_and_milder_ones(name: str, fields: dict[str, Any], expected: Command) -> None:
    run = Run()
    answer = run.ask(name, reason="why", **fields)
    assert run.mailbox.drain() == [expected]
    assert answer.get("pair") == fields.get("pair")
    assert ("exits and stops go on" in answer["effect"]) == (expected.level == "reduce_only")


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"reduce_only": "yes"}, UsageError), ({"pair": "FOO/USD"}, NotFound), ({"level": "halted"}, UsageError)],
)
def test_halts_that_are_not_understood_halt_nothing(fields: dict[str, Any], error: type[MycelialError]) -> None:
    run = Run()
    with pytest.raises(error):
        run.ask("halt", reason="why", **fields)
    assert run.journal == run.mailbox.drain() == []


def test_what_cannot_be_written_down_is_neither_put_nor_answered() -> None:
    run = Run()
    run.full = True
    with pytest.raises(LedgerError, match="the disk is full"):
        run.ask("order", pair="BTC/USD", side="buy", amount="1")
    assert run.mailbox.drain() == []


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("resume", {"reason": "over"}, Command(CommandKind.RESUME, "over", "control")),
        ("stop", {}, Command(CommandKind.STOP, "asked to stop", "control")),
        ("stop", {"reason": "update"}, Command(CommandKind.STOP, "update", "control")),
        (
            "emergency_shutdown",
            {"reason": "fire"},
            Command(CommandKind.EMERGENCY_SHUTDOWN, "fire", "control"),
        ),
        ("flatten", {}, Command(CommandKind.FLATTEN, "asked to flatten", "control")),
        ("flatten", {"pair": None}, Command(CommandKind.FLATTEN, "asked to flatten", "control")),
        ("flatten", {"pair": "ETH/USD"}, Command(CommandKind.FLATTEN, "asked to flatten", "control", PAIRS[1])),
        (
            "order",
            {"pair": "BTC/USD", "side": "sell", "amount": "0.10", "reason": "hedge"},
            Command(CommandKind.ORDER, "hedge", "control", PAIRS[0], Side.SELL, Decimal("0.10")),
        ),
        (
            "order",
            {"pair": "BTC/USD", "side": "buy", "amount": 2},
            Command(CommandKind.ORDER, "manual order", "control", PAIRS[0], Side.BUY, Decimal(2)),
        ),
    ],
)
def test_commands_as_they_reach_the_mailbox(name: str, fields: dict[str, Any], expected: Command) -> None:
    run = Run()
    answer = run.ask(name, **fields)
    assert run.mailbox.drain() == [expected]
    assert "takes effect with the next slice" in answer["effect"]


def test_an_order_is_repeated_in_the_answer() -> None:
    assert Run().ask("order", pair="BTC/USD", side="buy", amount="0.10") == {
        "command": "order",
        "effect": "passes the same gate as every order; takes effect with the next slice",
        "reason": "manual order",
        "pair": "BTC/USD",
        "side": "buy",
        "amount": "0.10",
    }


def test_status_is_told_and_written_nowhere() -> None:
    run = Run()
    assert run.ask("status") == {"equity": Decimal("100")}
    assert run.log == []
    with pytest.raises(UsageError, match="status: unknown field 'pair', it takes no fields"):
        run.ask("status", pair="BTC/USD")


@pytest.mark.parametrize("name", ["halt", "resume"])
@pytest.mark.parametrize("fields", [{}, {"reason": None}, {"reason": ""}, {"reason": " \n"}, {"reason": 7}])
def test_halt_and_resume_want_a_reason(name: str, fields: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{name}: say why, for instance `mycelial {name} 'exchange maintenance'`"):
        Run().ask(name, **fields)


def test_an_emergency_wants_a_reason_and_says_how() -> None:
    with pytest.raises(UsageError, match="say why, for instance `mycelial stop --emergency 'exchange maintenance'`"):
        Run().ask("emergency_shutdown")


@pytest.mark.parametrize("reason", ["x" * 501, "\x1b[2Jgone", "a\u202eb", "nul\0"])
def test_a_reason_is_one_printable_line(reason: str) -> None:
    with pytest.raises(UsageError, match="the reason is one printable line of at most 500 characters"):
        Run().ask("halt", reason=reason)


@pytest.mark.parametrize(
    ("given_pair", "hint"),
    [
        ("BTC/USDT", "did you mean BTC/USD?"),
        ("eth/usd", "did you mean ETH/USD?"),
        ("BTC-USD", "did you mean BTC/USD?"),
        ("X", "it trades BTC/USD, ETH/USD"),
    ],
)
def test_an_unknown_pair_is_told_the_nearest(given_pair: str, hint: str) -> None:
    for name, fields in (("flatten", {}), ("order", {"side": "buy", "amount": "1"})):
        with pytest.raises(NotFound) as missing:
            Run().ask(name, pair=given_pair, **fields)
        assert str(missing.value) == f"{name}: this run has no pair {given_pair!r}; {hint}"


def refuse_amount(amount: object) -> None:
    run = Run()
    with pytest.raises(UsageError, match=r"write a positive number of base units, for instance '0\.5'"):
        run.ask("order", pair="BTC/USD", side="buy", amount=amount)
    assert run.log == []


@pytest.mark.parametrize(
    "amount",
    [
        "0",
        "0.000",
        "-1",
        "+1",
        "NaN",
        "Infinity",
        "1e3",
        "1e999999",
        "",
        " 1",
        "1,5",
        "1_0",
        "\uff11",
        ".5",
        "5.",
        "1\n",
    ],
)
def test_an_amount_is_a_positive_plain_decimal(amount: str) -> None:
    refuse_amount(amount)


@pytest.mark.parametrize("amount", [0.5, True, None, 0, -1, [1], "9" * 19, "0." + "1" * 19])
def test_an_amount_that_is_no_text_or_too_fine_is_refused(amount: object) -> None:
    refuse_amount(amount)


@pytest.mark.parametrize("side", ["BUY", "long", "", None, 1, ["buy"]])
def test_a_side_is_buy_or_sell(side: object) -> None:
    with pytest.raises(UsageError, match="write buy or sell"):
        Run().ask("order", pair="BTC/USD", side=side, amount="1")


def test_a_field_that_is_not_understood_is_refused() -> None:
    run = Run()
    with pytest.raises(UsageError, match=r"flatten: unknown field 'pairs', did you mean 'pair'\?"):
        run.ask("flatten", pairs="BTC/USD")
    with pytest.raises(UsageError, match="order: name a pair, for instance BTC/USD"):
        run.ask("order", side="buy", amount="1")
    assert run.log == []


words = st.text("aB1.-/ \x1b\n", max_size=6) | st.sampled_from(["BTC/USD", "btc/usd", "buy", "sell", "0.5", "0"])
values = st.none() | st.booleans() | st.integers() | st.floats() | words | st.lists(words, max_size=2)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["halt", "resume", "stop", "flatten", "order", "status"]),
    st.dictionaries(st.sampled_from(["pair", "side", "amount", "reason", "x"]), values),
)
def test_whatever_comes_is_a_command_or_an_error_of_the_tree(name: str, fields: dict[str, Any]) -> None:
    run = Run()
    try:
        run.handlers[name](fields)
    except MycelialError:
        assert run.log == []
    for command in run.journal:
        assert command.reason
        assert command.amount is None or command.amount > 0
        assert command.pair in (None, *PAIRS)
