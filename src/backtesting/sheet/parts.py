"""The parts a page is put together from: figures, tables, sentences; the template knows nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from markupsafe import Markup
from rich.table import Table

from ..text import NOTHING

MOST_ROWS = 100
"""Rows a table of the page has at most, so that no run makes a page nobody can open."""
_MOST_SIGNS = 200
A_DASH = "A dash: no trades, no data, or none is meant; those of account and streams are explained at the end."


class Grid(msgspec.Struct, frozen=True):
    """A table: the first `words` columns are words, the others figures. `left_out` rows are not in it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    left_out: int = 0
    note: str = ""


class Heat(msgspec.Struct, frozen=True):
    """Months by year: a row is a year, its cells (text, shade from -4 to 4), the last one the whole year."""

    title: str
    years: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]


class Key(msgspec.Struct, frozen=True):
    """A line's entry in a legend, with the figure it ends at."""

    mark: Markup
    name: str
    value: str


class Figure(msgspec.Struct, frozen=True):
    """A drawing with what is said below it, its legend, and the same in figures."""

    drawing: Markup
    caption: str
    legend: tuple[Key, ...] = ()
    table: Grid | None = None


class Note(msgspec.Struct, frozen=True):
    """A sentence; also what stands where there is nothing to show."""

    text: str


Part = Grid | Heat | Figure | Note


class Section(msgspec.Struct, frozen=True):
    """A part of the page with a heading; `half`: two of them stand side by side."""

    id: str
    title: str
    parts: tuple[Part, ...]
    half: bool = False


def kind(part: Part) -> str:
    """The name a template knows a part by."""
    return type(part).__name__


def grid(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1, note: str = "") -> Grid:
    """A table of at most `MOST_ROWS` rows; text that is too long for a cell is cut and says so."""
    cut = [tuple(_short(cell) for cell in row) for row in rows]
    return Grid(title, tuple(columns), tuple(cut[:MOST_ROWS]), words, max(0, len(cut) - MOST_ROWS), note)


def from_terminal(table: Table, note: str = "") -> Grid:
    """The same table as it stands in the terminal."""
    heads = [str(column.header) for column in table.columns]
    columns = [
        [_spaced(str(cell), head) for cell in column.cells] for head, column in zip(heads, table.columns, strict=True)
    ]
    words = sum(column.justify == "left" for column in table.columns)
    rows = list(zip(*columns, strict=True))
    dashes = any(cell.strip() == NOTHING for row in rows for cell in row)
    told = note or (A_DASH if dashes else "")
    return grid(str(table.title), [_spaced(head, head) for head in heads], rows, words, told)


def _spaced(cell: str, head: str) -> str:
    """Several figures under one heading, which a terminal sets apart by spaces."""
    return " / ".join(cell.split()) if "  " in head else cell


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SIGNS else f"{text[:_MOST_SIGNS]}… ({len(text)} characters)"
