"""What every figure of the monitor means: one table, from which all pages take their words."""

from __future__ import annotations

EXPLAIN: dict[str, tuple[str, str]] = {
    "equity": ("Equity", "Cash and positions at their newest marks, in quote currency, after fees and slippage."),
    "cash": ("Cash", "Quote currency that is not in positions; what waits in orders is still in it."),
    "baseline": (
        "Baseline",
        "The start sum and the closed trades of the analysts alone: a book beside the account, same sizing and costs.",
    ),
    "mycelial": (
        "Mycelial",
        "The start sum and the closed trades of the swarm alone: a book beside the account, same sizing and costs.",
    ),
    "synthesized": (
        "Synthesized",
        "The account itself: it trades only where both agree and the expected edge exceeds a round trip's cost.",
    ),
    "market_time": ("Market time", "The end of the newest slice that the engine walked, in the chosen time zone."),
    "slices": ("Slices", "How many instants of the market the engine has walked since it was started."),
    "collisions": ("Collisions", "How often baseline and swarm met on one pair within the window with the same side."),
    "conflicts": ("Conflicts", "How often baseline and swarm met on one pair with opposite sides; nothing is done."),
    "population": ("Population", "Agents alive now, of all classes."),
    "learners": ("Learners", "Pattern learners alive now; they vote only when they are sure enough."),
    "diversity": (
        "Diversity",
        "The exponential of the entropy of learners over moat and horizon: how many equally large groups would be "
        "as varied. 1 means that all are alike.",
    ),
    "contagion": ("Contagion", "Share of the learners that took a pattern over from another one lately; 0 to 1."),
    "contagion_highest": ("Highest contagion", "The highest contagion since the start."),
    "toxic": ("Toxic", "Learners that are poisoned on purpose (haven.toxic_ratio): an experiment. Normally 0."),
    "exchanges": (
        "Exchanges",
        "Who took from whom in the newest round of sharing. The gain is by how many nats of recorded loss the giver "
        "stood better than the taker; a little worse is allowed.",
    ),
    "succession": ("Succession", "Whose child took the place of one of the worst learners of its moat, newest first."),
    "silenced": (
        "Silenced",
        "Learners of pairs that would have spoken and were not let, in the newest notice of each pair.",
    ),
    "generation": ("Generation", "How many ancestors a learner has; replaced learners take the place of weak ones."),
    "votes": ("Votes", "Who spoke for the newest idea of the swarm, and for the newest proposals of the explorers."),
    "quarantined": ("Quarantined", "Agents that failed too often and are not asked any more; the others go on."),
    "active": ("Active pairs", "Pairs with a team of agents of their own."),
    "lifecycle": ("Stage of life", "active, probation, hibernating, delisted: what a pair's own results earned it."),
    "size_share": (
        "Size share",
        "The part of a full position that new entries of a pair may have: 100 % active, less on probation, 0 % asleep.",
    ),
    "life_profit": (
        "Net returns",
        "The sum of the net returns of a pair's own trades; its limits decide probation, sleep and recovery.",
    ),
    "price": ("Price", "Close of the newest candle that the running process holds."),
    "volume": ("Volume", "Of the newest candle, in base units."),
    "trades": ("Trades", "Closed round trips."),
    "win_ratio": ("Won", "Share of closed trades with a profit after costs."),
    "profit": ("Profit", "Of closed trades, after fees and slippage, in quote currency."),
    "positions": ("Positions", "What the account holds now, in base units."),
    "exposure": ("Exposure", "Value of positions as a share of equity."),
    "drawdown": ("Drawdown", "Loss from the highest equity so far as a share of it, positions marked."),
    "refusals": ("Refusals", "Ideas and orders that were not carried out, by reason, since the process started."),
    "gate": ("Gate decisions", "What the risk gate said of each order, and what it looked at."),
    "limit": (
        "Limits",
        "What may be used at most, what is used, what is left. A breaker that opened has nothing left.",
    ),
    "freshness": ("Age", "Since the newest observation of a moat became known."),
    "quality": ("Quality", "Share of a moat's parts that can be used, weighted by age; 0 to 1."),
    "strength": ("Strength", "How unusual a moat's readings are now, 0 to 100, and the grade that follows."),
    "contribution": (
        "Contributed",
        "How often learners of a moat stood behind the swarm's ideas in what was read of the ledger.",
    ),
    "synthesis": ("Synthesis", "What the moats say together: it needs more than one that is strong or moderate."),
    "sharpe": (
        "Sharpe",
        "Mean over deviation of daily returns, times the root of 365; a dash where there are no days.",
    ),
    "total_profit": ("Total profit", "(End - start) / start, after costs."),
    "max_drawdown": ("Max. drawdown", "Largest loss from a peak as a share of it."),
    "profit_factor": ("Profit factor", "Gross profit over gross loss; a dash where nothing was lost."),
    "verdict": ("Verdict", "One sentence that says whether money was lost."),
    "promotion": (
        "Promotion gate",
        "Whether a run may be promoted, criterion by criterion; ask with `mycelial gate RUN`.",
    ),
    "backlog": ("Ledger backlog", "Rows that wait to be written; it should stay small."),
    "messages": ("Messages", "How many passed the bus by channel since the process started."),
    "rate": ("A second", "Messages a second since this page last looked."),
    "faults": ("Faults", "Failures of agents, counted; each failing agent is isolated."),
    "log": (
        "Log file",
        "What the process says: JSON lines in the state folder's `logs`, without secrets, oldest thrown away.",
    ),
    "dead_letters": ("Dead letters", "What the ledger refused to take as it was, with the reason."),
    "ledger_rows": ("Ledger rows", "Number of the newest row of the hash-chained journal."),
    "memory": ("Memories", "Outcomes that the swarm can look up."),
    "data_age": ("Data age", "Seconds since the process answered, or since the ledger grew where it does not."),
    "risk": ("Risk", "Concentration, correlation and tail losses of what is held; a dash where nothing is."),
}


def label(name: str) -> str:
    """How a figure is called; KeyError for one that is not explained."""
    return EXPLAIN[name][0]


def meaning(name: str) -> str:
    """What it means."""
    return EXPLAIN[name][1]
