"""What crosses the bus: one tagged frozen struct a channel, and the table that says who speaks and who listens.

Every message says its `source`, when it was made (`at`) and when its content could be known (`known_at`). Numbers are
finite; what is not known is absent.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from .errors import BusError
from .types import CommandKind, Pair, Points, Side, Status, Stream, Vote


class Message(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True, gc=False):
    """What all messages have. `at` and `known_at` in UTC milliseconds.

    Nothing in a message leads back to it, so the garbage collector need not look at them. What is said many times a
    slice can be made by position, which takes half the time; the others by keyword alone.
    """

    source: str
    at: int
    known_at: int


class MarketData(Message, frozen=True, tag="market_data"):
    """A bar of a pair closed; the same numbers travel by reference in the Snapshot."""

    pair: Pair
    close: float
    high: float
    low: float
    features: dict[str, float]
    simulated: bool = False


class MoatData(Message, frozen=True, tag="moat_data", kw_only=True):
    """A source outside the market said something, or stands differently now.

    `subject` is the language, region or sector; `features` what the values were made of, by name: those that end in
    `.z` are distances from the mean in standard deviations, weighted by age. Besides, what is known and no part of a
    value: `documents` of agencies; for each ASSET `ASSET.repositories`, `.commits_24h`, `.contributors`,
    `.open_issues`, `.dependency_entropy` and `.novelty`, as far as its repositories told. `age_ms` of what was known
    last.
    """

    moat: str
    subject: str
    features: dict[str, float]
    status: Status
    age_ms: int | None
    quality: float
    simulated: bool = False


class BaselineIdea(Message, frozen=True, tag="baseline_idea"):
    """The votes of a pair's technical analysts; the listener applies the Rule of 3 itself."""

    pair: Pair
    price: float
    votes: tuple[Vote, ...]


class MycelialIdea(Message, frozen=True, tag="mycelial_idea", kw_only=True):
    """What the learners of a pair expect. `edge` is a log return before costs, signed like the side.

    `interestingness` in [0, 100]: the mean of its learners', as of the last time it was looked at. What their simulated
    books did so far, both sides' costs paid: `simulated_pnl` of the last trades of each and `total_pnl` of all are sums
    of profit ratios, mean over the learners; `trade_count` of all together, `win_rate` among these, 0 without any.
    `agent_generation`: the highest; `product_focus`: the moat most of them belong to; `strategy_type`: the horizon's.
    """

    pair: Pair
    price: float
    side: Side
    score: float
    edge: float
    horizon: int
    learners: tuple[str, ...]
    team: str = ""
    interestingness: float = 0.0
    simulated_pnl: float = 0.0
    total_pnl: float = 0.0
    win_rate: float = 0.0
    trade_count: int = 0
    agent_generation: int = 0
    product_focus: str = ""
    strategy_type: str = ""


class SynthesizedTrade(Message, frozen=True, tag="synthesized_trade", kw_only=True):
    """Baseline and swarm met on a pair: a collision (same side) or a conflict (opposite sides).

    A collision whose `refused` is empty is an intent. `advice` is what memory said of a buy, `advice_reason` over
    which outcomes, `memories` the ids of them, nearest first; empty where it was not asked.
    """

    pair: Pair
    outcome: str
    side: Side
    price: float
    baseline_confidence: float
    mycelial_score: float
    edge: float
    horizon: int
    analysts: tuple[str, ...]
    learners: tuple[str, ...]
    baseline_at: int
    mycelial_at: int
    refused: str = ""
    advice: str = ""
    advice_reason: str = ""
    memories: tuple[str, ...] = ()


class TradeConfirmation(Message, frozen=True, tag="trade_confirmation", kw_only=True):
    """An order was filled; money as decimal strings."""

    pair: Pair
    side: Side
    stream: Stream
    order_id: str
    amount: str
    price: str
    fee: str
    slippage: str
    reason: str


class Control(Message, frozen=True, tag="control", kw_only=True):
    """A command took effect or is asked for by a member of the swarm; a stranger's needs a signature.

    `group` names the learners that are to share, for FORCE_SHARE.
    """

    command: CommandKind
    reason: str
    signature: str = ""
    group: str = ""


class Proposal(Message, frozen=True, tag="proposal", kw_only=True):
    """A team's explorers think a pair worth a team of agents; one vote each, with the points behind it.

    `estimated` names the criteria that were estimated from bars because the source carries no better input.
    """

    team: str
    pair: Pair
    votes: tuple[Vote, ...]
    points: tuple[Points, ...]
    estimated: tuple[str, ...] = ()


class ConsensusReached(Message, frozen=True, tag="consensus", kw_only=True):
    """Enough explorers of one team agree on a pair; the listener applies the Rule of 3 to the votes itself."""

    team: str
    pair: Pair
    confidence: float
    votes: tuple[Vote, ...]


class BuildRequest(Message, frozen=True, tag="build_request", kw_only=True):
    """A learner lacks a tool: a source of data, for instance."""

    tool: str
    reason: str


