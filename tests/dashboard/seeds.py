"""Ledgers, runs and answering processes for the monitor, made with the project's own writers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

from src.connectors.control import ControlServer
from src.connectors.sqlite_ledger import SqliteSink
from src.connectors.state_folder import StateFolder
from src.core import records
from src.core.ports import Row
from src.core.types import Pair, Stream, Trade
from tests.worlds import settings

START = 1_704_067_200_000  # 2024-01-01
STEP = 300_000
HOSTILE = "<script>alert(1)</script>[x](javascript:alert(1)) :red[y] ![i](http://127.0.0.1:9/i.png)"
PAIRS = ("BTC/USD", "ETH/USD", HOSTILE)


def row(at: int, kind: str, key: str, body: dict[str, Any]) -> Row:
    """A journal row as the program writes it."""
    return Row(at, kind, f"{kind}:{key}", json.dumps(body).encode())


def start_row() -> Row:
    """What a run writes first."""
    identity = {"cash": "10000", "feed": "simulated", "interval_ms": STEP, "pairs": list(PAIRS), "seed": 7}
    return row(0, "start", "0", identity)


def trade(n: int, stream: Stream, profit: str, pair: str = "BTC/USD") -> Trade:
    """A round trip over one bar."""
    at = START + n * STEP
    money = (Decimal("0.1"), at, at + STEP, Decimal(42_000 + n), Decimal(42_010 + n), Decimal(4), Decimal(1))
    amount, entry, leave, bought, sold, fees, slippage = money
    return Trade(
        id=f"{stream.value}-{n}",
        stream=stream,
        pair=Pair(pair),
        amount=amount,
        entry_at=entry,
        exit_at=leave,
        entry_price=bought,
        exit_price=sold,
        fees=fees,
        slippage=slippage,
        profit=Decimal(profit),
        profit_ratio=Decimal(profit) / 4200,
        exit_reason="horizon",
    )


def life(slices: int, first: int = 0) -> Iterator[Row]:
    """So many slices: an idea each, a mark each, a trade every tenth, refusals, a review, a command."""
    for n in range(first, first + slices):
        at = START + n * STEP
        idea = {"at": records.stamp(at), "kind": "idea", "pair": "BTC/USD", "side": "buy", "source": "mycelial"}
        more = {"score": 0.9, "edge": 0.001, "voters": ["learner-code-1", "learner-BTC/USD-HFT-2", HOSTILE]}
        refusal = {"kind": "refusal", "pair": HOSTILE, "reason": "edge_below_cost", "source": HOSTILE, "side": "buy"}
        yield row(at, "decisions", str(at), {"lines": [idea | more, refusal]})
        yield row(at, "mark", str(at), {"at": at, "equity": str(10_000 + n), "cash": "9000", "positions": {}})
        if n % 10 == 0:
            yield records.row(at, "trade", f"baseline-{n}", trade(n, Stream.BASELINE, "-1.5"))
            yield records.row(at, "trade", f"mycelial-{n}", trade(n, Stream.MYCELIAL, "0.5"))


def few(at: int = START) -> Iterator[Row]:
    """One of each of the rarer rows."""
    order = {"id": "o1", "pair": "BTC/USD", "side": "buy", "amount": "0.1", "kind": "market", "at": at}
    change = {"at": records.stamp(at), "kind": "lifecycle", "pair": "BTC/USD", "reason": "probation_1"}
    more = {"source": "lifecycle", "before": "active", "profit_ratio": "-0.0512"}
    birth = {"at": records.stamp(at), "kind": "evolution", "source": "learner-code-1~1", "generation": 2}
    birth |= {"parent": HOSTILE, "replaces": "learner-code-1"}
    yield row(at + 1, "decisions", str(at + 1), {"lines": [change | more, birth]})
    yield row(at, "order", "o1", {**order, "reference": "42000", "reason": HOSTILE, "stop": "40000", "state": "filled"})
    looked = {"equity": "10000", "cash": "9000", "age_ms": 0, "halted": ""}
    yield row(at, "review", "o1", {"at": at, "order": order, "denied": "", "multiplier": "1", "looked": looked})
    yield row(at, "review", "o2", {"at": at, "order": order, "denied": "max_positions", "looked": looked})
    yield row(at, "command", "1", {"kind": "halt", "reason": HOSTILE, "source": "control"})
    lives = [["learner-code-1", "pattern_learner", "BTC/USD", "standard", "code", "HFT", None, 0]]
    lives.append(
        ["learner-BTC/USD-HFT-2", "pattern_learner", "BTC/USD", "BTC/USD", "market", "HFT", "learner-code-1", 3]
    )
    lives.append([HOSTILE, "pattern_learner", HOSTILE, HOSTILE, "corporate", "Swing", HOSTILE, 1])
    yield row(at, "census", "end", {"at": at, "members": lives, "society": SOCIETY})


def write(path: Path, rows: Iterator[Row] | list[Row], mode: str = "paper", each: int = 5000) -> None:
    """Rows into a ledger, as the writer does it."""
    sink = SqliteSink(path, settings().ledger, mode=mode, ledger_id="seeded")
    try:
        block: list[Row] = []
        for one in rows:
            block.append(one)
            if len(block) == each:
                assert sink.write(block) == {}
                block = []
        assert not block or sink.write(block) == {}
    finally:
        sink.close()


def full(folder: Path, slices: int = 200) -> Path:
    """A state folder with a ledger that has something of everything."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mode").write_text("paper")
    write(folder / "ledger.sqlite", [start_row(), *life(slices), *few()])
    return folder


