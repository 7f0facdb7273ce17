"""The only place that knows who is who: builds a run from settings and closes it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec

from .agents import KINDS, Kind, World
from .agents.controls import NoiseLearner, PooledRidge
from .agents.trader import rules_of
from .backtesting.exchange import SimulatedExchange
from .backtesting.result import EDGE_TESTED
from .backtesting.simulated_kraken import PaperKraken
from .backtesting.venue.rules import OPEN_ORDERS, PairRules, VenueRules
from .backtesting.venue.server import VenueServer
from .core.clock import Timer
from .core.config import Risk, Settings
from .core.config_execution import DAY
from .core.desk import Desk
from .core.engine import Engine
from .core.history import History
from .core.indicators import BatchSource
from .core.market import FEATURES, Market
from .core.model import MycelialModel
from .core.portfolio import Portfolio
from .core.ports import Bus, Clock, Experience, Ledger, Life, Memory, Rival, Supervisor
from .core.standing import Standing, withheld
from .core.traces import Rules, rules_row
from .core.types import MONEY_STEP, Order, Pair, Stream
from .services.experience import TradeExperience
from .services.gate import RiskGate, limits_of
from .services.lifecycle import AssetLife
from .services.limits import Watch, limits_of_account
from .services.memory import PatternMemory
from .services.paper_books import paper_rules
from .services.pnl_tracker import PnLTracker
from .services.sizing import SizeParts, size_multiplier
from .services.supervisor import FixedSupervisor, full_size
from .services.supervisor.coordinator import Coordinator
from .services.supervisor.live import LiveBroker
from .services.supervisor.paper import PaperBroker
from .services.supervisor.policy_supervisor import PolicySupervisor

AccountPath = PaperBroker | LiveBroker
"""The account's broker where orders take the one order path."""
Way = Callable[[RiskGate, Watch], LiveBroker]
"""Builds the broker of an account at an exchange."""


class House(msgspec.Struct, frozen=True):
    """A run that was built, room by room."""

    settings: Settings
    seed: int
    clock: Clock
    bus: Bus
    ledger: Ledger
    market: Market
    model: MycelialModel
    desk: Desk
    tracker: PnLTracker
    engine: Engine
    life: AssetLife
    memory: PatternMemory
    world: World
    supervisor: PolicySupervisor
    watch: Watch
    path: AccountPath | None = None

    def close(self) -> None:
        """Drain the ledger, then give back the memory's store and the bus."""
        try:
            self.ledger.close()
        finally:
            self.memory.close()
            self.bus.close()


class Plan(msgspec.Struct, frozen=True):
    """What a run is about: the pairs in their order, the base interval, the seed, who lives in it.

    In a `simulation` moats that somebody invents count. `mode`: in `paper` orders take the one order path, in `advise`
    nothing is sent; in all others the account trades on the simulated exchange of backtests.
    """

    pairs: tuple[Pair, ...]
    interval_ms: int
    seed: int
    kinds: Sequence[Kind] = KINDS
    simulation: bool = False
    mode: str = ""


