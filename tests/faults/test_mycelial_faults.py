"""Faults of the earlier attempt that belong to no single part: they appear where parts meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import numpy as np
import pytest
import redis

from src.agents.prospecting import TREND
from src.backtesting.findings import rivalry
from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.redis_bus import RedisBus
from src.connectors.sqlite_ledger import LedgerReader, SqliteSink
from src.connectors.symbols import ASSETS, KRAKEN_ASSETS, split_symbol
from src.connectors.trade_files import read_trades
from src.core.clock import SimClock, Timer
from src.core.ports import Bus
from src.services.writer import Writer
from tests.agents.test_prospecting import Bars
from tests.checks.ledger_checks import SETTINGS, row
from tests.commands.cli import SECONDS
from tests.settings import discovering, learning
from tests.settings.leaves import tree
from tests.walked import Walk
from tests.worlds import ROOT

# --- discovery -------------------------------------------------------------------------------------------------------


def test_m_f06_proposals_are_heard_and_become_consensus_and_teams() -> None:
    """Explorers, board and builder together: what was agreed on had been proposed by those who are named."""
    lines = discovering.lines(tree(discovering.WORLD))
    proposed = {(line.at, line.source, line.pair): line.detail["voters"] for line in lines if line.kind == "vote"}
    agreed = [line for line in lines if line.kind == "consensus"]
    assert agreed
    for line in agreed:
        recent = [voters for (at, source, pair), voters in proposed.items()
                  if (source, pair) == (line.source, line.pair) and at <= line.at]  # fmt: skip
        said = " ".join(str(voters) for voters in recent)
        voters = line.detail["voters"]
        assert isinstance(voters, list)
        assert all(voter in said for voter in voters)
    teams = {line.pair for line in lines if line.kind == "deployment" and line.reason == "consensus"}
    assert teams == {line.pair for line in agreed}


EASY = {
    "prospecting.trend_ratio": 0.01,
    "prospecting.volatility_ratio": [0.03, 0.05],
    "prospecting.volume_quote": [10e6, 20e6],
    "prospecting.spread_ratio": 0.05,
}


def test_m_f28_every_team_comes_to_a_consensus_even_on_what_no_moat_knows() -> None:
    """From bars to a team of agents: no asset and no team of explorers is shut out."""
    lines = discovering.lines(tree(discovering.WORLD, EASY))
    agreed = {(line.source, str(line.pair).partition("/")[0]) for line in lines if line.kind == "consensus"}
    teams = {"explorers-HFT", "explorers-DayTrade", "explorers-Swing"}
    assert {source for source, _ in agreed} == teams
    assert {source for source, asset in agreed if asset == "FIL"} == teams
    deployed = {str(line.pair) for line in lines if line.kind == "deployment" and line.reason == "consensus"}
    assert {"FIL/EUR", "FIL/GBP", "FIL/USD"} & deployed


# --- the ledger ------------------------------------------------------------------------------------------------------

THREADS, EACH = 8, 200


def test_m_f17_rows_of_eight_threads_are_there_after_closing(tmp_path: Path) -> None:
    """Made in one thread, written by another, fed by eight: every row, once, in each thread's own order."""
    path = tmp_path / "ledger.sqlite"
    writer = Writer(SqliteSink(path, SETTINGS, mode="paper", ledger_id="threads"), SETTINGS)
    together = Barrier(THREADS)

    def feed(first: int) -> None:
        together.wait()
        for number in range(first, first + EACH):
            writer.append([row(number)], durable=number % 50 == 0)

    threads = [Thread(target=feed, args=(number * EACH,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    keys = [one.key for one in LedgerReader(path, SETTINGS).rows()]
    assert sorted(keys) == sorted(row(number).key for number in range(THREADS * EACH))
    for first in range(0, THREADS * EACH, EACH):
        own = [row(number).key for number in range(first, first + EACH)]
        assert [key for key in keys if key in set(own)] == own


# --- the server of the bus -------------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(0, 10.0)
    yield server
    server.close()


def commands_of(server: EmbeddedValkey) -> tuple[set[str], int]:
    """What the server was asked, and how many keys it holds."""
    client = redis.Redis.from_url(server.url)
    asked = {name.removeprefix("cmdstat_").partition("|")[0] for name in client.info("commandstats")}
    keys = int(client.dbsize())
    client.close()
    return asked, keys


def test_m_f25_m_f26_nothing_is_looked_up_on_the_server_and_nothing_is_kept_there(server: EmbeddedValkey) -> None:
    """Learners meet on the network of the model; there is no key that KEYS could find or a full memory could evict."""

    def bus(clock: SimClock) -> Bus:
        return RedisBus(server.url, clock, walk_tree.bus, producer="tape", epoch=1, timer=Timer())

    walk_tree = tree()
    walk = Walk(make_bus=bus).all()
    assert walk.house.engine.counts["collisions"] == 1
    asked, keys = commands_of(server)
    walk.bus.close()
    assert "publish" in asked
    assert keys == 0
    assert not asked & {"keys", "scan", "get", "set", "hset", "hget", "lpush", "zadd"}


# --- prices and names as venues write them ---------------------------------------------------------------------------


def test_m_f27_a_price_in_text_is_read_whole(tmp_path: Path) -> None:
    """Not its first character: "3796.2" is not 3."""
    trade = {"e": "trade", "s": "ETHUSDT", "t": 1, "T": 1_723_161_300_000, "p": "3796.2", "q": "0.50"}
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"stream": "ethusdt@trade", "data": trade}) + "\n")
    trades = read_trades([path])
    assert (trades.price.tolist(), trades.amount.tolist()) == ([3796.2], [0.5])


