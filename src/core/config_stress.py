"""Settings of the stress scenarios: how bad, for how long, and what is at risk when it begins."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .config_base import Count, Positive, Section

Share = Annotated[float, Field(gt=0, lt=1)]
Factor = Annotated[float, Field(ge=1)]


class StressSettings(Section):
    """Parameters of the scenarios, by name; times in hours, whatever the bar."""

    days: Count
    begins_ratio: Share
    hand_pairs: Annotated[int, Field(ge=0)]
    hand_hours: Positive
    flash_crash_ratio: Share
    flash_crash_hours: Positive
    gap_ratio: Share
    outage_hours: Positive
    depeg_ratio: Share
    depeg_hours: Positive
    missing_ratio: Share
    dry_volume_ratio: Share
    dry_hours: Positive
    spread_slippage_factor: Factor
    spread_range_factor: Factor
    spread_hours: Positive
    correlated_hours: Positive
    stale_hours: Positive
    moat_outage_hours: Positive
    max_growth_mb: Positive
