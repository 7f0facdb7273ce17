"""Documents of agencies over a socket that speaks like federalregister.gov."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from src.connectors.sources.federal_register import PATH, FederalRegisterSource
from src.core.clock import Timer, from_iso
from src.core.errors import Malformed
from src.core.types import Observation
from tests.connectors.sources.served import Answer, Asked, Served, moats, of

NOW = from_iso("2026-09-21T14:00:00Z")
NOON = from_iso("2026-09-18T12:00:00Z")
SEC, CFTC = "securities-and-exchange-commission", "commodity-futures-trading-commission"
SETS = (f"federal_register.agencies=[{SEC}, {CFTC}]",)


def document(number: str, day: str, *slugs: str, type_: str = "Notice") -> dict[str, Any]:
    agencies = [{"raw_name": slug.upper(), "name": slug, "id": 466, "slug": slug, "parent_id": None} for slug in slugs]
    agencies.append({"raw_name": "Office of Something"})
    return {"document_number": number, "publication_date": day, "type": type_, "agencies": agencies}


def answer(*documents: dict[str, Any], count: int | None = None) -> dict[str, Any]:
    said: dict[str, Any] = {"description": "Documents", "count": len(documents) if count is None else count}
    if documents:
        said |= {"total_pages": 1, "results": list(documents)}
    return said


@pytest.fixture
def register(served: Served) -> Iterator[FederalRegisterSource]:
    made = FederalRegisterSource(moats(served.url, *SETS), Timer())
    yield made
    made.close()


def test_a_document_is_said_once_at_noon_of_its_day_with_all_listed_agencies(
    served: Served, register: FederalRegisterSource
) -> None:
    served.routes[PATH] = of(answer(document("2026-1", "2026-09-18", CFTC, SEC, "treasury-department", type_="Rule")))
    values = {"type Rule": 1.0, f"agency {CFTC}": 1.0}
    assert register.fetch(NOW) == [Observation("federal_register", "government", "2026-1", SEC, NOON, NOON, values)]
    (asked,) = served.asked
    assert asked.query["conditions[agencies][]"] == [SEC, CFTC]
    assert asked.query["conditions[publication_date][gte]"] == ["2026-08-22"]
    assert asked.query["fields[]"] == ["document_number", "publication_date", "type", "agencies"]
    assert (asked.query["per_page"], asked.query["page"], asked.query["order"]) == (["500"], ["1"], ["newest"])


def test_todays_issue_before_noon_is_known_now_and_a_later_one_stays_ahead(
    served: Served, register: FederalRegisterSource
) -> None:
    morning = from_iso("2026-09-21T10:30:00Z")
    served.routes[PATH] = of(answer(document("a", "2026-09-21", SEC), document("b", "2026-09-22", SEC)))
    assert [item.known_at for item in register.fetch(morning)] == [morning, from_iso("2026-09-22T12:00:00Z")]


def test_nothing_found_has_no_results_at_all(served: Served, register: FederalRegisterSource) -> None:
    served.routes[PATH] = of(answer())
    assert register.fetch(NOW) == []


def test_all_pages_are_read_up_to_the_limit(served: Served) -> None:
    register = FederalRegisterSource(
        moats(served.url, *SETS, "federal_register.page_rows=2", "federal_register.max_pages=3"), Timer()
    )

    def paged(asked: Asked) -> Answer:
        page = asked.query["page"][0]
        return of(answer(document(f"{page}a", "2026-09-18", SEC), document(f"{page}b", "2026-09-18", SEC), count=count))

    served.routes[PATH], count = paged, 5
    assert [item.id for item in register.fetch(NOW)] == ["1a", "1b", "2a", "2b", "3a", "3b"]
    assert register.notices() == ()
    count = 10**12
    assert len(register.fetch(NOW)) == 6
    assert register.notices() == ("Federal Register: 500000000000 pages, 3 were read; shorten lookback_days",)
    register.close()


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (answer(document("x", "soon", SEC)), "Federal Register x: 'soon' is no date"),
        ({"results": []}, "missing required field `count`"),
        ({"errors": {"conditions": "wrong"}}, "missing required field `count`"),
        (answer({"document_number": 7}), "Expected `str`, got `int`"),
    ],
)
def test_what_cannot_be_believed(
    served: Served, register: FederalRegisterSource, said: dict[str, Any], says: str
) -> None:
    served.routes[PATH] = of(said)
    with pytest.raises(Malformed) as caught:
        register.fetch(NOW)
    assert says in str(caught.value)
