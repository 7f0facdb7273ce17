"""What the name of a file of bars says: its pair, its timeframe, and who wrote it."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path

import msgspec

from ..core.errors import UsageError
from ..core.timeframes import MINUTE_MS, timeframe_name
from ..core.types import Pair
from .history import pair_of_stem
from .kraken_archive import BARS_WIDE, TRADES_WIDE, is_archive
from .symbols import split_symbol

SUFFIXES = (".csv", ".feather", ".parquet")
_FREQTRADE = re.compile(r"([A-Za-z0-9.]+)_([A-Za-z0-9.]+)-([0-9]+[smhd])")
_KRAKEN_BARS = re.compile(r"([A-Z0-9.]+)_([1-9][0-9]{0,5})")


class Form(StrEnum):
    """Who wrote a file, and what stands in it."""

    BARS = "bars"
    KRAKEN_BARS = "kraken_bars"
    KRAKEN_TRADES = "kraken_trades"


class Named(msgspec.Struct, frozen=True):
    """What is to be imported from a file."""

    pair: Pair
    timeframe: str
    form: Form


def named(path: Path, timeframe: str | None, pair: str | None) -> Named:
    """What the arguments say of a file, else its name; UsageError where they disagree or nothing says it."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"{path}: bars can be imported from {', '.join(SUFFIXES[:-1])} and {SUFFIXES[-1]}")
    said_pair, said_timeframe, form = _said(path)
    if timeframe and said_timeframe and timeframe != said_timeframe:
        raise UsageError(f"{path}: its name says {said_timeframe}, not {timeframe}; leave the timeframe out")
    found_pair, found_timeframe = pair or said_pair, timeframe or said_timeframe
    if found_pair is None:
        raise UsageError(f"{path}: its name says no pair; give --pair BASE/QUOTE or name it BASE_QUOTE-1h")
    if found_timeframe is None:
        raise UsageError(f"{path}: its name says no timeframe; give --timeframe, for instance 1h")
    return Named(Pair(found_pair), found_timeframe, form)


def _said(path: Path) -> tuple[Pair | None, str | None, Form]:
    freqtrade = _FREQTRADE.fullmatch(path.stem)
    if freqtrade:
        return Pair(f"{freqtrade[1]}/{freqtrade[2]}"), freqtrade[3], Form.BARS
    kraken = _KRAKEN_BARS.fullmatch(path.stem)
    if kraken and path.suffix == ".csv" and is_archive(path, BARS_WIDE):
        return split_symbol(kraken[1]), timeframe_name(int(kraken[2]) * MINUTE_MS), Form.KRAKEN_BARS
    if path.suffix == ".csv" and is_archive(path, TRADES_WIDE):
        return split_symbol(path.stem) or pair_of_stem(path.stem), None, Form.KRAKEN_TRADES
    return pair_of_stem(path.stem), None, Form.BARS
