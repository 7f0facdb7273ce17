"""What every venue promises the coordinator, as checks that each implementation passes by being registered.

`make` gives an open venue at an exchange where BTC costs `price` and the account can pay for ten; what the exchange
does by itself (fills, a human, lost answers) the stage does at a word. Executions and ends may be told by themselves
or in answer to a question: `executions` has both, so that a venue that only answers passes as one that streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Protocol

from src.core.types import Approved, Order, OrderId, OrderKind, Pair, Side
from src.core.venue import (
    Acknowledged,
    Answered,
    Ask,
    ClientId,
    Ended,
    Executed,
    Lost,
    NotAnswered,
    OrderState,
    Place,
    Refused,
    StatusChanged,
    Venue,
    VenueEvent,
    VenueId,
    VenueOrder,
    VenueStatus,
)

HALF = Decimal("0.5")
TOO_MUCH, DUST = Decimal(1_000_000), Decimal("0.00001")


class Stage(Protocol):
    """A venue, and the exchange behind it."""

    pair: Pair
    price: Decimal
    said: list[VenueEvent]

    @property
    def venue(self) -> Venue:
        """Open, and asked for nothing yet."""
        ...

    def now(self) -> int:
        """UTC ms."""
        ...

    def pass_ms(self, ms: int) -> None:
        """Time passes, here and at the exchange."""
        ...

    def next(self, true: Callable[[VenueEvent], bool]) -> VenueEvent:
        """The first event that fits, of all that came or come in time."""
        ...

    def fill(self, client_id: str, amount: Decimal) -> None:
        """The market takes so much of a resting order, at its limit."""
        ...

    def lose_answer(self) -> None:
        """The next order is taken, and the answer does not come."""
        ...

    def drop_request(self) -> None:
        """The next order is lost on its way."""
        ...

    def human(self) -> None:
        """Somebody else's limit order comes to rest on the same account."""
        ...

    def resting(self) -> int:
        """How many orders rest at the exchange."""
        ...


Make = Callable[[], Stage]


def send(stage: Stage, name: str, amount: Decimal = HALF, *, rests: bool = False, deadline_ms: int = 10_000) -> None:
    """A buy at the market, or one that rests at nine tenths of the price."""
    limit = (stage.price * 9 / 10).quantize(Decimal("0.1")) if rests else None
    kind = OrderKind.LIMIT if rests else OrderKind.MARKET
    now = stage.now()
    order = Order(OrderId(name), stage.pair, Side.BUY, amount, kind, now, stage.price, "entry", limit=limit)
    stage.venue.place(Place(ClientId(name), Approved(order, now), now + deadline_ms))


def heard[E: VenueEvent](stage: Stage, kind: type[E], name: str = "") -> E:
    """The first event of a kind, about an order where one is named."""

    def is_it(event: VenueEvent) -> bool:
        return isinstance(event, kind) and (not name or getattr(event, "client_id", "") == name)

    found = stage.next(is_it)
    assert isinstance(found, kind)
    return found


def asked(stage: Stage, number: int, ask: Ask, *names: str, since: int | None = None) -> Answered:
    """The answer with this number."""
    stage.venue.ask(number, ask, tuple(map(ClientId, names)), since)
    found = stage.next(lambda event: isinstance(event, Answered) and event.number == number)
    assert isinstance(found, Answered)
    return found


def orders(stage: Stage, number: int, name: str) -> Sequence[VenueOrder]:
    """What is found of an order, first among the open, then among the closed."""
    return (
        *asked(stage, number, Ask.OPEN_ORDERS, name).orders,
        *asked(stage, number + 1, Ask.CLOSED_ORDERS, name).orders,
    )


def executions(stage: Stage, number: int, name: str) -> list[Executed]:
    """Of one order, in order of time: told by themselves or asked for, each id once."""
    answer = asked(stage, number, Ask.EXECUTIONS, name).executions
    told = [event for event in stage.said if isinstance(event, Executed) and event.client_id == name]
    unique = {one.execution_id: one for one in (*answer, *told)}
    assert len({(one.execution_id, one.amount, one.price) for one in (*answer, *told)}) == len(unique)
    assert {one.execution_id for one in answer} == unique.keys(), "a question has to know all that was told"
    return sorted(unique.values(), key=lambda one: (one.at, one.execution_id))


def check_the_first_thing_said_is_how_the_exchange_stands(make: Make) -> None:
    """Nothing is sent before."""
    stage = make()
    status = heard(stage, StatusChanged)
    assert (status.status, status.connected, status.pair) == (VenueStatus.ONLINE, True, None)
    assert isinstance(stage.said[0], StatusChanged)


