"""Reads from a ledger what is needed to walk its run again; never writes, whether the run still goes on or not."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..core import inputs
from ..core.config import LedgerSettings
from ..core.errors import InvariantError, LedgerError, UsageError
from ..core.inputs import DIGITS, Given, SeenQuotes
from ..core.messages import AnyMessage
from ..core.ports import Foreign
from ..core.types import Command
from .ledger_chain import no_ledger
from .sqlite_ledger import LedgerReader, StoredRow, header

BUS_DOWN = b'"kind":"bus_down"'
"""How the record names a slice without a bus; a quotation mark inside a reason is escaped, so this is no reason."""


WITHHELD = b'"state":"withheld"'
_KEPT_BACK = b'"reason":"kill_switch"'
"""How the record names orders that were approved and never left: by what became of them, and why."""

_KINDS = (inputs.GIVEN, "decisions", "command", "foreign", "order")


class RecordedRun(msgspec.Struct, frozen=True):
    """What a run was told, what it saw and what it decided, by slice (UTC ms).

    `lines` as they stand in the record, `bars` the fingerprints of all pairs in their order, `said` those of the
    observations, `quoted` that of all quoted spreads. `conditions`: under how many different ones it was made; `given`
    are the newest. `withheld`: orders that the kill switch kept back, and why. `until`: the last slice that is durable.
    """

    path: Path
    given: Given
    conditions: int
    lines: dict[int, list[bytes]]
    bars: dict[int, str]
    said: dict[int, list[str]]
    commands: list[tuple[int, Command]]
    foreign: list[tuple[int, Foreign]]
    down: frozenset[int]
    withheld: dict[str, str]
    until: int
    quoted: dict[int, str] = {}


class _Lines(msgspec.Struct, frozen=True):
    lines: list[msgspec.Raw]


def read_run(path: Path, settings: LedgerSettings) -> RecordedRun:
    """Everything up to the last durable slice.

    NotFound when there is no such file, UsageError when it is of a version that did not write down its conditions,
    InvariantError when it is no sound ledger.
    """
    if not path.is_file():
        raise no_ledger(path)
    try:
        header(path, settings)
        reader = LedgerReader(path, settings)
        seen = list(reader.rows(inputs.INPUT))  # first: such a row stands behind all others of its slice
        until = max((row.at for row in seen), default=0)
        rows = {kind: [row for row in reader.rows(kind) if row.at <= until] for kind in _KINDS}
    except LedgerError as error:
        raise InvariantError(str(error)) from error
    return _run(path, rows | {inputs.INPUT: seen}, until)


def _run(path: Path, rows: dict[str, list[StoredRow]], until: int) -> RecordedRun:
    if not rows[inputs.GIVEN]:
        raise UsageError(
            f"{path}: does not say under which settings and data it was made; it is of an older version: run it again"
        )
    lines: dict[int, list[bytes]] = {}
    for row in rows["decisions"]:
        lines.setdefault(row.at, []).extend(bytes(line) for line in _decoded(path, row, _Lines).lines)
    bars, said, quoted = _seen(path, rows[inputs.INPUT])
    return RecordedRun(
        path=path,
        given=_decoded(path, rows[inputs.GIVEN][-1], Given),
        conditions=len(rows[inputs.GIVEN]),
        lines=lines,
        bars=bars,
        said=said,
        commands=[(row.at, _decoded(path, row, Command)) for row in rows["command"]],
        foreign=[(row.at, foreign_of(row.body)) for row in rows["foreign"]],
        down=frozenset(row.at for row in rows["decisions"] if BUS_DOWN in row.body),
        withheld=withheld_of(rows["order"], rows["decisions"]),
        until=until,
        quoted=quoted,
    )


def withheld_of(orders: Iterable[StoredRow], decisions: Iterable[StoredRow]) -> dict[str, str]:
    """Orders that the kill switch kept back, by id, and why as far as that was written down."""
    kept = {msgspec.json.decode(row.body)["id"]: "withheld" for row in orders if WITHHELD in row.body}
    for row in decisions:
        if _KEPT_BACK in row.body:
            lines = msgspec.json.decode(row.body)["lines"]
            kept |= {line["order"]: line["value"] for line in lines if line.get("reason") == "kill_switch"}
    return kept


def _seen(path: Path, rows: list[StoredRow]) -> tuple[dict[int, str], dict[int, list[str]], dict[int, str]]:
    bars: dict[int, str] = {}
    quoted: dict[int, str] = {}
    said: dict[int, list[str]] = {}
    for row in rows:
        seen = _decoded(path, row, SeenQuotes)
        quoted |= {int(at): mark for at, mark in seen.quoted.items()}
        bars |= dict(zip(seen.at, seen.bars, strict=True))
        for at, marks in seen.said.items():
            said[int(at)] = [marks[place : place + DIGITS] for place in range(0, len(marks), DIGITS)]
    return bars, said, quoted


def foreign_of(body: bytes) -> Foreign:
    """A message of another producer as a ledger row holds it."""
    fields = msgspec.json.decode(body)
    message = msgspec.convert(fields["message"], AnyMessage)
    numbers = (fields.get("epoch", 0), fields.get("seq", 0))
    return Foreign(fields["channel"], fields["producer"], message, *numbers)


def _decoded[T](path: Path, row: StoredRow, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(row.body, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvariantError(f"{path}: row {row.seq} ({row.kind}) cannot be read: {error}; see `verify`") from error
