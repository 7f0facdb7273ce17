"""Reads the story of a run from its ledger; never writes, whether the run still goes on or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from ..core import traces
from ..core.config import LedgerSettings
from ..core.errors import InvariantError, LedgerError
from ..core.story import Line, Silence, State, Story
from ..core.traces import Reviewed, Rules, Told
from ..core.types import Fill, Order, Stream, Trade
from .ledger_chain import no_ledger
from .sqlite_ledger import LedgerReader, StoredRow, header

_KINDS = ("decisions", "order", "fill", "trade", "order_state", *traces.KINDS)


class _Placed(msgspec.Struct, frozen=True):
    """An order as the coordinator accepted it, its own stops included; whoever approved it is not asked for here."""

    order: Order


class _Accepted(msgspec.Struct, frozen=True, tag="Accepted"):
    client_id: str
    approved: _Placed


class _Moved(msgspec.Struct, frozen=True, tag="Moved"):
    at: int
    client_id: str
    after: str


class _Lines(msgspec.Struct, frozen=True):
    lines: list[Line]


class _Change(msgspec.Struct, frozen=True):
    id: str
    pair: str
    state: str


class _Members(msgspec.Struct, frozen=True):
    members: list[list[Any]]
    society: dict[str, Any] = {}


def read_story(path: Path, settings: LedgerSettings) -> Story:
    """Everything that explains what was decided.

    NotFound when there is no such file, InvariantError (a check failed) when it is no sound ledger or a row of it
    cannot be read.
    """
    if not path.is_file():
        raise no_ledger(path)
    try:
        header(path, settings)
        reader = LedgerReader(path, settings)
        rows = {kind: list(reader.rows(kind)) for kind in _KINDS}
        last = max((row.at for row in reader.tail(settings.group_rows)), default=0)
    except LedgerError as error:
        raise InvariantError(str(error)) from error
    return _story(path, rows, last)


def _story(path: Path, rows: dict[str, list[StoredRow]], last: int) -> Story:
    orders, states = {}, []
    for row in rows["order"]:
        if b'"side"' in row.body:
            order = _decoded(path, row, Order)
            orders[str(order.id)] = order
        else:
            change = _decoded(path, row, _Change)
            states.append(State(change.id, change.pair, change.state, row.at))
    _coordinated(path, rows["order_state"], orders, states)
    trades = [_decoded(path, row, Trade) for row in rows["trade"]]
    silences = [_decoded(path, row, Silence) for row in rows[traces.SILENCE]]
    reviews = [(row.seq, _decoded(path, row, Reviewed)) for row in rows[traces.REVIEW]]
    lines = [line for row in rows["decisions"] for line in _decoded(path, row, _Lines).lines]
    census = _census(path, rows[traces.CENSUS])
    return Story(
        name=str(path),
        lines=lines,
        rules=[(row.seq, _decoded(path, row, Rules)) for row in rows[traces.RULES]],
        told=[(row.seq, _decoded(path, row, Told)) for row in rows[traces.MESSAGES]],
        reviews={str(one[1].order.id): one for one in reviews},
        orders=orders,
        states=states,
        fills=[_decoded(path, row, Fill) for row in rows["fill"]],
        trades=[trade for trade in trades if trade.stream is Stream.SYNTHESIZED],
        silences=silences,
        members=_members(census),
        society=census.society,
        first=min((row.at for row in (*rows[traces.SILENCE][:1], *rows["decisions"][:1])), default=0),
        last=last,
    )


def _coordinated(path: Path, rows: list[StoredRow], orders: dict[str, Order], states: list[State]) -> None:
    """Add the orders that the coordinator placed by itself, the stops behind a position, and what became of them."""
    own: dict[str, Order] = {}
    for row in rows:
        if b'"Accepted"' in row.body:
            accepted = _decoded(path, row, _Accepted)
            order = accepted.approved.order
            if str(order.id) not in orders:
                orders[str(order.id)] = own[accepted.client_id] = order
        elif own and b'"Moved"' in row.body:
            moved = _decoded(path, row, _Moved)
            if moved.client_id in own:
                order = own[moved.client_id]
                states.append(State(str(order.id), str(order.pair), moved.after, moved.at))


def _census(path: Path, rows: list[StoredRow]) -> _Members:
    """Of the end of the newest life of the run."""
    return _decoded(path, rows[-1], _Members) if rows else _Members([])


def _members(census: _Members) -> list[dict[str, Any]]:
    return [dict(zip(traces.MEMBER, member, strict=True)) for member in census.members]


def _decoded[T](path: Path, row: StoredRow, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(row.body, type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvariantError(f"{path}: row {row.seq} ({row.kind}) cannot be read: {error}; see `verify`") from error
