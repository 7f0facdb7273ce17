"""A book on paper as the desk writes it down, from the tables of the compiled step and back into them.

Both ways of walking a book have one form of state, so that either can go on where the other stopped.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from ..core.portfolio import ZERO, money
from ..core.types import MONEY_STEP, FloatArray, IntArray, Order, OrderId, OrderKind, Pair, Side
from ..core.whole_money import MONEY_PLACES
from . import paper_lots as table
from .supervisor.plan import ENTRY, order_id

State = dict[str, Any]
_WORD = 2**64
_STOP_REASON = table.REASONS[table.STOP]
_SUMS = ("paid", "received", "value", "fees", "slippage")
_COLUMNS = (table.PAID, table.RECEIVED, table.VALUE, table.FEES, table.SLIPPAGE)
_LOT = ("bought", "sold", *_SUMS)


class Unplaced(Exception):
    """A state that the tables have no place for; never leaves the room."""


class Waiting(msgspec.Struct):
    """An order that waits or rests, as the simulated exchange keeps it."""

    order: Order
    left: Decimal
    fills: int = 0
    trigger: Decimal | None = None
    woken: bool = False


class Book(msgspec.Struct):
    """One book: views of its tables (see `paper_lots`), and what they have no column for.

    `stops` names stops that the compiled step did not bring itself.
    """

    namespace: bytes
    pairs: tuple[Pair, ...]
    places: Mapping[Pair, int]
    decimals: int
    stop_ratio: Decimal
    lot: IntArray
    prices: FloatArray
    sums: IntArray
    start: Decimal = ZERO
    stops: dict[int, str] = {}

    def amount(self, steps: int) -> Decimal:
        """Steps of an amount in base units."""
        return Decimal(steps).scaleb(-self.decimals)

    def wanted(self, p: int, side: Side) -> Order:
        """The order that waits to be bought or sold of a pair."""
        buys, pair = side is Side.BUY, self.pairs[p]
        why = int(self.lot[table.WHY, p])
        if not buys and why == table.STOP:
            return msgspec.structs.replace(self.stop(p), kind=OrderKind.MARKET)
        at = int(self.lot[table.BUY_AT if buys else table.SELL_AT, p])
        ends = int(self.lot[table.WAITS_UNTIL, p])
        return Order(
            id=order_id(self.namespace, at, pair, side),
            pair=pair,
            side=side,
            amount=self.amount(int(self.lot[table.BUY_AMOUNT if buys else table.SELL_AMOUNT, p])),
            kind=OrderKind.MARKET,
            at=at,
            reference=money(float(self.prices[table.BUY_REFERENCE if buys else table.SELL_REFERENCE, p])),
            reason=ENTRY if buys else table.REASONS[why],
            stop=self.stop_ratio if buys else None,
            leave_at=ends if buys and ends != table.NONE else None,
        )

    def stop(self, p: int) -> Order:
        """The protective stop of a holding."""
        pair, of = self.pairs[p], int(self.lot[table.STOP_OF, p])
        name = f"{order_id(self.namespace, of, pair, Side.BUY)}-stop" if of != table.NONE else self.stops[p]
        return Order(
            id=OrderId(name),
            pair=pair,
            side=Side.SELL,
            amount=self.amount(int(self.lot[table.STOP_AMOUNT, p])),
            kind=OrderKind.STOP,
            at=int(self.lot[table.ENTRY_AT, p]),
            reference=money(float(self.prices[table.STOP_REFERENCE, p])),
            reason=_STOP_REASON,
        )


def _money(steps: int) -> Decimal:
    return Decimal(steps).scaleb(-MONEY_PLACES)


def told(book: Book) -> tuple[State, State]:
    """The states of a book's desk and broker. Its peak is brought up to its last slice, as the desk does it."""
    lots, marks, marked = {}, {}, {}
    for p in book.lot[table.HELD].nonzero()[0].tolist():
        pair = book.pairs[p]
        lots[pair] = _lot(book, book.lot[:, p].tolist())
        marks[pair] = money(float(book.prices[table.MARK, p]))
        marked[pair] = int(book.lot[table.MARKED_AT, p])
    cash, fees, slippage = (_money(steps) for steps in book.sums[: table.CLOSED].tolist())
    equity, peak = _valued(book, cash, lots, marks)
    waiting = _waiting(book)
    desk: State = {
        "portfolio": {
            "start": str(book.start),
            "cash": str(cash),
            "fees": str(fees),
            "slippage": str(slippage),
            "closed": int(book.sums[table.CLOSED]),
            "lots": lots,
        },
        "marks": {pair: str(mark) for pair, mark in marks.items()},
        "deadlines": {one.order.id: one.order.leave_at for one in waiting if one.order.reason != _STOP_REASON},
        "marked_at": marked,
        "silent": [],
        "equity": str(equity),
        "peak": str(peak),
        "limits": None,
    }
    base = {pair: str(Decimal(lot["bought"]) - Decimal(lot["sold"])) for pair, lot in lots.items()}
    stops = msgspec.to_builtins(_resting(book))
    return desk, {"cash": str(cash), "base": base, "market": msgspec.to_builtins(waiting), "stops": stops}


