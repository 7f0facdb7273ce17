"""The file of the gate's verdict: how it is bound to itself and to the run, and why it can no longer be believed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...core import canonical

GATE = "gate.json"
"""The file of a run's folder: one line of canonical JSON; `digest` is the sha256 of that of all other fields."""

AGAIN = "run `mycelial gate` on it again"
_DIGEST = "digest"


def sealed(plain: Mapping[str, Any]) -> bytes:
    """The line to be written."""
    return canonical.encode({**plain, _DIGEST: canonical.digest(plain)}) + b"\n"


def edited(found: Mapping[str, Any]) -> str | None:
    """Why what the file held is not what was written; None when it is."""
    plain = {name: value for name, value in found.items() if name != _DIGEST}
    if found.get(_DIGEST) != canonical.digest(plain):
        return f"was edited after it was written (its digest differs); {AGAIN}"
    return None


def changed(folder: Path, files: Mapping[str, str]) -> str | None:
    """Why the files beside it are not those that were judged, `files` sha256 by name; None when they are."""
    for name, known in files.items():
        path = folder / name
        if not path.exists():
            return f"{name}, which it judged, does not lie beside it; keep the folder of the run whole"
        if file_sha256(path) != known:
            return f"{name} beside it was changed after it was judged; {AGAIN}"
    return None


def doubt(folder: Path, found: Mapping[str, Any]) -> str | None:
    """Why the verdict that `folder` holds says nothing about the run there; None when it does."""
    return edited(found) or changed(folder, found.get("files", {}))


def file_sha256(path: Path) -> str:
    """Of its bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
