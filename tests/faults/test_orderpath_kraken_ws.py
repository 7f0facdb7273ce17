"""Rows N1 to N11 of the fault matrix: what a network and an exchange's session can do, over real sockets."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from src.connectors.kraken.attempts import Attempts
from src.core.errors import Refused
from src.core.randomness import generator_for
from src.core.venue import Acknowledged, Ended, Executed, StatusChanged, VenueStatus
from tests.kraken.proxy import Line
from tests.kraken.streaming import BTC, ETH, QUICK, Stage, bought, stage, streams

HOUR = 3600.0


@pytest.fixture
def there() -> Iterator[Stage]:
    with stage() as built:
        yield built


# --- N1: the line is cut, both ways or one ---------------------------------------------------------------------------


def test_n1_a_cut_ends_every_quote_at_once_and_all_is_reconciled_within_ten_seconds(there: Stage) -> None:
    public, private = there.public(), there.private()
    there.quoted(public)
    there.timer.until(lambda: not private.troubles())
    there.server.stop_listening()
    there.timer.until(lambda: public.stream.losses and private.stream.losses)
    assert public.market.quote(BTC) is None
    assert private.troubles()
    txid = bought(there.state, "0.5", "49000", "ours")
    there.state.fill(txid, Decimal("0.5"), Decimal("49000"))
    there.server.listen_again()
    back_s = there.timer.seconds()
    there.timer.until(lambda: not private.troubles() and not public.troubles(), 15.0)
    assert there.timer.seconds() - back_s <= 10.0
    assert there.fills(private) == ["T00000-00000-000001"]
    said = [event.connected for event in there.events if isinstance(event, StatusChanged)]
    assert said[-1] is True
    assert False in said


def test_n1_deaf_one_way_counts_as_cut(there: Stage) -> None:
    with Line(there.server.url) as line:
        public = there.public(settings=streams(there.server, url=line.url))
        there.quoted(public)
        line.mode = "deaf"
        there.timer.until(lambda: public.stream.losses)
        assert public.market.quote(BTC) is None
        assert "silent" in public.stream.last_error
        line.mode = "pass"
        there.quoted(public)


# --- N2: reset, cut in the middle of a message, slow, a flipped bit --------------------------------------------------


@pytest.mark.parametrize("mode", ["cut", "flip", "slow"])
def test_n2_a_bad_line_never_makes_a_quote(there: Stage, mode: str) -> None:
    with Line(there.server.url) as line:
        public = there.public((BTC, ETH), streams(there.server, url=line.url))
        there.timer.until(lambda: not public.troubles())
        line.mode = mode
        asked = len(there.server.subscriptions)
        there.server.level("BTC/USD", ("bids", "49999.9", "3.5"))
        again = there.server.subscriptions
        there.server.wait(lambda: any(row[1:] == ("subscribe", "book", "BTC/USD") for row in again[asked:]))
        line.mode = "pass"
        there.timer.until(lambda: not public.troubles())
        quote = public.market.quote(BTC)
        assert quote is not None
        assert quote.bid_amount == Decimal("3.5")
        assert public.stream.faults == 0


# --- N3: no such name, a certificate of nobody, an expired one -------------------------------------------------------


def test_n3_a_name_that_does_not_resolve_is_told_and_tried_again(there: Stage) -> None:
    settings = streams(there.server, url="wss://kraken.invalid")
    public = there.public(settings=settings, skip=True)
    there.timer.until(lambda: there.alerts, 20.0)
    assert "trying on" in there.alerts[0]
    assert public.troubles()[0].startswith("public stream: not connected")


@pytest.mark.parametrize(
    ("valid", "vouched"), [(True, False), (False, True), (True, True)], ids=["self-signed", "expired", "good"]
)
def test_n3_no_certificate_is_believed_that_nobody_vouches_for(
    there: Stage, tmp_path: Path, valid: bool, vouched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = made_certificate(tmp_path, valid)
    if vouched:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    there.server.serve_tls(context)
    public = there.public(settings=streams(there.server, url=there.server.tls_url), skip=True)
    if valid and vouched:
        there.quoted(public)
        return
    there.timer.until(lambda: there.alerts, 20.0)
    assert there.server.opened == 0


def made_certificate(folder: Path, valid: bool) -> Path:
    """Key and certificate of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begun = datetime(2020, 1, 1, tzinfo=UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = (
        built.serial_number(1).not_valid_before(begun).not_valid_after(begun + timedelta(days=36500 if valid else 9))
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    built = built.add_extension(address, critical=False)
    signed = built.sign(key, hashes.SHA256())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "server.pem"
    path.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return path


# --- N4: the connection drops once, and a hundred times --------------------------------------------------------------


def test_n4_one_drop_is_over_at_once(there: Stage) -> None:
    public = there.public()
    there.quoted(public)
    there.server.cut()
    there.timer.until(lambda: public.stream.losses == 1)
    there.quoted(public)
    assert (public.stream.connections, there.alerts) == (2, [])


def test_n4_a_hundred_drops_keep_the_budget_of_connections(there: Stage) -> None:
    """The pauses between are skipped; the seconds they would have taken count."""
    there.server.faults.closings = 100
    times: list[float] = []
    there.server.on_open = lambda: times.append(there.timer.seconds())
    # Pauses so short that nothing but the budget stands between us and a ban.
    public = there.public(settings=streams(there.server, QUICK | {"backoff_cap_seconds": 5.0}), skip=True)
    there.timer.until(lambda: not public.troubles(), 60.0)
    assert there.server.opened == 101
    # Ten minutes less what the way from us to the exchange's watch may differ.
    most = max(sum(1 for other in times if at <= other < at + 599.0) for at in times)
    assert most <= 30
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert min(gaps[3:]) >= 4.9
    assert sum(gaps[:2]) < 5.0


# --- N5: the exchange is away for hours ------------------------------------------------------------------------------


def test_n5_it_never_gives_up_and_tells_once_and_then_hourly(there: Stage) -> None:
    public = there.public(settings=streams(there.server, QUICK | {"backoff_cap_seconds": 600.0}), skip=True)
    there.quoted(public)
    there.server.stop_listening()
    there.timer.until(lambda: there.timer.skipped > 12 * HOUR, 60.0)
    there.server.listen_again()
    there.quoted(public)
    assert 12 <= len(there.alerts) <= 14
    assert "trying on" in there.alerts[-1]


def test_n5_the_pauses_are_those_of_the_settings(there: Stage) -> None:
    attempts = Attempts(streams(there.server).connection, generator_for(7, "pauses"))
    pauses = []
    for at in range(12):
        attempts.went_down(float(at))
        pauses.append(attempts.pause_s())
    assert pauses[:3] == [0.0, 0.0, 5.0]
    assert all(5.0 <= one <= 60.0 for one in pauses[2:])
    assert len(set(pauses[6:])) == 6
    again = Attempts(streams(there.server).connection, generator_for(7, "pauses"))
    for at in range(12):
        again.went_down(float(at))
        assert again.pause_s() == pauses[at]


# --- N6: a gap in the numbers of the executions ----------------------------------------------------------------------


def test_n6_a_lost_message_is_asked_for_again(there: Stage) -> None:
    private = there.private()
    txid = bought(there.state, "3", "49000", "ours")
    there.timer.until(lambda: not private.troubles())
    there.timer.until(lambda: any(isinstance(event, Acknowledged) for event in there.drained(private)))
    there.server.faults.drop_reports = 1
    there.state.fill(txid, Decimal(1), Decimal("49000"))
    there.state.fill(txid, Decimal(1), Decimal("48999"))
    there.timer.until(lambda: len(there.fills(private)) == 2 and private.executions.reconciled)
    assert sorted(there.fills(private)) == ["T00000-00000-000001", "T00000-00000-000002"]
    assert private.executions.counts["gap_sequence"] == 1
    assert there.asked == [], "the snapshot told the missing one: the history, the dearest question, is not needed"
    assert [row[1:3] for row in there.server.subscriptions[-2:]] == [
        ("unsubscribe", "executions"),
        ("subscribe", "executions"),
    ]
    there.state.fill(txid, Decimal(1), Decimal("48998"))
    there.timer.until(lambda: any(isinstance(event, Ended) for event in there.drained(private)))
    assert len(there.fills(private)) == len(set(there.fills(private))) == 3


def test_n6_a_back_fill_that_fails_is_done_again_and_nothing_is_reconciled_before(there: Stage) -> None:
    refusals = [Refused("busy"), Refused("busy")]

    def failing(since: int) -> list[Executed]:
        if refusals:
            raise refusals.pop()
        return list(there.history(since))

    txid = bought(there.state, "51", "49000", "ours")
    for _ in range(51):  # more than a snapshot holds
        there.state.fill(txid, Decimal(1), Decimal("49000"))
    private = there.private(back_fill=failing)
    there.timer.until(lambda: not private.troubles())
    assert len(there.fills(private)) == 51
    assert private.executions.counts["back_fill_failed"] == 2


# --- N7: the book's checksum -----------------------------------------------------------------------------------------


def test_n7_a_flipped_level_makes_the_book_unusable_until_a_new_snapshot(there: Stage) -> None:
    public = there.public((BTC, ETH))
    there.timer.until(lambda: not public.troubles())
    there.server.faults.unanswered.add("book")
    there.server.level("BTC/USD", ("asks", "50000.1", "7"), flip=True)
    there.timer.until(lambda: public.market.quote(BTC) is None)
    assert public.market.quote(ETH) is not None
    assert public.troubles() != []
    there.server.faults.unanswered.clear()
    cut_s = there.timer.seconds()
    there.quoted(public)
    assert there.timer.seconds() - cut_s <= 5.0
    quote = public.market.quote(BTC)
    assert quote is not None
    assert quote.ask_amount == 7
    assert public.market.counts()["checksum"] == 1
    assert (public.stream.connections, public.stream.losses) == (1, 0)


# --- N8: connected, and no data --------------------------------------------------------------------------------------


def test_n8_a_heartbeat_is_no_fresh_price(there: Stage) -> None:
    public = there.public((BTC, ETH))
    there.timer.until(lambda: not public.troubles())
    there.clock.moved_ms += 31_000
    assert public.market.quote(BTC) is None
    assert sorted(public.troubles()) == ["BTC/USD: stale", "ETH/USD: stale"]
    there.server.level("ETH/USD", ("bids", "2999.99", "5"))
    there.timer.until(lambda: public.market.quote(ETH) is not None)
    assert public.troubles() == ["BTC/USD: stale"]
    assert public.stream.losses == 0


def test_n8_a_connection_that_says_nothing_is_dead(there: Stage) -> None:
    public = there.public()
    there.quoted(public)
    there.server.faults.silent = True
    there.timer.until(lambda: public.stream.losses)
    there.server.faults.silent = False
    there.quoted(public)


# --- N9: a subscription is refused after a reconnect -----------------------------------------------------------------


def test_n9_a_refused_subscription_is_not_forgotten(there: Stage) -> None:
    public = there.public((BTC, ETH))
    there.timer.until(lambda: not public.troubles())
    there.server.faults.refuse = {("trade", "ETH/USD")}
    there.server.cut()
    there.timer.until(lambda: there.alerts)
    refused = "public stream: not subscribed: trade ETH/USD: Currency pair not supported ETH/USD"
    there.timer.until(lambda: list(public.troubles()) == [refused])
    again = there.server.subscriptions
    there.server.wait(lambda: [row[1:] for row in again].count(("subscribe", "trade", "ETH/USD")) >= 5)
    assert len(there.alerts) == 1
    assert there.alerts[0].endswith("trade ETH/USD refused: Currency pair not supported ETH/USD")
    there.server.faults.refuse = set()
    there.timer.until(lambda: not public.troubles())


def test_n9_a_subscription_that_nobody_answers_is_asked_for_again(there: Stage) -> None:
    there.server.faults.unanswered = {"trade"}
    public = there.public()
    asked = ("subscribe", "trade", "BTC/USD")
    there.server.wait(lambda: sum(row[1:] == asked for row in there.server.subscriptions) >= 2)
    assert "public stream: not subscribed: trade BTC/USD" in public.troubles()
    there.server.faults.unanswered = set()
    there.timer.until(lambda: not public.troubles())


# --- N10: tokens -----------------------------------------------------------------------------------------------------


def test_n10_every_connection_has_a_token_of_its_own(there: Stage) -> None:
    private = there.private()
    there.timer.until(lambda: not private.troubles())
    for number in range(2):
        there.server.cut()
        there.timer.until(lambda number=number: private.stream.losses > number and not private.troubles())
    assert len(there.server.tokens) == len(set(there.server.tokens)) == 3


def test_n10_an_expired_token_is_refused_and_the_next_connection_has_a_new_one(there: Stage) -> None:
    old = there.state.new_token()
    there.state.tokens[old] -= 16 * 60_000
    tokens = [old]
    private = there.private(token=lambda: tokens.pop() if tokens else there.state.new_token())
    there.timer.until(lambda: there.alerts)
    assert there.alerts[0].endswith("executions refused: EAuth:Invalid session")
    assert private.troubles() != []
    there.timer.until(lambda: not private.troubles())


def test_n10_no_token_reaches_a_log(there: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    private = there.private()
    there.timer.until(lambda: not private.troubles())
    there.server.cut()
    there.timer.until(lambda: private.stream.losses and not private.troubles())
    assert there.server.tokens
    assert not any(token in caplog.text for token in there.server.tokens)


# --- N11: more fills were missed than a snapshot holds ---------------------------------------------------------------


def test_n11_two_hundred_missed_fills_come_from_the_history(there: Stage) -> None:
    private = there.private()
    txid = bought(there.state, "201", "49000", "ours")
    there.timer.until(lambda: not private.troubles())
    there.state.fill(txid, Decimal(1), Decimal("49000"))
    there.timer.until(lambda: len(there.fills(private)) == 1)
    there.server.stop_listening()
    there.timer.until(lambda: private.stream.losses)
    for _ in range(199):
        there.state.fill(txid, Decimal(1), Decimal("49000"))
    there.server.listen_again()
    there.timer.until(lambda: not private.troubles(), 15.0)
    fills = there.fills(private)
    assert len(fills) == len(set(fills)) == 200
    there.state.fill(txid, Decimal(1), Decimal("49000"))
    there.timer.until(lambda: any(isinstance(event, Ended) for event in there.drained(private)))
    ended = next(event for event in there.events if isinstance(event, Ended))
    assert (ended.filled, len(there.fills(private))) == (Decimal(201), 201)


def test_the_state_of_the_exchange_is_told_at_once(there: Stage) -> None:
    private = there.private()
    there.timer.until(lambda: not private.troubles())
    there.state.set_status("cancel_only")
    changed = StatusChanged
    there.timer.until(
        lambda: any(isinstance(e, changed) and e.status is VenueStatus.CANCEL_ONLY for e in there.drained(private))
    )
