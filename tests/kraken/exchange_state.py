"""What the local Kraken knows: keys, balances, orders, fills, books, counters; both its servers speak of this one.

Times are UTC milliseconds of the venue (`now()`: the injected clock plus `skew_ms`). Every method may be called from
any thread. `subscribe` hands out what the private stream tells; `status_listeners` what the status channel tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from threading import RLock

from tests.kraken.counters import Counters
from tests.kraken.listed import Listed, listed_pairs

TAKER, MAKER = Decimal("0.0040"), Decimal("0.0025")
ALL_RIGHTS = frozenset(
    {"query-funds", "query-open-trades", "query-closed-trades", "modify-trades", "close-trades", "access-websockets"}
)


class Rejected(Exception):
    """The exchange says no, with its error string."""


@dataclass
class ApiKey:
    """One key of the account: its secret (base64), what it may do, and the highest nonce it has shown."""

    key: str
    secret: str
    rights: frozenset[str] = ALL_RIGHTS
    nonce: int = 0


@dataclass
class OrderRow:
    """An order from its acceptance on; `status` is open, closed, canceled or expired."""

    txid: str
    symbol: str
    side: str
    ordertype: str
    qty: Decimal
    price: Decimal | None
    trigger: Decimal | None
    opened: int
    cl_ord_id: str = ""
    userref: int = 0
    expires: int | None = None
    oflags: str = "fciq"
    timeinforce: str = "GTC"
    stptype: str = "cancel-newest"
    status: str = "open"
    triggered: bool = False
    filled: Decimal = Decimal(0)
    cost: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    closed: int = 0
    reason: str = ""
    trades: list[str] = field(default_factory=list)

    @property
    def remaining(self) -> Decimal:
        return self.qty - self.filled

    @property
    def average(self) -> Decimal:
        return self.cost / self.filled if self.filled else Decimal(0)


@dataclass(frozen=True)
class FillRow:
    """One execution; `fee` in quote currency."""

    trade_id: str
    number: int
    txid: str
    symbol: str
    side: str
    ordertype: str
    qty: Decimal
    price: Decimal
    cost: Decimal
    fee: Decimal
    at: int
    maker: bool


@dataclass(frozen=True)
class Happening:
    """What the executions channel tells: exec_type pending_new, new, trade, filled, canceled, expired.

    `order` is the live row (read it at once), `fill` is there for exec_type trade.
    """

    exec_type: str
    order: OrderRow
    at: int
    fill: FillRow | None = None


@dataclass
class BookSide:
    """Best bid and ask; None where that side is empty. Depth beyond it is the business of the book channel."""

    bid: Decimal | None
    ask: Decimal | None
    last: Decimal


Listener = Callable[[Happening], None]


class ExchangeState:
    """One account at one exchange, with the faults that a test switches on."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.lock = RLock()
        self._now = now
        self.skew_ms = 0
        self.status = "online"
        self.pairs: dict[str, Listed] = listed_pairs()
        self.former: dict[str, Listed] = {}
        self.books: dict[str, BookSide] = {
            "BTC/USD": BookSide(Decimal("49999.9"), Decimal("50000.1"), Decimal("50000.0")),
            "ETH/USD": BookSide(Decimal("2999.99"), Decimal("3000.01"), Decimal("3000.00")),
            "SOL/USD": BookSide(Decimal("99.99"), Decimal("100.01"), Decimal("100.00")),
            "DOGE/USD": BookSide(Decimal("0.0999999"), Decimal("0.1000001"), Decimal("0.1000000")),
            "BTC/USDT": BookSide(Decimal("49999.9"), Decimal("50000.1"), Decimal("50000.0")),
        }
        self.keys: dict[str, ApiKey] = {}
        self.balances: dict[str, Decimal] = {
            "ZUSD": Decimal(100_000),
            "XXBT": Decimal(2),
            "XETH": Decimal(20),
            "USDT": Decimal(50_000),
        }
        self.orders: dict[str, OrderRow] = {}
        self.fills: list[FillRow] = []
        self.tokens: dict[str, int] = {}
        self.counters = Counters(self.now)
        self.cancel_all_at: int | None = None
        self.status_listeners: list[Callable[[str], None]] = []
        self._listeners: list[Listener] = []
        self._numbers = {"O": 0, "T": 0, "K": 0}

    # --- reading -------------------------------------------------------------------------------------------------

    def now(self) -> int:
        """Venue time, UTC ms."""
        return self._now() + self.skew_ms

    def pair(self, name: str) -> Listed:
        """By any of its names; Rejected EQuery:Unknown asset pair."""
        for one in self.pairs.values():
            if name in one.names:
                return one
        raise Rejected("EQuery:Unknown asset pair")

    def delist(self, symbol: str) -> None:
        """Close a pair for good: its orders are cancelled, and what was done in it keeps its name."""
        with self.lock:
            for order in [one for one in self.orders.values() if one.symbol == symbol and one.status == "open"]:
                self.end(order, "canceled", "Delisted")
            self.former[symbol] = self.pairs.pop(symbol)

    def named(self, symbol: str) -> Listed | None:
        """A pair as REST calls it in the rows of orders and trades; None where it never had one."""
        return self.pairs.get(symbol) or self.former.get(symbol)

    def open_orders(self) -> list[OrderRow]:
        """Those that rest."""
        with self.lock:
            self._expire()
            return [one for one in self.orders.values() if one.status == "open"]

    def closed_orders(self) -> list[OrderRow]:
        """Those that rest no more, the latest first."""
        with self.lock:
            self._expire()
            gone = [one for one in self.orders.values() if one.status != "open"]
            return sorted(gone, key=lambda one: one.closed, reverse=True)

    def find(self, txid: str = "", cl_ord_id: str = "") -> OrderRow | None:
        """An open order by either name."""
        for one in self.open_orders():
            if (txid and one.txid == txid) or (cl_ord_id and one.cl_ord_id == cl_ord_id):
                return one
        return None

    # --- keys and tokens -----------------------------------------------------------------------------------------

    def add_key(self, key: str, secret: str, rights: Iterable[str] = ALL_RIGHTS) -> ApiKey:
        """A key of the account."""
        self.keys[key] = ApiKey(key, secret, frozenset(rights))
        return self.keys[key]

    def new_token(self) -> str:
        """A WebSocket token, good for 15 minutes."""
        with self.lock:
            token = self._name("K", "")
            self.tokens[token] = self.now()
            return token

    # --- listening -----------------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Be told everything that happens to orders, in order; the answer ends it."""
        with self.lock:
            self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def set_status(self, status: str) -> None:
        """online, maintenance, cancel_only or post_only."""
        with self.lock:
            self.status = status
            for listener in tuple(self.status_listeners):
                listener(status)

    def _tell(self, exec_type: str, order: OrderRow, fill: FillRow | None = None) -> None:
        for listener in tuple(self._listeners):
            listener(Happening(exec_type, order, self.now(), fill))

    # --- orders --------------------------------------------------------------------------------------------------

    def accept(self, order: OrderRow) -> OrderRow:
        """Take a checked order: it fills, rests, or is refused by post-only; used by `entry.add_order`."""
        with self.lock:
            self.orders[order.txid] = order
            self._tell("pending_new", order)
            self._tell("new", order)
            self.match(order)
            if order.status == "open" and (order.ordertype == "market" or order.timeinforce == "IOC"):
                self.end(order, "canceled", "Immediate or cancel")
            return order

    def next_txid(self) -> str:
        """A new order id."""
        with self.lock:
            return self._name("O", "O")

    def match(self, order: OrderRow) -> None:
        """Fill what the best price gives; a taker at the book's price."""
        book = self.books[order.symbol]
        best = book.ask if order.side == "buy" else book.bid
        if best is None or not self._awake(order, book):
            return
        if order.price is None or (order.price >= best if order.side == "buy" else order.price <= best):
            self.fill(order.txid, order.remaining, best, maker=False)

    def _awake(self, order: OrderRow, book: BookSide) -> bool:
        if order.trigger is None or order.triggered:
            return True
        order.triggered = book.last <= order.trigger if order.side == "sell" else book.last >= order.trigger
        return order.triggered

    def fill(self, txid: str, qty: Decimal, price: Decimal, maker: bool = True) -> FillRow:
        """An execution of `qty` at `price`; the order closes with the last of its amount."""
        with self.lock:
            order = self.orders[txid]
            pair = self.pairs[order.symbol]
            step = Decimal(1).scaleb(-pair.cost_decimals)
            cost = (qty * price).quantize(step, ROUND_HALF_UP)
            fee = (cost * (MAKER if maker else TAKER)).quantize(step, ROUND_HALF_UP)
            number = len(self.fills) + 1
            done = FillRow(
                self._name("T", "T"), number, txid, order.symbol, order.side, order.ordertype,
                qty, price, cost, fee, self.now(), maker,
            )  # fmt: skip
            self.fills.append(done)
            order.filled, order.cost, order.fee = order.filled + qty, order.cost + cost, order.fee + fee
            order.trades.append(done.trade_id)
            self._book(pair, order.side, qty, cost, fee)
            self._tell("trade", order, done)
            if order.remaining <= 0:
                self.end(order, "closed", "")
            return done

    def _book(self, pair: Listed, side: str, qty: Decimal, cost: Decimal, fee: Decimal) -> None:
        sign = 1 if side == "buy" else -1
        zero = Decimal(0)
        self.balances[pair.base] = self.balances.get(pair.base, zero) + sign * qty
        self.balances[pair.quote] = self.balances.get(pair.quote, zero) - sign * cost - fee

    def end(self, order: OrderRow, status: str, reason: str) -> None:
        """An order rests no more: closed (filled), canceled or expired."""
        with self.lock:
            order.status, order.reason, order.closed = status, reason, self.now()
            self._tell("filled" if status == "closed" else status, order)

    def cancel(self, txid: str = "", cl_ord_id: str = "", reason: str = "User requested") -> OrderRow:
        """Rejected EOrder:Unknown order where it does not rest."""
        with self.lock:
            order = self.find(txid, cl_ord_id)
            if order is None:
                raise Rejected("EOrder:Unknown order")
            self.counters.cancel(order.symbol, self.now() - order.opened)
            self.end(order, "canceled", reason)
            return order

    def cancel_all(self, reason: str = "User requested") -> int:
        """All that rest, stops included."""
        with self.lock:
            resting = [one for one in self.orders.values() if one.status == "open"]
            for order in resting:
                self.end(order, "canceled", reason)
            return len(resting)

    def cancel_all_after(self, seconds: int) -> int | None:
        """Dead man's switch: all orders go when it is not renewed in time; 0 turns it off. Trigger time or None."""
        with self.lock:
            self.cancel_all_at = self.now() + seconds * 1000 if seconds else None
            return self.cancel_all_at

    # --- market --------------------------------------------------------------------------------------------------

    def move(self, symbol: str, bid: Decimal | None, ask: Decimal | None, last: Decimal | None = None) -> None:
        """New best prices: what rests and is crossed by them fills at its own price, stops wake."""
        with self.lock:
            book = self.books[symbol]
            book.bid, book.ask = bid, ask
            book.last = last if last is not None else next((p for p in (bid, ask) if p is not None), book.last)
            for order in self.open_orders():
                if order.symbol == symbol:
                    self._rest(order, book)

    def _rest(self, order: OrderRow, book: BookSide) -> None:
        waited = order.trigger is None or order.triggered
        best = book.ask if order.side == "buy" else book.bid
        if not waited or order.price is None:
            self.match(order)
        elif best is not None and (order.price >= best if order.side == "buy" else order.price <= best):
            self.fill(order.txid, order.remaining, order.price)

    def _expire(self) -> None:
        at = self.now()
        for order in tuple(self.orders.values()):
            if order.status == "open" and order.expires is not None and at >= order.expires:
                self.end(order, "expired", "")
        if self.cancel_all_at is not None and at >= self.cancel_all_at:
            self.cancel_all_at = None
            self.cancel_all("Cancel all orders after")

    def pass_time(self) -> None:
        """Look at the clock: expiries and the dead man's switch take effect."""
        with self.lock:
            self._expire()

    def _name(self, kind: str, prefix: str) -> str:
        self._numbers[kind] += 1
        text = f"{self._numbers[kind]:016d}"
        return f"{prefix}{text[:5]}-{text[5:10]}-{text[10:]}" if prefix else f"token-{text}"
