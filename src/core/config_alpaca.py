"""The settings of an account at Alpaca: where it is, how long it is waited for, how often it is looked at."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .config_base import Count, Positive, Ratio, Section


class AlpacaSettings(Section):
    """One account. `key_file` names the file with key and secret; `url` says whether it is a paper account.

    `wait_seconds` for the next bytes, `total_seconds` for a whole call. `poll_seconds`: how often fills are looked for;
    `crypto_fee_ratio`: what a fill of crypto is expected to cost, which Alpaca books a day later.
    """

    key_file: Annotated[str, Field(min_length=1)] | None
    url: Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]
    wait_seconds: Positive
    total_seconds: Positive
    max_answer_bytes: Count
    queue_calls: Count
    page_rows: Annotated[int, Field(ge=1, le=500)]
    max_pages: Count
    poll_seconds: Positive
    rate_limited_seconds: Positive
    crypto_fee_ratio: Ratio
