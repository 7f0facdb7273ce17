"""Keeps downloaded trades page by page, so that whatever ends a download costs one page at most."""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from ...core.errors import DataError, UsageError

_HEAD = struct.Struct("<4sII")  # mark, bytes of the packed page, their CRC32
_MARK = b"MYTP"
_MOST = 64_000_000  # bytes of a page; a thousand trades take some ten thousand


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """One public trade: UTC ns, price in quote currency and amount in base units as served, and its number."""

    at_ns: int
    price: str
    amount: str
    number: int


class Page(msgspec.Struct, frozen=True, array_like=True):
    """What came after `since` (ns as text) and where the next page begins."""

    since: str
    last: str
    trades: list[Kept]


class PageJournal:
    """An append-only file of pages, each with a checksum; a torn last page is cut off when it is opened."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self.first: str | None = None
        self.last: str | None = None
        self.number: int | None = None
        self.trades = 0

    @classmethod
    def open(cls, path: Path) -> PageJournal:
        """UsageError when another process writes it, DataError when it is damaged before its end."""
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise UsageError(f"{path}: another download of this pair is going on") from None
        journal = cls(path, file)
        try:
            for page in journal.pages(mend=True):
                journal._note(page)
        except BaseException:
            file.close()
            raise
        return journal

    def append(self, page: Page) -> None:
        """Keep a page; durable when this returns."""
        packed = zlib.compress(msgspec.msgpack.encode(page))
        self._file.seek(0, os.SEEK_END)
        self._file.write(_HEAD.pack(_MARK, len(packed), zlib.crc32(packed)) + packed)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._note(page)

    def pages(self, mend: bool = False) -> Iterator[Page]:
        """All pages in order; with `mend` what was torn by the end of a process is removed."""
        self._file.seek(0)
        while True:
            at = self._file.tell()
            page = self._read(at)
            if page is None:
                break
            yield page
        if mend and at != self._file.seek(0, os.SEEK_END):
            self._file.truncate(at)
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Others may write it."""
        self._file.close()

    def _read(self, at: int) -> Page | None:
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        mark, length, checksum = _HEAD.unpack(head)
        if mark != _MARK or length > _MOST:
            raise self._damaged(at)
        packed = self._file.read(length)
        if len(packed) < length:
            return None
        if zlib.crc32(packed) != checksum:
            if not self._file.read(1):
                return None
            raise self._damaged(at)
        try:
            return msgspec.msgpack.decode(zlib.decompress(packed), type=Page)
        except (zlib.error, msgspec.DecodeError, msgspec.ValidationError):
            raise self._damaged(at) from None

    def _damaged(self, at: int) -> DataError:
        return DataError(f"{self._path} byte {at}: the page there is damaged; remove the file and download again")

    def _note(self, page: Page) -> None:
        self.first = page.since if self.first is None else self.first
        self.last = page.last
        self.trades += len(page.trades)
        if page.trades:
            self.number = page.trades[-1].number