LOGGED: tuple[dict[str, Any], ...] = (
    {"event": "started", "level": "info", "run": "r1", "pairs": [HOSTILE], "said": "2024-01-01T00:00:00.000Z"},
    {"event": "order", "level": "info", "run": "r1", "order": "o1", "said": "2024-01-01T00:00:01.000Z"},
    {"event": "fill", "level": "info", "run": "r1", "order": "o1", "said": "2024-01-01T00:00:02.000Z"},
    {"event": HOSTILE, "level": "error", "run": "r1", "reason": HOSTILE, "said": "2024-01-01T00:00:03.000Z"},
)
"""Lines as a run writes them."""


def logged(state: Path, lines: tuple[dict[str, Any], ...] = LOGGED, name: str = "mycelial.jsonl") -> Path:
    """A log file of a state folder."""
    path = state / "logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def a_run(runs: Path, name: str, profit: float, **more: Any) -> Path:
    """A finished run."""
    folder = runs / name
    folder.mkdir(parents=True)
    stream = {"trades": 5, "win_ratio": 0.4, "total_profit_ratio": profit, "sharpe": None, "fees": 1.0}
    result = {"run_id": name, "timerange": ["2024-01-01", "2024-02-01"], "pairs": ["BTC/USD"], "bars": 100}
    result |= {"simulated": False, "account": {"fills": 10, "max_drawdown_ratio": 0.1}, "verdict": f"{HOSTILE} lost"}
    result |= {"streams": {"baseline": stream, "synthesized": stream}, "buy_and_hold": {"total_profit_ratio": 0.1}}
    (folder / "result.json").write_text(json.dumps(result | more))
    lines = [f"2024-01-{1 + n:02d}T00:00:00.000Z,{10_000 + n},9000" for n in range(20)]
    (folder / "equity.csv").write_text("\n".join(["at,equity,cash", *lines]))
    return folder


SOCIETY: dict[str, Any] = {
    "toxic": {"learner-code-1": "2024-01-01T00:00:00.000Z", HOSTILE: None},
    "exchanges": [
        {"at": "2024-01-01T12:00:00.000Z", "giver": "learner-code-2", "taker": "learner-code-1", "gain": 0.0125},
        {"at": "2024-01-01T12:00:00.000Z", "giver": "learner-code-1", "taker": HOSTILE, "gain": None},
        {"at": "2024-01-01T12:00:00.000Z", "giver": "gone-1", "taker": "gone-2", "gain": -0.01},
    ],
    "learning": {},
}
"""How they live together."""

