"""`mycelial list-data` and `import-data`: what the data folder holds, and how bars come into it."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import Any

import msgspec

from ..connectors import bar_store
from ..connectors.data_folder import DataListing
from ..connectors.data_folder import import_data as import_files
from ..connectors.data_folder import list_data as listing_of
from ..core.clock import iso
from ..core.errors import UsageError
from . import common
from .research import need

_TIMES = ("first", "last", "longest_gap_at", "largest_jump_at")


def inspect(folder: Path | None, quality: bool, query: str | None, json: bool) -> None:
    """Print what is there; with `quality` what each file of bars is worth, with `query` the answer to a question."""
    if quality and query is not None:
        raise UsageError("--quality and --query are two questions: ask one of them")
    if quality:
        _quality(common.data_folder(folder), json)
    elif query is not None:
        _query(common.data_folder(folder), query, json)
    else:
        list_data(folder, json)


def _quality(folder: Path, json: bool) -> None:
    duckdb = need("duckdb", "--quality")
    with bar_store.opened(duckdb, folder) as bars:
        found = bar_store.quality(duckdb, bars)
    if json:
        common.out_json({"folder": str(folder), "bars": [common.dated(one, *_TIMES) for one in found]})
        return
    for one in found:
        jump = "" if one.largest_jump_ratio is None else f"largest jump {one.largest_jump_ratio:.1%}"
        common.out(
            f"{one.venue:14} {one.timeframe:4} {one.pair:10} {one.bars:>9,} bars  missing {one.missing} in {one.holes} "
            f"holes (longest {one.longest_gap}{_on(one.longest_gap_at)}; {one.missing_everywhere} of them everywhere)  "
            f"without volume {one.without_volume}  longest still {one.longest_still}  "
            f"{jump}{_on(one.largest_jump_at)}"
        )


def _on(at: int | None) -> str:
    return "" if at is None else f" on {iso(at)[:16]}"


def _query(folder: Path, query: str, json: bool) -> None:
    duckdb = need("duckdb", "--query")
    with bar_store.opened(duckdb, folder) as bars:
        answer = bar_store.ask(duckdb, bars, query)
    if json:
        common.out_json({"columns": list(answer.columns), "rows": [list(map(_plain, row)) for row in answer.rows]})
        return
    common.out("\t".join(answer.columns))
    for row in answer.rows:
        common.out("\t".join("" if value is None else str(value) for value in row))


def _plain(value: object) -> object:
    """Numbers and words as they are, what is not finite as null, everything else as its text."""
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def list_data(folder: Path | None, json: bool) -> None:
    """Print every file with its range, gaps and hash; files that are not understood are named."""
    listing = listing_of(common.data_folder(folder))
    if json:
        common.out_json(_listing(listing))
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


def _listing(listing: DataListing) -> dict[str, Any]:
    return {
        "folder": listing.folder,
        "bars": [common.dated(one, "first", "last") for one in listing.bars],
        "observations": [common.dated(one, "first_known", "last_known") for one in listing.observations],
        "unknown": msgspec.to_builtins(listing.unknown),
    }


def import_data(
    source: Path, venue: str, timeframe: str | None, pair: str | None, folder: Path | None, json: bool
) -> None:
    """Bring a file, or a folder of them, into the data folder and say what was new."""
    done = import_files(source, common.data_folder(folder), venue, timeframe, pair)
    if json:
        imported = [common.dated(one, "first", "last") for one in done.imported]
        common.out_json({"imported": imported, "unknown": msgspec.to_builtins(done.unknown)})
        return
    for one in done.imported:
        common.out(
            f"{one.pair} {one.timeframe}: {one.read:,} bars read, {one.added:,} new, {one.total:,} now in {one.target}"
        )
    for unknown in done.unknown:
        common.out(f"not imported: {unknown.path}: {unknown.reason}")