def build(
    settings: Settings,
    plan: Plan,
    clock: Clock,
    bus: Bus,
    ledger: Ledger,
    history: History | None = None,
    timer: Timer | None = None,
    sends: bool = True,
    way: Way | None = None,
) -> House:
    """Put a run together.

    `history`: all bars that will come, where they are known beforehand, so that features are computed in one
    sweep; without it they are computed bar by bar, with the same bits. `timer` guards agents' step budgets,
    where the run is not a mere calculation. The memory begins empty, and without a store. `way` builds the broker of an
    account at an exchange.
    """
    ledger.append([rules_row(_rules(settings, plan))], durable=False)
    model = MycelialModel(bus, plan.seed, plan.interval_ms, settings.agents, timer)
    memory = PatternMemory(settings.memory, len(FEATURES), plan.seed)
    experience = _experience(settings, memory)
    world = populated(model, settings, plan, memory)
    life = AssetLife(settings.lifecycle, plan.interval_ms)
    supervisor = _supervisor(settings, plan.seed, life)
    watch = Watch(settings.limits, Standing())
    gate = RiskGate(settings.risk, settings.costs, watch)
    path: AccountPath | None = None if way is None else way(gate, watch)
    if plan.mode == "paper":
        path = order_path(settings, plan, clock, ledger, gate, watch.standing)
    desk = _account_desk(settings, supervisor, watch, gate, path)
    tracker = _tracker(settings, plan.seed, life, experience, _rivals(settings, plan))
    market = _market(settings, plan, history)
    max_age_ms = settings.risk.max_data_age_intervals * plan.interval_ms
    sends = sends and plan.mode != "advise"
    patience = settings.haven.emergency_patience_intervals if settings.haven.emergency_flatten else 0
    engine = Engine(
        clock, bus, market, model, desk, tracker, ledger, sends, life, max_age_ms, patience * plan.interval_ms,
        memory, experience, supervisor, watch.standing,
    )  # fmt: skip
    engine.path = path
    return House(
        settings,
        plan.seed,
        clock,
        bus,
        ledger,
        market,
        model,
        desk,
        tracker,
        engine,
        life,
        memory,
        world,
        supervisor,
        watch,
        path,
    )


def _rules(settings: Settings, plan: Plan) -> Rules:
    """What decides, for whoever reads the record later."""
    limits = limits_of(settings.risk, settings.costs, plan.interval_ms, limits_of_account(settings.limits))
    return Rules(plan.interval_ms, rules_of(settings, plan.interval_ms, plan.pairs), limits)


def populated(model: MycelialModel, settings: Settings, plan: Plan, memory: Memory) -> World:
    """A world in which every kind of the plan lives, in the order of the table."""
    world = World(model, settings, plan.pairs, memory)
    for kind in plan.kinds:
        kind.populate(world)
    return world


def _market(settings: Settings, plan: Plan, history: History | None) -> Market:
    source = None if history is None else BatchSource(history, settings.indicators, settings.analysts)
    simulation = plan.simulation or (history is not None and history.simulated)
    return Market(plan.pairs, plan.interval_ms, settings, source, simulation)


def _supervisor(settings: Settings, seed: int, life: AssetLife) -> PolicySupervisor:
    """The account's: the fixed rules, and the policies that are switched on or watched beside them."""
    name = namespace(seed, Stream.SYNTHESIZED.value)
    flatten = settings.haven.emergency_flatten
    sized = _sized(settings, life.multiplier)
    return PolicySupervisor(settings.policies, settings.account, name, sized, life.stage, flatten)


def _sized(settings: Settings, probation: Callable[[Pair], Decimal]) -> Callable[[Pair], Decimal]:
    """The size multiplier of a pair: of its parts, probation is the one that exists."""
    cap = settings.limits.max_size_multiplier
    return lambda pair: size_multiplier(SizeParts(probation=probation(pair)), cap)


def _unchanging() -> None:
    """The standings where assets have no life."""


def order_path(
    settings: Settings, plan: Plan, clock: Clock, ledger: Ledger, gate: RiskGate, standing: Standing
) -> PaperBroker:
    """Coordinator and driver over the simulated exchange.

    Inside a bar no time passes: an entry that it has no volume for is cut at once, so that a stop protects what was
    bought. Nothing is lost on the way to this exchange: it is compared with once a day, and when somebody asks.
    """
    seldom = dict.fromkeys(("open_orders_seconds", "positions_seconds", "audit_seconds", "clock_seconds"), float(DAY))
    execution = settings.execution.model_copy(update={"entry_patience_seconds": 0.0, **seldom})
    name = namespace(plan.seed, "orders")

    def may_send(order: Order) -> str:
        return withheld(order, standing.of(order.pair))

    server = VenueServer(_venue_rules(settings, plan.pairs), settings.costs, settings.account.start_quote)
    venue = PaperKraken(server, clock.now_ms, settings.exchange.max_volume_ratio)
    coordinator = Coordinator(execution, may_send, name, gate.reduce, simulated=True)
    return PaperBroker(coordinator, venue, ledger, standing, clock.now_ms)