def check_an_order_is_acknowledged_executed_and_over(make: Make) -> None:
    """With the exchange's name from the first word on, and the amount that was asked for."""
    stage = make()
    send(stage, "one")
    acknowledged = heard(stage, Acknowledged, "one")
    (fill,) = executions(stage, 1, "one")
    assert (fill.venue_id, fill.client_id, fill.pair) == (acknowledged.venue_id, "one", stage.pair)
    assert (fill.side, fill.amount) == (Side.BUY, HALF)
    assert fill.price > 0
    assert fill.fee >= 0
    (order,) = orders(stage, 2, "one")
    assert (order.state, order.filled, order.venue_id) == (OrderState.FILLED, HALF, acknowledged.venue_id)
    assert stage.resting() == 0


def check_a_resting_order_is_open_under_both_names(make: Make) -> None:
    """And costs nothing while it rests."""
    stage = make()
    send(stage, "one", rests=True)
    acknowledged = heard(stage, Acknowledged, "one")
    (order,) = orders(stage, 1, "one")
    assert (order.client_id, order.venue_id, order.state) == ("one", acknowledged.venue_id, OrderState.OPEN)
    assert (order.pair, order.side, order.kind, order.amount) == (stage.pair, Side.BUY, OrderKind.LIMIT, HALF)
    assert order.price == (stage.price * 9 / 10).quantize(Decimal("0.1"))
    assert order.filled == 0
    assert executions(stage, 3, "one") == []


def check_what_cannot_be_paid_or_is_dust_is_refused_with_a_reason(make: Make) -> None:
    """A certain no, once, and nothing is there."""
    stage = make()
    for number, (name, amount) in enumerate((("dear", TOO_MUCH), ("dust", DUST))):
        send(stage, name, amount)
        refused = heard(stage, Refused, name)
        assert refused.reason
        assert orders(stage, 10 * number, name) == ()
        assert sum(isinstance(one, Refused) and one.client_id == name for one in stage.said) == 1


def check_an_order_past_its_deadline_is_refused(make: Make) -> None:
    """Whoever looks at the time first."""
    stage = make()
    send(stage, "late", deadline_ms=-1_000)
    assert "deadline" in heard(stage, Refused, "late").reason
    assert orders(stage, 1, "late") == ()


def check_a_lost_answer_is_no_failure_and_the_order_is_found_by_its_id(make: Make) -> None:
    """Resting or filled: it stands where it belongs, once."""
    for rests, state in ((True, OrderState.OPEN), (False, OrderState.FILLED)):
        stage = make()
        stage.lose_answer()
        send(stage, "lost", rests=rests)
        heard(stage, Lost, "lost")
        (order,) = orders(stage, 1, "lost")
        assert (order.client_id, order.state) == ("lost", state)
        assert len(executions(stage, 3, "lost")) == (0 if rests else 1)
        assert not any(isinstance(one, Refused) for one in stage.said)


def check_an_order_that_never_arrived_is_unknown_and_found_nowhere(make: Make) -> None:
    """The venue does not say that it failed: it cannot know."""
    stage = make()
    stage.drop_request()
    send(stage, "gone", rests=True)
    heard(stage, Lost, "gone")
    assert (orders(stage, 1, "gone"), stage.resting()) == ((), 0)


def check_partial_fills_are_told_once_each_and_add_up(make: Make) -> None:
    """Every one with an id of its own."""
    stage = make()
    send(stage, "parts", rests=True)
    heard(stage, Acknowledged, "parts")
    for amount in ("0.1", "0.25", "0.15"):
        stage.pass_ms(1_000)
        stage.fill("parts", Decimal(amount))
    found = executions(stage, 1, "parts")
    assert [one.amount for one in found] == [Decimal("0.1"), Decimal("0.25"), Decimal("0.15")]
    assert [order.filled for order in orders(stage, 2, "parts")] == [HALF]
    assert executions(stage, 4, "parts") == found


def check_a_cancellation_ends_the_order_with_what_was_filled(make: Make) -> None:
    """The end comes for the order that was named, and it rests no more."""
    stage = make()
    send(stage, "part", rests=True)
    venue_id = heard(stage, Acknowledged, "part").venue_id
    stage.fill("part", Decimal("0.2"))
    stage.venue.cancel(5, ClientId("part"), venue_id, stage.pair)
    ended = heard(stage, Ended, "part")
    assert (ended.state, ended.filled, ended.venue_id) == (OrderState.CANCELLED, Decimal("0.2"), venue_id)
    assert stage.resting() == 0


