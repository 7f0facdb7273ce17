"""A whole local Kraken on the wall's clock, REST and WebSocket over one state, and `mycelial run` that trades on it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import yaml

from src.backtesting.code_hash import code_sha256
from src.backtesting.evidence.examination import Rules
from src.backtesting.evidence.verdict import Verdict, rules_sha256, write
from src.connectors.config_files import DEFAULT_FILE, config_sha256, load
from src.core.clock import Timer, WallClock
from tests.commands.cli import Process
from tests.kraken.counters import Counters
from tests.kraken.desk import KEY, SECRET
from tests.kraken.exchange_state import ALL_RIGHTS, ExchangeState, OrderRow
from tests.kraken.rest_server import RestServer
from tests.kraken.tape import NS, Printed, Tape
from tests.kraken.ws_server import KrakenSockets

PAIRS = ("BTC/USD", "ETH/USD")
CANDLES = 60
PRICES = {"BTC/USD": Decimal("50000.0"), "ETH/USD": Decimal("3000.00")}
QUIET = (
    # Nobody has an idea: what happens is what is asked for.
    *("--set", "learners.team=3", "--set", "consensus.required_votes=4", "--set", "learners.min_learners=400"),
    *("--set", "moats.board.enabled=[]", "--set", "kraken.streams.belief.quote_age_seconds=600"),
    *("--bus", "local", "--timeframe", "1m", "--pairs", ",".join(PAIRS)),
)


class LocalKraken:
    """Both servers; their clock is the wall's, moved by `moved_ms`."""

    def __init__(self, rights: frozenset[str] = ALL_RIGHTS) -> None:
        self.moved_ms = 0
        wall = WallClock()
        self.state = ExchangeState(lambda: wall.now_ms() + self.moved_ms)
        self.state.add_key(KEY, SECRET, rights)
        self._stack = ExitStack()
        self.rest = RestServer(self.state)
        self._stack.callback(self.rest.close)
        self.sockets = self._stack.enter_context(KrakenSockets(self.state))
        first = wall.now_ms() // 60_000 * 60_000 - CANDLES * 60_000
        for pair in PAIRS:
            trades = [
                Printed((first + 60_000 * n + 30_000) * NS // 1000, _price(pair, n), Decimal(5)) for n in range(CANDLES)
            ]
            self.rest.public.tapes[pair] = Tape(trades)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.rest.release.set()
        self._stack.close()

    @property
    def words(self) -> tuple[str, ...]:
        """Arguments of `run` that lead to this exchange."""
        return (
            *("--set", f"kraken.rest.url={self.rest.url}", "--set", f"kraken.streams.url={self.sockets.url}"),
            *("--set", f"kraken.streams.private_url={self.sockets.private_url}", *QUIET),
        )

    def rested(self) -> None:
        """The counters are as low as they are after hours of running: a start spends nearly all of them."""
        self.state.counters = Counters(self.state.now)

    def until(self, seen: Callable[[], Any], seconds: float = 30.0) -> Any:
        """Wait until something is so at the exchange; what `seen` gave."""
        done: list[Any] = []

        def there() -> bool:
            done.append(seen())
            return bool(done[-1])

        forget = self.state.subscribe(lambda happening: self.sockets.ring())
        try:
            self.sockets.wait(there, seconds)
        finally:
            forget()
        return done[-1]

    def ours(self) -> list[OrderRow]:
        """Orders that carry a name of ours, as they came."""
        return [order for order in self.state.orders.values() if order.cl_ord_id]


def _price(pair: str, minute: int) -> Decimal:
    """A little up and down, so that there is some volatility to know."""
    return PRICES[pair] * (Decimal(1) + Decimal((minute * 7) % 5 - 2) / 1000)


def key_file(folder: Path) -> Path:
    """A key as its owner keeps it."""
    path = folder / "key"
    if not path.exists():
        path.write_text(f"{KEY}\n{SECRET}\n")
        path.chmod(0o400)
    return path


def stated(folder: Path, leave_out: str = "") -> tuple[str, ...]:
    """Arguments that name a file of one's own, whose overlay says live and states every limit; all but one of them."""
    plain = yaml.safe_load(DEFAULT_FILE.read_text())
    own: dict[str, dict[str, Any]] = {name: dict(plain[name]) for name in ("limits", "risk")}
    own |= {"run": {"mode": "live"}, "kraken": {"key_file": str(key_file(folder))}}
    own.pop(leave_out, None)
    shipped = leave_out == "limits"  # those of the project's own file, beside which no overlay of a user lies
    (folder / "own.yaml").write_text(DEFAULT_FILE.read_text())
    (folder / "own.prod.yaml").write_text(yaml.safe_dump(own))
    sets = [word for name in own for leaf, value in own[name].items() for word in ("--set", f"{name}.{leaf}={value}")]
    return tuple(sets) if shipped else ("--config", str(folder / "own.yaml"), "--env", "prod")


def licensed(folder: Path, words: tuple[str, ...]) -> None:
    """A verdict of the gate for exactly this code and configuration."""
    sets = [word for before, word in pairwise(words) if before == "--set"]
    settings = load(folder / "own.yaml", "prod", {}, sets).settings
    rules = Rules(settings.gate, settings.validation, settings.statistics)
    run = folder / "runs" / "judged"
    run.mkdir(parents=True, exist_ok=True)
    write(
        run,
        Verdict(
            passed=True, run_id="judged", seed=7, simulated=False, trials=1, rules_sha256=rules_sha256(rules),
            files={}, criteria=(), code_sha256=code_sha256(), config_sha256=config_sha256(settings),
            data_sha256="0" * 64,
        ),
    )  # fmt: skip


def live(exchange: LocalKraken, folder: Path, *more: str) -> Process:
    """`mycelial run --mode live`, allowed to."""
    words = (*exchange.words, *more)
    config = stated(folder)
    licensed(folder, words)
    return Process("--mode", "live", *config, *words, "--json", cwd=folder, state=folder / "state")


def seconds() -> float:
    """Monotonic."""
    return Timer().seconds()
