"""One file a kind of agent; KINDS is the table by which they are registered.

To add a kind: write its file with a class and a `populate`, add a row here, and the contract suite runs over it.
The order of rows is the order of birth, and with it the order inside a phase.
"""

from . import market_miner, pattern_learner, risk_guardian, technical_analyst, trader
from .world import Kind, World

KINDS: tuple[Kind, ...] = (
    Kind(
        "market_miner",
        market_miner.MarketMiner,
        market_miner.populate,
        publishes=("market-data:{pair}",),
        subscribes=(),
    ),
    Kind(
        "technical_analyst",
        technical_analyst.TechnicalAnalyst,
        technical_analyst.populate,
        publishes=("baseline-trade-ideas:{pair}",),
        subscribes=("market-data:{pair}",),
    ),
    Kind(
        "pattern_learner",
        pattern_learner.PatternLearner,
        pattern_learner.populate,
        publishes=("mycelial-trade-ideas",),
        subscribes=("market-data:{pair}",),
    ),
    Kind(
        "trader",
        trader.Trader,
        trader.populate,
        publishes=("synthesized-trade-log",),
        subscribes=("baseline-trade-ideas:{pair}", "mycelial-trade-ideas", "system-control"),
    ),
    Kind(
        "risk_guardian",
        risk_guardian.RiskGuardian,
        risk_guardian.populate,
        publishes=("system-control",),
        subscribes=("trade-confirmations",),
    ),
)

__all__ = ["KINDS", "Kind", "World"]
