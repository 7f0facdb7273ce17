"""The command line: parses, calls the command's module, prints, and turns errors into exit codes.

Nothing heavy is imported here: `--help` must answer at once, so each command imports its module when it runs.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from .core.errors import MycelialError, UsageError

_USAGE = UsageError.exit_code
_MAX_SEED = 2**63 - 1  # of the record: a seed is a whole number in it

app = typer.Typer(
    name="mycelial",
    help="A swarm that researches and trades crypto markets, and says what it is worth.",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings file; default: the shipped one.")]
Env = Annotated[str | None, typer.Option("--env", help="Overlay: dev, prod or test.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="One value: A.B=V. May be repeated.")]
State = Annotated[Path | None, typer.Option("--state", help="State folder; default: state/paper.")]
Data = Annotated[Path | None, typer.Option("--data", help="Data folder; default: MYCELIAL_DATA.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=_MAX_SEED, help="Root of every random stream.")]
Pairs = Annotated[str | None, typer.Option("--pairs", help="BTC/USDT,ETH/USDT; default: all there are.")]
RunName = Annotated[str | None, typer.Option("--run", help="A finished run: id, its prefix, `last` or a path.")]
Timerange = Annotated[str | None, typer.Option("--timerange", help="20220101-20220701, half open, UTC.")]


@app.callback(invoke_without_command=True)
def _default(context: typer.Context) -> None:
    """Without a command: run."""
    if context.invoked_subcommand is None:
        context.invoke(run)


@app.command()
def run(
    mode: Annotated[str | None, typer.Option(help="advise, paper or live.")] = None,
    feed: Annotated[str | None, typer.Option(help="simulated, replay or kraken.")] = None,
    data: Data = None,
    venue: Annotated[str | None, typer.Option(help="Venue of the data folder.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Bar length of the data.")] = None,
    pairs: Pairs = None,
    timerange: Timerange = None,
    speed: Annotated[str | None, typer.Option(help="1x, 60x or max.")] = None,
    bus: Annotated[str, typer.Option(help="embedded, local or redis://...")] = "embedded",
    state: State = None,
    seed: Seed = 7,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """The long-running process: paper trading on the simulated market unless told otherwise."""
    from .commands import run as command
    from .commands.options import ProcessOptions

    command.run(
        ProcessOptions(
            mode=mode,
            feed=feed,
            data=data,
            venue=venue,
            timeframe=timeframe,
            pairs=pairs,
            timerange=timerange,
            speed=speed,
            bus=bus,
            state=state,
            seed=seed,
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        )
    )


@app.command()
def backtest(
    data: Data = None,
    venue: Annotated[str | None, typer.Option(help="Venue; default: the only one there is.")] = None,
    timeframe: Annotated[str, typer.Option(help="Bar length, for instance 1h.")] = "1h",
    pairs: Pairs = None,
    timerange: Timerange = None,
    seed: Seed = 7,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the results; default: runs/RUN_ID.")] = None,
    bus: Annotated[str, typer.Option(help="local, or embedded: a server of its own.")] = "local",
    breakdown: Annotated[str | None, typer.Option(help="day, week, month, year or weekday.")] = None,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Replay history through the same model."""
    from .commands import backtest as command
    from .commands.options import BacktestOptions

    command.run(
        BacktestOptions(
            data=data,
            venue=venue,
            timeframe=timeframe,
            pairs=pairs,
            timerange=timerange,
            seed=seed,
            out=out,
            bus=bus,
            breakdown=breakdown,
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        )
    )


@app.command("list-data")
def list_data(data: Data = None, json: Json = False) -> None:
    """What the data folder holds: ranges, gaps, hashes."""
    from .commands import data as command

    command.list_data(data, json)