def test_m_f27_the_trend_is_of_thirty_days_and_not_of_today() -> None:
    bars = Bars()
    for hour in range(24 * 30 + 1):
        price = 3000.0 if hour == 0 else 3796.2
        bars.push(hour, price * 1.01, price * 0.99, price, 1.0)
    assert bars.measures()[TREND] == pytest.approx(3796.2 / 3000.0 - 1.0, rel=1e-12)
    assert np.isfinite(bars.measures()).all()


KRAKEN_CODES = {
    "XXBT": "BTC", "XBT": "BTC", "XETH": "ETH", "XLTC": "LTC", "XXRP": "XRP", "XXLM": "XLM", "XXMR": "XMR",
    "XZEC": "ZEC", "XETC": "ETC", "XREP": "REP", "XMLN": "MLN", "XXDG": "DOGE", "XDG": "DOGE",
}  # fmt: skip


@pytest.mark.parametrize("code", KRAKEN_CODES)
def test_m_f29_krakens_own_codes_are_translated_by_table(code: str) -> None:
    asset = KRAKEN_CODES[code]
    assert KRAKEN_ASSETS[code] == asset
    assert split_symbol(f"{code}ZUSD") == split_symbol(f"{code}/USD") == split_symbol(f"{code}/ZUSD") == f"{asset}/USD"
    assert split_symbol(f"{code}ZEUR") == f"{asset}/EUR"
    if asset != "BTC":
        assert split_symbol(f"{code}XXBT") == f"{asset}/BTC"


@pytest.mark.parametrize("quote", ["EUR", "USD", "USDT"])
def test_m_f29_no_letter_is_lost_from_other_names(quote: str) -> None:
    """AVAX is not AVA, XTZ not T, DOT in USD not DO in TUSD; where both are assets (AR, ARB) nobody guesses."""
    for asset in ASSETS - KRAKEN_CODES.keys():
        expected = None if (asset, quote) == ("ARB", "USD") else f"{asset}/{quote}"
        assert split_symbol(f"{asset}{quote}") == expected
        assert split_symbol(f"{asset}/{quote}") == f"{asset}/{quote}"


def test_m_f29_every_code_of_the_table_is_tested() -> None:
    assert dict(KRAKEN_ASSETS) == KRAKEN_CODES
    assert {"AVAX", "XTZ", "XLM", "ZEC", "XMR", "XRP", "DOGE", "DOT", "ZRX"} <= ASSETS


# --- what is called better -------------------------------------------------------------------------------------------

WORLDS, DAYS = 200, 140


def test_m_f39_a_filter_at_random_is_called_better_no_more_often_than_by_chance() -> None:
    """Days are left out by a coin: what is left differs from the whole by luck alone, and is rarely called anything."""
    statistics, told = tree().statistics, []
    for world in range(WORLDS):
        random = np.random.default_rng(world)
        whole = random.normal(0.0, 0.01, DAYS)
        filtered = whole * random.integers(0, 2, DAYS)
        told.append(rivalry(filtered, whole, "coin", statistics, world)["beaten"])
    # Each side has a chance of 2.5 %: of 200 worlds more than 12 have it in fewer than 1 % of cases.
    assert told.count(True) <= 12
    assert told.count(False) <= 12
    better = rivalry(whole + 0.01, whole + random.normal(0.0, 0.01, DAYS), "coin", statistics, 1)
    assert better["beaten"] is True, "what is there is found"


def test_m_f39_the_same_seed_is_the_same_run_in_processes_that_hash_words_otherwise() -> None:
    """Whole runs in two processes: one decision that hung on `hash` or on the order of a set would be another hash."""
    program = "from tests.settings import learning, leaves; print(learning.decided(leaves.tree(learning.WORLD)))"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": number},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in ("1", "2")
    ]
    said = [process.communicate(timeout=SECONDS)[0].strip() for process in started]
    assert said == [learning.decided(tree(learning.WORLD))] * 2
