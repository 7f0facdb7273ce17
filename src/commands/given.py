"""What a run writes down of its conditions, so that it can be walked again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backtesting.code_hash import code_sha256
from ..connectors.config_files import NOT_HASHED, Loaded, config_sha256, declared, describe, is_secret
from ..core import inputs
from ..core.config import Settings
from ..core.engine import Report
from ..core.inputs import Data, Given
from ..core.ports import Ledger, Row
from ..core.types import Pair
from . import common
from .options import RunOptions

SIMULATED, REPLAY = "simulated", "replay"


def leaves_of(settings: Settings) -> dict[str, Any]:
    """Every setting that can decide something, by dotted name: no secret, and not where the process listens."""
    loaded = Loaded(settings, dict.fromkeys(declared(), ""), (), None)
    return {name: value for name, value, _ in describe(loaded) if name not in NOT_HASHED and not is_secret(name)}


def given_row(
    options: RunOptions, settings: Settings, feed: str, pairs: Sequence[Pair], interval_ms: int, mode: str = ""
) -> Row:
    """The conditions of a run; of recorded days the folder's name alone, and which of them were asked for."""
    data = None
    if feed == REPLAY:
        folder = common.data_folder(options.data).resolve().name
        data = Data(folder, options.venue, options.timeframe, options.timerange, options.pairs)
    return inputs.given_row(
        Given(
            feed=feed,
            seed=options.seed,
            interval_ms=interval_ms,
            pairs=list(pairs),
            settings=leaves_of(settings),
            code_sha256=code_sha256(),
            config_sha256=config_sha256(settings),
            data=data,
            mode=mode,
        )
    )


class Inputs:
    """An observer that writes down the fingerprints of what each slice brought, after what came of it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __call__(self, report: Report) -> None:
        """One slice."""
        seen = report.snapshot
        self._ledger.append([inputs.slice_row(report.at, seen.bars, seen.observations, seen.spreads)], durable=False)
