"""The supervisor's plan: exits before entries, at most one order for a pair, nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from hashlib import sha1
from uuid import UUID

from ...core.config import Account
from ...core.portfolio import ZERO, floor_amount, money
from ...core.ports import SpineState
from ...core.types import (
    Command,
    CommandKind,
    Idea,
    Intent,
    Order,
    OrderId,
    OrderKind,
    Pair,
    Position,
    Side,
)
from .exits import exit_reason, horizon_passed, opposed

ENTRY = "entry"
"""The reason of an order that follows an intent."""
_SELLING = (CommandKind.FLATTEN, CommandKind.EMERGENCY_SHUTDOWN)
"""Commands that sell what is held; the second only where the settings say so."""


def full_size(pair: Pair) -> Decimal:
    """The multiplier of a pair about whose life nobody asks."""
    return Decimal(1)


class FixedSupervisor:
    """Fixed exits (stop with the entry, opposite idea, horizon) and entries of a fixed share of equity.

    The share is multiplied by `multiplier` of the pair: an asset on probation gets less, one that hibernates nothing.
    An emergency shutdown sells like `flatten` where `emergency_flatten` says so.

    Ids are uuid5 of (namespace, slice, pair, n), so that the same run gives the same ids.
    """

    def __init__(
        self,
        account: Account,
        namespace: UUID,
        multiplier: Callable[[Pair], Decimal] = full_size,
        emergency_flatten: bool = False,
    ) -> None:
        self._account = account
        self._selling = _SELLING if emergency_flatten else _SELLING[:1]
        self._multiplier = multiplier
        self._namespace = namespace.bytes

    def plan(
        self, intents: Sequence[Intent], ideas: Sequence[Idea], commands: Sequence[Command], state: SpineState
    ) -> Sequence[Order]:
        """Exits, then manual orders, then entries; a pair that has an order already gets no second one."""
        if not (state.positions or intents or commands):
            return ()
        taken: set[Pair] = set()
        orders: list[Order] = []
        for order in self._wanted(intents, ideas, commands, state):
            if order.pair not in taken:
                taken.add(order.pair)
                orders.append(order)
        return orders

    def moot(self, ideas: Sequence[Idea], commands: Sequence[Command], state: SpineState) -> Sequence[Pair]:
        """Pairs not held whose waiting entry would be left at once, were it filled: what an exit is for positions."""
        waiting = [o for o in state.open_orders if o.side is Side.BUY and o.pair not in state.positions]
        if not waiting:
            return ()
        asked = [command.pair for command in commands if command.kind in self._selling]
        flatten = {order.pair for order in waiting if None in asked or order.pair in asked}
        out_of, at = opposed(ideas), state.snapshot.at
        return sorted({order.pair for order in waiting if exit_reason(order, out_of, at, flatten)})

    def leaves(self, ideas: Sequence[Idea], positions: Mapping[Pair, Position], at: int) -> bool:
        """Whether there is a reason to leave any of the positions, without a command."""
        if not positions:
            return False
        due = [position for position in positions.values() if horizon_passed(position, at)]
        return bool(due) or not opposed(ideas).isdisjoint(positions)

    def _wanted(
        self, intents: Sequence[Intent], ideas: Sequence[Idea], commands: Sequence[Command], state: SpineState
    ) -> Iterator[Order]:
        yield from self._exits(ideas, commands, state)
        for command in commands:
            if command.kind is CommandKind.ORDER:
                yield from self._manual(command, state)
        for intent in intents:
            if intent.side is Side.BUY:
                yield self._entry(intent, state)

    def _exits(self, ideas: Sequence[Idea], commands: Sequence[Command], state: SpineState) -> Iterator[Order]:
        flatten, out_of = self._flattened(commands, state), opposed(ideas)
        for pair in sorted(state.positions):
            position = state.positions[pair]
            reason = exit_reason(position, out_of, state.snapshot.at, flatten)
            staying = position.amount - _leaving(pair, state) if reason else ZERO
            if staying > 0:
                yield self._order(pair, Side.SELL, staying, reason, state, _close(pair, state))

    def _flattened(self, commands: Sequence[Command], state: SpineState) -> set[Pair]:
        asked = [command for command in commands if command.kind in self._selling]
        if any(command.pair is None for command in asked):
            return set(state.positions)
        return {command.pair for command in asked if command.pair is not None}

    def _entry(self, intent: Intent, state: SpineState) -> Order:
        reference = _close(intent.pair, state)
        stake = state.equity * self._account.entry_equity_ratio * self._multiplier(intent.pair)
        amount = floor_amount(stake / reference, self._account.amount_decimals) if reference > 0 else ZERO
        snapshot = state.snapshot
        leave_at = None if intent.horizon is None else snapshot.at + intent.horizon * snapshot.interval_ms
        return self._order(intent.pair, Side.BUY, amount, ENTRY, state, reference, self._account.stop_ratio, leave_at)

    def _manual(self, command: Command, state: SpineState) -> Iterator[Order]:
        if command.pair is None or command.side is None or command.amount is None:
            return
        stop = self._account.stop_ratio if command.side is Side.BUY else None
        amount = floor_amount(command.amount, self._account.amount_decimals)
        reference = _close(command.pair, state)
        yield self._order(command.pair, command.side, amount, "manual", state, reference, stop)

    def _order(
        self,
        pair: Pair,
        side: Side,
        amount: Decimal,
        reason: str,
        state: SpineState,
        reference: Decimal,
        stop: Decimal | None = None,
        leave_at: int | None = None,
    ) -> Order:
        at = state.snapshot.at
        return Order(
            id=order_id(self._namespace, at, pair, side),
            pair=pair,
            side=side,
            amount=amount,
            kind=OrderKind.MARKET,
            at=at,
            reference=reference,
            reason=reason,
            stop=stop,
            leave_at=leave_at,
        )


def order_id(namespace: bytes, at: int, pair: Pair, side: Side) -> OrderId:
    """The id of an order that is decided at `at` (UTC ms): the same for the same run."""
    return OrderId(_uuid5(namespace, f"{at}|{pair}|{side.value}"))


_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""What stands for the two highest bits of a hexadecimal digit set to 10, the variant of RFC 9562."""


def _uuid5(namespace: bytes, name: str) -> str:
    """`str(uuid.uuid5(namespace, name))` (RFC 9562, 5.5) without the object, which costs more than the hash.

    >>> from uuid import NAMESPACE_OID, uuid5
    >>> _uuid5(NAMESPACE_OID.bytes, "a") == str(uuid5(NAMESPACE_OID, "a"))
    True
    """
    text = sha1(namespace + name.encode(), usedforsecurity=False).hexdigest()
    variant = _VARIANT[text[16]]
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"


def _close(pair: Pair, state: SpineState) -> Decimal:
    """The last close of a pair, zero where none is known (the gate refuses it then)."""
    close = state.snapshot.close.item(state.snapshot.pairs.index(pair))
    return money(close) if close == close else ZERO


def _leaving(pair: Pair, state: SpineState) -> Decimal:
    """What sells on their way will take of a position; a resting stop is not on its way."""
    sells = [o for o in state.open_orders if o.pair == pair and o.side is Side.SELL and o.kind is OrderKind.MARKET]
    return sum([order.amount for order in sells], ZERO)
