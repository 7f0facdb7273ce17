"""The market miner tells what the snapshot says, leaves out what is not known, and says how it stands."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from src.agents import market_miner
from src.agents.data_engineer import Reading, validated
from src.agents.market_miner import MarketMiner
from src.core.market import FEATURE_INDEX
from src.core.types import Status
from tests.agents.made import BTC, ETH, HOUR, START, record, see, snapshot, world


def miners(*pairs: Any) -> tuple[Any, list[Any], list[MarketMiner]]:
    here = world(pairs or (BTC,))
    market_miner.populate(here)
    found = [agent for agent in here.model.members() if isinstance(agent, MarketMiner)]
    return here, record(here, "market-data:*"), found


def test_tells_close_range_and_three_features() -> None:
    here, got, _ = miners()
    seen = snapshot(here, closes=(101.0,), rsi_2=44.0, atr=2.5)
    seen.features[0, FEATURE_INDEX["return_5"]] = 0.75
    see(here, seen)
    (message,) = got
    assert (message.pair, message.close, message.high, message.low) == (BTC, 101.0, 102.0, 100.0)
    assert message.features == {"RSI": 44.0, "ATR": 2.5, "MOM": 0.75}
    assert (message.source, message.at, message.known_at, message.simulated) == (
        "market-miner-BTC/USDT", START, START, True,
    )  # fmt: skip


def test_what_is_not_known_is_left_out() -> None:
    here, got, _ = miners()
    see(here, snapshot(here, atr=2.5))
    assert got[0].features == {"ATR": 2.5, "MOM": 0.0}


def test_no_message_for_a_missing_bar() -> None:
    here, got, _ = miners(BTC, ETH)
    see(here, snapshot(here, fresh=(False, True)))
    assert [message.pair for message in got] == [ETH]
    see(here, msgspec.structs.replace(snapshot(here, START + 1), bars=None))
    assert len(got) == 1


def test_status_is_no_data_then_ok_then_stale() -> None:
    here, _, (miner,) = miners()
    assert (miner.status(START), miner.age_ms(START)) == (Status.NO_DATA, None)
    see(here, snapshot(here))
    assert (miner.status(START), miner.age_ms(START + 5)) == (Status.OK, 5)
    assert miner.status(START + 2 * HOUR) is Status.OK
    assert miner.status(START + 2 * HOUR + 1) is Status.STALE


def test_state_keeps_the_cached_reading_and_its_absence() -> None:
    here, _, (miner,) = miners()
    other, _, (restored,) = miners()
    restored.restore(miner.state())
    assert restored.status(START) is Status.NO_DATA
    see(here, snapshot(here))
    restored.restore(miner.state())
    assert restored.state() == miner.state() != {}
    assert restored.status(START) is Status.OK
    see(other, snapshot(other))


def test_only_finite_values_are_believed() -> None:
    reading = Reading(5, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.0})
    assert validated(reading) == Reading(5, {"d": 0.0})
    assert validated(Reading(5, {"d": 1.0})).values == {"d": 1.0}
    assert np.isfinite(list(validated(reading).values.values())).all()