STATUS: dict[str, Any] = {
    "mode": "paper", "feed": "simulated", "simulated": True, "timeframe": "5m", "pairs": list(PAIRS), "seed": 7,
    "bus": "local", "pid": 1, "phase": "running", "at": "2024-01-01T12:00:00.000Z", "slices": 144, "equity": "10123.5",
    "cash": "9000", "halted": "", "bus_up": True, "positions": {"BTC/USD": "0.02"}, "active": ["BTC/USD"],
    "assets": {
        "BTC/USD": {
            "stage": "probation_1", "since": "2024-01-01T06:00:00.000Z", "size": "0.5", "profit_ratio": "-0.062",
            "probation_since": "2024-01-01T06:00:00.000Z", "why": "its trades lost more than -5 %",
            "next": "above -4 % after 24 intervals it is active again",
        },
        HOSTILE: {
            "stage": "hibernated", "since": "2024-01-01T06:00:00.000Z", "size": "0", "profit_ratio": "-0.2",
            "probation_since": None, "why": "it lost too much for too long", "next": HOSTILE,
        },
    },
    "marked_at": {"BTC/USD": "2024-01-01T12:00:00.000Z"}, "counts": {"collisions": 7, "conflicts": 3},
    "moats": {"code": {"status": "OK", "age_ms": 60_000, "quality": 0.9, "figures": {"BTC": 3.0, "BTC.z": 0.4},
                       "strength": 12.0, "grade": "none", "simulated": True},
              "government": {"status": "NEUTRAL", "age_ms": 0, "quality": 1.0, "strength": 0.0, "grade": "none",
                             "figures": {"event_hours": 9.0, "documents": 12.0, "documents.z": 1.5},
                             "simulated": False}},
    "synthesis": {"verdict": "NONE", "strong": []}, "refusals": {"edge_below_cost": 4, HOSTILE: 1},
    "limits": {"drawdown": {"limit": "0.05", "used": "0.01", "left": "0.04"},
               "price_collar": {"limit": "0.5", "used": None, "left": None}},
    "standing": {}, "haven": {"toxic": 1, "contagion_ratio": 0.25}, "faults": {HOSTILE: 2}, "quarantined": {},
    "messages": {"market-data:{pair}": 100}, "sources": [], "policies": {}, "risk": {"exposure_ratio": "0.08"},
    "memory": {"records": 5, "failure": None}, "ledger": {"backlog": 0, "failure": None},
}  # fmt: skip
"""What a process says of itself."""


@contextmanager
def answering(
    folder: Path, asked: list[tuple[str, dict[str, Any]]], stands: Mapping[str, Any] = MappingProxyType({})
) -> Iterator[None]:
    """A process that holds the folder, answers as `STATUS` says, and writes down what it is asked to do.

    `stands`: what is held back from the beginning, by pair.
    """
    standing: dict[str, Any] = dict(stands)

    def halt(fields: dict[str, Any]) -> dict[str, Any]:
        asked.append(("halt", fields))
        standing["all"] = {"state": "halted", "reason": fields["reason"], "source": "control"}
        return {"command": "halt", "effect": "done"}

    def status(fields: dict[str, Any]) -> dict[str, Any]:
        halted = standing["all"]["reason"] if "all" in standing else ""
        return {**STATUS, "standing": standing, "halted": halted}

    bars = {name: [1.0 + n for n in range(50)] for name in ("open", "high", "low", "close", "volume")}
    opened = [START + n * STEP for n in range(50)]
    members = [{"name": f"learner-code-{n}", "class": "pattern_learner", "pair": PAIRS[n % 3], "team": "standard",
                "moat": "code", "horizon": "HFT", "parent": None, "generation": n} for n in range(30)]  # fmt: skip
    handlers = {
        "status": status,
        "halt": halt,
        "census": lambda fields: {"at": None, "members": members, "society": SOCIETY},
        "candles": lambda fields: {"pair": fields["pair"], "opened": opened, **bars},
    }
    with StateFolder.open(folder, "paper") as state:
        server = ControlServer(state.socket_path, handlers)
        try:
            yield
        finally:
            server.close()
