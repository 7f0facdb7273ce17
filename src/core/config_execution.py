"""Settings of the order path: how long an answer may take, how often the exchange is asked, when somebody is called."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from .config_base import Count, NotNegative, Positive, Section


class Execution(Section):
    """Times in seconds. The coordinator takes them as milliseconds through `ms`."""

    deadline_seconds: Annotated[float, Field(ge=2, le=60)]
    absence_margin_seconds: Annotated[float, Field(ge=2)]
    absence_offset_factor: Annotated[float, Field(ge=2)]
    max_clock_offset_seconds: Positive
    clock_seconds: Positive
    in_flight_seconds: Positive
    open_orders_seconds: Positive
    positions_seconds: Positive
    audit_seconds: Positive
    settle_seconds: Positive
    recheck_seconds: Positive
    answer_seconds: Positive
    ask_again_seconds: Positive
    cancel_again_seconds: Positive
    waiting_seconds: Positive
    entry_lifetime_seconds: Annotated[float, Field(ge=5)]
    entry_patience_seconds: NotNegative
    protect_again_seconds: Positive
    protect_attempts: Count
    overlap_seconds: NotNegative
    watch_seconds: Positive
    halted_pairs: Count
    keep_days: Count

    @model_validator(mode="after")
    def _absence_can_be_seen(self) -> Execution:
        if self.watch_seconds <= self.deadline_seconds:
            raise ValueError("watch_seconds: must be above deadline_seconds, or an order that comes late is not seen")
        return self


DAY = 86_400
"""Seconds."""


def ms(seconds: float) -> int:
    """Seconds of the settings as whole milliseconds."""
    return round(seconds * 1000)
