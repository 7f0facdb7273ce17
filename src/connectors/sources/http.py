"""Asks a server once and says in one line what is wrong with its answer, so that no source handles HTTP itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx2
import msgspec

from ...core.clock import Timer
from ...core.config import MoatHttp
from ...core.errors import Gone, Malformed, RateLimited, Refused, SourceError, Unavailable

Params = Mapping[str, str | int | list[str]]
Throttled = Callable[[bytes], bool]

_MOVED = (301, 302, 303, 307, 308)
_BROKEN = (httpx2.ConnectError, httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError, httpx2.CloseError)
_SHOWN = 120  # characters of a foreign text that a message repeats


class Getter:
    """GET against one server. Nothing is waited for but the answer; a repeat follows only a broken connection.

    `throttled` recognises the body of a 403 that means "too fast"; `transport` replaces the network.
    """

    def __init__(
        self,
        base_url: str,
        settings: MoatHttp,
        timer: Timer,
        user_agent: str | None = None,
        throttled: Throttled = lambda body: False,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._base = base_url.rstrip("/")
        self._settings, self._timer, self._throttled = settings, timer, throttled
        self._client = httpx2.Client(
            headers={"User-Agent": user_agent or settings.user_agent},
            timeout=settings.timeout_seconds,
            follow_redirects=False,
            transport=transport,
        )

    def json[T](self, path: str, shape: type[T], params: Params, now_ms: int) -> T:
        """The answer as `shape`; fields that `shape` does not name are ignored.

        Raises Unavailable, Refused, RateLimited, Gone or Malformed, each naming the address.
        """
        body = self._body(path, params, now_ms)
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            kind = "HTML, not JSON" if body.lstrip()[:1] == b"<" else str(error)
            raise Malformed(f"{self._base}{path}: {kind}") from None

    def text(self, path: str, params: Params, now_ms: int) -> str:
        """The answer as text (UTF-8); raises like `json`."""
        body = self._body(path, params, now_ms)
        try:
            return body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Malformed(f"{self._base}{path}: not UTF-8 ({error.reason} at byte {error.start})") from None

    def close(self) -> None:
        """Give back the connections."""
        self._client.close()

    def _body(self, path: str, params: Params, now_ms: int) -> bytes:
        status, headers, body = self._ask(path, params)
        if status != 200:
            raise self._complaint(f"{self._base}{path}", status, headers, body, now_ms)
        if not body.strip():
            raise Malformed(f"{self._base}{path}: an empty answer")
        return body

    def _ask(self, path: str, params: Params) -> tuple[int, httpx2.Headers, bytes]:
        where = f"{self._base}{path}"
        for left in reversed(range(self._settings.attempts)):
            try:
                with self._client.stream("GET", where, params=dict(params)) as answer:
                    return answer.status_code, answer.headers, b"".join(self._pieces(answer, where))
            except httpx2.TimeoutException:
                seconds = self._settings.timeout_seconds
                raise Unavailable(f"{where}: no answer within {seconds:g} s") from None
            except _BROKEN as error:
                if not left:
                    raise Unavailable(f"{where}: no connection ({_short(error)})") from None
            except httpx2.DecodingError as error:
                raise Malformed(f"{where}: an answer that cannot be unpacked ({_short(error)})") from None
            except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                raise Unavailable(f"{where}: {type(error).__name__} ({_short(error)})") from None
        raise Unavailable(f"{where}: not asked")

    def _pieces(self, answer: httpx2.Response, where: str) -> Iterator[bytes]:
        """The unpacked body; refused when it is larger or slower than the settings allow."""
        begun, size = self._timer.seconds(), 0
        for piece in answer.iter_bytes():
            size += len(piece)
            if size > self._settings.max_answer_bytes:
                raise Malformed(f"{where}: more than {self._settings.max_answer_bytes} bytes")
            if self._timer.seconds() - begun > self._settings.budget_seconds:
                raise Unavailable(f"{where}: still answering after {self._settings.budget_seconds:g} s")
            yield piece

    def _complaint(self, where: str, status: int, headers: Mapping[str, str], body: bytes, now_ms: int) -> SourceError:
        wait = retry_after(headers.get("retry-after"), now_ms, self._settings.retry_after_cap_seconds)
        if status == 429 or (status in (403, 503) and wait is not None) or (status == 403 and self._throttled(body)):
            return RateLimited(f"{where}: too many questions ({status})", wait)
        if status in (401, 403):
            return Refused(f"{where}: we are not let in ({status}); check the login or the identity")
        if status in _MOVED:
            target = headers.get("location", "an address it does not name")[:_SHOWN]
            return Gone(f"{where}: moved to {target} ({status}); write the new address into the settings")
        if status in (404, 410):
            return Gone(f"{where}: does not exist ({status}); check its name in the settings")
        if status >= 500 or status == 408:
            return Unavailable(f"{where}: the server is out of order ({status})")
        return Malformed(f"{where}: an answer nobody expects ({status})")


def retry_after(text: str | None, now_ms: int, cap_seconds: float) -> float | None:
    """Seconds of a Retry-After header (RFC 9110: seconds or a date), between 0 and `cap_seconds`; None without one.

    >>> retry_after("90", 0, 60.0), retry_after("Thu, 01 Jan 1970 00:00:20 GMT", 5_000, 60.0), retry_after("?", 0, 60.0)
    (60.0, 15.0, None)
    """
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return min(float(text[:_SHOWN]), cap_seconds)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, moment.timestamp() - now_ms / 1000), cap_seconds)


def _short(error: Exception) -> str:
    return str(error).replace("\n", " ")[:_SHOWN] or type(error).__name__
