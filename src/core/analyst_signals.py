"""The signals of one technical analyst, kept apart because swarm and parameter search have to read them alike."""

from __future__ import annotations

import numba

from .config import Analysts
from .features import FLAT
from .types import FloatArray

OVERSOLD, OVERBOUGHT, RSI_MOST, MACD_GAIN, MACD_LEAST, MACD_MOST, BAND, BAND_CLOSE, BAND_NEAR, RULES = range(10)
"""Where `rules_of` puts each setting, and how many there are."""


def rules_of(settings: Analysts) -> tuple[float, ...]:
    """The thresholds of the signals in the order that `strongest` reads them."""
    return (
        settings.rsi_oversold_points,
        settings.rsi_overbought_points,
        settings.rsi_max_confidence,
        settings.macd_gain,
        settings.macd_min_confidence,
        settings.macd_max_confidence,
        settings.band_confidence,
        settings.band_close_confidence,
        settings.band_close_ratio,
    )


@numba.njit(cache=True)
def strongest(
    rsi: float,
    histogram: float,
    previous: float,
    lower: float,
    upper: float,
    atr: float,
    price: float,
    rules: FloatArray,
) -> tuple[int, float, int]:
    """(side, confidence in [0, 1], reason) of the strongest signal: +1 buy, -1 sell, 0 none; place in SIGNALS.

    A NaN indicator gives no signal; a price that does not move gives none either, for its RSI (TA-Lib: 0) and its band
    mean nothing. Confidences: RSI min(max, (30 - RSI)/30) and (RSI - 70)/30; MACD cross clip(gain x |histogram|/ATR,
    min, max); a close at or beyond a band has a fixed one, larger where it is still close to the band. Ties go to
    the first in this order.
    """
    side, best, reason = 0, 0.0, 0
    if upper - lower <= FLAT * price:
        return side, best, reason
    if rsi < rules[OVERSOLD]:
        best = min(rules[RSI_MOST], (rules[OVERSOLD] - rsi) / rules[OVERSOLD])
        side, reason = 1, 1
    elif rsi > rules[OVERBOUGHT]:
        best = min(rules[RSI_MOST], (rsi - rules[OVERBOUGHT]) / (100.0 - rules[OVERBOUGHT]))
        side, reason = -1, 1
    if atr > 0.0 and ((previous <= 0.0 < histogram) or (previous >= 0.0 > histogram)):
        confidence = min(rules[MACD_MOST], max(rules[MACD_LEAST], rules[MACD_GAIN] * abs(histogram) / atr))
        if confidence > best:
            side, best, reason = (1 if histogram > 0.0 else -1), confidence, 2
    near = rules[BAND_NEAR] * price
    for band, towards in ((lower, 1), (upper, -1)):
        beyond = price <= band if towards > 0 else price >= band
        touch = (rules[BAND_CLOSE] if abs(price - band) <= near else rules[BAND]) if beyond else 0.0
        if touch > best:
            side, best, reason = towards, touch, 3
    return side, best, reason
