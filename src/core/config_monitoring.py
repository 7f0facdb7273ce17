"""Settings of whatever watches a run and decides nothing: metrics, logs, alerts to people, the sign of life."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .config_base import Count, Positive, Section

Hour = Annotated[int, Field(ge=0, le=23)]
Route = Literal["sound", "silent", "never"]
"""Whether a message comes with a sound, without one, or not at all."""


class MetricsSettings(Section):
    """The page that Prometheus reads. `port`: 0 picks a free one, null switches it off; always on loopback."""

    port: Annotated[int, Field(ge=0, le=65535)] | None
    every_seconds: Positive
    server_seconds: Positive
    rate_window_seconds: Positive
    stale_seconds: Positive
    max_series: Count


class LogSettings(Section):
    """JSON lines in the state folder, `files` times `file_bytes` at most, and on stderr where that is wanted."""

    level: Literal["debug", "info", "warning", "error"]
    stderr: bool
    file_bytes: Annotated[int, Field(ge=10_000)]
    files: Annotated[int, Field(ge=2)]
    queue_lines: Count


class DiscordEvents(Section):
    """Which kinds of events are told at all."""

    halts: bool
    faults: bool
    alarms: bool
    daily: bool


class DiscordRoutes(Section):
    """How a message of each severity comes."""

    info: Route
    warning: Route
    critical: Route


class DiscordSettings(Section):
    """Alerts to people. `webhook_file` holds the address of the webhook and is readable by its owner alone.

    In the `quiet_hours` (UTC, from the first to the second) only what is critical is sent; the rest waits for the end.
    """

    webhook_file: str | None
    events: DiscordEvents
    routes: DiscordRoutes
    quiet_hours: tuple[Hour, Hour] | None
    queue_messages: Count
    dedupe_seconds: Positive
    late_seconds: Positive
    timeout_seconds: Positive
    attempts: Count
    backoff_first_seconds: Positive
    backoff_cap_seconds: Positive
    retry_after_cap_seconds: Positive
    pause_seconds: Positive
    close_seconds: Positive


class HeartbeatSettings(Section):
    """The sign of life: a file that is written anew, and an address that is called, while slices are walked.

    `url_file` holds the address and is readable by its owner alone.
    """

    every_seconds: Positive
    url_file: str | None
    timeout_seconds: Positive


class Monitoring(Section):
    """Everything of this file; none of it can change a decision."""

    metrics: MetricsSettings
    logs: LogSettings
    discord: DiscordSettings
    heartbeat: HeartbeatSettings
