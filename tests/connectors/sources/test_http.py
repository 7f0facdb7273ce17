"""What a server may do to us, and the one line that each of it becomes."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import msgspec
import pytest

from src.connectors.sources.http import Getter, retry_after
from src.core.clock import Timer
from src.core.errors import Gone, Malformed, RateLimited, Refused, SourceError, Unavailable
from tests.connectors.sources.served import HTML, Answer, Served, moats, of, raw, zipped

NOW = 1_790_000_000_000


class Shape(msgspec.Struct):
    n: int


@pytest.fixture
def getter(served: Served) -> Iterator[Getter]:
    made = Getter(served.url, moats(served.url, "http.max_answer_bytes=2000").http, Timer())
    yield made
    made.close()


def failure(getter: Getter) -> SourceError:
    with pytest.raises(SourceError) as caught:
        getter.json("/x", Shape, {"a": ["1", "2"], "b": 3}, NOW)
    assert "\n" not in str(caught.value)
    return caught.value


def test_an_answer_of_the_shape_comes_through_and_unknown_fields_are_ignored(served: Served, getter: Getter) -> None:
    served.routes["/x"] = of({"n": 7, "more": [1]})
    assert getter.json("/x", Shape, {"a": ["1", "2"], "b": 3}, NOW) == Shape(7)
    (asked,) = served.asked
    assert (asked.query, asked.headers["user-agent"]) == ({"a": ["1", "2"], "b": ["3"]}, "mycelial-finance")


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (of({}, 401), Refused, "not let in (401)"),
        (of({}, 403), Refused, "not let in (403)"),
        (of({}, 404), Gone, "does not exist (404)"),
        (of({}, 410), Gone, "does not exist (410)"),
        (of({}, 301, location="https://elsewhere.example/y"), Gone, "moved to https://elsewhere.example/y (301)"),
        (of({}, 302), Gone, "moved to an address it does not name (302)"),
        (of({}, 429), RateLimited, "too many questions (429)"),
        (of({}, 500), Unavailable, "out of order (500)"),
        (of({}, 503), Unavailable, "out of order (503)"),
        (of({}, 408), Unavailable, "out of order (408)"),
        (of({}, 204), Malformed, "nobody expects (204)"),
        (of({}, 400), Malformed, "nobody expects (400)"),
        (raw(b""), Malformed, "an empty answer"),
        (raw(b" \n"), Malformed, "an empty answer"),
        (raw(HTML), Malformed, "HTML, not JSON"),
        (raw(b'{"n": 7'), Malformed, "truncated"),
        (raw(b'{"n": NaN}'), Malformed, "invalid"),
        (raw(b'{"n": "7"}'), Malformed, "Expected `int`, got `str`"),
        (raw(b"[]"), Malformed, "Expected `object`, got `array`"),
        (raw(b"{}"), Malformed, "missing required field `n`"),
        (raw(b" " * 2001), Malformed, "more than 2000 bytes"),
        (raw(b"no gzip", content_encoding="gzip"), Malformed, "cannot be unpacked"),
        (zipped(b" " * 1_000_000), Malformed, "more than 2000 bytes"),
        (Answer(b'{"n": 7}' * 9, cut=10), Unavailable, "no connection"),
        (Answer(drop=True), Unavailable, "no connection"),
    ],
)
def test_every_bad_answer_is_one_line_of_its_kind(
    served: Served, getter: Getter, answer: Answer, kind: type[SourceError], says: str
) -> None:
    served.routes["/x"] = answer
    error = failure(getter)
    assert type(error) is kind
    assert f"{served.url}/x: " in str(error)
    assert says.lower() in str(error).lower()


def test_text_comes_through_without_its_byte_order_mark_and_must_be_utf_8(served: Served, getter: Getter) -> None:
    served.routes |= {"/x": raw(b"\xef\xbb\xbfDate"), "/y": raw(b"ab\xff")}
    assert getter.text("/x", {}, NOW) == "Date"
    with pytest.raises(Malformed, match=r"/y: not UTF-8 \(invalid start byte at byte 2\)"):
        getter.text("/y", {}, NOW)


def test_a_redirect_is_never_followed(served: Served, getter: Getter) -> None:
    served.routes |= {"/x": of({}, 301, location="/y"), "/y": of({"n": 1})}
    failure(getter)
    assert served.paths() == ["/x"]


def test_a_server_that_says_nothing_is_left_after_the_timeout(served: Served) -> None:
    served.routes["/x"] = Answer(hang=True)
    getter = Getter(served.url, moats(served.url, "http.timeout_seconds=0.2").http, Timer())
    error = failure(getter)
    assert isinstance(error, Unavailable)
    assert "no answer within 0.2 s" in str(error)
    assert len(served.asked) == 1  # a time-out is not repeated: the budget is spent
    getter.close()


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "ftp://127.0.0.1", "http://[", "nowhere"])
def test_nobody_listening_is_unavailable(served: Served, address: str) -> None:
    getter = Getter(address, moats(served.url).http, Timer())
    assert isinstance(failure(getter), Unavailable)
    getter.close()


def test_a_broken_connection_is_repeated_once_and_at_once(served: Served, getter: Getter) -> None:
    served.routes["/x"] = [Answer(drop=True), of({"n": 7})]
    assert getter.json("/x", Shape, {}, NOW) == Shape(7)
    served.asked.clear()
    served.routes["/x"] = Answer(drop=True)
    failure(getter)
    assert len(served.asked) == 2


def test_an_answer_that_trickles_is_left_when_the_budget_is_spent() -> None:
    class Slow(Timer):
        def __init__(self) -> None:
            self.now = 0.0

        def seconds(self) -> float:
            self.now += 20.0
            return self.now

    class Body(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from [b"{", b'"n"', b":1}"]

    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=Body()))
    getter = Getter("http://s", moats("http://s").http, Slow(), transport=transport)
    error = failure(getter)
    assert isinstance(error, Unavailable)
    assert "still answering after 30 s" in str(error)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        ("99999999999999999999", 3600.0),
        ("-5", None),
        ("soon", None),
        ("Mon, 21 Sep 2026 14:13:50 GMT", 30.0),
        ("Mon, 21 Sep 2026 14:13:50 -0000", 30.0),
        ("Mon, 21 Sep 2026 14:00:00 GMT", 0.0),
        ("Mon, 21 Sep 2099 14:00:00 GMT", 3600.0),
        ("Mon, 99 Sep 2026 14:00:00 GMT", None),
    ],
)
def test_how_long_to_stay_away(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, NOW, 3600.0) == seconds


@pytest.mark.parametrize("status", [429, 403, 503])
def test_a_server_that_names_a_time_is_not_asked_before_it(served: Served, getter: Getter, status: int) -> None:
    served.routes["/x"] = of({}, status, retry_after="42")
    error = failure(getter)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == 42.0