def _venue_rules(settings: Settings, pairs: Sequence[Pair]) -> VenueRules:
    """What the simulated exchange demands: the steps of money and amounts, and Kraken's counters."""
    decimals, budget = settings.account.amount_decimals, settings.kraken.budget
    least = PairRules(Decimal(1).scaleb(-decimals), Decimal(0), MONEY_STEP)
    counters = (budget.pair_most, budget.pair_decay_second, budget.calls_most, budget.calls_decay_second)
    most, kept = OPEN_ORDERS * len(pairs), settings.execution.keep_days
    return VenueRules(dict.fromkeys(pairs, least), decimals, most, *counters, keep_days=kept)


def _account_desk(
    settings: Settings, supervisor: Supervisor, watch: Watch, gate: RiskGate, path: AccountPath | None
) -> Desk:
    book = Portfolio(settings.account.start_quote, Stream.SYNTHESIZED, Stream.SYNTHESIZED.value)
    broker = _simulated_exchange(settings) if path is None else path
    return Desk(book, broker, supervisor, gate, watch)


def _desk(settings: Settings, stream: Stream, name: str, risk: Risk, supervisor: Supervisor) -> Desk:
    """A book on paper has the cheap controls alone, and the fixed supervisor, whatever the account's policies are."""
    book = Portfolio(settings.account.start_quote, stream, name)
    return Desk(book, _simulated_exchange(settings), supervisor, RiskGate(risk, settings.costs))


def _simulated_exchange(settings: Settings) -> SimulatedExchange:
    return SimulatedExchange(settings.costs, settings.account, settings.exchange)


def _experience(settings: Settings, memory: Memory) -> TradeExperience | None:
    rule = settings.memory
    return TradeExperience(memory, rule, settings.learners.feature_clip) if rule.enabled else None


def _rivals(settings: Settings, plan: Plan) -> Sequence[Rival]:
    """The simple learners that the swarm has to beat, if they are wanted."""
    if not settings.controls.enabled:
        return ()
    given = (settings.controls, settings.learners, len(FEATURES), len(plan.pairs), plan.seed)
    return (PooledRidge(*given), NoiseLearner(*given))


def _tracker(
    settings: Settings,
    seed: int,
    life: Life | None = None,
    experience: Experience | None = None,
    rivals: Sequence[Rival] = (),
) -> PnLTracker:
    """The shadow books take every idea of theirs: a drawdown that would halt the account does not stop them.

    They size their entries as the account does, so that an asset on probation counts less in all of them. The rivals'
    books ask for the same edge as the swarm's edge-tested one.
    """
    risk = settings.risk.model_copy(update={"max_drawdown_ratio": 1.0})
    sized = _sized(settings, full_size if life is None else life.multiplier)

    def shadow(stream: Stream, name: str, least_edge: float | None) -> tuple[Stream, Desk, float | None]:
        supervisor = FixedSupervisor(settings.account, namespace(seed, name), sized)
        return stream, _desk(settings, stream, name, risk, supervisor), least_edge

    shadows = {
        Stream.BASELINE.value: shadow(Stream.BASELINE, Stream.BASELINE.value, None),
        Stream.MYCELIAL.value: shadow(Stream.MYCELIAL, Stream.MYCELIAL.value, None),
        EDGE_TESTED: shadow(Stream.MYCELIAL, EDGE_TESTED, settings.costs.round_trip),
        **{one.name: shadow(Stream.CONTROL, one.name, settings.costs.round_trip) for one in rivals},
    }
    names = {name: namespace(seed, name) for name in shadows}
    standings = _unchanging if life is None else life.standings
    rules = paper_rules(settings.account, settings.costs, settings.exchange, risk, sized, standings, names)
    return PnLTracker(shadows, experience, rivals, rules)


def namespace(seed: int, name: str) -> UUID:
    """The namespace of a run's ids: the same seed gives the same ids."""
    return uuid5(NAMESPACE_OID, f"mycelial:{seed}:{name}")
