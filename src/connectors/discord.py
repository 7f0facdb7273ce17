"""Tells people in Discord, through a webhook, on a thread of its own: nobody who tells something ever waits for it."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from threading import Condition, Event, Thread
from typing import Any

import httpx2
import msgspec

from ..core.clock import Timer, wall_ms
from ..core.config_monitoring import DiscordSettings
from ..core.errors import ConfigError
from ..core.timeframes import DAY_MS, HOUR_MS
from .private_file import Secret

BASE = "https://discord.com"
"""The only host that is ever called."""
_PATH = re.compile(r"/api/webhooks/[0-9]{1,25}/[\w-]{1,100}")
MAX_CHARACTERS = 2000
"""Of a message, by Discord's rules."""
_SILENT = 4096
"""Discord's flag SUPPRESS_NOTIFICATIONS."""
_ANSWER_BYTES = 65_536
"""Of an answer, more is not read."""
_GONE = (401, 403, 404)


class Severity(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Notice(msgspec.Struct, frozen=True):
    """One thing to tell. `event` is a kind of the settings; of equal `key` only the first in a while is told."""

    event: str
    severity: Severity
    text: str
    key: str


class _Held(msgspec.Struct, frozen=True):
    notice: Notice
    told_s: float


class _Outcome(msgspec.Struct, frozen=True):
    """How an attempt went: `error` is empty when it arrived; `wait_s` says when to try again, None: never."""

    error: str = ""
    wait_s: float | None = None
    limited: bool = False


def webhook_path(secret: Secret) -> Secret:
    """The path of a webhook's address on Discord; ConfigError for any other address, which is not repeated."""
    path = secret.text.removeprefix(BASE)
    if path == secret.text or not _PATH.fullmatch(path):
        raise ConfigError(
            f"monitoring.discord.webhook_file: its line is no address of a webhook; it begins with {BASE}/api/webhooks/"
        )
    return Secret(path)


class Discord:
    """One webhook. `tell` queues and returns; the thread sends in order, at a pace, again where that helps.

    `failure` says what is wrong now, empty when nothing is. `counts` holds sent, dropped, repeated, failed, limited.
    `clean` takes out what nobody may see. `base` stands for Discord in tests.
    """

    def __init__(
        self,
        path: Secret,
        settings: DiscordSettings,
        clean: Callable[[str], str],
        timer: Timer,
        now_ms: Callable[[], int] = wall_ms,
        base: str = BASE,
    ) -> None:
        self.failure = ""
        self.counts: Counter[str] = Counter()
        self._url = Secret(base + path.text)
        self._settings, self._clean, self._timer, self._now_ms = settings, clean, timer, now_ms
        self._waiting: deque[_Held] = deque()
        self._quiet: deque[_Held] = deque()
        self._told_s: dict[str, float] = {}
        self._again: Counter[str] = Counter()
        self._room, self._closing = Condition(), Event()
        self._until_s: float | None = None
        self._gone = False
        self._client = httpx2.Client(timeout=settings.timeout_seconds, follow_redirects=False)
        self._thread = Thread(target=self._serve, name="discord", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def tell(self, notice: Notice) -> None:
        """Queue one message, unless the settings say that nobody wants it or it was told a moment ago."""
        wanted = getattr(self._settings.events, notice.event) and self._route(notice) != "never"
        if not wanted or self._closing.is_set():
            return
        now_s = self._timer.seconds()
        with self._room:
            if self._repeated(notice.key, now_s):
                return
            quiet = notice.severity is not Severity.CRITICAL and self._is_quiet()
            self._put(self._quiet if quiet else self._waiting, _Held(notice, now_s))
            self._room.notify()

    def now(self, notice: Notice) -> str:
        """Send one message at once and wait for it: empty when it arrived, else one line with the remedy."""
        return self._post(_content(self._clean(notice.text)), silent=False).error

    def close(self) -> None:
        """Send what is queued, for `close_seconds` at most, and give back the connections."""
        with self._room:
            self._until_s = self._timer.seconds() + self._settings.close_seconds
            self._closing.set()
            self._room.notify()
        if self._thread.is_alive():
            self._thread.join(self._settings.close_seconds + self._settings.timeout_seconds)
        self._client.close()

    # --- what waits, under the lock ------------------------------------------------------------------------------

    def _route(self, notice: Notice) -> str:
        return str(getattr(self._settings.routes, notice.severity.value))

    def _repeated(self, key: str, now_s: float) -> bool:
        told_s = self._told_s.get(key)
        if told_s is not None and now_s - told_s < self._settings.dedupe_seconds:
            self.counts["repeated"] += 1
            self._again[key] += 1
            return True
        keep_s = now_s - self._settings.dedupe_seconds
        self._told_s = {name: at for name, at in self._told_s.items() if at >= keep_s}
        self._told_s[key] = now_s
        return False

    def _put(self, line: deque[_Held], held: _Held) -> None:
        """A full queue drops what matters least: the oldest that is not critical, else the oldest."""
        if len(line) >= self._settings.queue_messages:
            loser = next((one for one in line if one.notice.severity is not Severity.CRITICAL), line[0])
            line.remove(loser)
            self.counts["dropped"] += 1
        line.append(held)

    def _is_quiet(self) -> bool:
        hours = self._settings.quiet_hours
        if hours is None:
            return False
        hour, (first, last) = self._now_ms() % DAY_MS // HOUR_MS, hours
        return first <= hour < last if first <= last else hour >= first or hour < last

    # --- the thread ----------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while (held := self._next()) is not None:
            self._send(held)
            self._timer.wait(self._closing, self._settings.pause_seconds)

    def _next(self) -> _Held | None:
        """Wait for a message; None when it is time to leave."""
        with self._room:
            while True:
                if self._quiet and not self._is_quiet():
                    self._waiting.append(_digest(self._quiet))
                    self._quiet.clear()
                if self._waiting and not self._over():
                    return self._waiting.popleft()
                if self._closing.is_set():
                    return None
                self._room.wait(self._settings.backoff_cap_seconds)

    def _over(self) -> bool:
        """Whether the time that a closing process gives has passed."""
        return self._until_s is not None and self._timer.seconds() > self._until_s

    def _send(self, held: _Held) -> None:
        silent = self._route(held.notice) == "silent"
        failed = 0
        while not self._gone:
            outcome = self._post(_content(self._text(held)), silent)
            self.failure = outcome.error
            if not outcome.error:
                self.counts["sent"] += 1
                return
            self.counts["limited" if outcome.limited else "errors"] += 1
            failed += not outcome.limited
            if outcome.wait_s is None or failed >= self._settings.attempts or not self._pause(outcome.wait_s, failed):
                break
        self.counts["failed"] += 1

    def _pause(self, asked_s: float, failed: int) -> bool:
        """Wait before the next attempt; False when there is no time for it any more."""
        first, cap = self._settings.backoff_first_seconds, self._settings.backoff_cap_seconds
        wait_s = asked_s or min(cap, first * 2.0 ** min(failed - 1, 62))
        if self._until_s is not None and self._timer.seconds() + wait_s > self._until_s:
            return False
        self._timer.wait(self._closing if self._until_s is None else Event(), wait_s)
        return not self._over()

    def _text(self, held: _Held) -> str:
        """What is sent: how late it is, and how often the same was not told."""
        late_s = self._timer.seconds() - held.told_s
        again = self._again.pop(held.notice.key, 0)
        text = self._clean(held.notice.text)
        text += f" (and {again} more like it)" if again else ""
        return text + (f" (late by {late_s:.0f} s)" if late_s > self._settings.late_seconds else "")

    def _post(self, content: str, silent: bool) -> _Outcome:
        body: dict[str, Any] = {"content": content, "allowed_mentions": {"parse": []}}
        if silent:
            body["flags"] = _SILENT
        try:
            with self._client.stream("POST", self._url.text, json=body) as answer:
                if answer.status_code == 429:
                    return self._limited(answer)
                return self._judge(answer.status_code)
        except httpx2.TimeoutException:
            return _Outcome(f"Discord did not answer within {self._settings.timeout_seconds:g} s", 0.0)
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
            return _Outcome(f"no connection to Discord ({type(error).__name__})", 0.0)

    def _judge(self, status: int) -> _Outcome:
        if status in (200, 204):
            return _Outcome()
        if status in _GONE:
            self._gone = True
            return _Outcome(f"Discord knows no such webhook ({status}); make a new one, write its address to the file")
        if 300 <= status < 400:
            return _Outcome(f"Discord sent us elsewhere ({status}); nothing is sent to other hosts")
        if status >= 500:
            return _Outcome(f"Discord is out of order ({status})", 0.0)
        return _Outcome(f"Discord refused the message ({status})")

    def _limited(self, answer: httpx2.Response) -> _Outcome:
        """As long as it asked for, in its header or its body; the cap guards against a wrong unit."""
        said = answer.headers.get("retry-after", "")
        try:
            seconds = float(said) if said else float(_waited(answer))
        except (TypeError, ValueError):
            seconds = self._settings.backoff_cap_seconds
        least = self._settings.backoff_first_seconds if seconds <= 0 or seconds != seconds else seconds
        capped = min(least, self._settings.retry_after_cap_seconds)
        return _Outcome(f"Discord asks for {capped:g} s of silence", capped, limited=True)


def _waited(answer: httpx2.Response) -> Any:
    body = b""
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > _ANSWER_BYTES:
            raise ValueError("a long answer")
    try:
        said: Mapping[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    return said.get("retry_after")


def _content(text: str) -> str:
    """At most what Discord takes, counted as it counts: in units of UTF-16."""
    units = text.encode("utf-16-le", "replace")
    if len(units) <= 2 * MAX_CHARACTERS:
        return text
    return units[: 2 * (MAX_CHARACTERS - 1)].decode("utf-16-le", "ignore") + "…"


def _digest(line: deque[_Held]) -> _Held:
    """What waited for the end of the quiet hours, as one message; as important as the most important of it."""
    worst = max((one.notice.severity for one in line), key=list(Severity).index)
    texts = [one.notice.text for one in line]
    text = f"While it was quiet ({len(texts)}): " + " | ".join(texts)
    return _Held(Notice(line[0].notice.event, worst, text, "digest"), line[-1].told_s)
