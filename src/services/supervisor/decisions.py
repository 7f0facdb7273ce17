"""Makes one plan a symbol out of what the policies recommend; the same state decided again gives nothing.

Emergencies come before whole exits by rule, these before parts, parts before stops that trail, and all of them before
entries. A whole exit takes the place of everything else that was wanted of the symbol, a missing stop included: selling
now protects more than a stop would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from uuid import UUID, uuid5

import msgspec

from ...core.canonical import digest
from ...core.config_policies import Policies, PolicyState
from ...core.errors import InvariantError
from ...core.portfolio import floor_amount
from ...core.types import MONEY_STEP, Order, OrderId, OrderKind, Pair, Side
from .context import ZERO, SymbolContext
from .policies import POLICIES, Policy
from .portfolio_state import Fault, Seen
from .recommendation import PolicyAction, Priority, Recommendation

STOPS = (PolicyAction.PROTECT, PolicyAction.RAISE_STOP)


class Wish(msgspec.Struct, frozen=True):
    """What is wanted of one symbol, all things considered. `amount` to sell or to protect, `stop` a price."""

    action: PolicyAction
    priority: Priority
    reason: str
    policies: tuple[str, ...]
    amount: Decimal = ZERO
    stop: Decimal | None = None


class Said(msgspec.Struct, frozen=True):
    """A recommendation and what became of it.

    `outcome`: done, merged into the plan, overruled by it, shadow (its policy is not on), or the reason why it was put
    aside: stale_price, not_favourable, leaving, too_small, cooldown, unchanged.
    """

    recommendation: Recommendation
    outcome: str


class Plan(msgspec.Struct, frozen=True):
    """The one plan of a symbol. `order` is what it is about; `rest` the stop under what a partial sale leaves.

    `withdraw`: orders that are in its way. `seen` is the mark of the state it was made for. `policies`: who wanted it,
    the decisive one first.
    """

    id: str
    pair: Pair
    at: int
    wish: Wish
    order: Order | None
    rest: Order | None
    withdraw: tuple[OrderId, ...]
    seen: str

    @property
    def steps(self) -> tuple[OrderId | Order, ...]:
        """What is to be done in this order: what is in the way is withdrawn (an id), the stop comes before the sale."""
        orders = tuple(order for order in (self.rest, self.order) if order is not None)
        return (*self.withdraw, *orders)


class Cycle(msgspec.Struct, frozen=True):
    """What one cycle came to. `would`: by pair, what would be wanted were the policies in shadow on."""

    at: int
    plans: tuple[Plan, ...]
    said: tuple[Said, ...]
    would: Mapping[Pair, Wish]
    faults: tuple[Fault, ...]


class DecisionEngine:
    """Asks every policy that is not off about every symbol, and remembers when it last acted on each."""

    def __init__(self, settings: Policies, namespace: UUID, amount_decimals: int) -> None:
        self._settings = settings
        self._namespace = namespace
        self._decimals = amount_decimals
        self._cooldown_ms = round(settings.cooldown_seconds * 1000)
        self._policies: tuple[Policy, ...] = tuple(make(settings) for make in POLICIES.values())
        self._acted: dict[Pair, tuple[int, str]] = {}

    def decide(self, seen: Seen, states: Mapping[str, PolicyState]) -> Cycle:
        """The plans of this cycle by pair. A symbol that fails is put aside and told of, the others go on."""
        plans: list[Plan] = []
        said: list[Said] = []
        would: dict[Pair, Wish] = {}
        faults = list(seen.faults)
        for context in seen.contexts:
            heard = self._hear(context, states, faults)
            try:
                plan, told, wish = self._decided(context, heard, states)
            except InvariantError:
                raise
            except Exception as error:  # noqa: BLE001 - the isolation of symbols: one that fails must not stop others
                faults.append(Fault(context.pair, "", f"{type(error).__name__}: {error}"))
                continue
            said += told
            if plan is not None:
                plans.append(plan)
            if wish is not None:
                would[context.pair] = wish
        held = {context.pair for context in seen.contexts} | {fault.pair for fault in faults}
        self._acted = {pair: acted for pair, acted in self._acted.items() if pair in held}
        return Cycle(seen.at, tuple(plans), tuple(said), would, tuple(faults))

    def _hear(
        self, context: SymbolContext, states: Mapping[str, PolicyState], faults: list[Fault]
    ) -> list[Recommendation]:
        """What the policies say of one symbol; one that fails is silent and told of."""
        heard = []
        if context.asked_out:
            heard.append(
                Recommendation(
                    "command", context.pair, PolicyAction.CLOSE, Priority.EMERGENCY, "flatten", by_price=False
                )
            )
        for policy in self._policies:
            if states[policy.name] == "off":
                continue
            try:
                said = policy.recommend(context)
            except InvariantError:
                raise
            except Exception as error:  # noqa: BLE001 - the isolation of policies: a stop must not fail with a ladder
                faults.append(Fault(context.pair, policy.name, f"{type(error).__name__}: {error}"))
                continue
            if said is not None:
                heard.append(said)
        return heard

    def _decided(
        self, context: SymbolContext, heard: Sequence[Recommendation], states: Mapping[str, PolicyState]
    ) -> tuple[Plan | None, list[Said], Wish | None]:
        on = [one for one in heard if states.get(one.policy, "on") == "on"]
        wish, outcomes = self._resolve(context, on)
        plan, hindrance = self._planned(context, wish)
        if hindrance:
            outcomes = [hindrance if outcome in ("done", "merged") else outcome for outcome in outcomes]
        told = [Said(one, outcome) for one, outcome in zip(on, outcomes, strict=True)]
        if len(on) == len(heard):
            return plan, told, None
        told += [Said(one, "shadow") for one in heard if states.get(one.policy, "on") == "shadow"]
        would, _ = self._resolve(context, heard)
        return plan, told, would

    def _resolve(self, context: SymbolContext, given: Sequence[Recommendation]) -> tuple[Wish | None, list[str]]:
        """One wish out of many, and what became of each."""
        ready = [_ready(context, one) for one in given]
        outcomes = [self._objection(context, one) for one in ready]
        fit = [(place, one) for place, one in enumerate(ready) if not outcomes[place]]
        if not fit:
            return _tidy(context), outcomes
        first = min(fit, key=lambda item: (item[1].action is not PolicyAction.CLOSE, item[1].priority, item[0]))[0]
        leader = ready[first]
        alike = [(place, one) for place, one in fit if _agrees(leader.action, one.action)]
        for place, _ in fit:
            outcomes[place] = "overruled"
        for place, _ in alike:
            outcomes[place] = "merged"
        outcomes[first] = "done"
        names = tuple(dict.fromkeys((leader.policy, *(one.policy for _, one in alike))))
        wish = self._merged(context, leader, [one for _, one in alike], names)
        if wish.action is PolicyAction.CLOSE:  # it settles whatever else was wanted, and is as urgent as that
            wish = msgspec.structs.replace(wish, priority=min(one.priority for _, one in fit))
        return wish, outcomes

    def _merged(
        self, context: SymbolContext, leader: Recommendation, alike: Sequence[Recommendation], names: tuple[str, ...]
    ) -> Wish:
        """The largest part and the safest stop of those that agree; never a stop below one there ever was."""
        action, staying = leader.action, context.staying
        parts = [one.amount for one in alike if one.amount is not None]
        amount = self._floor(max(parts)) if action is PolicyAction.SELL_PART else staying
        if action is PolicyAction.CLOSE or amount >= staying:
            action = PolicyAction.CLOSE if action not in STOPS else action
            amount = staying
        stops = [one.stop for one in alike if one.stop is not None]
        stop = None if action is PolicyAction.CLOSE else context.units.safest(context.progress.tight, *stops)
        return Wish(action, leader.priority, leader.reason, names, amount, stop)

    def _objection(self, context: SymbolContext, one: Recommendation) -> str:
        """Why a recommendation cannot be followed; empty where it can."""
        if one.by_price and not context.fresh:
            return "stale_price"
        if context.staying <= 0 or (
            context.leaving > 0 and one.action not in (PolicyAction.CLOSE, PolicyAction.PROTECT)
        ):
            return "leaving"
        if one.action is PolicyAction.SELL_PART and self._floor(one.amount or ZERO) <= 0:
            return "too_small"
        if one.action is PolicyAction.RAISE_STOP and not self._favourable(context, one.stop):
            return "not_favourable"
        return ""

    def _favourable(self, context: SymbolContext, stop: Decimal | None) -> bool:
        """Whether a stop protects more than the one there is, by at least the least step."""
        now = context.stop
        if stop is None or now is None:
            return stop is not None
        step = self._settings.min_stop_step_r * abs(context.units.one)
        return context.units.safer(stop, now) and abs(stop - now) >= step

    def _planned(self, context: SymbolContext, wish: Wish | None) -> tuple[Plan | None, str]:
        """The plan for a wish, or why there is none now."""
        if wish is None:
            return None, ""
        seen = mark(context, wish)
        hindrance = self._hindrance(context, wish, seen)
        if hindrance:
            return None, hindrance
        self._acted[context.pair] = context.at, seen
        order, rest = self._orders(context, wish)
        kept = context.stops[:1] if wish.action is PolicyAction.KEEP_BEST else ()
        withdraw = tuple(one.order.id for one in context.stops if one not in kept)
        name = str(uuid5(self._namespace, f"{context.at}|{context.pair}|plan"))
        return Plan(name, context.pair, context.at, wish, order, rest, withdraw, seen), ""

    def _hindrance(self, context: SymbolContext, wish: Wish, seen: str) -> str:
        acted = self._acted.get(context.pair)
        if acted is None or context.at - acted[0] >= self._cooldown_ms:
            return ""
        if acted[1] == seen:
            return "unchanged"
        return "cooldown" if wish.priority > Priority.EXIT else ""

    def _orders(self, context: SymbolContext, wish: Wish) -> tuple[Order | None, Order | None]:
        if wish.action is PolicyAction.KEEP_BEST:
            return None, None
        if wish.action in STOPS:
            return self._stop_order(context, wish, wish.amount), None
        rest = None
        if wish.action is PolicyAction.SELL_PART:
            rest = self._stop_order(context, wish, context.staying - wish.amount)
        return self._sell_order(context, wish), rest

    def _sell_order(self, context: SymbolContext, wish: Wish) -> Order:
        return Order(
            id=self._name(context, Side.SELL.value),
            pair=context.pair,
            side=Side.SELL,
            amount=wish.amount,
            kind=OrderKind.MARKET,
            at=context.at,
            reference=ZERO if context.price is None else context.price,
            reason=wish.reason,
        )

    def _stop_order(self, context: SymbolContext, wish: Wish, amount: Decimal) -> Order:
        """A stop-limit: below its limit it waits instead of selling at any price."""
        assert wish.stop is not None, "every wish that leaves something has a stop"
        trigger = wish.stop.quantize(MONEY_STEP)
        return Order(
            id=self._name(context, "stop"),
            pair=context.pair,
            side=Side.SELL,
            amount=amount,
            kind=OrderKind.STOP_LIMIT,
            at=context.at,
            reference=trigger if context.price is None else context.price,
            reason=wish.reason,
            limit=(trigger * (1 - self._settings.stop_limit_ratio)).quantize(MONEY_STEP),
            trigger=trigger,
        )

    def _name(self, context: SymbolContext, what: str) -> OrderId:
        return OrderId(str(uuid5(self._namespace, f"{context.at}|{context.pair}|{what}")))

    def _floor(self, amount: Decimal) -> Decimal:
        return floor_amount(amount, self._decimals)

    def state(self) -> dict[str, list[int | str]]:
        """When and on what each symbol was acted on last."""
        return {pair: list(acted) for pair, acted in self._acted.items()}

    def restore(self, state: Mapping[str, Sequence[int | str]]) -> None:
        """Go on from `state`."""
        self._acted = {Pair(pair): (int(at), str(seen)) for pair, (at, seen) in state.items()}


def still_holds(plan: Plan, context: SymbolContext) -> bool:
    """Whether a plan is for the state as it is now: asked again right before it is carried out."""
    return mark(context, plan.wish) == plan.seen


def mark(context: SymbolContext, wish: Wish) -> str:
    """Tells two states of a symbol apart, as far as a wish depends on them: what is held and rests, what is wanted."""
    live = [[o.id, o.amount, o.trigger] for o in (one.order for one in context.stops)]
    held = [context.position.amount, context.position.opened_at, context.leaving]
    return digest([context.pair, held, live, wish.action, wish.amount, wish.stop])


def _ready(context: SymbolContext, one: Recommendation) -> Recommendation:
    """A stop at or beyond the price is no stop any more: the position should have been left there."""
    beyond = one.action is PolicyAction.RAISE_STOP and one.stop is not None and context.price is not None
    if beyond and one.stop is not None and not context.units.safer(context.price or ZERO, one.stop):
        return msgspec.structs.replace(one, action=PolicyAction.CLOSE, stop=None)
    return one


def _agrees(leader: PolicyAction, other: PolicyAction) -> bool:
    """Whether a recommendation can be followed together with the leading one."""
    if leader is PolicyAction.CLOSE:
        return other is PolicyAction.CLOSE
    if leader is PolicyAction.SELL_PART:
        return other is not PolicyAction.CLOSE
    return other in STOPS


def _tidy(context: SymbolContext) -> Wish | None:
    """Of several stops the most protective stays, where it protects everything."""
    if len(context.stops) < 2 or context.stops[0].order.amount < context.staying:
        return None
    return Wish(PolicyAction.KEEP_BEST, Priority.EMERGENCY, "duplicate_stops", ("stop_loss",), context.staying)