def check_an_order_can_be_cancelled_by_our_id_alone(make: Make) -> None:
    """After a lost answer there is no other."""
    stage = make()
    stage.lose_answer()
    send(stage, "mine", rests=True)
    heard(stage, Lost, "mine")
    stage.venue.cancel(5, ClientId("mine"), None, stage.pair)
    assert heard(stage, Ended, "mine").state is OrderState.CANCELLED


def check_a_cancellation_that_comes_too_late_cancels_nothing(make: Make) -> None:
    """The end says filled, or nothing is said to have ended; the closed orders know."""
    stage = make()
    send(stage, "race", rests=True)
    venue_id = heard(stage, Acknowledged, "race").venue_id
    stage.fill("race", HALF)
    stage.venue.cancel(5, ClientId("race"), venue_id, stage.pair)
    answer = stage.next(
        lambda one: isinstance(one, Ended) or (isinstance(one, NotAnswered) and one.number == 5)  # whichever it says
    )
    assert not isinstance(answer, Ended) or (answer.state, answer.filled) == (OrderState.FILLED, HALF)
    (order,) = orders(stage, 6, "race")
    assert (order.state, order.filled) == (OrderState.FILLED, HALF)


def check_a_cancellation_of_nothing_is_not_answered(make: Make) -> None:
    """With its number, so that it can be asked again."""
    stage = make()
    stage.venue.cancel(7, ClientId("nobody"), VenueId("nothing"), stage.pair)
    answer = stage.next(lambda one: isinstance(one, NotAnswered) and one.number == 7)
    assert isinstance(answer, NotAnswered)
    assert answer.ask is None


def check_questions_are_about_those_that_were_named_or_about_all(make: Make) -> None:
    """And the same question twice has the same answer."""
    stage = make()
    for name in ("a", "b", "c"):
        send(stage, name, Decimal("0.1"), rests=name != "c")
        heard(stage, Acknowledged, name)
    assert {one.client_id for one in asked(stage, 1, Ask.OPEN_ORDERS).orders} == {"a", "b"}
    assert [one.client_id for one in asked(stage, 2, Ask.OPEN_ORDERS, "b").orders] == ["b"]
    assert [one.client_id for one in asked(stage, 3, Ask.CLOSED_ORDERS).orders] == ["c"]
    assert asked(stage, 4, Ask.OPEN_ORDERS, "c").orders == ()
    assert asked(stage, 5, Ask.OPEN_ORDERS, "b").orders == asked(stage, 2_000, Ask.OPEN_ORDERS, "b").orders


def check_executions_can_be_asked_since_a_time(make: Make) -> None:
    """Those before it may be left out, those after it never."""
    stage = make()
    send(stage, "early", Decimal("0.1"))
    heard(stage, Acknowledged, "early")
    stage.pass_ms(600_000)
    since = stage.now() - 1_000
    send(stage, "later", Decimal("0.2"))
    heard(stage, Acknowledged, "later")
    assert [one.client_id for one in asked(stage, 1, Ask.EXECUTIONS, since=since).executions] == ["later"]
    assert {one.client_id for one in asked(stage, 2, Ask.EXECUTIONS, since=0).executions} == {"early", "later"}


def check_a_humans_order_has_no_id_of_ours(make: Make) -> None:
    """It is told with everything else, and left alone."""
    stage = make()
    send(stage, "ours", rests=True)
    heard(stage, Acknowledged, "ours")
    stage.human()
    found = asked(stage, 1, Ask.OPEN_ORDERS).orders
    assert sorted(one.client_id for one in found) == ["", "ours"]
    assert len({one.venue_id for one in found}) == 2


def check_the_balance_is_whole_while_orders_rest(make: Make) -> None:
    """What they hold back is still there."""
    stage = make()
    quote = stage.pair.partition("/")[2]
    before = dict(asked(stage, 1, Ask.BALANCES).balances)[quote]
    send(stage, "holds", rests=True)
    heard(stage, Acknowledged, "holds")
    assert dict(asked(stage, 2, Ask.BALANCES).balances)[quote] == before


def check_the_time_of_the_exchange_can_be_asked(make: Make) -> None:
    """To a second at least."""
    stage = make()
    told = asked(stage, 1, Ask.TIME).venue_now
    assert told is not None
    assert abs(told - stage.now()) <= 1_000


def check_what_rests_goes_on_resting_when_the_venue_is_closed(make: Make) -> None:
    """And closing again does no harm."""
    stage = make()
    send(stage, "rests", rests=True)
    heard(stage, Acknowledged, "rests")
    stage.venue.close()
    stage.venue.close()
    assert stage.resting() == 1


CHECKS = [check for name, check in sorted(globals().items()) if name.startswith("check_")]
