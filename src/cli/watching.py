"""Commands that look at a run or steer it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import ConfigFile, Env, Json, Pairs, RunName, Sets, State, app

OnePair = Annotated[str | None, typer.Option("--pair", help="Of this pair only; default: everything.")]


@app.command()
def why(
    order: Annotated[str, typer.Argument(help="Order id, or the beginning of one.")],
    run: RunName = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Why an order was made: votes, data with age, gates, which votes were decisive, what came of it."""
    from ..commands import why as command

    command.why(order, run, state, json)


@app.command("why-not")
def why_not(
    pair: Annotated[str, typer.Argument(help="BASE/QUOTE")],
    at: Annotated[str, typer.Option("--at", help="2022-03-01T14:00, 2022-03-01 (midnight, UTC) or last.")] = "last",
    run: RunName = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Why nothing was done with a pair at a time: the first gate that stopped it."""
    from ..commands import why as command

    command.why_not(pair, at, run, state, json)


@app.command()
def history(
    symbol: Annotated[str, typer.Argument(help="BASE/QUOTE")],
    hours: Annotated[float, typer.Option("--hours", help="Before the end of the record.")] = 24.0,
    run: RunName = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Decisions, orders and results of a symbol."""
    from ..commands import history as command

    command.run(symbol, hours, run, state, json)


@app.command()
def policies(
    policy: Annotated[str | None, typer.Argument(help="With a state: change this one in the running process.")] = None,
    to: Annotated[str | None, typer.Argument(metavar="off|shadow|on", help="Its new state.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why it is changed.")] = None,
    run: RunName = None,
    state: State = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """The supervisor's policies: states, what each recommended, what was done; or one of them changed."""
    from ..commands import policies as command

    if policy is None:
        command.show(run, state, tuple(sets or ()), json)
    else:
        command.change(policy, to, reason, state, json)


@app.command()
def census(
    state: State = None,
    pairs: Pairs = None,
    run: RunName = None,
    lineage: Annotated[bool, typer.Option("--lineage", help="Each learner with parent and generation.")] = False,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """The population by class, team, moat and pair: of the running process, a run, or one with these settings."""
    from ..commands import census as command

    command.run(state, pairs, run, lineage, config, env, tuple(sets or ()), json)


@app.command()
def tap(
    pattern: Annotated[
        str | None, typer.Argument(help="Channel pattern, for instance '*' or 'baseline-trade-ideas:*'.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="The channels there are.")] = False,
    url: Annotated[str | None, typer.Option(help="redis://...; default: the embedded server's.")] = None,
    count: Annotated[int | None, typer.Option(help="Stop after so many messages.")] = None,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Messages of the running bus, live and readable; without a pattern, the channels there are."""
    from ..commands import tap as command

    command.run(pattern, listed, url, count, config, env, tuple(sets or ()), json)


@app.command()
def status(state: State = None, json: Json = False) -> None:
    """How the running process stands."""
    from ..commands import control as command

    command.status(state, json)


@app.command()
def halt(
    reason: Annotated[str, typer.Argument(help="Why.")],
    pair: OnePair = None,
    reduce_only: Annotated[bool, typer.Option("--reduce-only", help="Exits go on, entries do not.")] = False,
    state: State = None,
    json: Json = False,
) -> None:
    """Nothing leaves from now on but stops and what you ask for to get out, until `resume`."""
    from ..commands import control as command

    command.ask(state, "halt", json, reason=reason, pair=pair, reduce_only=reduce_only)


@app.command()
def resume(
    reason: Annotated[str, typer.Argument(help="Why.")],
    pair: OnePair = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Clear a halt: of everything, the file HALT included, or of one pair."""
    from ..commands import control as command

    command.ask(state, "resume", json, reason=reason, pair=pair)


@app.command()
def stop(
    emergency: Annotated[
        str | None,
        typer.Option("--emergency", metavar="REASON", help="Halt, cancel, save, end; halted until `resume`."),
    ] = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Drain and end the running process; in an emergency it stays halted after a restart, too."""
    from ..commands import control as command

    if emergency is None:
        command.ask(state, "stop", json)
    else:
        command.ask(state, "emergency_shutdown", json, reason=emergency)


@app.command()
def flatten(
    pair: Annotated[str | None, typer.Argument(help="One pair; default: all.")] = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Close the position of a pair, or all, at the next bar."""
    from ..commands import control as command

    command.ask(state, "flatten", json, pair=pair)


@app.command()
def order(
    pair: Annotated[str, typer.Argument()],
    side: Annotated[str, typer.Argument(help="buy or sell")],
    amount: Annotated[str, typer.Argument(help="In base units.")],
    state: State = None,
    json: Json = False,
) -> None:
    """An order by hand; it passes the same gate as everything else."""
    from ..commands import control as command

    command.ask(state, "order", json, pair=pair, side=side, amount=amount)


@app.command()
def reconcile(state: State = None, json: Json = False) -> None:
    """Compare orders, executions and balances with the exchange now; exit 6 when something does not agree."""
    from ..commands import reconcile as command

    command.run(state, json)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="Run id, its prefix, `last` or a path.")] = "last",
    breakdown: Annotated[str | None, typer.Option(help="day, week, month, year or weekday.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the trades as CSV to this file.")] = None,
    json: Json = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write the tear sheet, one HTML file.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write the trades as Parquet.")] = None,
) -> None:
    """The tables of a run; its tear sheet and its trades as files."""
    from ..commands import report as command

    command.run(run, breakdown, csv, json, html, parquet)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Run ids, prefixes, `last` or paths.")],
    json: Json = False,
) -> None:
    """Several runs side by side: what differs, what each came to, and whether that is more than chance."""
    from ..commands import compare as command

    command.run(runs, json)
