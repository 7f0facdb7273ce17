"""Another commit of this project, unpacked into a temporary folder so that its code can be run beside this one."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import NotFound, UsageError

ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("src", "config")
"""What of a commit is needed to run it."""


@contextmanager
def unpacked(commit: str, besides: Sequence[str], root: Path = ROOT) -> Iterator[tuple[str, Path]]:
    """The full name of a commit and the folder it lies in, gone afterwards; nothing of the repository is changed.

    `besides` names files of the present version that are laid into it where the commit has none of its own.
    UsageError where there is no git or no repository, NotFound where there is no such commit.
    """
    name = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}").decode().strip()
    with tempfile.TemporaryDirectory(prefix="mycelial-commit-") as place:
        folder = Path(place)
        with tarfile.open(fileobj=io.BytesIO(_git(root, "archive", "--format=tar", name, *_PARTS))) as packed:
            packed.extractall(folder, filter="data")
        for path in besides:
            if not (folder / path).exists():
                shutil.copyfile(root / path, folder / path)
        yield name, folder


def _git(root: Path, *words: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, check=False)
    except OSError as error:
        raise UsageError(f"--sha needs git, which cannot be started ({error.strerror}); leave --sha out") from error
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip()
    if "not a git repository" in said or "dubious ownership" in said:
        raise UsageError(f"--sha needs the repository of this project, and {root} is none; leave --sha out")
    if words[0] == "rev-parse":
        raise NotFound(f"--sha: no such commit in {root}; `git log --oneline` shows those there are")
    raise UsageError(f"--sha: that commit cannot be unpacked: {said.splitlines()[-1] if said else 'git failed'}")
