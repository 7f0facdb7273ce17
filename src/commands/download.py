"""`mycelial download-data`: an exchange's history into the data folder, resumable and checked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

from ..connectors.kraken.build import public_rest
from ..connectors.kraken.download import Downloader
from ..core.clock import Timer, iso
from ..core.errors import UsageError
from ..core.timeframes import TimeRange, parse_timerange
from . import common


def run(
    pairs: str,
    timeframes: str,
    timerange: str | None,
    folder: Path | None,
    config: Path | None,
    env: str | None,
    sets: Sequence[str],
    json: bool,
) -> None:
    """Download, make bars, check them, and say what each file holds."""
    settings = common.settings(config, env, sets).settings.kraken
    window = parse_timerange(timerange) if timerange else TimeRange()
    names = [name.strip() for name in timeframes.split(",")]
    if not all(names):
        raise UsageError(f"--timeframes {timeframes!r}: an empty one; write 1h,5m")
    data_dir = _writable(common.data_folder(folder))
    rest = public_rest(settings, Timer())
    try:
        downloader = Downloader(rest, settings, data_dir, Timer(), common.say)
        done = downloader.download(common.split(pairs) or [], names, window)
    finally:
        rest.close()
    if json:
        common.out_json({"files": [common.dated(one, "first", "last") for one in done]})
        return
    for one in done:
        common.out(
            f"{one.pair} {one.timeframe}: {one.bars:,} bars, {iso(one.first)[:16]} to {iso(one.last)[:16]}, "
            f"{one.missing:,} without a trade; "
            f"{one.trades:,} trades ({one.missing_trades:,} numbers missing); "
            f"{one.checked} candles of {one.checked_timeframe} agree; {one.path} {one.sha256[:12]}"
        )


def _writable(folder: Path) -> Path:
    """The folder, made where it is missing; UsageError where nothing can be written: better now than hours later."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise UsageError(f"{folder}: no data can be written there ({error.strerror}); name another by --data") from None
