"""One backtest in which every channel of the table speaks: what is rare in a market is driven by a tape."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from src.agents import KINDS, Kind
from src.backtesting.planted import planted_history
from src.backtesting.recorder import Recorder
from src.commands.outcome import result_of
from src.core.history import BarColumns, History, align
from src.core.messages import CHANNELS, Control, Message
from src.core.types import Command, CommandKind, Pair
from tests.core import test_life_of_an_asset as life
from tests.golden.tape import HOUR
from tests.moats import all_moats
from tests.walked import Walk

PLANTED = (Pair("ETH/USDT"), Pair("SOL/USDT"))
BARS = 24 * 40
QUIET_MOATS_DAYS = 3
"""How long moats are heard; then the code moat falls silent, and its learner asks for a source."""


def history() -> History:
    """The asset that loses and sleeps, beside two pairs of which something can be learnt."""
    others = planted_history(PLANTED, BARS, 0.6, 6, 3, HOUR, life.START)
    columns = {
        pair: BarColumns(others.times - HOUR, *(values[:, place].copy() for values in others.columns()))
        for place, pair in enumerate(others.pairs)
    }
    whole = life.history()
    losing = [values[:BARS, 0].copy() for values in whole.columns()]
    return align({life.PAIR: BarColumns(whole.times[:BARS] - HOUR, *losing), **columns}, HOUR)


def driven() -> tuple[dict[str, Any], Counter[str]]:
    """The result of the backtest, and the commands that were heard on system-control, by kind."""
    lenient = {"volume_quote": [1.0, 2.0], "volatility_ratio": [0.0001, 0.0002], "spread_ratio": 0.5,
               "trend_ratio": 0.00001, "trend_days": 0.625}  # fmt: skip
    # The caller speaks last, so that of two ideas in one slice its own is the newest.
    walk = Walk(
        history(), [*KINDS, Kind("caller", life.Caller, life._caller, (), ())],
        observations=all_moats("ETH", int(history().times[0])),
        learners__standard={"market": 9, "code": 3}, learners__team=6, learners__rank_warmup=50,
        learners__calibration_min_t2=0.0, patterns__archive_every_intervals=50, patterns__min_outcomes=20,
        sharing__min_outcomes=10, instigators__quiet_intervals=6,
        lifecycle__hibernation_days=5, risk__max_drawdown_ratio=1.0, builder__bootstrap_pairs=[life.PAIR, PLANTED[0]],
        **{f"prospecting__{name}": value for name, value in lenient.items()},
    )  # fmt: skip
    said: Counter[str] = Counter()

    def count(message: Message) -> None:
        if isinstance(message, Control):
            said[message.command.value] += 1

    walk.bus.subscribe("system-control", count, "a listener of the test")
    recorder = Recorder()
    for row in range(BARS):
        if row in COMMANDS:
            walk.put(COMMANDS[row])
        recorder.take(walk.until(row))
    return result_of(walk.house, recorder, "r", "backtest", 1.0, ""), said


COMMANDS = {
    BARS - 40: Command(CommandKind.HALT, "drill", "control", id="1"),
    BARS - 20: Command(CommandKind.RESUME, "over", "control", id="2"),
    BARS - 1: Command(CommandKind.EMERGENCY_SHUTDOWN, "end of the tape", "control", id="3"),
}


@pytest.fixture(scope="module")
def heard() -> tuple[dict[str, Any], Counter[str]]:
    """It is walked once."""
    return driven()


SPOKEN = [channel.template for channel in CHANNELS if channel.publishers != ("bus",)]
"""The barrier belongs to a server; inside one process there is nothing to wait for."""


@pytest.mark.parametrize("template", SPOKEN)
def test_m_f04_every_channel_carries_messages_in_one_backtest(
    heard: tuple[dict[str, Any], Counter[str]], template: str
) -> None:
    assert heard[0]["messages"].get(template, 0) > 0


def test_no_message_is_on_a_channel_that_is_not_in_the_table(heard: tuple[dict[str, Any], Counter[str]]) -> None:
    assert set(heard[0]["messages"]) <= {channel.template for channel in CHANNELS}
    assert heard[0]["faults"] == {}


def test_the_commands_were_heard_by_their_names(heard: tuple[dict[str, Any], Counter[str]]) -> None:
    wanted = {"halt", "resume", "emergency_shutdown", "force_share"}
    assert wanted <= {kind for kind, count in heard[1].items() if count}


def test_the_asset_went_through_its_life(heard: tuple[dict[str, Any], Counter[str]]) -> None:
    result, _ = heard
    assert result["deployments"]["retired"] >= 1
    assert result["streams"]["synthesized"]["trades"] >= 3
    assert result["lifecycle"]["active"] >= 1
