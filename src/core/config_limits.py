"""Settings of the account's limits: what no order may go beyond, whoever wants it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from .config_base import Count, Money, MoneyRatio, Positive, Ratio, Section

Share = Annotated[Decimal, Field(gt=0, allow_inf_nan=False)]
"""Of the equity; above 1 where there is margin."""


class LimitSettings(Section):
    """Limits beside those of `risk`; a day is a UTC day, a minute any sixty seconds."""

    max_order_quote: Money
    max_position_quote: Money
    max_gross_exposure_ratio: Share
    max_asset_exposure_ratio: Share
    max_correlated_exposure_ratio: Share
    correlated_from: Ratio
    correlation_closes: Annotated[int, Field(ge=4)]
    max_price_deviation_ratio: Share
    median_closes: Annotated[int, Field(ge=3)]
    max_orders_minute: Count
    max_orders_day: Count
    max_manual_orders_day: Count
    max_messages_minute: Count
    max_messages_day: Count
    max_open_orders: Count
    duplicate_seconds: Positive
    max_daily_loss_ratio: MoneyRatio
    max_losses_in_a_row: Count
    max_rejected_ratio: MoneyRatio
    rejected_window: Count
    max_unknown_orders: Annotated[int, Field(ge=0)]
    max_slippage_ratio: MoneyRatio
    slippage_fills: Count
    max_size_multiplier: Share
    switch_poll_seconds: Positive

    @model_validator(mode="after")
    def _the_wider_holds_the_narrower(self) -> LimitSettings:
        for narrow, wide in (
            ("max_order_quote", "max_position_quote"),
            ("max_orders_minute", "max_messages_minute"),
            ("max_orders_day", "max_messages_day"),
        ):
            if getattr(self, narrow) > getattr(self, wide):
                raise ValueError(f"{narrow}: must not be above {wide}")
        return self
