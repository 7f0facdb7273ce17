"""Settings of the evidence: how a run is examined, and what it must show before anyone may risk money on it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from .config_base import Count, NotNegative, Positive, Ratio, Section

Share = Annotated[float, Field(gt=0, lt=1)]


class ValidationSettings(Section):
    """How runs are examined: windows, folds, blocks, delays and cuts; no limits."""

    train_days: Count
    test_days: Count
    anchored: bool
    folds: Annotated[int, Field(ge=2)]
    test_folds: Count
    embargo_days: Annotated[int, Field(ge=0)]
    overfitting_blocks: Annotated[int, Field(ge=2, multiple_of=2)]
    var_window_days: Annotated[int, Field(ge=2)]
    var_tail_ratio: Share
    decay_horizon: Count
    decay_delays: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)]
    cuts: Count
    cut_intervals: Annotated[int, Field(ge=2)]
    warmups: Annotated[tuple[Count, ...], Field(min_length=2)]
    warmup_tolerance: Positive

    @model_validator(mode="after")
    def _fits(self) -> ValidationSettings:
        if self.test_folds >= self.folds:
            raise ValueError("test_folds: must be below folds")
        if list(self.warmups) != sorted(set(self.warmups)):
            raise ValueError("warmups: each must be longer than the one before")
        return self


class GateSettings(Section):
    """The limits of the promotion gate; every criterion must be met."""

    min_days: Count
    min_trades: Count
    min_deflated_sharpe: Share
    max_overfitting_ratio: Ratio
    min_walk_forward_sharpe: float
    min_path_sharpe: float
    max_loss_ratio: Ratio
    max_drawdown_ratio: Ratio
    max_random_entries_p: Share
    min_var_p: Share
    min_sharpe_lead: NotNegative
