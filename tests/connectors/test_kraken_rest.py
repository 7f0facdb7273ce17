"""Kraken's words and numbers, and each REST endpoint against the local Kraken through the SDK."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread

import pytest
from kraken.base_api import SpotClient
from kraken.spot import Market, Trade, User

from src.connectors.config_files import config_sha256, describe, load
from src.connectors.kraken.build import kraken_venue
from src.connectors.kraken.errors import KrakenTrouble, Verdict, classify
from src.connectors.kraken.listing import Listings
from src.connectors.kraken.nonce import NonceFile, Nonces
from src.connectors.kraken.numbers import decimal, milliseconds, price_of
from src.connectors.kraken.numbers import load as load_json
from src.connectors.kraken.offset import Offset
from src.connectors.kraken.orders import execution_of, is_client_id, order_of, parameters
from src.connectors.kraken.rest import KeyRights, KrakenRest
from src.connectors.kraken.symbols import STANDARD, asset_of, pair_of_wsname
from src.connectors.kraken.wire import Wire, _session
from src.connectors.venues.events import VenueEvents
from src.connectors.venues.keys import ApiKey
from src.connectors.venues.worker import Worker
from src.core.clock import Timer
from src.core.errors import ConfigError, LedgerError, Malformed, Unconfigured
from src.core.names import Pair, Side
from src.core.orders import OrderKind
from src.core.venue import ClientId, OrderState, StatusChanged, VenueStatus
from tests.kraken.desk import KEY, SECRET, START, Desk, kraken, order, place
from tests.kraken.tape import Printed, Tape

# --- numbers, names, errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("0.01000000", "0.01"), ("1705259439.563000", "1705259439.563"), (5, "5"), (Decimal("1.50"), "1.5"),
     ("-3", "-3"), ("1e-7", "0.0000001"), ("0", "0")],
)  # fmt: skip
def test_numbers_are_read_exactly_as_text_or_number(value: object, wanted: str) -> None:
    assert decimal(value, "x") == Decimal(wanted)


@pytest.mark.parametrize(
    "value",
    ["NaN", "Infinity", "-inf", "0x1", "", " 1", "1 ", "1_000", "1,5", "--1", "1e999", "٣", True, False, None, [], {},
     1.5, "9" * 50, Decimal("NaN"), Decimal("Infinity"), "1.", ".5", "1\n"],
)  # fmt: skip
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(Malformed, match="x is"):
        decimal(value, "x")


def test_json_numbers_stay_exact_and_nan_is_none() -> None:
    assert load_json(b'{"a":0.1,"b":1705259439.563}') == {"a": Decimal("0.1"), "b": Decimal("1705259439.563")}
    for text in (b"NaN", b'{"a":Infinity}', b"{", b"<html>", b"\xff", b'{"a":1e999}'):
        with pytest.raises(Malformed):
            load_json(text)
    assert milliseconds("1705259439.5639999", "t") == 1705259439563
    assert (price_of("0.00000", "p"), price_of(0, "p"), price_of("1.5", "p")) == (None, None, Decimal("1.5"))
    with pytest.raises(Malformed, match="no price"):
        price_of("-1", "p")


@pytest.mark.parametrize(
    ("code", "asset"),
    [("XXBT", "BTC"), ("XBT", "BTC"), ("ZUSD", "USD"), ("USD", "USD"), ("XDG", "DOGE"), ("XXDG", "DOGE"),
     ("XETH", "ETH"), ("ETH.F", "ETH"), ("XBT.M", "BTC"), ("USD.HOLD", "USD"), ("DOT.S", "DOT"), ("XTZ", "XTZ"),
     ("USDT", "USDT"), ("ZEUR", "EUR"), ("EUR.F", "EUR"), ("CHF", "CHF"), ("MOON", None), ("XMOON", None),
     ("ETH.X", None), ("", None), ("ETH.", None), ("ETH.F.F", None), ("zusd", None), ("ZZUSD", None)],
)  # fmt: skip
def test_asset_codes_by_table(code: str, asset: str | None) -> None:
    if asset is None:
        with pytest.raises(Malformed, match="no asset that is known"):
            asset_of(code)
    else:
        assert asset_of(code) == asset


def test_pairs_by_table_both_ways() -> None:
    for name in ("XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD"):
        assert STANDARD.pair(name) == "BTC/USD"
    assert STANDARD.names(Pair("DOGE/USD")).altname == "XDGUSD"
    assert STANDARD.names(Pair("ETH/BTC")).wsname == "ETH/XBT"
    for name in ("XBTUSX", "BTCUSD", "btc/usd", "", "XXBTZUSD.d"):
        with pytest.raises(Malformed, match="name of no pair"):
            STANDARD.pair(name)
    with pytest.raises(Malformed, match="no pair 'MOON/USD'"):
        STANDARD.names(Pair("MOON/USD"))
    assert [pair_of_wsname(one) for one in ("XBT/USDT", "XDG/XBT", "XTZ/USD")] == ["BTC/USDT", "DOGE/BTC", "XTZ/USD"]
    with pytest.raises(Malformed, match="not BASE/QUOTE"):
        pair_of_wsname("XBTUSD")


def test_of_several_errors_the_least_certain_counts_and_warnings_do_not() -> None:
    def verdict(*errors: object) -> Verdict | None:
        found = classify(errors)
        return found.verdict if found else None

    assert verdict() is verdict("WGeneral:x") is None
    assert verdict("EOrder:Insufficient funds", "EService:Busy") is Verdict.UNKNOWN
    assert verdict("EOrder:Insufficient funds", "EAPI:Rate limit exceeded") is Verdict.LIMITED
    assert verdict("WGeneral:x", "EOrder:Insufficient funds") is Verdict.NO
    assert verdict("EAPI:Invalid nonce", "EGeneral:Temporary lockout") is Verdict.LOCKOUT
    found = classify(["EService:Throttled: 1700000040.25"])
    assert found is not None
    assert (found.code, found.until) == ("throttled", 1_700_000_040_000)


# --- signature and nonce ----------------------------------------------------------------------------------------------


def test_the_signature_is_that_of_krakens_documentation(tmp_path: Path) -> None:
    nonce = 1616492376594
    wire = Wire(kraken("http://127.0.0.1:1").rest, ApiKey(KEY, SECRET), lambda: nonce, Timer())
    client = wire._client
    body = f"nonce={nonce}&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25"
    assert client._get_kraken_signature("/0/private/AddOrder", body, nonce) == (
        "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="
    )
    assert client.get_nonce() == str(nonce)
    wire.close()


def test_what_we_replace_in_the_sdk_is_still_there() -> None:
    wire = Wire(kraken("http://127.0.0.1:1").rest, ApiKey(KEY, SECRET), lambda: 1, Timer())
    session = _session(wire._client)
    assert (session.stream, session.max_redirects) == (True, 0)
    assert type(session.get_adapter("https://x")).__name__ == "Adapter"
    wire._client._SpotClient__session_start_time = float("-inf")  # type: ignore[attr-defined]
    wire._client._SpotClient__check_renew_session()  # type: ignore[attr-defined]
    renewed = _session(wire._client)
    assert renewed is not session
    assert (renewed.stream, renewed.max_redirects) == (True, 0)
    assert isinstance(wire._client, SpotClient)
    wire.close()


def test_nonces_rise_whatever_the_clock_does_and_outlive_the_process(tmp_path: Path) -> None:
    path, clock = tmp_path / "nonce", iter([100, 50, 50, 200, 1, 7])
    nonces = Nonces(NonceFile(path), lambda: next(clock))
    assert [nonces.next() for _ in range(4)] == [100, 101, 102, 200]
    again = Nonces(NonceFile(path), lambda: next(clock))
    assert (again.next(), again.jump(1_000), path.read_text()) == (201, 1_201, "1201")
    far = Nonces(NonceFile(path), lambda: 2**64)
    with pytest.raises(LedgerError, match="far off"):
        far.next()


@pytest.mark.parametrize("text", ["", "abc", "-5", "1.5", "1e5", "\x00", "99999999999999999999999"])
def test_a_nonce_file_that_holds_no_nonce_is_not_begun_anew(text: str, tmp_path: Path) -> None:
    path = tmp_path / "nonce"
    path.write_text(text)
    with pytest.raises(LedgerError, match="holds no nonce"):
        Nonces(NonceFile(path), lambda: 1)
    assert path.read_text() == text


def test_the_venues_clock_is_known_closer_than_the_seconds_it_tells() -> None:
    offset, ahead = Offset(), 733
    for number in range(12):
        sent = START + number * 5_137
        told = (sent + 40 + ahead) // 1000 * 1000
        offset.learn(told, sent, sent + 80)
    assert abs(offset.ms - ahead) <= 100
    assert offset.learn((START + 62_000) // 1000 * 1000 - 3_600_000, START + 62_000, START + 62_080) < -3_599_000


# --- endpoints --------------------------------------------------------------------------------------------------------


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Desk(tmp_path)
    yield made
    made.close()


def test_public_endpoints(desk: Desk) -> None:
    desk.server.public.tapes["BTC/USD"] = Tape(
        Printed(START * 1_000_000 + place, Decimal(place + 1), Decimal("0.5")) for place in range(3)
    )
    assert desk.rest.time() == START
    assert desk.rest.status() is VenueStatus.ONLINE
    listing = desk.rest.listings().of(Pair("BTC/USD"))
    assert (listing.tick, listing.lot, listing.order_min, listing.cost_min) == (
        *(Decimal("0.1"), Decimal("0.00000001")), *(Decimal("0.0001"), Decimal("0.5")),
    )  # fmt: skip
    trades, last = desk.rest.trades("XBTUSD", "0")
    assert ([one.price for one in trades], last) == ([1, 2, 3], str(START * 1_000_000 + 2))
    (candle,) = desk.rest.candles("XBTUSD", 60)
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.trades) == (
        *(1, 3, 1, 3), Decimal("1.5"), 3,
    )  # fmt: skip
    quote = desk.rest.quote("XBTUSD")
    assert (quote.bid, quote.ask, quote.last) == (Decimal("49999.9"), Decimal("50000.1"), Decimal("50000.0"))
    bids, asks = desk.rest.depth("XBTUSD", 1)
    assert (bids, asks) == ([(Decimal("49999.9"), Decimal(1))], [(Decimal("50000.1"), Decimal(1))])
    desk.state.books["BTC/USD"].ask = None
    assert desk.rest.quote("XBTUSD").ask is None


def test_m_f27_prices_of_a_ticker_are_read_whole(desk: Desk) -> None:
    """Kraken gives lists of texts: the first of the list is the price, never the first letter of the text."""
    book = desk.state.books["BTC/USD"]
    book.bid, book.ask = Decimal("3796.2"), Decimal("3796.3")
    quote = desk.rest.quote("XBTUSD")
    assert (quote.bid, quote.ask) == (Decimal("3796.2"), Decimal("3796.3"))


def test_private_endpoints_are_signed_and_the_token_is_new_each_time(desk: Desk) -> None:
    assert "modify-trades" in desk.rest.key_rights().permissions
    assert desk.rest.websocket_token() != desk.rest.websocket_token()
    desk.rest.cancel_all_after(60)
    assert desk.rest.open_orders({}) == {}
    wrong = KrakenRest(desk.settings.rest, Timer(), ApiKey(KEY, SECRET[:-4] + "AAA="), desk.nonces)
    with pytest.raises(KrakenTrouble, match="Invalid signature"):
        wrong.balances()
    wrong.close()
    public = KrakenRest(desk.settings.rest, Timer(), None, None)
    with pytest.raises(Unconfigured, match=r"kraken\.key_file"):
        public.balances()
    assert public.time() == START
    public.close()


def test_the_sdk_itself_talks_to_the_local_kraken(desk: Desk) -> None:
    assert Market(url=desk.server.url).get_system_status()["status"] == "online"
    assert User(KEY, SECRET, url=desk.server.url).get_account_balance()["XXBT"] == "2.0000000000"
    desk.state.keys[KEY].nonce = 0
    done = Trade(KEY, SECRET, url=desk.server.url).create_order(
        ordertype="limit", side="buy", pair="XBTUSD", volume=0.01, price=40000
    )
    assert done["txid"][0] in desk.state.orders
    assert done["descr"]["order"] == "buy 0.01000000 XBTUSD @ limit 40000"


def test_listings_that_cannot_be_read_are_refused() -> None:
    good = {"altname": "XBTUSD", "wsname": "XBT/USD", "pair_decimals": 1, "lot_decimals": 8, "ordermin": "0.0001"}
    assert Listings.read({"XXBTZUSD": good}).of(Pair("BTC/USD")).tick == Decimal("0.1")
    assert Listings.read({"XXBTZUSD.d": good, "X": {"altname": "X"}}).rows == {}
    for change in ({"ordermin": "x"}, {"lot_decimals": 99}, {"tick_size": "0"}, {"wsname": "XBTUSD"}):
        with pytest.raises(Malformed):
            Listings.read({"XXBTZUSD": {**good, **change}})
    with pytest.raises(Malformed, match="has no ordermin"):
        Listings.read({"XXBTZUSD": {key: value for key, value in good.items() if key != "ordermin"}})
    with pytest.raises(Malformed, match="is no pair"):
        Listings.read({"XXBTZUSD": []})


def test_key_rights() -> None:
    assert KeyRights(("query-funds", "modify-trades")).objection == ""
    assert "withdraw" in KeyRights(("modify-trades", "withdraw-funds")).objection
    assert "cannot trade" in KeyRights(("query-funds",)).objection


# --- orders as parameters, rows as orders -----------------------------------------------------------------------------


def test_parameters_of_every_kind() -> None:
    settings, names = kraken("http://127.0.0.1:1").orders, STANDARD.names(Pair("BTC/USD"))

    def said(kind: OrderKind, expires: int | None = None, **changes: object) -> dict[str, str]:
        wanted = place("a" * 32, order(kind, **changes), expires_at=expires)
        full = parameters(wanted, names, settings)
        common = {"pair": "XBTUSD", "volume": "0.01", "cl_ord_id": "a" * 32, "stptype": "cancel-newest"}
        common |= {"deadline": "2023-11-14T22:13:30.000Z", "oflags": "fciq"}
        assert common.items() <= full.items()
        return {key: value for key, value in full.items() if key not in common}

    assert said(OrderKind.MARKET, limit=None) == {"type": "buy", "ordertype": "market"}
    assert said(OrderKind.MARKET, START) == {
        "type": "buy",
        "ordertype": "limit",
        "price": "40000.0",
        "timeinforce": "IOC",
    }
    assert said(OrderKind.LIMIT, START + 60_500) == {
        "type": "buy",
        "ordertype": "limit",
        "price": "40000.0",
        "timeinforce": "GTD",
        "expiretm": "1700000060",
    }
    sell = {"side": Side.SELL, "trigger": Decimal("39000.0")}
    assert said(OrderKind.STOP, limit=None, **sell) == {"type": "sell", "ordertype": "stop-loss", "price": "39000.0"}
    assert said(OrderKind.STOP_LIMIT, **sell) == {
        "type": "sell",
        "ordertype": "stop-loss-limit",
        "price": "39000.0",
        "price2": "40000.0",
    }
    with pytest.raises(Malformed, match="without its price"):
        said(OrderKind.STOP, limit=None)
    assert parameters(place("a", order(amount="1E-7")), names, settings)["volume"] == "0.0000001"


@pytest.mark.parametrize(
    ("text", "good"),
    [("6d1b345e-2821-40e2-ad83-4ecb18a06876", True), ("6d1b345e282140e2ad834ecb18a06876", True), ("a" * 18, True),
     ("a" * 19, False), ("", False), ("6D1B345E-2821-40E2-AD83-4ECB18A06876", False), ("ü", False), ("a b", False),
     ("a\n", False)],
)  # fmt: skip
def test_client_ids_that_kraken_takes(text: str, good: bool) -> None:
    assert is_client_id(text) is good


def test_each_kind_of_order_comes_back_as_it_was_sent(desk: Desk) -> None:
    desk.venue.open()
    sell = {"side": Side.SELL, "trigger": Decimal("39000.0"), "limit": Decimal("38000.0")}
    kinds = (order(), order(OrderKind.STOP_LIMIT, **sell), order(OrderKind.STOP, **{**sell, "limit": None}))
    for number, wanted in enumerate(kinds):
        desk.venue.place(place(f"o{number}", wanted))
    for row in range(3):
        desk.until(lambda event, row=row: getattr(event, "client_id", "") == f"o{row}")  # type: ignore[misc]
    rows = desk.rest.open_orders({})
    found = {one.client_id: one for one in (order_of(txid, row, STANDARD) for txid, row in rows.items())}
    for number, wanted in enumerate(kinds):
        one = found[ClientId(f"o{number}")]
        assert (one.kind, one.side, one.price, one.trigger) == (wanted.kind, wanted.side, wanted.limit, wanted.trigger)
        assert (one.amount, one.filled, one.state) == (wanted.amount, 0, OrderState.OPEN)


ROW = {
    "status": "open", "opentm": Decimal("1.5"), "vol": "1", "vol_exec": "0", "cl_ord_id": "mine",
    "descr": {"pair": "XBTUSD", "type": "buy", "ordertype": "limit", "price": "5", "price2": "0"},
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [{"descr": None}, {"status": "odd"}, {"vol": "x"}, {"vol_exec": None}, {"opentm": "soon"},
     {"descr": {**ROW["descr"], "type": "hold"}}, {"descr": {**ROW["descr"], "pair": "MOONUSD"}},
     {"descr": {**ROW["descr"], "price": "-5"}}],
)  # fmt: skip
def test_a_row_of_ours_that_cannot_be_read_is_refused(change: dict[str, object]) -> None:
    assert order_of("O1", ROW, STANDARD).opened_at == 1500
    with pytest.raises(Malformed):
        order_of("O1", {**ROW, **change}, STANDARD)


def test_executions_are_read_with_time_as_text_or_number() -> None:
    row = {"ordertxid": "O1", "pair": "XXBTZUSD", "type": "sell", "vol": "0.5", "price": "9", "fee": "0.01"}
    for time in ("1705259439.563000", Decimal("1705259439.563")):
        one = execution_of("T1", {**row, "time": time}, STANDARD, ClientId("mine"))
        assert (one.at, one.side, one.fee, one.closes) == (1705259439563, Side.SELL, Decimal("0.01"), False)


# --- queue and worker -------------------------------------------------------------------------------------------------


def test_events_wait_for_room_and_none_is_dropped() -> None:
    queue = VenueEvents(2)
    one = StatusChanged(VenueStatus.ONLINE, True, 1)
    putter = Thread(target=lambda: [queue.put(one) for _ in range(5)])
    putter.start()
    found = 0
    while found < 5 and queue.wait(5.0):
        found += len(queue.drain())
    putter.join()
    assert (found, queue.wait(0.0), queue.waits > 0) == (5, False, True)
    queue.close()
    queue.put(one)
    assert len(queue.drain()) == 1


def test_the_worker_does_what_is_urgent_before_the_next_page() -> None:
    done, begun, ended, order_of_things = Event(), Event(), Event(), []
    worker = Worker(4, Timer(), "test")

    def question() -> Iterator[float]:
        begun.set()
        done.wait(5)
        order_of_things.append("page 1")
        yield 0.0
        order_of_things.append("page 2")
        ended.set()

    worker.later(question())
    begun.wait(5)
    worker.soon(lambda: order_of_things.append("order"))
    done.set()
    assert ended.wait(5)
    worker.close()
    assert order_of_things == ["page 1", "order", "page 2"]
    assert not worker.soon(lambda: None)
    assert not worker.later(iter(()))


def test_a_venue_is_built_of_settings_and_a_state_folder(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n{SECRET}\n")
    path.chmod(0o400)
    settings = desk.settings.model_copy(update={"key_file": str(path)})
    venue = kraken_venue(settings, tmp_path, desk.clock, Timer())
    venue.open()
    assert [type(event) for event in venue.events()] == [StatusChanged]
    venue.close()
    (kept,) = tmp_path.glob("kraken-nonce-*")
    assert (int(kept.read_text()), len(kept.name), KEY in kept.name) == (desk.state.keys[KEY].nonce, 25, False)
    with pytest.raises(ConfigError, match="no key"):
        kraken_venue(desk.settings, tmp_path, desk.clock, Timer())


# --- settings ---------------------------------------------------------------------------------------------------------


def test_the_key_file_is_neither_shown_nor_part_of_the_hash(tmp_path: Path) -> None:
    plain, named = load(None, None, {}, []), load(None, None, {}, [f"kraken.key_file={tmp_path}/key"])
    assert config_sha256(plain.settings) == config_sha256(named.settings)
    assert {name: value for name, value, _ in describe(named)}["kraken.key_file"] == "***"


@pytest.mark.parametrize(
    "text", ["kraken.rest.url=ftp://x", "kraken.rest.url=https://x/0", "kraken.budget.cancel_reserve_ratio=0.9"]
)
def test_settings_that_cannot_work_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        load(None, None, {}, [text])


def test_nothing_of_the_sdk_is_imported_before_it_is_used(tmp_path: Path) -> None:
    code = (
        "import sys, json\n"
        "import src.connectors.kraken.venue, src.connectors.kraken.rest, src.commands.download\n"
        "print(json.dumps([name for name in ('kraken', 'requests', 'aiohttp', 'websockets') if name in sys.modules]))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=dict(os.environ), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
