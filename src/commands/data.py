"""`mycelial list-data` and `import-data`: what the data folder holds, and how bars come into it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..connectors.data_folder import import_data as import_files
from ..connectors.data_folder import list_data as listing_of
from ..core.clock import iso
from . import common


def list_data(folder: Path | None, json: bool) -> None:
    """Print every file with its range, gaps and hash; files that are not understood are named."""
    listing = listing_of(common.data_folder(folder))
    if json:
        common.out_json(msgspec.to_builtins(listing))
        return
    for bars in listing.bars:
        if bars.problem:
            common.out(f"{bars.venue} {bars.timeframe} {bars.pair}: {bars.problem}")
            continue
        common.out(
            f"{bars.venue:14} {bars.timeframe:4} {bars.pair:10} {bars.rows:>9,} bars  "
            f"{iso(bars.first or 0)[:16]} to {iso(bars.last or 0)[:16]}  "
            f"missing {bars.missing} (longest {bars.longest_gap})  {bars.sha256[:12]}"
        )
    for seen in listing.observations:
        known = "never known" if seen.first_known is None else f"known {iso(seen.first_known)[:10]} on"
        common.out(
            f"{seen.moat:14} {seen.kind:15} {seen.rows:>9,} rows  {seen.known:,} {known}  {Path(seen.path).name}"
        )
    for unknown in listing.unknown:
        common.out(f"not understood {unknown.path}: {unknown.reason}")


def import_data(
    source: Path, venue: str, timeframe: str | None, pair: str | None, folder: Path | None, json: bool
) -> None:
    """Bring a file, or a folder of them, into the data folder and say what was new."""
    done = import_files(source, common.data_folder(folder), venue, timeframe, pair)
    if json:
        common.out_json(msgspec.to_builtins(done))
        return
    for one in done.imported:
        common.out(
            f"{one.pair} {one.timeframe}: {one.read:,} bars read, {one.added:,} new, {one.total:,} now in {one.target}"
        )
    for unknown in done.unknown:
        common.out(f"not imported: {unknown.path}: {unknown.reason}")
