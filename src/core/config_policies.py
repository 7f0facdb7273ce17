"""The settings of the supervisor's policies: which are off, in shadow or on, and the numbers that each goes by."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from .config_base import Count, MoneyRatio, NotNegative, Positive, Ratio, Section

PolicyState = Literal["off", "shadow", "on"]
"""Silent; heard and written down but never sent; heard and sent."""
ProfileName = Literal["conservative", "balanced", "aggressive"]
Multiple = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
"""Of the initial risk of a position (R)."""


class PolicyStates(Section):
    """How each policy stands at the start of a run; a command changes one of them for good."""

    stop_loss: PolicyState
    hibernation_exit: PolicyState
    daily_loss: PolicyState
    correlated_exits: PolicyState
    opposite_idea: PolicyState
    time_stop: PolicyState
    probation_exit: PolicyState
    profit_ladder: PolicyState
    partial_profit: PolicyState
    rebalancing: PolicyState
    trailing: PolicyState
    break_even: PolicyState


class PolicyProfile(Section):
    """How early profit is protected and taken. `trail_distance_r` null: by the steps of `trail_steps`."""

    break_even_r: Multiple
    partial_r: Multiple
    partial_ratio: MoneyRatio
    trail_from_r: Multiple
    trail_distance_r: Multiple | None


class PolicyProfiles(Section):
    """The three profiles; the adaptive one is a choice among them."""

    conservative: PolicyProfile
    balanced: PolicyProfile
    aggressive: PolicyProfile


class TrailStep(Section):
    """From `from_r` on the stop trails by `distance_r`."""

    from_r: Multiple
    distance_r: Multiple


class LadderRung(Section):
    """At `at_r` the stop goes to `stop_r`, and `sell_ratio` of the original amount is sold."""

    at_r: Multiple
    stop_r: Multiple
    sell_ratio: MoneyRatio


class PortfolioRiskSettings(Section):
    """How the risk of the whole portfolio is measured, and what of it is too much."""

    window_intervals: Annotated[int, Field(ge=2)]
    min_intervals: Annotated[int, Field(ge=2)]
    correlated: Annotated[float, Field(gt=0, le=1)]
    max_group_ratio: MoneyRatio
    tail_ratio: Annotated[float, Field(gt=0, lt=1)]
    target_ratio: MoneyRatio
    band_ratio: MoneyRatio


class Policies(Section):
    """Everything that the policies go by."""

    states: PolicyStates
    profile: Literal["conservative", "balanced", "aggressive", "adaptive"]
    profiles: PolicyProfiles
    high_volatility_ratio: Positive
    volatility_hours: Positive
    strong_trend_adx_points: Positive
    trail_steps: Annotated[tuple[TrailStep, ...], Field(min_length=1)]
    volatile_trail_factor: Annotated[Decimal, Field(ge=1, allow_inf_nan=False)]
    ladder: Annotated[tuple[LadderRung, ...], Field(min_length=1)]
    stop_limit_ratio: MoneyRatio
    min_stop_step_r: Multiple
    daily_loss_ratio: Annotated[Decimal, Field(gt=0, le=1, allow_inf_nan=False)]
    max_price_age_intervals: Count
    cooldown_seconds: NotNegative
    portfolio: PortfolioRiskSettings
    confidence_prior: Ratio

    @model_validator(mode="after")
    def _rising(self) -> Policies:
        for name, steps in (
            ("trail_steps", [step.from_r for step in self.trail_steps]),
            ("ladder", [rung.at_r for rung in self.ladder]),
            ("ladder", [rung.stop_r for rung in self.ladder]),
        ):
            if steps != sorted(steps):
                raise ValueError(f"{name}: each step must be above the one before")
        if any(rung.stop_r >= rung.at_r for rung in self.ladder):
            raise ValueError("ladder: a stop must lie below the price at which it is set")
        if sum(rung.sell_ratio for rung in self.ladder) > 1:
            raise ValueError("ladder: more is sold than there is")
        if self.portfolio.min_intervals > self.portfolio.window_intervals:
            raise ValueError("portfolio.min_intervals: must not be above window_intervals")
        return self
