"""The table of docs/metrics.md as the code has it: `python -m tests.monitoring.documented` writes it anew."""

from __future__ import annotations

from src.connectors.metrics_table import MEASURES, PREFIX
from tests.worlds import ROOT

BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"
FILE = ROOT / "docs" / "metrics.md"


def table() -> str:
    """One row a measure."""
    rows = ["| metric | kind | labels | what |", "|---|---|---|---|"]
    for one in MEASURES:
        name = PREFIX + one.name + ("_info" if one.kind == "info" else "")
        labels = ", ".join(one.labels) or "version, mode, feed, ..." if one.kind == "info" else ", ".join(one.labels)
        rows.append(f"| `{name}` | {one.kind} | {labels} | {one.help} |")
    return "\n".join(rows)


def document(told: str) -> str:
    """The document with the table of the code."""
    head, _, rest = told.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    FILE.write_text(document(FILE.read_text(encoding="utf-8")), encoding="utf-8")
