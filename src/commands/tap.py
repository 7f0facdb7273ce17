"""`mycelial tap`: the messages of the running bus, live and readable."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Event

from ..connectors.redis_bus import tap
from . import common


def run(
    pattern: str,
    url: str | None,
    count: int | None,
    config: Path | None,
    env: str | None,
    sets: Sequence[str],
    json: bool,
) -> None:
    """Print messages until Ctrl-C, or until `count` of them came."""
    settings = common.settings(config, env, sets).settings
    stop = Event()
    signal.signal(signal.SIGINT, lambda number, frame: stop.set())
    seen = 0

    def show(channel: str, raw: bytes) -> None:
        nonlocal seen
        text = raw.decode(errors="replace")
        common.out(f'{{"channel":"{channel}","message":{text}}}' if json else f"{channel} {text}")
        seen += 1
        if count is not None and seen >= count:
            stop.set()

    tap(url or f"redis://127.0.0.1:{settings.bus.port}", pattern, show, stop)