class Deployment(Message, frozen=True, tag="deployment", kw_only=True):
    """A pair has its team of agents now; `why`: bootstrap, consensus or revival."""

    pair: Pair
    why: str
    agents: tuple[str, ...]
    team: str = ""


class Hibernation(Message, frozen=True, tag="hibernation", kw_only=True):
    """A pair lost too much for too long: its team retires. `profit_ratio` is the sum of its trades' returns."""

    pair: Pair
    reason: str
    profit_ratio: float
    probation_days: float


class PatternRequest(Message, frozen=True, tag="pattern_request", kw_only=True):
    """A learner's pattern is to be judged on bars that it has not seen.

    `features` by name, as clipped when seen; those that the learner is blind to are absent. `value` in [0, 100].
    """

    pattern: str
    pair: Pair
    moat: str
    horizon: int
    side: Side
    score: float
    value: float
    seen_at: int
    features: dict[str, float]


class PatternResult(Message, frozen=True, tag="pattern_result", kw_only=True):
    """One researcher's vote on a pattern: 1 for it, -1 against it, 0 an abstention.

    `quality` in [0, 100], 50 is no better than the base rate. `moments` resembled the pattern; `mean_move` of their
    pairs over its horizon, positive where the pattern was right, less that of all moments, in units of volatility.
    """

    pattern: str
    pair: Pair
    vote: int
    quality: float
    moments: int
    mean_move: float


class PatternNarrative(Message, frozen=True, tag="pattern_narrative", kw_only=True):
    """The same in a sentence for people."""

    pattern: str
    pair: Pair
    vote: int
    quality: float
    narrative: str


class Barrier(Message, frozen=True, tag="barrier", kw_only=True):
    """Ends a generation of messages: when it comes back, everything published before it has been received."""

    number: int


AnyMessage = (
    MarketData
    | MoatData
    | BaselineIdea
    | MycelialIdea
    | SynthesizedTrade
    | TradeConfirmation
    | Control
    | Proposal
    | ConsensusReached
    | BuildRequest
    | Deployment
    | Hibernation
    | PatternRequest
    | PatternResult
    | PatternNarrative
    | Barrier
)


class Channel(msgspec.Struct, frozen=True):
    """One row of the table: template of the name, struct, who publishes and who subscribes."""

    template: str
    struct: type[Message]
    publishers: tuple[str, ...]
    subscribers: tuple[str, ...]

    @property
    def pattern(self) -> str:
        """The subscription pattern that covers all names of this channel."""
        head, brace, _ = self.template.partition("{")
        return f"{head}*" if brace else head


CHANNELS: tuple[Channel, ...] = (
    Channel("market-data:{pair}", MarketData, ("market_miner",), ("technical_analyst", "pattern_learner")),
    Channel("code-data:{language}", MoatData, ("code_miner",), ("pattern_learner",)),
    Channel("logistics-data:{region}", MoatData, ("logistics_miner",), ("pattern_learner",)),
    Channel("govt-data:{region}", MoatData, ("government_miner",), ("pattern_learner",)),
    Channel("corp-data:{sector}", MoatData, ("corporate_miner",), ("pattern_learner",)),
    Channel("baseline-trade-ideas:{pair}", BaselineIdea, ("technical_analyst",), ("trader",)),
    Channel("mycelial-trade-ideas", MycelialIdea, ("pattern_learner",), ("trader",)),
    Channel("synthesized-trade-log", SynthesizedTrade, ("trader",), ("engine",)),
    Channel("trade-confirmations", TradeConfirmation, ("engine",), ("risk_guardian",)),
    Channel(
        "system-control",
        Control,
        ("engine", "risk_guardian", "mycelial_instigator"),
        ("engine", "trader", "builder", "pattern_learner"),
    ),
    Channel("prospecting-proposals:{team}", Proposal, ("market_explorer",), ("market_explorer",)),
    Channel("prospecting-consensus", ConsensusReached, ("market_explorer",), ("builder",)),
    Channel("system-build-request", BuildRequest, ("pattern_learner",), ("builder",)),
    Channel("system-deployment", Deployment, ("builder",), ("engine",)),
    Channel("system-hibernation", Hibernation, ("engine",), ("builder",)),
    Channel("pattern-validation-request", PatternRequest, ("pattern_learner",), ("deep_researcher",)),
    Channel("pattern-validation-result", PatternResult, ("deep_researcher",), ("pattern_learner",)),
    Channel("pattern-narrative", PatternNarrative, ("deep_researcher",), ("pattern_learner",)),
    Channel("system-barrier", Barrier, ("bus",), ("bus",)),
)

BY_TEMPLATE = {channel.template: channel for channel in CHANNELS}
MAX_NAMES = 4096
"""Channel names whose row is remembered; strangers can invent names, so there is an end to it."""


@lru_cache(maxsize=MAX_NAMES)
def channel_of(name: str) -> Channel:
    """The row of the table that a channel name belongs to; BusError when there is none."""
    head, colon, rest = name.partition(":")
    for channel in CHANNELS:
        template_head, template_colon, _ = channel.template.partition(":")
        if head == template_head and bool(colon) == bool(template_colon) and (rest or not colon):
            return channel
    raise BusError(f"no such channel: {name!r}")
