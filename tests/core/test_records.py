"""The written form of decisions, orders, fills and trades."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.core import records
from src.core.canonical import encode
from src.core.types import Decision, Side, Stream, Trade
from tests.money import BTC, closed_at, fill, order


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("0E-8", "0"),
        ("-0.00000000", "0"),
        ("1E+3", "1000"),
        ("1000", "1000"),
        ("1E-8", "0.00000001"),
        ("100.50000000", "100.5"),
        ("-4.75680000", "-4.7568"),
    ],
)
def test_plain_has_neither_exponent_nor_trailing_zeros(amount: str, text: str) -> None:
    assert records.plain(Decimal(amount)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8))
def test_plain_loses_nothing(amount: Decimal) -> None:
    text = records.plain(amount)
    assert Decimal(text) == amount
    assert "E" not in text


def test_an_order_without_stop_and_horizon_does_not_mention_them() -> None:
    fields = records.order_fields(order(Side.SELL, "1.50"))
    assert fields == {
        "id": f"{BTC}-sell-{closed_at(0)}",
        "pair": BTC,
        "side": "sell",
        "amount": "1.5",
        "kind": "market",
        "at": "2021-01-01T01:00:00.000Z",
        "reference": "100",
        "reason": "exit",
    }
    entry = records.order_fields(order(stop="0.05", leave_at=closed_at(5)))
    assert (entry["stop"], entry["leave_at"]) == ("0.05", "2021-01-01T06:00:00.000Z")


def test_a_fill_has_all_its_money() -> None:
    fields = records.fill_fields(fill(Side.BUY, "2", "100.0", "0.52000000", "0.20000000"))
    assert [fields[name] for name in ("amount", "price", "fee", "slippage")] == ["2", "100", "0.52", "0.2"]
    assert (fields["side"], fields["final"], fields["simulated"]) == ("buy", True, True)
    assert fields["at"] == "2021-01-01T02:00:00.000Z"


def test_a_trade_has_all_its_money() -> None:
    ten = Decimal("10.0")
    trade = Trade("t-1", Stream.BASELINE, BTC, ten, 0, 1, ten, ten, ten, ten, -ten, Decimal("-0.5"), "stop")
    fields = records.trade_fields(trade)
    assert (fields["id"], fields["stream"], fields["profit"], fields["profit_ratio"]) == (
        "t-1",
        "baseline",
        "-10",
        "-0.5",
    )
    assert (fields["entry_at"], fields["exit_at"]) == ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.001Z")
    assert "score" not in fields


def test_a_decision_leaves_out_what_does_not_apply() -> None:
    assert records.decision_fields(Decision(0, "halt", reason="why")) == {
        "at": "1970-01-01T00:00:00.000Z",
        "kind": "halt",
        "reason": "why",
    }
    full = Decision(0, "idea", BTC, Side.BUY, None, "baseline", {"score": 0.8, "voters": ["a", "b"]})
    assert records.decision_fields(full) == {
        "at": "1970-01-01T00:00:00.000Z",
        "kind": "idea",
        "score": 0.8,
        "voters": ["a", "b"],
        "pair": BTC,
        "side": "buy",
        "source": "baseline",
    }


def test_rows_have_a_key_of_their_kind_and_a_canonical_body() -> None:
    row = records.row(5, "mark", "5", {"b": 1, "a": "x"})
    assert (row.at, row.kind, row.key) == (5, "mark", "mark:5")
    assert row.body == b'{"a":"x","b":1}'
    state = records.state_row("o-1", BTC, "filled", 7)
    assert (state.at, state.key) == (7, "order:o-1:filled:7")
    assert msgspec.json.decode(state.body) == {"id": "o-1", "pair": BTC, "state": "filled"}
    assert records.row(5, "order", "o", order()).body == records.row(5, "order", "o", order()).body


@pytest.mark.parametrize("kind", [records.IDEA, "order"])
@pytest.mark.parametrize("reason", [None, "a reason"])
@pytest.mark.parametrize(
    "detail",
    [
        {"score": 0.5, "voters": ["a", "b"]},
        {"score": 0.5, "voters": ["a"], "edge": 0.01, "horizon": 3},
        {"score": 0.5, "voters": [], "edge": 0.01},
        {"score": 0.5, "voters": ["a"], "horizon": 3, "further": 1},
        {"score": 0.5, "voters": ["a"], "edge": None},
        {"score": None, "voters": None},
        {"score": 0.5},
        {},
    ],
)
def test_a_line_is_the_canonical_form_of_the_fields(kind: str, reason: str | None, detail: dict[str, Any]) -> None:
    decisions = [
        Decision(closed_at(3), kind, BTC, Side.BUY, reason, "mycelial", detail),
        Decision(closed_at(3), kind, reason=reason, detail=detail),
    ]
    assert records.decision_lines(decisions) == tuple(encode(records.decision_fields(one)) for one in decisions)