@app.command("import-data")
def import_data(
    source: Annotated[Path, typer.Argument(help="A CSV, Parquet or Freqtrade feather file, or a folder of them.")],
    venue: Annotated[str, typer.Option(help="Where it is filed.")],
    timeframe: Annotated[str | None, typer.Option(help="Its bar length; default: from the file's name.")] = None,
    pair: Annotated[str | None, typer.Option(help="BASE/QUOTE; default: from the file's name.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Bring bars of your own into the data folder."""
    from .commands import data as command

    command.import_data(source, venue, timeframe, pair, data, json)


@app.command()
def why(
    order: Annotated[str, typer.Argument(help="Order id, or the beginning of one.")],
    run: RunName = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Why an order was made: votes, data with age, gates, which votes were decisive, what came of it."""
    from .commands import why as command

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
    from .commands import why as command

    command.why_not(pair, at, run, state, json)


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
    from .commands import census as command

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
    from .commands import tap as command

    command.run(pattern, listed, url, count, config, env, tuple(sets or ()), json)


@app.command()
def status(state: State = None, json: Json = False) -> None:
    """How the running process stands."""
    from .commands import control as command

    command.status(state, json)


@app.command()
def halt(reason: Annotated[str, typer.Argument(help="Why.")], state: State = None, json: Json = False) -> None:
    """No new entries from the next slice on; exits and marks go on."""
    from .commands import control as command

    command.ask(state, "halt", json, reason=reason)


@app.command()
def resume(reason: Annotated[str, typer.Argument(help="Why.")], state: State = None, json: Json = False) -> None:
    """Clear a halt."""
    from .commands import control as command

    command.ask(state, "resume", json, reason=reason)


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
    from .commands import control as command

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
    from .commands import control as command

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
    from .commands import control as command

    command.ask(state, "order", json, pair=pair, side=side, amount=amount)


@app.command("show-config")
def show_config(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Every value in force; secrets hidden."""
    from .commands import settings as command

    command.show(origin, config, env, tuple(sets or ()), json)


@app.command()
def doctor(
    state: State = None,
    data: Data = None,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    sources: Annotated[
        bool, typer.Option("--sources", help="Ask every real source outside the market once; needs the network.")
    ] = False,
    json: Json = False,
) -> None:
    """Every dependency with ok, warn or fail, and the remedy."""
    from .commands import doctor as command

    command.run(state, data, config, env, tuple(sets or ()), json, sources)


@app.command()
def verify(
    ledger: Annotated[Path, typer.Argument(help="A ledger file or the folder it lies in.")], json: Json = False
) -> None:
    """Check the hash chain, fills against positions and the cash identity; exit 6 when broken."""
    from .commands import ledger as command

    command.verify(ledger, json)


@app.command()
def report(
    run: Annotated[str, typer.Argument(help="Run id, its prefix, `last` or a path.")] = "last",
    breakdown: Annotated[str | None, typer.Option(help="day, week, month, year or weekday.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the trades as CSV to this file.")] = None,
    json: Json = False,
) -> None:
    """The tables of a run."""
    from .commands import report as command

    command.run(run, breakdown, csv, json)


@app.command()
def bench(
    only: Annotated[str | None, typer.Option("--only", help="One benchmark by name.")] = None, json: Json = False
) -> None:
    """The benchmarks, as ratios against whichever peers are installed."""
    from .commands import bench as command

    command.run(only, json)


def main() -> None:
    """Entry point; a user's mistake never ends in a traceback."""
    _open_streams()
    try:
        app(standalone_mode=False, prog_name="mycelial")
    except MycelialError as error:
        _fail(str(error), error.exit_code)
    except typer.Exit as done:
        raise SystemExit(done.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except typer.Abort:
        _fail("aborted", _USAGE)
    except TyperException as error:
        _fail(error.format_message(), _USAGE)


def _open_streams() -> None:
    """Stand in for streams that were closed, or the next file that is opened would take their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - as long as the process


def _fail(message: str, code: int) -> None:
    with suppress(OSError):
        sys.stderr.write(message.rstrip() + "\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
