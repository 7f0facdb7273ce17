"""What makes a journal tamper-evident: which rows it takes, how they are hashed, where the chain starts.

Pure functions, shared by the writing side, the readers and the verifier. The numbers here belong to the file
format: changing one needs a new schema version.

The hash of a row is sha256(prev || JSON array [seq, at, kind, key, body]): the array reads unambiguously from
the left, so no two different rows share an encoding. The first row's `prev` is the sha256 of the header, which
names the mode and the ledger: rows of one ledger never continue another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..core import canonical
from ..core.errors import NotFound
from ..core.ports import Row

FORMAT = "mycelial-ledger"
DEAD_LETTER = "dead_letter"
INT64 = 2**63
EXCERPT = 256
"""Characters of a refused body that are kept in its dead letter."""

Chained = tuple[int, int, str, str, str, bytes, bytes]
"""seq, at, kind, key, body, prev, hash: the columns of the journal."""

_encoder = msgspec.json.Encoder()
_syntax = msgspec.json.Decoder(msgspec.Raw)


class Refused(Exception):
    """A row that can never be written; the reason goes into its dead letter."""


class Header(msgspec.Struct, frozen=True):
    """What a ledger says of itself: the seed of its chain."""

    format: str
    schema: int
    mode: str
    ledger_id: str


def genesis(header: bytes) -> bytes:
    """`prev` of the first row, 32 bytes."""
    return hashlib.sha256(header).digest()


def row_hash(prev: bytes, seq: int, at: int, kind: str, key: str, body: bytes) -> bytes:
    """Hash of one row, 32 bytes, from the 32 bytes of the row before it."""
    return hashlib.sha256(prev + _encoder.encode((seq, at, kind, key, msgspec.Raw(body)))).digest()


def stored_hash(prev: Any, seq: Any, at: Any, kind: Any, key: Any, body: Any) -> bytes | None:
    """`row_hash` of cells that were read back; None where one has a type that no writer could have written."""
    texts = all(isinstance(value, str) for value in (kind, key, body))
    if not texts or not isinstance(at, int) or not isinstance(prev, bytes):
        return None
    return row_hash(prev, seq, at, kind, key, body.encode())


def _body_of(row: Row, row_bytes: int) -> bytes:
    """The body, whose JSON is sound; Refused when the row has no place in a journal. Its UTF-8 is not looked at yet."""
    at, kind, key, body = row.at, row.kind, row.key, row.body
    if type(at) is not int or not -INT64 <= at < INT64:
        raise Refused(f"`at` is not a 64-bit integer: {at!r}")
    if type(body) is not bytes:
        raise Refused(f"the body is not bytes but {type(body).__name__}")
    if len(body) > row_bytes:
        raise Refused(f"the body has {len(body)} bytes, at most {row_bytes} are allowed")
    if not (isinstance(kind, str) and isinstance(key, str) and kind and key):
        raise Refused("kind and key must be text and not empty")
    try:
        _syntax.decode(body)
    except msgspec.DecodeError as error:
        raise Refused(f"the body is not JSON: {error}") from error
    return body


def text_of(row: Row, row_bytes: int) -> str:
    """The body as text; Refused when the row has no place in a journal."""
    try:
        return _body_of(row, row_bytes).decode()
    except UnicodeDecodeError as error:
        raise Refused(f"the body is not JSON: {error}") from error


def check(row: Row, row_bytes: int) -> None:
    """Refused when the row has no place in a journal. What is ASCII is UTF-8, too."""
    if not _body_of(row, row_bytes).isascii():
        text_of(row, row_bytes)
    if row.kind.isascii() and row.key.isascii():
        return
    try:
        f"{row.kind}{row.key}".encode()
    except UnicodeEncodeError as error:
        raise _unwritable(error) from error


def _unwritable(error: UnicodeEncodeError) -> Refused:
    return Refused(f"kind or key cannot be written as UTF-8: {error.reason}")


def chain(rows: Sequence[Row], seq: int, prev: bytes, row_bytes: int) -> list[Chained]:
    """The rows as they follow the head (`seq`, `prev`); Refused at the first that cannot be written."""
    chained: list[Chained] = []
    for row in rows:
        text = text_of(row, row_bytes)
        at, kind, key = row.at, row.kind, row.key
        seq += 1
        try:
            own = row_hash(prev, seq, at, kind, key, row.body)
        except UnicodeEncodeError as error:
            raise _unwritable(error) from error
        chained.append((seq, at, kind, key, text, prev, own))
        prev = own
    return chained


def dead_letter(row: Row, reason: str) -> Row:
    """The row that stands in for one that was refused; the same refusal gives the same row."""
    raw = row.body if isinstance(row.body, bytes) else repr(row.body).encode("utf-8", "backslashreplace")
    kind, key = printable(row.kind), printable(row.key)
    at = row.at if type(row.at) is int and -INT64 <= row.at < INT64 else 0
    body = {
        "kind": kind,
        "key": key,
        "reason": reason,
        "sha256": hashlib.sha256(raw).hexdigest(),
        "size": len(raw),
        "excerpt": raw[:EXCERPT].decode("utf-8", "backslashreplace"),
    }
    return Row(at, DEAD_LETTER, f"{DEAD_LETTER}:{canonical.digest([at, body])}", canonical.encode(body))


def printable(text: object) -> str:
    """Any value as text that UTF-8 can carry."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def conflict(key: str) -> str:
    """Why a second row of one key is refused."""
    return f"the key {printable(key)!r} is taken by a row with another body"


def no_ledger(path: Path) -> NotFound:
    """The error for a ledger that is not there, and where it could be."""
    return NotFound(
        f"{path}: there is no such ledger; a run keeps its own in its --state folder (state/paper without one), "
        "a backtest in the folder that it printed"
    )
