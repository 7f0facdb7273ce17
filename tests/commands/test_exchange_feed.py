"""`run --feed kraken` against the local exchange: warm-up, pulses between bars, a journal that is walked again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.request import urlopen

import pytest

from src.commands.exchange_feed import ExchangeFeed
from src.connectors.control import ask
from src.connectors.recorded_slices import slice_row
from src.connectors.sqlite_ledger import SqliteSink
from src.connectors.state_folder import find
from src.connectors.unkept_ledger import UnkeptLedger
from src.core.clock import SimClock
from src.core.errors import UsageError
from src.core.types import Pair, Slice
from tests.kraken.local import CANDLES, LocalKraken
from tests.worlds import settings

from .cli import SECONDS, START_MS, Process, Say, journal, mycelial, refused, sound


@pytest.fixture
def exchange() -> Iterator[LocalKraken]:
    with LocalKraken() as there:
        yield there


def paper(exchange: LocalKraken, folder: Path, *more: str) -> Process:
    return Process("--feed", "kraken", *exchange.words, *more, "--json", cwd=folder, state=folder / "state")


def test_it_is_live_after_its_warm_up_and_goes_on_after_a_kill_and_without_a_delisted_pair(
    exchange: LocalKraken, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    with paper(exchange, tmp_path) as process:
        process.line("^mycelial paper .* the market at kraken .* as it happens")
        before = process.until(lambda answer: answer.get("slices", 0) >= CANDLES and not answer["exchange"]["troubles"])
        assert before["simulated"] is False
        port = process.line(r"^metrics on http://127\.0\.0\.1:(\d+)/metrics$")[1]
        with urlopen(f"http://127.0.0.1:{port}/metrics") as page:  # between two bars of a minute it is alive
            assert b"\nmycelial_feed_interval_seconds 60.0\n" in page.read()
        assert ask(find(state), "halt", SECONDS, reason="look")["ok"]  # takes effect in a pulse, no bar has to end
        process.until(lambda answer: answer["halted"] == "look")
        process.popen.kill()
        process.end()
    seen = journal(state)
    assert len(journal(state, "slice")) >= CANDLES + 1
    del exchange.state.pairs["ETH/USD"]
    with paper(exchange, tmp_path) as process:
        process.line("caught up over [0-9]+ slices")
        process.line("^ETH/USD is not listed at kraken any more")
        process.until(
            lambda answer: (
                answer["standing"]["all"]["reason"] == "look"
                and answer["exchange"]["troubles"] == ["ETH/USD: not listed there"]
            )
        )
        assert ask(find(state), "stop", SECONDS)["ok"]
        assert process.result()["mode"] == "paper"
    assert "ETH/USD is not listed" in (state / "logs" / "mycelial.jsonl").read_text()
    assert journal(state)[: len(seen)] == seen
    assert sound(state)
    done = mycelial("replay", "--state", state, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("behind_ms", "refused_"), [(-1, False), (90_000, False), (120_000, False), (120_001, True)])
def test_a_clock_that_is_behind_the_record_is_waited_for_or_refused(
    tmp_path: Path, behind_ms: int, refused_: bool
) -> None:
    path, tree = tmp_path / "ledger.sqlite", settings()
    clock = SimClock()
    clock.reach(START_MS - behind_ms)
    with closing(SqliteSink(path, tree.ledger, mode="paper", ledger_id="0" * 32)) as sink:
        assert not sink.write([slice_row(Slice(START_MS - 60_000, None)), slice_row(Slice(START_MS, None))])
    feed = ExchangeFeed((Pair("BTC/USD"),), 60_000, tree, 7, tmp_path, clock)
    feed.attach(UnkeptLedger(), path)
    assert [slice_.at for slice_ in feed.recorded(None)] == [START_MS - 60_000, START_MS]
    if not refused_:
        feed.refuse_clock()
        return
    said = (
        r"its newest slice is of 2021-01-01T00:00:00.000Z, and the clock says 2020-12-31T23:57:59.999Z: set the clock"
    )
    with pytest.raises(UsageError, match=said):
        feed.refuse_clock()


def test_without_an_exchange_the_first_start_ends_in_one_sentence(say: Say) -> None:
    done = say(
        "run", "--feed", "kraken", "--set", "kraken.rest.url=http://127.0.0.1:9", "--bus", "local", "--pairs", "BTC/USD"
    )
    refused(done, 1, "kraken AssetPairs")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--pairs", "BTCUSD"), "pair 'BTCUSD': write BASE/QUOTE"),
        (("--speed", "60x"), "--speed does not belong to --feed kraken"),
        (("--timerange", "2020-"), "--timerange does not belong"),
    ],
)
def test_what_does_not_belong_to_it_is_refused(say: Say, words: tuple[str, ...], said: str) -> None:
    refused(say("run", "--feed", "kraken", *words), 4, said)


def test_a_pair_that_is_not_listed_there_is_refused(exchange: LocalKraken, say: Say) -> None:
    words = [word if word != "BTC/USD,ETH/USD" else "BTC/USD,FOO/USD" for word in exchange.words]
    for _ in range(2):  # a state folder of a run that never was changes nothing
        refused(say("run", "--feed", "kraken", *words), 4, "not listed there: FOO/USD")
