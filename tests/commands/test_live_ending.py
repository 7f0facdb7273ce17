"""Live trading while it runs on and when it ends: audits, the dead man's switch, and what is under way at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest

from src.connectors.ledger_anchor import Anchor, anchors_of
from src.core.errors import InvariantError
from src.core.standing import Level
from src.core.types import OrderKind
from tests.kraken.local import LocalKraken
from tests.kraken.rest_server import Fault
from tests.kraken.session import BTC, Session, towards

LIMIT = {"kind": OrderKind.LIMIT, "limit": Decimal("40000.0")}


@pytest.fixture
def exchange() -> Iterator[LocalKraken]:
    with LocalKraken() as there:
        yield there


@contextmanager
def holding(exchange: LocalKraken, folder: Path) -> Iterator[Session]:
    """A session that has bought, with its stop resting at the exchange."""
    session = Session(exchange, folder, towards(exchange, folder))
    with session.stack:
        session.ready()
        session.send()
        session.until(lambda: session.held() and session.resting())
        yield session


def audited(session: Session) -> None:
    """Until one more audit has come to its end."""
    audit = session.trading._audit
    assert audit is not None
    done = audit.done
    audit._due_s = 0.0
    session.until(lambda: audit.done > done)


def test_p5_whoever_ends_waits_for_what_is_under_way_and_tells_what_is_left(
    exchange: LocalKraken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Session(exchange, tmp_path, towards(exchange, tmp_path))
    with session.stack:
        session.ready()
        exchange.rest.faults.append(Fault("AddOrder", "swallow"))
        session.send("0.02", **LIMIT)
        session.until(lambda: len(exchange.rest.calls("AddOrder")) == 1)
        begun = session.timer.seconds()
    took = session.timer.seconds() - begun
    assert took < session.settings.execution.settle_seconds
    assert session.broker.coordinator.unknown_orders() == []
    assert len(exchange.rest.calls("AddOrder")) == 1
    assert "left at the exchange" not in capsys.readouterr().err, "it never arrived, and nobody waits for it any more"


def test_p5_an_entry_that_fills_at_the_end_is_protected_before_it_ends(
    exchange: LocalKraken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Session(exchange, tmp_path, towards(exchange, tmp_path))
    with session.stack:
        session.ready()
        session.send()
        session.broker.ending = True  # from here on nothing is begun
        session.send("0.03", **LIMIT)
        session.until(lambda: session.broker.outcomes())
    assert [one.said["type"] for one in exchange.rest.calls("AddOrder")] == ["buy", "sell"]
    (stop,) = session.resting()
    assert (stop.ordertype, stop.qty, session.held()) == ("stop-loss", Decimal("0.01"), Decimal("0.01"))
    assert "left at the exchange: sell 0.01 BTC/USD (stop): rests there" in capsys.readouterr().err


def test_p5_what_cannot_be_settled_in_time_is_told(
    exchange: LocalKraken, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Session(exchange, tmp_path, towards(exchange, tmp_path, execution__settle_seconds=0.5))
    with session.stack:
        session.ready()
        exchange.rest.faults.append(Fault("AddOrder", "swallow"))
        session.send("0.02", **LIMIT)
        session.until(lambda: session.broker.coordinator.unknown_orders())
    said = capsys.readouterr().err
    assert "left at the exchange: buy 0.02 BTC/USD (limit): nobody knows yet what became of it, the next" in said


def test_i5_i13_an_audit_finds_a_ledger_that_says_something_else_than_what_is_traded_by(
    exchange: LocalKraken, tmp_path: Path
) -> None:
    with holding(exchange, tmp_path) as session:
        audited(session)
        assert session.standing.of(BTC) is None
        anchor = anchors_of(session.path, None).last()
        assert anchor is not None
        assert anchor.rows > 5
        books = session.broker.coordinator._register.books
        books.positions[BTC] += Decimal("0.01")
        audited(session)
        thrown = session.standing.of(BTC)
        assert thrown is not None
        assert thrown.level is Level.HALTED
        assert "records add up to something else" in thrown.reason


def test_i5_a_tail_cut_with_its_head_is_found_by_the_audit_and_by_the_next_start(
    exchange: LocalKraken, tmp_path: Path
) -> None:
    with holding(exchange, tmp_path) as session:
        audited(session)
        first = anchors_of(session.path, None).last()
        assert first is not None
        anchors_of(session.path, None).note(Anchor(first.at + 1, first.rows + 1, "ab" * 32))  # a row that is gone
        audited(session)
        thrown = session.standing.of(BTC)
        assert thrown is not None
        assert "its tail was cut off" in thrown.reason
    with pytest.raises(InvariantError, match="tail was cut off; nothing is traded on it"):
        Session(exchange, tmp_path, session.settings)


def test_the_dead_mans_switch_is_kept_alive_off_in_maintenance_and_off_at_the_end(
    exchange: LocalKraken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(exchange, tmp_path, towards(exchange, tmp_path, kraken__dead_man_seconds=15))
    with session.stack:
        session.ready()
        session.send("0.01", **LIMIT)
        asked = lambda: [one.said["timeout"] for one in exchange.rest.calls("CancelAllOrdersAfter")]  # noqa: E731
        session.until(lambda: len(asked()) == 2 and session.resting())
        assert asked() == ["15", "15"]
        assert exchange.state.cancel_all_at is not None
        exchange.state.set_status("maintenance")
        session.until(lambda: asked()[-1] == "0")
        exchange.state.set_status("online")
        session.until(lambda: asked()[-1] == "15")
    assert asked()[-1] == "0"
    assert exchange.state.cancel_all_at is None
    assert len(session.resting()) == 1, "what rests goes on resting after a good end"
