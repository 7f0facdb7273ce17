"""Says which code made a run, also where there is no repository: a hash of the modules themselves."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

_SOURCE = Path(__file__).parents[1]


@cache
def code_sha256(folder: Path = _SOURCE) -> str:
    """Sha256 over path and bytes of every module under `folder`, in order of path; by default those of the project."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        body = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(body)}\0".encode() + body)
    return digest.hexdigest()
