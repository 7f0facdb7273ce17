"""Which TA-Lib calls the settings ask for, each distinct one once, and where each value is found afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import talib

from . import features as f
from .config import Analysts, Indicators
from .errors import ConfigError
from .types import FloatArray

TEAMS = 3
_TEAM_INDICATORS = ("rsi", "macd_hist", "macd_hist_prev", "bb_upper", "bb_mid", "bb_lower")
INDICATORS: tuple[str, ...] = (
    *(f"{name}_{team}" for team in range(1, TEAMS + 1) for name in _TEAM_INDICATORS),
    "atr",
)
"""Columns of `Snapshot.indicators`, in units of TA-Lib: points (RSI) or quote currency (the rest). The number is
the team's; `macd_hist_prev` is the histogram of the pair's bar before."""
INDICATOR_INDEX = {name: index for index, name in enumerate(INDICATORS)}

# Wilder's average of p bars forgets as (1 - 1/p)^n: after 36 p bars e^-36 = 2e-16 of the start is left, which is
# below the last bit of a float. One longest window more covers the seeds.
_FORGOTTEN_AFTER = 37


class Call(NamedTuple):
    """One TA-Lib function with its parameters."""

    function: str
    parameters: tuple[float, ...]


class Plan(msgspec.Struct, frozen=True):
    """Every distinct TA-Lib call once, by what it takes and gives, and where each value is found.

    Raw columns: one for each of `singles` (close in, one value out), one for each of `macds` (the histogram),
    three for each of `bands` (upper, middle, lower), one for each of `ranges` (high, low, close in).
    `tail` is the number of bars after which no indicator remembers its start to more than the last bit.
    """

    singles: tuple[Call, ...]
    macds: tuple[Call, ...]
    bands: tuple[Call, ...]
    ranges: tuple[Call, ...]
    width: int
    tail: int
    volume_window: int
    rank_window: int
    knobs: f.Knobs

    def names(self) -> list[str]:
        """Every call with its parameters, in the order of the raw columns."""
        calls = (*self.singles, *self.macds, *self.bands, *self.ranges)
        return [f"{call.function}{call.parameters}" for call in calls]


def plan(indicators: Indicators, analysts: Analysts) -> Plan:
    """What has to be computed for these settings; ConfigError for periods that TA-Lib does not take."""
    _refuse_short_macd(indicators, analysts)
    ranges = (Call("ATR", (indicators.atr,)), Call("ADX", (indicators.adx,)))
    emas = (Call("EMA", (indicators.ema_fast,)), Call("EMA", (indicators.ema_slow,)))
    sets = [(group.rsi, group.macd, group.bollinger) for group in (indicators, *analysts.teams)]
    wanted = [_team_calls(*periods, indicators.bollinger_deviations) for periods in sets]
    singles = tuple(dict.fromkeys([*emas, *(rsi for rsi, _, _ in wanted)]))
    macds = tuple(dict.fromkeys(macd for _, macd, _ in wanted))
    bands = tuple(dict.fromkeys(band for _, _, band in wanted))
    columns = _columns(singles, macds, bands, ranges)
    longest = max(_span(call) for call in columns)
    return Plan(
        singles,
        macds,
        bands,
        ranges,
        width=len(singles) + len(macds) + 3 * len(bands) + len(ranges),
        tail=_FORGOTTEN_AFTER * longest,
        volume_window=indicators.volume_window,
        rank_window=indicators.atr_rank_window,
        knobs=_knobs(indicators, columns, emas, ranges, wanted),
    )


type _TeamCalls = tuple[Call, Call, Call]


def _team_calls(rsi: int, macd: tuple[int, int, int], bollinger: int, deviations: float) -> _TeamCalls:
    return Call("RSI", (rsi,)), Call("MACD", macd), Call("BBANDS", (bollinger, deviations, deviations))


def _refuse_short_macd(indicators: Indicators, analysts: Analysts) -> None:
    named = {"indicators.macd": indicators.macd}
    named |= {f"analysts.teams[{index}].macd": team.macd for index, team in enumerate(analysts.teams)}
    for name, (fast, slow, _) in named.items():
        if not 2 <= fast < slow:
            raise ConfigError(f"{name}: the fast period must be at least 2 and shorter than the slow one")


def _columns(
    singles: Sequence[Call], macds: Sequence[Call], bands: Sequence[Call], ranges: Sequence[Call]
) -> dict[Call, int]:
    """The first raw column of every call."""
    columns: dict[Call, int] = {}
    width = 0
    for call in (*singles, *macds, *bands, *ranges):
        columns[call] = width
        width += 3 if call.function == "BBANDS" else 1
    return columns


def _span(call: Call) -> int:
    """The bars a call's memory spans: MACD smooths twice in a row, the second period of BBANDS is no period."""
    if call.function == "BBANDS":
        return int(call.parameters[0])
    return int(max(call.parameters[:2]) + (call.parameters[2] if call.function == "MACD" else 0))


def _knobs(
    indicators: Indicators, columns: dict[Call, int], emas: Sequence[Call], ranges: Sequence[Call],
    wanted: Sequence[_TeamCalls],
) -> f.Knobs:  # fmt: skip
    (rsi, macd, band), *teams = wanted
    atr, adx = (columns[call] for call in ranges)
    fast, slow = (columns[call] for call in emas)
    shared = f.Shared(columns[rsi], columns[macd], columns[band], columns[band] + 1, fast, slow, adx, atr)
    take: list[int] = []
    for team_rsi, team_macd, team_band in teams:
        first = columns[team_band]
        take += [columns[team_rsi], columns[team_macd], columns[team_macd], first, first + 1, first + 2]
    take.append(atr)
    lagged = np.array([name.startswith("macd_hist_prev") for name in INDICATORS])
    return f.Knobs(shared, np.array(take, np.int64), lagged, indicators.volatility_memory, indicators.volatility_warmup)


def raw_values(plan: Plan, high: FloatArray, low: FloatArray, close: FloatArray) -> FloatArray:
    """TA-Lib over the bars of one pair, oldest first: (plan.width, bars), NaN during each warm-up."""
    raw = np.full((plan.width, len(close)), np.nan)
    if len(close) == 0:
        return raw
    outputs: list[FloatArray] = [_run(call, close) for call in plan.singles]
    outputs += [_run(call, close)[2] for call in plan.macds]
    for call in plan.bands:
        outputs += _run(call, close)
    outputs += [_run(call, high, low, close) for call in plan.ranges]
    for column, values in enumerate(outputs):
        raw[column] = values
    return raw


def _run(call: Call, *inputs: FloatArray) -> Any:
    return getattr(talib, call.function)(*inputs, *call.parameters)


def outputs(call: Call, high: FloatArray, low: FloatArray, close: FloatArray) -> tuple[FloatArray, ...]:
    """What TA-Lib gives for one call over the bars of a pair, oldest first: one array (bars,) or several."""
    inputs = (high, low, close) if call.function in ("ATR", "ADX") else (close,)
    found = _run(call, *inputs)
    return tuple(found) if isinstance(found, (tuple, list)) else (found,)
