"""Why an order is what it is: on the tape, over both buses, to the last digit; and when the record is not true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.redis_bus import RedisBus
from src.connectors.story_files import read_story
from src.core.clock import SimClock, Timer, iso
from src.core.errors import InvariantError, NotFound, UsageError
from src.core.history import BarColumns, History, align
from src.core.messages import BaselineIdea, Message, MycelialIdea
from src.core.ports import Bus, Origin, Row
from src.core.story import Story
from src.core.types import Command, CommandKind, Side
from src.services.explain import why
from src.services.explain_not import why_not
from tests.golden import tape
from tests.stories import kinds, told, write
from tests.walked import Walk, crashing
from tests.worlds import settings

ANALYSTS = [f"analyst-BTC/USDT-{number}" for number in (1, 2, 3)]
"""All three see an oversold pair: two would do, so none of them is decisive."""


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedValkey]:
    found = EmbeddedValkey(0, settings().bus.connect_timeout_seconds)
    yield found
    found.close()


def orders(story: Story, reason: str) -> list[str]:
    return [order.id for order in story.orders.values() if order.reason == reason]


@pytest.mark.parametrize("bus", ["local", "embedded"])
def test_an_entry_is_explained_by_its_messages(bus: str, server: EmbeddedValkey, tmp_path: Path) -> None:
    seen: list[tuple[Origin, Message]] = []

    def make(clock: SimClock) -> Bus:
        return RedisBus(server.url, clock, settings().bus, producer="tape", epoch=4, timer=Timer())

    walk = Walk(make_bus=None if bus == "local" else make)
    for pattern in ("baseline-trade-ideas:*", "mycelial-trade-ideas"):
        walk.bus.subscribe(pattern, lambda message: seen.append((walk.bus.origin(), message)), "witness")
    walk.all()
    story = told(walk, tmp_path)
    (entry,) = orders(story, "entry")
    found = why(story, entry[:8])
    at = tape.closed_at(45)
    assert found["order"]["id"] == entry
    assert found["order"]["at"] == iso(at)
    assert found["intent"] == {"side": "buy", "edge": 0.02, "horizon": 6, "score": 0.9}
    here = {type(message): origin for origin, message in seen if message.at == at}
    for name, kind in (("baseline", BaselineIdea), ("swarm", MycelialIdea)):
        assert found[name]["message"] == msgspec.to_builtins(here[kind])
        assert found[name]["age_ms"] == 0
    producer, epoch = ("local", 1) if bus == "local" else ("tape", 4)
    assert (here[BaselineIdea].producer, here[BaselineIdea].epoch) == (producer, epoch)
    assert here[MycelialIdea].seq > here[BaselineIdea].seq > 0
    assert [vote["analyst"] for vote in found["baseline"]["votes"] if vote["side"] == "buy"] == ANALYSTS
    assert found["replay"] == {"reproduces": True, "decisive": list(tape.SPEAKERS)}
    assert found["data"]["bar_age_ms"] == 0
    assert found["data"]["close"] == 92.5
    assert {moat["status"] for moat in found["data"]["moats"].values()} == {"NO_DATA"}
    assert [one["gate"] for one in found["gates"]] == [
        "rule_of_3", "learners", "window_ms", "same_side", "trader_halted", "edge_against_cost", "memory",
        "supervisor", "bad_amount", "halted", "bus_down", "drawdown", "stale_data", "position_open", "order_open",
        "max_positions", "insufficient_cash", "not_active", "daily_loss", "loss_streak", "reject_ratio", "slippage",
        "unknown_orders", "orders_per_minute", "orders_per_day", "manual_orders_per_day", "messages_per_minute",
        "messages_per_day", "open_orders", "duplicate", "self_cross", "price_collar", "order_notional",
        "position_notional", "gross_exposure", "asset_exposure", "correlated_exposure",
    ]  # fmt: skip
    assert all(one["passed"] for one in found["gates"])
    by_name = {one["gate"]: (one["figure"], one["limit"]) for one in found["gates"]}
    assert by_name["edge_against_cost"] == (0.02, 0.0072)
    # 10.81081081 x 92.5 x 1.0036
    assert by_name["insufficient_cash"] == ("1003.59999992", "10000")
    assert found["size"] == {"multiplier": "1", "stage": None}
    (fill,), (trade,) = found["outcome"]["fills"], found["outcome"]["trades"]
    assert (fill["at"], fill["price"]) == (iso(tape.closed_at(46)), "92.5")
    assert trade["profit"] == "4.7568"
    walk.house.close()


def test_a_horizon_explains_itself(tmp_path: Path) -> None:
    story = told(Walk().all(), tmp_path)
    (entry,), (left,) = orders(story, "entry"), orders(story, "horizon")
    found = why(story, left)
    assert found["exit"] == {
        "reason": "horizon", "entry": entry, "entered": iso(tape.closed_at(45)), "leave_at": iso(tape.closed_at(51)),
    }  # fmt: skip
    assert [one["gate"] for one in found["gates"]] == [
        "supervisor",
        "bad_amount",
        "nothing_to_close",
        "not_active",
        "duplicate",
    ]
    assert found["outcome"]["trades"][0]["profit"] == "4.7568"


def test_a_stop_explains_itself(tmp_path: Path) -> None:
    close = tape.closes()
    close[47:] = 80.0
    walk = Walk(history=_with(close)).all()
    story = told(walk, tmp_path)
    (entry,) = orders(story, "entry")
    found = why(story, f"{entry}-stop")
    assert found["exit"] == {
        "reason": "stop", "entry": entry, "entry_price": "92.5", "stop_ratio": "0.05", "trigger": "87.875",
    }  # fmt: skip
    assert found["order"]["kind"] == "stop"
    assert found["outcome"]["trades"][0]["exit_reason"] == "stop"
    assert why(story, entry)["order"]["id"] == entry, "an entry's id is no ambiguous beginning of its stop's"


def _with(close: np.ndarray) -> History:
    opening = np.concatenate([[100.0], close[:-1]])
    opened = tape.START + tape.HOUR * np.arange(len(close), dtype=np.int64)
    high, low = np.maximum(opening, close) + 0.25, np.minimum(opening, close) - 0.25
    return align({tape.PAIR: BarColumns(opened, opening, high, low, close, np.full(len(close), 1e3))}, tape.HOUR)


@pytest.mark.parametrize(("learners", "needed"), [(3, ["a", "b", "c"]), (5, [])])
def test_an_opposite_idea_explains_itself(learners: int, needed: list[str], tmp_path: Path) -> None:
    selling = {"side": Side.SELL, "learners": tuple("abcde"[:learners])}
    walk = Walk(kinds=kinds({45: {}, 48: selling})).all()
    story = told(walk, tmp_path)
    (left,) = orders(story, "opposite_idea")
    found = why(story, left)
    assert found["exit"]["wished_by"] == "mycelial"
    assert found["order"]["at"] == iso(tape.closed_at(48))
    assert found["swarm"]["side"] == "sell"
    assert found["replay"]["decisive"] == needed


def test_an_order_beyond_a_limit_of_the_account_shows_value_and_limit(tmp_path: Path) -> None:
    story = told(Walk(limits__max_order_quote=999).all(), tmp_path)
    (denied,) = story.reviews
    last = why(story, denied)["gates"][-1]
    assert last == {"gate": "order_notional", "passed": False, "figure": "999.99999992", "limit": "999"}
    stopped = why_not(story, tape.PAIR, iso(tape.closed_at(45)))
    assert stopped["stopped_by"] == "order_notional"
    assert "999.99999992 against a limit of 999" in stopped["says"]
    (line,) = [line for line in story.lines if line["kind"] == "refusal"]
    assert (line["reason"], line["value"], line["limit"]) == ("order_notional", "999.99999992", "999")


def test_a_denied_order_names_the_control(tmp_path: Path) -> None:
    walk = Walk(account__entry_equity_ratio=1.0).all()
    story = told(walk, tmp_path)
    assert story.orders == {}
    (denied,) = story.reviews
    found = why(story, denied)
    last = found["gates"][-1]
    assert (last["gate"], last["passed"]) == ("insufficient_cash", False)
    assert found["outcome"]["refused"] == "insufficient_cash"


def test_an_order_by_hand_names_the_command(tmp_path: Path) -> None:
    walk = Walk()
    walk.until(10)
    walk.put(Command(CommandKind.ORDER, "to try it", "control", tape.PAIR, Side.BUY, walk.amount, "x"))
    story = told(walk.all(), tmp_path)
    (manual,) = orders(story, "manual")
    assert why(story, manual)["command"] == {"kind": "order", "reason": "to try it", "source": "control"}


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [
        ("messages", b'"edge":0.02', b'"edge":0.03', "edge was 0.02, its messages give 0.03"),
        ("messages", b'"edge":0.02', b'"edge":0.001', "its messages come to edge_below_cost"),
        ("messages", b'"learner-c"]', b'"learner-d"]', "learners was"),
        ("messages", b'"side":"buy"', b'"side":"sell"', "come to nothing"),
        ("review", b'"halted":""', b'"halted":"x"', "halted objects"),
        ("review", b'"denied":""', b'"denied":"drawdown"', "no control objects"),
    ],
)
def test_a_record_that_contradicts_itself_is_told(kind: str, old: bytes, new: bytes, said: str, tmp_path: Path) -> None:
    walk = Walk().all()
    assert any(row.kind == kind and old in row.body for row in walk.ledger.written)
    walk.ledger.written[:] = [
        Row(row.at, row.kind, row.key, row.body.replace(old, new)) if row.kind == kind else row
        for row in walk.ledger.written
    ]
    story = told(walk, tmp_path)
    with pytest.raises(InvariantError, match=said) as error:
        why(story, orders(story, "entry")[0])
    assert error.value.exit_code == 6


def test_what_cannot_be_found(tmp_path: Path) -> None:
    story = told(crashing().all(), tmp_path)
    with pytest.raises(NotFound, match="no order 'nobody'"):
        why(story, "nobody")
    with pytest.raises(NotFound):
        why(story, "")
    twins = {f"ab{number}": next(iter(story.orders.values())) for number in range(7)}
    with pytest.raises(UsageError, match="fits ab0, ab1, ab2, ab3, ab4 and 2 more"):
        why(msgspec.structs.replace(story, orders=twins), "ab")


def test_a_damaged_ledger_is_a_check_that_failed(tmp_path: Path) -> None:
    walk = Walk().all()
    path = write(walk, tmp_path)
    with pytest.raises(NotFound):
        read_story(tmp_path / "nothing", walk.tree.ledger)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 4096] = b"\xff" * 4096
    path.write_bytes(raw)
    with pytest.raises(InvariantError, match=r"damaged|changed after it was written"):
        read_story(path, walk.tree.ledger)
    path.write_bytes(b"")
    with pytest.raises(InvariantError, match="empty"):
        read_story(path, walk.tree.ledger)


def test_the_answer_is_plain_json(tmp_path: Path) -> None:
    story = told(Walk().all(), tmp_path)
    for order in story.orders:
        assert json.loads(msgspec.json.encode(why(story, order)))
