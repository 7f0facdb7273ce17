"""Daily closes over a socket that speaks like stooq.com."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from src.connectors.sources.daily_prices import DailyPricesSource
from src.core.clock import Timer, from_iso
from src.core.errors import Gone, Malformed, RateLimited, SourceError, Unconfigured
from src.core.types import Observation
from tests.connectors.sources.served import Answer, Asked, Served, moats, raw

NOW = from_iso("2025-02-28T21:30:00Z")  # after the close, before the source counts it as out
D26, D27 = from_iso("2025-02-26"), from_iso("2025-02-27")
TABLE = """Date,Open,High,Low,Close,Volume,Split
2025-02-27,7.1,7.3,7.0,7.2,120000,1
2025-02-26,7.0,7.2,6.9,7.1,110000,1
2025-02-28,7.2,7.4,7.1,7.3,9000,1
2019-01-02,17.0,17.0,17.0,17.0,1,1
"""


@pytest.fixture
def prices(served: Served) -> Iterator[DailyPricesSource]:
    made = DailyPricesSource(moats(served.url, "daily_prices.symbols=[BDRY, MARA]"), Timer())
    yield made
    made.close()


def test_finished_days_of_every_symbol(served: Served, prices: DailyPricesSource) -> None:
    served.routes["/q/d/l/"] = raw(TABLE.replace("\n", "\r\n"))
    said = prices.fetch(NOW)
    late = 22 * 3_600_000
    assert said[:2] == [
        Observation(
            "equities_daily", "corporate", f"BDRY@{D27}", "BDRY", D27, D27 + late,
            {"open": 7.1, "high": 7.3, "low": 7.0, "close": 7.2, "volume": 120000.0},
        ),
        Observation(
            "equities_daily", "corporate", f"BDRY@{D26}", "BDRY", D26, D26 + late,
            {"open": 7.0, "high": 7.2, "low": 6.9, "close": 7.1, "volume": 110000.0},
        ),
    ]  # fmt: skip
    assert [item.subject for item in said] == ["BDRY", "BDRY", "MARA", "MARA"]
    assert served.asked[0].query == {"s": ["bdry.us"], "i": ["d"], "d1": ["20241120"], "d2": ["20250228"]}
    assert prices.notices() == ()


@pytest.mark.parametrize(
    ("body", "kind", "says"),
    [
        ("No data", Gone, "no data for BDRY"),
        ("Exceeded the daily hits limit", RateLimited, "the day's allowance is spent"),
        ("<html><body>wait</body></html>", Malformed, "not a table with Date, Open, High, Low, Close, Volume"),
        ("Date,Open,High,Low,Close\n2025-02-27,1,1,1,1\n", Malformed, "not a table"),
        ("Date,Open,High,Low,Close,Volume\n2025-02-27,1,1,1,1\n", Malformed, "line 2: not a date and five numbers"),
        ("Date,Open,High,Low,Close,Volume\n2025-02-27,1,1,1,x,1\n", Malformed, "line 2: not a date and five numbers"),
        ("Date,Open,High,Low,Close,Volume\nsoon,1,1,1,1,1\n", Malformed, "line 2: not a date and five numbers"),
        ("Date,Open,High,Low,Close,Volume\n2025-02-27,1,1,1,nan,1\n", Malformed, "line 2: a number that is not finite"),
        ('Date,Open,High,Low,Close,Volume\n2025-02-27,1,1,1,"1"x,1\n', Malformed, "after line 1: ',' expected"),
    ],
)
def test_what_is_no_table(
    served: Served, prices: DailyPricesSource, body: str, kind: type[SourceError], says: str
) -> None:
    served.routes["/q/d/l/"] = raw(body)
    with pytest.raises(SourceError) as caught:
        prices.fetch(NOW)
    assert type(caught.value) is kind
    assert says in str(caught.value)


def test_one_symbol_without_data_costs_nothing_of_the_others(served: Served, prices: DailyPricesSource) -> None:
    def reply(asked: Asked) -> Answer:
        return raw("No data" if asked.query["s"] == ["bdry.us"] else TABLE)

    served.routes["/q/d/l/"] = reply
    assert {item.subject for item in prices.fetch(NOW)} == {"MARA"}
    assert prices.notices() == ("daily prices: no data for BDRY; check moats.daily_prices.symbols",)


def test_without_an_address_it_is_not_configured(served: Served) -> None:
    made = DailyPricesSource(moats(served.url, "daily_prices.base_url=null"), Timer())
    with pytest.raises(Unconfigured, match=r"set moats\.daily_prices\.base_url"):
        made.fetch(NOW)
    made.close()
