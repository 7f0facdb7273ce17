"""Hash rate and difficulty over a socket that speaks like either provider."""

from __future__ import annotations

from typing import Any

import pytest

from src.connectors.sources.network import NetworkSource
from src.core.clock import Timer, from_iso
from src.core.errors import Malformed
from src.core.types import Observation
from tests.connectors.sources.served import Served, moats, of

NOW = from_iso("2025-02-28T15:00:00Z")
DAY = 86_400_000
D26, D27, D28 = (from_iso(f"2025-02-{day}") for day in (26, 27, 28))


def chart(name: str, *points: tuple[int, float]) -> dict[str, Any]:
    said = {"status": "ok", "name": name, "unit": "x", "period": "day", "description": "", "values": []}
    return said | {"values": [{"x": at // 1000, "y": value} for at, value in points]}


def day(at: int, **values: float) -> Observation:
    return Observation(
        "btc_network_daily", "logistics", f"btc_network_daily@{at}", "btc_network_daily", at, at + DAY, values
    )


def network(served: Served, *sets: str) -> NetworkSource:
    return NetworkSource(moats(served.url, *sets), Timer())


def test_charts_give_finished_days_in_order(served: Served) -> None:
    rates = chart("Hash Rate", (D27, 800e6), (D26, 790e6), (D28, 500e6), (D26 - 200 * DAY, 1.0))
    served.routes |= {
        "/charts/hash-rate": of(rates),
        "/charts/difficulty": of(chart("Difficulty", (D26, 1.1e14), (D27 + 3_600_000, 1.2e14))),
    }
    made = network(served)
    assert made.fetch(NOW) == [
        day(D26, hashrate_th_s=790e6, difficulty=1.1e14),
        day(D27, hashrate_th_s=800e6, difficulty=1.2e14),
    ]
    assert served.asked[0].query == {"timespan": ["100days"], "format": ["json"], "sampled": ["false"]}
    assert made.notices() == ()
    made.close()


def test_mempool_gives_the_same_days_in_the_same_units(served: Served) -> None:
    served.routes["/api/v1/mining/hashrate/6m"] = of(
        {
            "hashrates": [
                {"timestamp": D26 // 1000, "avgHashrate": 7.9e20},
                {"timestamp": D27 // 1000, "avgHashrate": 8e20},
                {"timestamp": D28 // 1000, "avgHashrate": 5e20},
            ],
            "difficulty": [
                {"time": (D27 + DAY // 2) // 1000, "height": 885_024, "difficulty": 1.2e14, "adjustment": 1.03},
                {"time": (D26 + DAY // 2) // 1000, "height": 883_008, "difficulty": 1.1e14, "adjustment": 0.97},
            ],
            "currentHashrate": 8.1e20,
            "currentDifficulty": 1.2e14,
        }
    )
    made = network(served, "network.provider=mempool")
    assert made.fetch(NOW) == [
        day(D26, hashrate_th_s=790e6, difficulty=1.1e14),
        day(D27, hashrate_th_s=800e6, difficulty=1.2e14),
    ]
    made.close()


def test_a_day_before_the_first_difficulty_has_none(served: Served) -> None:
    rates = {"hashrates": [{"timestamp": D26 // 1000, "avgHashrate": 7.9e20}], "difficulty": []}
    served.routes["/api/v1/mining/hashrate/6m"] = of(rates)
    made = network(served, "network.provider=mempool")
    assert made.fetch(NOW) == [day(D26, hashrate_th_s=790e6)]
    made.close()


def test_a_day_that_lies_ahead_is_handed_on_to_be_refused(served: Served) -> None:
    ahead = D28 + 5 * DAY
    served.routes |= {"/charts/hash-rate": of(chart("h", (ahead, 1.0))), "/charts/difficulty": of(chart("d"))}
    made = network(served)
    assert made.fetch(NOW) == [day(ahead, hashrate_th_s=1.0)]
    made.close()


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (chart("h"), "network (charts): an answer without any day"),
        (chart("h") | {"status": "not-found"}, "the chart hash-rate says 'not-found'"),
        (chart("h", (D26, 1.0)) | {"values": [{"x": "yesterday", "y": 1}]}, "Expected `int`, got `str`"),
        (chart("h") | {"values": [{"x": 1, "y": None}]}, "Expected `float`, got `null`"),
        ({"error": "unknown"}, "missing required field"),
    ],
)
def test_what_cannot_be_believed(served: Served, said: dict[str, Any], says: str) -> None:
    served.routes |= {"/charts/hash-rate": of(said), "/charts/difficulty": of(chart("d"))}
    made = network(served)
    with pytest.raises(Malformed) as caught:
        made.fetch(NOW)
    assert says in str(caught.value)
    made.close()
