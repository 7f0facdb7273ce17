"""When things happened, beside when they could be known: also those which nobody could see, for naive analyses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import DataError
from .bar_files import release_read
from .observation_readers import reader_for
from .observations import observation_paths

_COMMITS = "commits"
_COLUMNS = ["timestamp", "asset", "sha"]


def commit_times(data_dir: Path, subjects: Sequence[str] | None) -> list[int]:
    """The commit times (UTC ms, rising) of `subjects` (None: all), each commit of an asset once, landed or not.

    DataError when a file of commits cannot be read.
    """
    first: dict[tuple[str, str], int] = {}
    for path in observation_paths(data_dir):
        if path.parent.name != "code" or path.suffix != ".parquet":
            continue
        table = _table(path)
        for at, asset, sha in (
            zip(*(table.column(name).to_pylist() for name in _COLUMNS), strict=True) if table is not None else ()
        ):
            if subjects is None or asset in subjects:
                first[asset, sha] = min(at, first.get((asset, sha), at))
    release_read()
    return sorted(first.values())


def _table(path: Path) -> pa.Table | None:
    try:
        with pq.ParquetFile(path) as opened:
            found = reader_for("code", opened.schema_arrow)
            return opened.read(columns=_COLUMNS, use_threads=False) if found and found[0] == _COMMITS else None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a readable Parquet file ({error}); write it again or remove it") from None
