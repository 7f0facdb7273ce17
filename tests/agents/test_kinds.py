"""Every row of KINDS keeps the contract of all agents; a new kind is tested by being registered."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from src.agents import KINDS, Kind
from tests.checks import agent_checks
from tests.checks.agent_checks import Swarm, history, walked


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("check", agent_checks.CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Any, kind: Kind) -> None:
    check(kind)


def test_kinds_are_distinct() -> None:
    assert len({kind.name for kind in KINDS}) == len({kind.agent for kind in KINDS}) == len(KINDS)


def test_m_f04_each_pair_is_heard_by_analysts_and_learners() -> None:
    swarm = walked()
    said = Counter(channel for channel, _ in swarm.bus.said)
    for pair in history().pairs:
        assert said[f"market-data:{pair}"] > 0
        assert said[f"baseline-trade-ideas:{pair}"] > 0
    ideas = {message.pair for channel, message in swarm.bus.said if channel == "mycelial-trade-ideas"}
    assert ideas == set(history().pairs)


def test_m_f13_every_active_pair_has_its_full_team_from_the_start() -> None:
    swarm = Swarm(history())
    members = {agent.name: agent for agent in swarm.model.members()}
    assert list(swarm.world.active) == ["P0/USD", "P1/USD"]
    for pair, names in swarm.world.active.items():
        assert Counter(members[name].kind for name in names) == {"technical_analyst": 3, "pattern_learner": 6}
        assert {getattr(members[name], "pair", None) for name in names} == {pair}
    miners = [agent for agent in members.values() if agent.kind == "market_miner"]
    assert [getattr(miner, "pair", None) for miner in miners] == list(history().pairs)


def test_m_f14_one_publisher_and_one_message_a_bar() -> None:
    swarm = walked()
    for index, pair in enumerate(history().pairs):
        messages = [message for channel, message in swarm.bus.said if channel == f"market-data:{pair}"]
        assert len({message.source for message in messages}) == 1
        assert [message.at for message in messages] == history().times[history().present[:, index]].tolist()


def test_m_f31_ideas_do_not_depend_on_the_unit_of_the_price() -> None:
    def scaled(factor: float) -> list[Any]:
        plain = history()
        other = type(plain)(
            plain.pairs, plain.interval_ms, plain.times.copy(), *(c * factor for c in plain.columns()[:4]),
            plain.volume / factor, plain.present.copy(),
        )  # fmt: skip
        swarm = Swarm(other)
        swarm.walk()
        ideas = [m for channel, m in swarm.bus.said if "ideas" in channel or channel == "synthesized-trade-log"]
        return [{name: getattr(m, name) for name in m.__struct_fields__ if name != "price"} for m in ideas]

    assert scaled(1024.0) == scaled(1.0) != []


def test_m_f32_high_and_low_are_those_of_the_bar() -> None:
    swarm, past = walked(), history()
    for index, pair in enumerate(past.pairs):
        rows = past.present[:, index]
        messages = [message for channel, message in swarm.bus.said if channel == f"market-data:{pair}"]
        got = np.array([[m.close, m.high, m.low] for m in messages])
        want = np.stack([past.close[rows, index], past.high[rows, index], past.low[rows, index]], axis=1)
        assert np.array_equal(got, want)
