"""Folders of a store that can be thrown away: only what was closed and is byte for byte unchanged is opened again.

A process that opens a damaged vector index may get wrong neighbours, an exception, or a segmentation fault. So a
store is sealed when it is closed: sizes and hashes of all its files, beside its folder. Opening breaks the seal.
Without a seal, or with another content, the folder is set aside unopened and an empty one takes its place.
One process at a time; the state folder's lock sees to that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec

STORE, ASIDE, SEAL = "store-", "set-aside-", ".sealed"
DIGITS = 6
"""Names of the folders: `store-000001`, and `store-000001.sealed` beside it."""


class Taken(NamedTuple):
    """The folder to use, and why the one before could not be trusted, empty where there was none or it could."""

    path: Path
    distrust: str


class StoreFolder:
    """The numbered stores under `root`; keeps the newest `kept` of those that were set aside. OSError as it comes."""

    def __init__(self, root: Path, kept: int) -> None:
        self.root = root
        self._kept = kept

    def is_new(self) -> bool:
        """Whether no store was ever made here."""
        return not self._numbers(STORE)

    def take(self) -> Taken:
        """The newest store, its seal broken, or a new and empty folder."""
        self.root.mkdir(parents=True, exist_ok=True)
        newest = max(self._numbers(STORE), default=0)
        path = self._path(STORE, newest)
        distrust = self._distrust(path) if newest else ""
        _seal_of(path).unlink(missing_ok=True)
        if newest and not distrust:
            return Taken(path, "")
        if newest:
            self.set_aside(path)
        return Taken(self._fresh(), distrust)

    def set_aside(self, path: Path) -> None:
        """Put a store out of use, for inspection, and delete those set aside long ago."""
        number = path.name.removeprefix(STORE)
        path.rename(self.root / (ASIDE + number))
        aside = sorted(self._numbers(ASIDE))
        for old in aside[: max(0, len(aside) - self._kept)]:
            shutil.rmtree(self._path(ASIDE, old))

    def seal(self, path: Path) -> None:
        """Vouch for the files of a store that was closed."""
        seal = _seal_of(path)
        draft = seal.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(_contents(path)))
        os.replace(draft, seal)

    def _fresh(self) -> Path:
        """A new folder; its number was never used, so nothing in this process can remember it."""
        path = self._path(STORE, max([0, *self._numbers(STORE), *self._numbers(ASIDE)]) + 1)
        path.mkdir()
        return path

    def _distrust(self, path: Path) -> str:
        try:
            sealed = msgspec.json.decode(_seal_of(path).read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return "it was not closed"
        except msgspec.MsgspecError:
            return "its seal cannot be read"
        found = _contents(path)
        changed = sorted(name for name in sealed.keys() | found.keys() if sealed.get(name) != found.get(name))
        return f"{changed[0]} is not what it was when it was closed" if changed else ""

    def _numbers(self, prefix: str) -> list[int]:
        found = (path.name.removeprefix(prefix) for path in self.root.glob(prefix + "[0-9]*") if path.is_dir())
        return [int(name) for name in found if name.isdecimal()]

    def _path(self, prefix: str, number: int) -> Path:
        return self.root / f"{prefix}{number:0{DIGITS}d}"


def _seal_of(path: Path) -> Path:
    return path.with_name(path.name + SEAL)


def _contents(path: Path) -> dict[str, str]:
    """sha256 of each file under `path`, by its relative name."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {file.relative_to(path).as_posix(): _hash(file) for file in files}


def _hash(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
