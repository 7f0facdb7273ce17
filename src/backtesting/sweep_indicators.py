"""The indicators of a sweep: TA-Lib's, each without what nobody reads, so that a search needs little memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import talib

from ..core.indicator_plan import Call, outputs
from ..core.types import FloatArray

Values = Sequence[FloatArray]


def values_of(call: Call, high: FloatArray, low: FloatArray, close: FloatArray) -> Values:
    """One array (bars,) or several, NaN during the warm-up; of MACD the histogram alone, of bands (lower, upper)."""
    if call.function == "MACD":
        fast, slow, signal = (int(period) for period in call.parameters)
        return (histogram(close, fast, slow, signal),)
    found = outputs(call, high, low, close)
    return (found[2], found[0]) if call.function == "BBANDS" else found


def histogram(close: FloatArray, fast: int, slow: int, signal: int) -> FloatArray:
    """MACD's distance from its signal, (bars,): bit for bit that of `talib.MACD`, for less than half of the memory.

    The averages of TA-Lib that it is made of; the fast one begins so that both have their first value together.
    """
    if signal < 2 or len(close) < slow + signal - 1:  # an average of one bar is none to TA-Lib's EMA
        return np.asarray(talib.MACD(close, fast, slow, signal)[2])
    distance = talib.EMA(close[slow - fast :], fast)[fast - 1 :]
    distance -= talib.EMA(close, slow)[slow - 1 :]
    found = np.full(len(close), np.nan)
    np.subtract(distance, talib.EMA(distance, signal), out=found[slow - 1 :])
    return found