def _lot(book: Book, figures: list[int]) -> State:
    sold = figures[table.BOUGHT] - figures[table.HELD]
    amounts = (book.amount(figures[table.BOUGHT]), book.amount(sold) if sold else ZERO)
    sums = [_money(figures[column]) if sold or column != table.RECEIVED else ZERO for column in _COLUMNS]
    leave_at = figures[table.LEAVE_AT]
    return {
        "entry_at": figures[table.ENTRY_AT],
        "leave_at": None if leave_at == table.NONE else leave_at,
        **{name: str(value) for name, value in zip(_LOT, (*amounts, *sums), strict=True)},
    }


def _valued(
    book: Book, cash: Decimal, lots: Mapping[Pair, State], marks: Mapping[Pair, Decimal]
) -> tuple[Decimal, Decimal]:
    equity = cash
    for pair, lot in lots.items():
        equity += ((Decimal(lot["bought"]) - Decimal(lot["sold"])) * marks[pair]).quantize(MONEY_STEP)
    steps = _steps(equity, MONEY_PLACES)
    book.sums[table.EQUITY], book.sums[table.PEAK] = steps, max(int(book.sums[table.PEAK]), steps)
    return equity, _money(int(book.sums[table.PEAK]))


def _waiting(book: Book) -> list[Waiting]:
    columns = ((Side.BUY, table.BUYING, table.BUY_FILLS), (Side.SELL, table.SELLING, table.SELL_FILLS))
    return [
        Waiting(book.wanted(p, side), book.amount(int(book.lot[left, p])), int(book.lot[fills, p]))
        for side, left, fills in columns
        for p in book.lot[left].nonzero()[0].tolist()
    ]


def _resting(book: Book) -> list[Waiting]:
    found = []
    armed = (book.lot[table.HELD] > 0) & (book.lot[table.STOP_PLACES] != table.NONE)
    for p in armed.nonzero()[0].tolist():
        order = book.stop(p)
        left, trigger = book.amount(int(book.lot[table.HELD, p])), order.reference * (1 - book.stop_ratio)
        found.append(Waiting(order, left, trigger=trigger))
    return found


# Back into the tables


def placed(book: Book, desk: State, broker: State) -> bool:
    """Fill the tables from the states of a desk and its broker; whether they hold all that is in them.

    Whether they do is seen by writing them down again: what is told then must be what was given.
    """
    try:
        _place(book, desk, broker)
        return bool(_plain(*told(book)) == _plain(desk, broker))
    except (Unplaced, KeyError, OverflowError, ArithmeticError):
        return False


def _steps(value: Decimal | str, places: int) -> int:
    scaled = Decimal(value).scaleb(places)
    if scaled != int(scaled):
        raise Unplaced
    return int(scaled)


def _place(book: Book, desk: State, broker: State) -> None:
    books = desk["portfolio"]
    book.lot[:], book.prices[:], book.stops = 0, 0.0, {}
    book.lot[table.STOP_PLACES], book.lot[table.LEAVE_AT], book.lot[table.WAITS_UNTIL] = (table.NONE,) * 3
    book.start = Decimal(books["start"])
    sums = [_steps(books[name], MONEY_PLACES) for name in ("cash", "fees", "slippage")]
    book.sums[:] = *sums, books["closed"], _steps(desk["equity"], MONEY_PLACES), _steps(desk["peak"], MONEY_PLACES)
    for pair, lot in books["lots"].items():
        p = book.places[pair]
        _place_lot(book, p, lot)
        book.prices[table.MARK, p] = float(Decimal(desk["marks"][pair]))
        book.lot[table.MARKED_AT, p] = desk["marked_at"][pair]
    for one in msgspec.convert(broker["stops"], list[Waiting]):
        _place_stop(book, one)
    for one in msgspec.convert(broker["market"], list[Waiting]):
        _place_waiting(book, one)


