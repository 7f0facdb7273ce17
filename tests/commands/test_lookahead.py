"""The analyses as their user meets them: quiet over the system as it is, loud once something in it cheats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from src import wiring
from src.core.config import Analysts, Indicators
from src.core.features import Row
from src.core.history import History
from src.core.indicators import BatchSource, joined
from src.core.market import FEATURES
from src.core.types import BarBlock, FloatArray

from .cli import SMALL, Say, refused

SHORT = ("--timerange", "-20210109", "--cuts", "2", *SMALL)


class Peeking(BatchSource):
    """Tells the next close as a feature, where it is known."""

    def __init__(self, history: History, indicators: Indicators, analysts: Analysts) -> None:
        super().__init__(history, indicators, analysts)
        self._days = history

    def advance(self, block: BarBlock) -> Row:
        row = super().advance(block)
        place = int(np.searchsorted(self._days.times, block.opened + self._days.interval_ms)) + 1
        features = row.features.copy()
        features[0, FEATURES.index("adx")] = self._days.close[place, 0] if place < len(self._days.times) else 0.0
        self._told = features
        return row._replace(features=features)

    def beside(self, values: FloatArray) -> FloatArray:
        return joined(self._told, values)


class Endless(BatchSource):
    """Adds to a feature how many bars there were before it: it never settles."""

    def __init__(self, history: History, indicators: Indicators, analysts: Analysts) -> None:
        super().__init__(history, indicators, analysts)
        self._seen = 0

    def advance(self, block: BarBlock) -> Row:
        row = super().advance(block)
        self._seen += 1
        features = row.features.copy()
        features[:, FEATURES.index("rsi")] += self._seen
        self._told = features
        return row._replace(features=features)

    def beside(self, values: FloatArray) -> FloatArray:
        return joined(self._told, values)


def said(say: Say, *words: str | Path, code: int = 0) -> dict[str, Any]:
    done = say(*words, "--json")
    assert done.returncode == code, done.stderr
    return msgspec.json.decode(done.stdout, type=dict[str, Any])


def test_the_system_does_not_look_ahead(say: Say, planted: Path) -> None:
    found = said(say, "lookahead-analysis", "--data", planted, *SHORT)
    assert (found["cuts"], found["culprits"]) == (2, [])
    assert found["timerange"] == ["2021-01-01T00:00:00.000Z", "2021-01-09T00:00:00.000Z"]
    assert found["slices"] > 100


def test_what_knows_the_next_close_is_named_with_both_values(
    say: Say, planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wiring, "BatchSource", Peeking)
    (culprit,) = said(say, "lookahead-analysis", "--data", planted, *SHORT, code=6)["culprits"]
    assert (culprit["stage"], culprit["who"], culprit["what"]) == ("features", "adx", "BTC/USDT")
    assert "2021-01-01T" <= culprit["at"] <= culprit["cut"] < "2021-01-09T"
    assert culprit["without"] == "0.0"
    assert float(culprit["with_future"]) > 1.0
    done = say("lookahead-analysis", "--data", planted, *SHORT)
    refused(
        done, 6, "features: adx (BTC/USDT) at 2021-01-", f"is {culprit['with_future']} with the future and 0.0 without"
    )
    assert culprit["with_future"] in done.stdout


def test_without_data_it_walks_the_simulated_market(say: Say) -> None:
    words = ("--set", "validation.cut_intervals=30", "--set", "simulated.pairs=[BTC/USD,ETH/USD]", *SMALL)
    found = say("lookahead-analysis", "--cuts", "1", "--set", "simulated.timeframe=1h", *words)
    assert found.returncode == 0, found.stderr
    assert "SIMULATED" in found.stderr
    assert "1 cuts," in found.stdout
    assert "0 culprits" in found.stdout


def test_only_the_newest_bars_are_walked_unless_a_range_is_given(say: Say, planted: Path) -> None:
    words = ("--set", "validation.cut_intervals=20", "--cuts", "1")
    done = say("lookahead-analysis", "--data", planted, *words, *SMALL)
    assert done.returncode == 0, done.stderr
    assert "the newest 20 of 400 bars" in done.stderr


def test_how_long_each_feature_takes_to_settle(say: Say, planted: Path) -> None:
    found = said(say, "recursive-analysis", "--data", planted, "--warmups", "30,60,200,300,400")
    features = {one["feature"]: one for one in found["features"]}
    assert found["warmups"] == [30, 60, 200, 300, 400]
    assert features["hour_sin"]["enough"] == 30
    assert features["atr_rank"]["deviations"][0] is None
    assert features["atr_rank"]["reason"] == "not known after so few bars"
    assert "reason" not in features["rsi"]
    done = say("recursive-analysis", "--data", planted, "--warmups", "30,60,200,300,400")
    assert done.returncode == 0, done.stderr
    assert "rsi" in done.stdout


def test_a_feature_that_never_settles_is_named(say: Say, planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "BatchSource", Endless)
    done = say("recursive-analysis", "--data", planted, "--warmups", "100,250,400")
    refused(done, 6, "after 250 bars not settled:", "rsi (off by")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("recursive-analysis", "--warmups", "50"), 4, "at least two warm-ups"),
        (("recursive-analysis", "--warmups", "90,50"), 4, "each longer than the one before"),
        (("recursive-analysis", "--warmups", "a,b"), 4, "write numbers of bars"),
        (("recursive-analysis", "--warmups", "50,4000"), 4, "a warm-up of 4000 bars, there are 400"),
        (("recursive-analysis", "--warmups", "0,50"), 4, "a warm-up of 0 bars"),
        (("lookahead-analysis", "--cuts", "0"), 4, "--cuts"),
        (("lookahead-analysis", "--days", "3"), 4, "--days belongs to the simulated market"),
        (("lookahead-analysis", "--timerange", "20210101-20210101"), 4, "is empty"),
    ],
)
def test_what_cannot_be_is_refused(say: Say, planted: Path, words: tuple[str, ...], code: int, said: str) -> None:
    refused(say(*words, "--data", planted), code, said)
