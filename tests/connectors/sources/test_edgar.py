"""Filings over a socket that speaks like data.sec.gov."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from src.connectors.sources.edgar import EdgarSource
from src.core.clock import Timer, from_iso
from src.core.errors import Malformed, RateLimited, Refused, SourceError, Unconfigured
from src.core.types import Observation
from tests.connectors.sources.served import Served, moats, of, raw

NOW = from_iso("2025-02-25T00:00:00Z")
IDENTITY = "Test Desk desk@example.org"
MSTR, COIN = "/submissions/CIK0001050446.json", "/submissions/CIK0001679788.json"
SETS = ("edgar.companies=[{ticker: MSTR, cik: 1050446}, {ticker: COIN, cik: 1679788}]",)


def submissions(ticker: str, *rows: tuple[str, str, str, str, int], **changes: Any) -> dict[str, Any]:
    """What EDGAR says of a company; rows are (accession number, accepted, form, items, size)."""
    columns = list(zip(*rows, strict=True)) or [()] * 5
    recent = {
        "accessionNumber": columns[0],
        "filingDate": [row[1][:10] for row in rows],
        "reportDate": ["" for _ in rows],
        "acceptanceDateTime": columns[1],
        "act": ["34" for _ in rows],
        "form": columns[2],
        "items": columns[3],
        "size": columns[4],
        "isXBRL": [1 for _ in rows],
        "primaryDocument": ["d8k.htm" for _ in rows],
    }
    older = [{"name": "CIK0001050446-submissions-001.json", "filingCount": 1021, "filingTo": "2020-01-01"}]
    said = {"cik": "0001050446", "entityType": "operating", "name": "STRATEGY INC", "tickers": [ticker], "sic": "7372"}
    return said | {"filings": {"recent": recent | changes, "files": older}}


EIGHT_K = ("0000950170-25-025233", "2025-02-24T13:00:09.000Z", "8-K", "7.01,8.01", 352059)
FORM_4 = ("0001193125-25-030144", "2025-02-20T22:05:42.000Z", "4", "", 5120)
OLD = ("0001193125-20-000001", "2020-02-20T22:05:42.000Z", "10-K", "", 99)


@pytest.fixture
def edgar(served: Served) -> Iterator[EdgarSource]:
    made = EdgarSource(moats(served.url, *SETS), {"SEC_EDGAR_IDENTITY": IDENTITY}, Timer())
    yield made
    made.close()


def test_filings_are_known_when_they_were_accepted_and_look_as_recorded(served: Served, edgar: EdgarSource) -> None:
    served.routes |= {MSTR: of(submissions("MSTR", EIGHT_K, FORM_4, OLD)), COIN: of(submissions("COIN"))}
    first, second = 1_740_402_009_000, from_iso("2025-02-20T22:05:42Z")
    assert edgar.fetch(NOW) == [
        Observation(
            "sec_filings", "corporate", EIGHT_K[0], "MSTR", first, first,
            {"size": 352059.0, "form 8-K": 1.0, "item 7.01": 1.0, "item 8.01": 1.0},
        ),
        Observation("sec_filings", "corporate", FORM_4[0], "MSTR", second, second, {"size": 5120.0, "form 4": 1.0}),
    ]  # fmt: skip
    assert edgar.notices() == ()
    assert {asked.headers["user-agent"] for asked in served.asked} == {IDENTITY}


@pytest.mark.parametrize("identity", [None, "", " "])
def test_without_an_identity_nobody_is_asked(served: Served, identity: str | None) -> None:
    environ = {} if identity is None else {"SEC_EDGAR_IDENTITY": identity}
    edgar = EdgarSource(moats(served.url, *SETS), environ, Timer())
    with pytest.raises(Unconfigured, match="set the variable SEC_EDGAR_IDENTITY to NAME MAIL"):
        edgar.fetch(NOW)
    assert (served.asked, edgar.notices()) == ([], ())
    edgar.close()


def test_a_number_of_another_company_is_noticed(served: Served, edgar: EdgarSource) -> None:
    served.routes |= {MSTR: of(submissions("IBM", EIGHT_K)), COIN: of(submissions("COIN"))}
    assert len(edgar.fetch(NOW)) == 1
    assert edgar.notices() == ("EDGAR: CIK 1050446 is STRATEGY INC (IBM), not MSTR",)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (submissions("MSTR", EIGHT_K, form=["8-K", "4"]), "columns of unequal length"),
        (submissions("MSTR", EIGHT_K, acceptanceDateTime=["yesterday"]), "accepted at 'yesterday', which is no time"),
        (submissions("MSTR", EIGHT_K, size=["big"]), "Expected `float`, got `str`"),
        (submissions("MSTR", EIGHT_K, items=None), "Expected `array`, got `null`"),
        ({"cik": "1", "name": "x", "tickers": []}, "missing required field `filings`"),
    ],
)
def test_a_company_that_cannot_be_believed_is_noticed_and_the_others_are_read(
    served: Served, edgar: EdgarSource, said: dict[str, Any], says: str
) -> None:
    served.routes |= {MSTR: of(said), COIN: of(submissions("COIN", FORM_4))}
    assert [item.subject for item in edgar.fetch(NOW)] == ["COIN"]
    (notice,) = edgar.notices()
    assert says in notice
    served.routes[COIN] = of(said)
    with pytest.raises(Malformed):
        edgar.fetch(NOW)


def test_asking_too_fast_is_told_from_being_refused(served: Served, edgar: EdgarSource) -> None:
    page = b"<html><title>SEC.gov | Request Rate Threshold Exceeded</title></html>"
    served.routes |= {MSTR: of(submissions("MSTR", FORM_4)), COIN: raw(page, 403)}
    with pytest.raises(RateLimited) as caught:
        edgar.fetch(NOW)
    assert [item.subject for item in caught.value.gathered] == ["MSTR"]
    served.routes[COIN] = raw(b"<html>Undeclared Automated Tool</html>", 403)
    with pytest.raises(Refused) as refused:
        edgar.fetch(NOW)
    assert IDENTITY not in str(refused.value)


def test_unsorted_and_doubled_rows_come_through_as_they_are(served: Served, edgar: EdgarSource) -> None:
    served.routes |= {MSTR: of(submissions("MSTR", FORM_4, EIGHT_K, FORM_4)), COIN: of(submissions("COIN"))}
    assert [item.id for item in edgar.fetch(NOW)] == [FORM_4[0], EIGHT_K[0], FORM_4[0]]


def test_all_companies_gone_is_an_error(served: Served, edgar: EdgarSource) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        edgar.fetch(NOW)