def _place_lot(book: Book, p: int, lot: State) -> None:
    bought = _steps(lot["bought"], book.decimals)
    book.lot[table.BOUGHT, p], book.lot[table.HELD, p] = bought, bought - _steps(lot["sold"], book.decimals)
    book.lot[table.ENTRY_AT, p] = lot["entry_at"]
    book.lot[table.LEAVE_AT, p] = table.NONE if lot["leave_at"] is None else lot["leave_at"]
    for name, column in zip(
        _LOT[2:], (table.PAID, table.RECEIVED, table.VALUE, table.FEES, table.SLIPPAGE), strict=True
    ):
        book.lot[column, p] = _steps(lot[name], MONEY_PLACES)


def _place_stop(book: Book, one: Waiting) -> int:
    """What stop and the sale of its rest have in common; where its pair is."""
    p, order = book.places[one.order.pair], one.order
    book.stops[p], book.lot[table.STOP_OF, p] = order.id, table.NONE
    book.lot[table.STOP_AMOUNT, p] = _steps(order.amount, book.decimals)
    book.prices[table.STOP_REFERENCE, p] = float(order.reference)
    if one.trigger is not None:
        _, digits, exponent = one.trigger.as_tuple()
        if not isinstance(exponent, int) or exponent > 0 or len(digits) > 28:
            raise Unplaced
        high, low = divmod(int("".join(map(str, digits))), _WORD)
        book.lot[table.STOP_HIGH, p], book.lot[table.STOP_LOW, p] = high, low - _WORD * (low >= _WORD // 2)
        book.lot[table.STOP_PLACES, p], book.prices[table.STOP_AT, p] = -exponent, float(one.trigger)
    return p


def _place_waiting(book: Book, one: Waiting) -> None:
    order, p = one.order, book.places[one.order.pair]
    left = _steps(one.left, book.decimals)
    if book.lot[table.BUYING, p] or book.lot[table.SELLING, p]:
        raise Unplaced
    if order.side is Side.BUY:
        book.lot[table.BUYING, p], book.lot[table.BUY_FILLS, p] = left, one.fills
        book.lot[table.BUY_AMOUNT, p], book.lot[table.BUY_AT, p] = _steps(order.amount, book.decimals), order.at
        book.lot[table.WAITS_UNTIL, p] = table.NONE if order.leave_at is None else order.leave_at
        book.prices[table.BUY_REFERENCE, p] = float(order.reference)
        return
    if order.reason not in table.REASONS or left != book.lot[table.HELD, p]:
        raise Unplaced
    book.lot[table.SELLING, p], book.lot[table.SELL_FILLS, p] = left, one.fills
    book.lot[table.SELL_AT, p], book.lot[table.WHY, p] = order.at, table.REASONS.index(order.reason)
    if order.reason == _STOP_REASON:
        _place_stop(book, one)
        return
    book.lot[table.SELL_AMOUNT, p] = _steps(order.amount, book.decimals)
    book.prices[table.SELL_REFERENCE, p] = float(order.reference)


def _plain(desk: State, broker: State) -> Any:
    """What counts in the states, numbers as numbers: no deadline of an order that is gone, no order of dictionaries."""
    books = desk["portfolio"]
    lots = {
        pair: [lot["entry_at"], lot["leave_at"], *(Decimal(lot[name]) for name in _LOT)]
        for pair, lot in books["lots"].items()
    }
    waiting = {one.order.id: one for one in msgspec.convert(broker["market"], list[Waiting])}
    stops = {one.order.id: one for one in msgspec.convert(broker["stops"], list[Waiting])}
    return (
        [Decimal(books[name]) for name in ("start", "cash", "fees", "slippage", "closed")],
        [Decimal(broker["cash"]), Decimal(desk["equity"]), Decimal(desk["peak"]), desk["silent"], desk["limits"]],
        {pair: Decimal(mark) for pair, mark in desk["marks"].items()},
        {pair: Decimal(amount) for pair, amount in broker["base"].items()},
        {name: at for name, at in desk["deadlines"].items() if name in waiting},
        (desk["marked_at"], lots, waiting, stops),
    )
