"""The settings of an exchange's streams: connections, subscriptions, and what is believed of what they say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .config_base import Count, NotNegative, Positive, Section


class StreamConnections(Section):
    """How a connection is kept: when it counts as dead, how soon the next is tried, how many are allowed.

    At most `connections` are opened in `window_seconds`. The first `immediate_attempts` after a cut come at once, the
    others after pauses that double from `backoff_first_seconds` to `backoff_cap_seconds`, with jitter; a connection
    that held for `stable_seconds` begins anew. `received_messages` wait unread before the other side is slowed down.
    """

    connect_seconds: Positive
    silence_seconds: Positive
    close_seconds: Positive
    connections: Count
    window_seconds: Positive
    immediate_attempts: Annotated[int, Field(ge=0)]
    backoff_first_seconds: Positive
    backoff_cap_seconds: Positive
    stable_seconds: Positive
    alert_every_seconds: Positive
    check_seconds: Positive
    ack_seconds: Positive
    retry_seconds: Positive
    received_messages: Count


class StreamBelief(Section):
    """What is believed of prices: their age, their order, and their distance from the median of the last ones.

    A price further than `collar_ratio` from the median of the last `collar_prices` counts for nothing until
    `collar_confirmations` in a row agree with it.
    """

    quote_age_seconds: Positive
    stale_seconds: Positive
    future_seconds: NotNegative
    collar_prices: Count
    collar_ratio: Positive
    collar_confirmations: Count


class KrakenStreams(Section):
    """Kraken's WebSocket v2. The vendor's kit appends the version to both addresses.

    `ticks` are kept for a slice and `events` for the coordinator at most, `executions_kept` known by their number;
    `grace_seconds` after the end of a bar its last trades may still arrive; a back-fill begins `overlap_seconds`
    before the last execution that is known, and waits `back_fill_seconds` for its answer.
    """

    url: Annotated[str, Field(pattern=r"^wss?://")]
    private_url: Annotated[str, Field(pattern=r"^wss?://")]
    book_depth: Literal[10, 25, 100, 500, 1000]
    ticks: Count
    events: Count
    executions_kept: Count
    grace_seconds: NotNegative
    overlap_seconds: Positive
    back_fill_seconds: Positive
    connection: StreamConnections
    belief: StreamBelief
