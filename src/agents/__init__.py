"""One file a kind of agent; KINDS is the table by which they are registered.

To add a kind: write its file with a class and a `populate`, add a row here, and the contract suite runs over it.
The order of rows is the order of birth, and with it the order inside a phase.
"""

from . import (
    builder,
    instigator,
    market_explorer,
    market_miner,
    moat_miner,
    pattern_learner,
    researcher,
    risk_guardian,
    technical_analyst,
    trader,
)
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
        "code_miner",
        moat_miner.CodeMiner,
        moat_miner.populate_code,
        publishes=("code-data:{language}",),
        subscribes=(),
    ),
    Kind(
        "logistics_miner",
        moat_miner.LogisticsMiner,
        moat_miner.populate_logistics,
        publishes=("logistics-data:{region}",),
        subscribes=(),
    ),
    Kind(
        "government_miner",
        moat_miner.GovernmentMiner,
        moat_miner.populate_government,
        publishes=("govt-data:{region}",),
        subscribes=(),
    ),
    Kind(
        "corporate_miner",
        moat_miner.CorporateMiner,
        moat_miner.populate_corporate,
        publishes=("corp-data:{sector}",),
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
        publishes=("mycelial-trade-ideas", "system-build-request", "pattern-validation-request"),
        subscribes=(
            "market-data:{pair}",
            "code-data:{language}",
            "govt-data:{region}",
            "logistics-data:{region}",
            "corp-data:{sector}",
            "system-control",
            "pattern-validation-result",
            "pattern-narrative",
        ),
    ),
    Kind(
        "deep_researcher",
        researcher.Researcher,
        researcher.populate,
        publishes=("pattern-validation-result", "pattern-narrative"),
        subscribes=("pattern-validation-request",),
    ),
    Kind(
        "mycelial_instigator",
        instigator.Instigator,
        instigator.populate,
        publishes=("system-control",),
        subscribes=(),
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
    Kind(
        "market_explorer",
        market_explorer.MarketExplorer,
        market_explorer.populate,
        publishes=("prospecting-proposals:{team}", "prospecting-consensus"),
        subscribes=("prospecting-proposals:{team}",),
    ),
    Kind(
        "builder",
        builder.Builder,
        builder.populate,
        publishes=("system-deployment",),
        subscribes=("prospecting-consensus", "system-build-request", "system-hibernation", "system-control"),
    ),
)

__all__ = ["KINDS", "Kind", "World"]
