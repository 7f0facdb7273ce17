"""The look of every table of a report: plain lines, names to the left, figures to the right, nothing cut."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rich import box
from rich.table import Table
from rich.text import Text


def new_table(title: str, columns: Sequence[str], words: int = 1) -> Table:
    """An empty table; the first `words` columns are words, the others figures."""
    made = Table(title=title, title_justify="left", title_style="bold", box=box.ASCII2)
    for place, column in enumerate(columns):
        made.add_column(column, justify="right" if place >= words else "left", overflow="fold")
    return made


def coloured(shown: str, value: float | Decimal | None) -> Text:
    """A gain is green, a loss red."""
    return Text(shown, style="" if not value else "red" if value < 0 else "green")
