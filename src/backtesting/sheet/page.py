"""Puts the page together: one HTML file with everything in it, no script, nothing fetched from anywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from ...core.errors import UsageError
from ...core.timeframes import timeframe_ms
from ...core.types import Stream
from ..backing import Ideas, entered, read_ideas, tied
from ..report import (
    SIMULATED,
    enter_table,
    exit_table,
    open_table,
    pair_table,
    stream_table,
    summary_table,
)
from ..report_findings import (
    discovery_table,
    effect_table,
    moat_table,
    rival_sentences,
    strategy_table,
    strongest_table,
    swarm_table,
)
from ..runs import Run, load_run
from . import card, curves, folder, trading
from .parts import Note, Section, from_terminal, kind
from .words import shown

_HERE = Path(__file__).parent
_TEMPLATE, _STYLE = "sheet.html.j2", "sheet.css"


def render(run: Run, beside: folder.Beside, ideas: Ideas | None) -> str:
    """The page of a run. What the folder lacks is said in place of what it would have shown."""
    result = run.result
    return _template().render(
        result=result,
        verdict=result["verdict"].replace(" %", "\u00a0%"),
        style=_style(),
        badge=card.badge(result),
        simulated=SIMULATED if result["simulated"] else "",
        lost=result["account"]["end_equity"] < result["account"]["start_equity"],
        tiles=card.tiles(run),
        card=card.run_card(run, beside),
        sections=_sections(run, beside, ideas),
        months=curves.month_names(),
    )


def write(place: Path, target: Path) -> None:
    """Write the page of the run in folder `place` to `target`.

    NotFound or DataError where the folder is not whole, UsageError where `target` cannot be written.
    """
    page = render(load_run(place), folder.read(place), read_ideas(place))
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--html {target}: {error.strerror}; name a file that can be written") from error


def _sections(run: Run, beside: folder.Beside, ideas: Ideas | None) -> list[Section]:
    money = curves.sections(run, beside.market)
    found = None if ideas is None else tied(run.trades, ideas, timeframe_ms(run.result["timeframe"]))
    deals = trading.sections(run, beside.prices, found)
    compared = [] if beside.ab is None else [Section("ab", "A/B comparison", card.ab_parts(beside.ab, run.result))]
    if beside.gate is not None:
        compared.append(Section("gate", "Promotion gate", card.gate_parts(beside.gate, beside.doubt)))
    return [
        *money[:1],
        Section("streams", "Streams side by side", (from_terminal(stream_table(run)), *_rivals(run))),
        *compared,
        *money[1:],
        *deals,
        Section("tables", "Trades by pair, entry and exit", _tables(run, found)),
        Section("moats", "Moats and what was found between them", _moats(run)),
        Section("summary", "Summary", (from_terminal(summary_table(run)),), half=True),
        Section("undefined", "Figures that are not defined", card.not_defined(run.result), half=True),
        trading.trade_list(run),
    ]


def _rivals(run: Run) -> list[Note]:
    return [Note(str(sentence)) for sentence in rival_sentences(run)]


def _tables(run: Run, found: trading.Backed | None) -> tuple[Any, ...]:
    entries = [] if found is None else [enter_table(run, entered(found.get(Stream.SYNTHESIZED.value, ())))]
    tables = [pair_table(run), open_table(run), *entries, exit_table(run), strategy_table(run)]
    return tuple(from_terminal(table) for table in tables)


def _moats(run: Run) -> tuple[Any, ...]:
    tables = (moat_table, effect_table, discovery_table, strongest_table, swarm_table)
    return tuple(from_terminal(table(run)) for table in tables)


@cache
def _template() -> Template:
    made = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.tests.update({name: _is(name) for name in ("Grid", "Heat", "Figure", "Note")})
    return made.get_template(_TEMPLATE)


def _is(name: str) -> Any:
    return lambda part: kind(part) == name


@cache
def _style() -> Markup:
    """Our own file, with nothing of the data in it."""
    return Markup((_HERE / _STYLE).read_text(encoding="utf-8"))
