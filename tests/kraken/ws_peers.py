"""One connection of the local Kraken's WebSocket, and what a test makes go wrong on all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection


@dataclass
class Faults:
    """What goes wrong; a test switches it on and off."""

    drop_reports: int = 0
    """So many messages of executions are counted and not sent."""
    silent: bool = False
    """Connections are accepted, and nothing at all is said."""
    heartbeats_only: bool = False
    refuse: set[tuple[str, str]] = field(default_factory=set)
    """Channel and symbol of subscriptions that are answered with success:false."""
    unanswered: set[str] = field(default_factory=set)
    """Channels whose subscriptions are not answered at all."""
    closings: int = 0
    """So many connections are closed as soon as they stand."""
    one_use_tokens: bool = True
    foreign_symbol: str = ""
    """The symbol under which BTC/USD is sent, after somebody renamed it."""


@dataclass
class Peer:
    """One connection: what it subscribed, with what, and how many messages of executions it got."""

    socket: ServerConnection
    private: bool
    number: int
    subscribed: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    token: str = ""
    sequence: int = 0
    pings: int = 0
