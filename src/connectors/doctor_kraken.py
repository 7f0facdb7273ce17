"""Asks the exchange how it is, whether the clocks agree and, where a key is configured, what the key may do."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..core.clock import Timer, WallClock
from ..core.config import Settings
from ..core.errors import ConfigError, SourceError
from .doctor import Check

_AWAY = "check network and kraken.rest.url; nothing is traded there meanwhile"
_SECOND_MS = 1000


def ask_kraken(settings: Settings) -> list[Check]:
    """Status, clock and key; each a line. The key's nonces come from the clock: a run beside it stays above them."""
    build = import_module(".kraken.build", __package__)
    timer = Timer()
    rest = build.public_rest(settings.kraken, timer)
    try:
        checks = [_status(rest), _clock(rest, settings.execution.max_clock_offset_seconds)]
    finally:
        rest.close()
    if settings.kraken.key_file is None:
        return checks
    with TemporaryDirectory(prefix="mycelial-doctor-") as place:
        return [*checks, _key(build, settings, Path(place), timer)]


def _status(rest: Any) -> Check:
    try:
        status = rest.status()
    except SourceError as error:
        return Check("kraken status", "fail", str(error), _AWAY)
    return Check("kraken status", "ok" if status == "online" else "warn", str(status))


def _clock(rest: Any, most_seconds: float) -> Check:
    """Kraken tells whole seconds: within one of them nobody can tell."""
    clock = WallClock()
    try:
        before = clock.now_ms()
        told = rest.time()
        after = clock.now_ms()
    except SourceError as error:
        return Check("kraken clock", "fail", str(error), _AWAY)
    off_ms = max(0, before - told - _SECOND_MS, told - after)
    text = f"at least {off_ms} ms apart" if off_ms else "agrees, as far as whole seconds tell"
    if off_ms > 1000 * most_seconds:
        return Check("kraken clock", "fail", text, "set this machine's clock by a time server")
    return Check("kraken clock", "ok", text)


def _key(build: Any, settings: Settings, state: Path, timer: Timer) -> Check:
    try:
        rest = build.private_rest(settings.kraken, state, timer)
    except ConfigError as error:
        return Check("kraken key", "fail", str(error), "mend the key file")
    try:
        objection = rest.key_rights().objection
    except SourceError as error:
        return Check("kraken key", "fail", str(error), _AWAY)
    finally:
        rest.close()
    if objection:
        return Check("kraken key", "fail", objection, "make a key that may trade and query, and not withdraw")
    return Check("kraken key", "ok", "may trade, may not withdraw")
