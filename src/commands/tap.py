"""`mycelial tap`: the messages of the running bus, live and readable; without a pattern, the table of channels."""

from __future__ import annotations

import difflib
import signal
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import msgspec

from ..connectors.redis_bus import tap
from ..core.errors import UsageError
from ..core.messages import CHANNELS, Channel
from . import common

ANY = "*?["
"""Letters that make a pattern of a name."""


def run(
    pattern: str | None,
    listed: bool,
    url: str | None,
    count: int | None,
    config: Path | None,
    env: str | None,
    sets: Sequence[str],
    json: bool,
) -> None:
    """Print messages until Ctrl-C, or until `count` of them came; without a pattern print the channels there are.

    Who names a bus and no pattern hears everything on it.
    """
    if listed or (pattern is None and url is None):
        show_channels(json)
        return
    pattern = pattern or "*"
    check(pattern)
    settings = common.settings(config, env, sets).settings
    stop = Event()
    signal.signal(signal.SIGINT, lambda number, frame: stop.set())
    seen = 0

    def show(channel: str, raw: bytes) -> None:
        nonlocal seen
        common.out(line(channel, raw, json))
        seen += 1
        if count is not None and seen >= count:
            stop.set()

    tap(url or f"redis://127.0.0.1:{settings.bus.port}", pattern, show, stop)


def line(channel: str, raw: bytes, json: bool) -> str:
    """One message as one line, whatever a stranger put into it."""
    text = raw.decode(errors="replace")
    if not json:
        return f"{channel} {text}".replace("\n", " ").replace("\r", " ")
    try:
        message: object = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = text
    return msgspec.json.encode({"channel": channel, "message": message}).decode()


def check(pattern: str) -> None:
    """UsageError, with the nearest channel, for a pattern that no channel can match."""
    if any(_can_match(pattern, channel) for channel in CHANNELS):
        return
    heads = {_head(channel.template): channel.pattern for channel in CHANNELS}
    near = difflib.get_close_matches(_head(pattern.rstrip(ANY)), heads, 1, 0.0)
    raise UsageError(f"no channel matches {pattern!r}, did you mean {heads[near[0]]!r}? `tap --list` shows them all")


def _head(name: str) -> str:
    return name.partition(":")[0]


def _can_match(pattern: str, channel: Channel) -> bool:
    """Whether names of a channel and of a pattern can meet: up to the first wildcard they must be equal."""
    fixed = pattern[: min((pattern.index(letter) for letter in ANY if letter in pattern), default=len(pattern))]
    head, brace, _ = channel.template.partition("{")
    if fixed == pattern:
        return pattern == channel.template if not brace else pattern.startswith(head) and pattern != head
    return fixed.startswith(head) if brace and len(fixed) > len(head) else head.startswith(fixed)


def show_channels(json: bool) -> None:
    """The table of channels: what crosses them, who speaks, who listens."""
    rows = [
        {
            "channel": channel.template,
            "pattern": channel.pattern,
            "struct": channel.struct.__name__,
            "publishers": list(channel.publishers),
            "subscribers": list(channel.subscribers),
        }
        for channel in CHANNELS
    ]
    if json:
        common.out_json({"channels": rows})
        return
    common.out(f"{'channel':32} {'message':18} publishers -> subscribers")
    for channel in CHANNELS:
        ends = f"{', '.join(channel.publishers)} -> {', '.join(channel.subscribers)}"
        common.out(f"{channel.template:32} {channel.struct.__name__:18} {ends}")
    common.out("tap one of them: mycelial tap 'baseline-trade-ideas:*'; all: mycelial tap '*'")
