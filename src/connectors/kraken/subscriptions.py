"""What is wanted of a connection and what the exchange has promised: both lists are compared, not assumed equal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import Any

import msgspec

from ...core.config_streams import StreamConnections
from .said import AnswerSaid

Key = tuple[str, str]
"""Channel and symbol; the symbol is empty for channels that have none."""
Request = dict[str, Any]


class _One(msgspec.Struct):
    """One subscription, asked for under `number` at `asked_s`, not again before `again_s`; `renewed_s`: ended by us."""

    params: Mapping[str, Any]
    acked: bool = False
    number: int | None = None
    asked_s: float = 0.0
    again_s: float = 0.0
    renewed_s: float | None = None
    renewing: bool = False
    error: str = ""


class Subscriptions:
    """The subscriptions of one connection, by channel and symbol; usable from any thread.

    `refusals` counts answers that said no, `unanswered` requests about which nothing came back in time.
    """

    def __init__(self, settings: StreamConnections) -> None:
        self._settings = settings
        self._lock = Lock()
        self._all: dict[Key, _One] = {}
        self._ending: list[Key] = []
        self._number = 0
        self.refusals = self.unanswered = 0

    def want(self, channel: str, symbols: Iterable[str] = ("",), **params: Any) -> None:
        """Ask for a channel from now on; what is wanted already stays as it is."""
        with self._lock:
            for symbol in symbols:
                self._all.setdefault((channel, symbol), _One(params))

    def drop(self, channel: str, symbol: str) -> None:
        """Want a subscription no more; what was promised of it is ended."""
        with self._lock:
            one = self._all.pop((channel, symbol), None)
            if one is not None and (one.acked or one.number is not None):
                self._ending.append((channel, symbol))

    def renew(self, channel: str, symbol: str = "") -> None:
        """End a subscription and ask for it anew, so that a snapshot comes: at once, but not again and again."""
        with self._lock:
            one = self._all.get((channel, symbol))
            if one is None:
                return
            if one.acked or one.number is not None:
                self._ending.append((channel, symbol))
            again_s = 0.0 if one.renewed_s is None else one.renewed_s + self._settings.retry_seconds
            self._all[channel, symbol] = _One(one.params, again_s=again_s, renewed_s=one.renewed_s, renewing=True)

    def reset(self) -> None:
        """A new connection: nothing is promised yet."""
        with self._lock:
            self._ending.clear()
            self._all = {key: _One(one.params) for key, one in self._all.items()}

    def due(self, now_s: float) -> Sequence[Request]:
        """What is to be sent now: ends first, then what was never asked for, refused, or not answered in time."""
        with self._lock:
            ended = [self._request("unsubscribe", key[0], {}, [key]) for key in self._ending]
            self._ending.clear()
            groups: dict[str, list[Key]] = {}
            for key, one in self._all.items():
                if self._is_due(one, now_s):
                    groups.setdefault(f"{key[0]} {sorted(one.params.items())}", []).append(key)
            return ended + [self._ask(keys, now_s) for keys in groups.values()]

    def answered(self, answer: AnswerSaid, now_s: float) -> str:
        """Take the exchange's word on a subscription; what is wrong with it, empty where nothing is."""
        if answer.method != "subscribe":
            return ""
        with self._lock:
            keys = self._meant(answer)
            for key in keys:
                one = self._all[key]
                one.acked, one.error = answer.success, answer.error
                one.number, one.again_s = None, now_s + self._settings.retry_seconds
            if answer.success:
                return ""
            self.refusals += 1
            return f"{' '.join(keys[0]).strip() if keys else 'subscription'} refused: {answer.error or 'no reason'}"

    def missing(self) -> Sequence[str]:
        """What is wanted and not promised, with the exchange's reason where it gave one."""
        with self._lock:
            return [
                f"{' '.join(key).strip()}{f': {one.error}' if one.error else ''}"
                for key, one in self._all.items()
                if not one.acked
            ]

    def _is_due(self, one: _One, now_s: float) -> bool:
        if one.acked:
            return False
        if one.number is None:
            return now_s >= one.again_s
        late = now_s >= one.asked_s + self._settings.ack_seconds
        self.unanswered += late
        return late

    def _ask(self, keys: Sequence[Key], now_s: float) -> Request:
        first = self._all[keys[0]]
        request = self._request("subscribe", keys[0][0], first.params, keys)
        for key in keys:
            one = self._all[key]
            one.number, one.asked_s = self._number, now_s
            one.renewed_s, one.renewing = now_s if one.renewing else one.renewed_s, False
        return request

    def _request(self, method: str, channel: str, params: Mapping[str, Any], keys: Sequence[Key]) -> Request:
        self._number += 1
        symbols = [symbol for _, symbol in keys if symbol]
        body = {"channel": channel, **params, **({"symbol": symbols} if symbols else {})}
        return {"method": method, "params": body, "req_id": self._number}

    def _meant(self, answer: AnswerSaid) -> Sequence[Key]:
        """The subscriptions an answer speaks of: by its number, and by its symbol where it names one."""
        waiting = [key for key, one in self._all.items() if one.number is not None and one.number == answer.number]
        if answer.symbol:
            return [key for key in waiting if key[1] == answer.symbol]
        return waiting
