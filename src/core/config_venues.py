"""The settings of the exchanges: where they are, how long they are waited for, and how much is asked of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .config_base import Count, NotNegative, Positive, Ratio, Section
from .config_streams import KrakenStreams


class KrakenRest(Section):
    """One call: `wait_seconds` for the next bytes, `total_seconds` for all of it, and how large an answer may be."""

    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]
    wait_seconds: Positive
    total_seconds: Positive
    max_answer_bytes: Count
    queue_calls: Count
    listing_seconds: Positive
    min_deadline_seconds: Positive
    max_pages: Count


class KrakenNonce(Section):
    """How far the nonce jumps, once, when Kraken has seen a higher one."""

    jump_seconds: Positive


class KrakenOrders(Section):
    """What every order says besides itself: which of two crossing orders of ours goes, and how fees are paid."""

    self_trade: Literal["cancel-newest", "cancel-oldest", "cancel-both"]
    flags: tuple[Literal["fciq", "fcib", "nompp"], ...]


class KrakenBudget(Section):
    """Kraken's counters of one key as we expect them, and how much of each is used.

    Orders may use `used_ratio - cancel_reserve_ratio` of a pair's counter, cancellations `used_ratio`. Of the calls'
    counter everything may use `used_ratio`, and questions on which an order waits `inquiry_ratio`.
    """

    used_ratio: Ratio
    inquiry_ratio: Ratio
    cancel_reserve_ratio: Ratio
    calls_most: Positive
    calls_decay_second: Positive
    history_cost: Positive
    pair_most: Positive
    pair_decay_second: Positive
    rate_limited_seconds: Positive
    lockout_seconds: Positive
    public_interval_seconds: NotNegative

    @model_validator(mode="after")
    def _something_is_left_for_orders(self) -> KrakenBudget:
        if self.cancel_reserve_ratio >= self.used_ratio:
            raise ValueError("cancel_reserve_ratio: must be below used_ratio, or nothing is left for orders")
        if self.inquiry_ratio < self.used_ratio:
            raise ValueError("inquiry_ratio: must not be below used_ratio, it is what inquiries have beyond that")
        return self


class KrakenDownload(Section):
    """Manners of `download-data`: repeats after a failure, and how far the candles served may differ."""

    attempts: Count
    backoff_first_seconds: Positive
    backoff_cap_seconds: Positive
    price_tolerance_ratio: Ratio
    volume_tolerance_ratio: Ratio


class KrakenSettings(Section):
    """One account at Kraken. `key_file` names the file with key and secret; null: public data only.

    `pairs`: what `--feed kraken` watches where `--pairs` does not say otherwise. `dead_man_seconds`: all orders of the
    account, stops included, are cancelled by Kraken so long after it heard from us; null: each entry ends by itself,
    and stops go on resting. `tick_stream`: the name of the Redis stream that gets every trade heard; null: none does.
    """

    pairs: Annotated[tuple[str, ...], Field(min_length=1)]
    key_file: Annotated[str, Field(min_length=1)] | None
    rest: KrakenRest
    nonce: KrakenNonce
    orders: KrakenOrders
    budget: KrakenBudget
    tick_stream: Annotated[str, Field(min_length=1)] | None
    dead_man_seconds: Annotated[int, Field(ge=15, le=86_400)] | None
    download: KrakenDownload
    streams: KrakenStreams
