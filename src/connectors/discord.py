"""Tells people in Discord, through a webhook, on a thread of its own: nobody who tells something ever waits for it."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
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
_ROOM = 1900
"""Characters of a digest's parts: the rest is for what stands before and behind them."""
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
    """One thing to tell. `event` is a kind of the settings; of equal `key` only the first in a while is told.

    Those of one `topic` say how the same thing stands: one that was told is told again where another came between.
    """

    event: str
    severity: Severity
    text: str
    key: str
    topic: str = ""


class _Held(msgspec.Struct, frozen=True):
    """A message that waits, `many` of those who tell; `silent` whatever the settings say."""

    notice: Notice
    told_s: float
    many: int = 1
    silent: bool = False


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

    `failure` says what is wrong now, empty when nothing is. `counts` holds sent, dropped, repeated, failed, limited;
    what was told in a digest counts one by one. `left` counts what could not be sent before the end.
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
        self.left = 0
        self.counts: Counter[str] = Counter()
        self._url = Secret(base + path.text)
        self._settings, self._clean, self._timer, self._now_ms = settings, clean, timer, now_ms
        self._waiting: deque[_Held] = deque()
        self._quiet: deque[_Held] = deque()
        self._told: dict[str, tuple[str, float]] = {}
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
            if self._repeated(notice, now_s):
                return
            quiet = notice.severity is not Severity.CRITICAL and self._is_quiet()
            if not quiet:
                self._release(notice)
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
        with self._room:
            self.left += sum(held.many for line in (self._waiting, self._quiet) for held in line)
            self._waiting.clear()
            self._quiet.clear()
        self._client.close()

    # --- what waits, under the lock ------------------------------------------------------------------------------

    def _route(self, notice: Notice) -> str:
        return str(getattr(self._settings.routes, notice.severity.value))

    def _repeated(self, notice: Notice, now_s: float) -> bool:
        """Whether it is what people heard of its topic last, a moment ago."""
        topic = _topic(notice)
        key, told_s = self._told.get(topic, ("", float("-inf")))
        if key == notice.key and now_s - told_s < self._settings.dedupe_seconds:
            self.counts["repeated"] += 1
            self._again[key] += 1
            return True
        keep_s = now_s - self._settings.dedupe_seconds
        self._told = {name: one for name, one in self._told.items() if one[1] >= keep_s}
        self._told[topic] = (notice.key, now_s)
        return False

    def _release(self, notice: Notice) -> None:
        """What waits of the topic of one that does not wait goes before it: the newest is heard last."""
        older = [held for held in self._quiet if _topic(held.notice) == _topic(notice)]
        for held in older:
            self._quiet.remove(held)
            self._put(self._waiting, held)

    def _put(self, line: deque[_Held], held: _Held) -> None:
        """A full queue drops what matters least: the oldest that is not critical, else the oldest."""
        if len(line) >= self._settings.queue_messages:
            loser = next((one for one in line if one.notice.severity is not Severity.CRITICAL), line[0])
            line.remove(loser)
            self.counts["dropped"] += loser.many
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
                if self._quiet and (self._closing.is_set() or not self._is_quiet()):
                    self._waiting.extend(self._digests(silent=self._is_quiet()))
                    self._quiet.clear()
                if self._waiting and not self._over():
                    return self._waiting.popleft()
                if self._closing.is_set():
                    return None
                self._room.wait(self._settings.backoff_cap_seconds)

    def _digests(self, silent: bool) -> list[_Held]:
        """What waited for the end of the quiet hours in as few messages as hold it."""
        parts = [(held, _cut(self._wording(held.notice), _ROOM)) for held in self._quiet]
        digests: list[_Held] = []
        told = 0
        for group in _packed(parts):
            told += len(group)
            which = (
                f"{len(parts)}" if len(group) == len(parts) else f"{told - len(group) + 1} to {told} of {len(parts)}"
            )
            digests.append(_digest(group, f"While it was quiet ({which}): ", silent))
        return digests

    def _over(self) -> bool:
        """Whether the time that a closing process gives has passed."""
        return self._until_s is not None and self._timer.seconds() > self._until_s

    def _send(self, held: _Held) -> None:
        silent = held.silent or self._route(held.notice) == "silent"
        failed = 0
        while not self._gone:
            outcome = self._post(_content(self._text(held)), silent)
            self.failure = outcome.error
            if not outcome.error:
                self.counts["sent"] += held.many
                return
            self.counts["limited" if outcome.limited else "errors"] += 1
            failed += not outcome.limited
            if outcome.wait_s is None or failed >= self._settings.attempts or not self._pause(outcome.wait_s, failed):
                break
        self.counts["failed"] += held.many

    def _pause(self, asked_s: float, failed: int) -> bool:
        """Wait before the next attempt; False when there is no time for it any more."""
        first, cap = self._settings.backoff_first_seconds, self._settings.backoff_cap_seconds
        wait_s = asked_s or min(cap, first * 2.0 ** min(failed - 1, 62))
        if self._until_s is not None and self._timer.seconds() + wait_s > self._until_s:
            return False
        self._timer.wait(self._closing if self._until_s is None else Event(), wait_s)
        return not self._over()

    def _text(self, held: _Held) -> str:
        """What is sent, and how late it is."""
        late_s = self._timer.seconds() - held.told_s
        late = f" (late by {late_s:.0f} s)" if late_s > self._settings.late_seconds else ""
        return self._wording(held.notice) + late

    def _wording(self, notice: Notice) -> str:
        """Without secrets, and with how often the same was not told."""
        again = self._again.pop(notice.key, 0)
        return self._clean(notice.text) + (f" (and {again} more like it)" if again else "")

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
    """At most what Discord takes."""
    return _cut(text, MAX_CHARACTERS)


def _cut(text: str, most: int) -> str:
    """At most so many characters, counted as Discord counts: in units of UTF-16."""
    if _length(text) <= most:
        return text
    return text.encode("utf-16-le", "replace")[: 2 * (most - 1)].decode("utf-16-le", "ignore") + "…"


def _length(text: str) -> int:
    return len(text.encode("utf-16-le", "replace")) // 2


def _topic(notice: Notice) -> str:
    return notice.topic or notice.key


_BETWEEN = " | "
_Part = tuple[_Held, str]


def _packed(parts: Iterable[_Part]) -> list[list[_Part]]:
    """The parts in order, in groups that find room in a message each."""
    groups: list[list[_Part]] = []
    free = 0
    for part in parts:
        takes = len(_BETWEEN) + _length(part[1])
        if not groups or takes > free:
            groups.append([])
            free = _ROOM + len(_BETWEEN)
        groups[-1].append(part)
        free -= takes
    return groups


def _digest(group: Sequence[_Part], head: str, silent: bool) -> _Held:
    """One message of many; as important as the most important of them."""
    line = [held for held, _ in group]
    worst = max((held.notice.severity for held in line), key=list(Severity).index)
    text = head + _BETWEEN.join(text for _, text in group)
    many = sum(held.many for held in line)
    return _Held(Notice(line[0].notice.event, worst, text, "digest"), line[-1].told_s, many, silent)
