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
Venue = Annotated[str | None, typer.Option(help="Venue; default: the only one there is.")]
Timeframe = Annotated[str | None, typer.Option(help="Bar length of recorded data; default: 1h.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, help="Runs at once, on processes of this machine.")]
Days = Annotated[int | None, typer.Option(min=1, help="Days of the simulated market, without data.")]
Grid = Annotated[list[str] | None, typer.Option("--grid", help="LEAF=V1,V2: walk the market with each. Repeat it.")]
Book = Annotated[str | None, typer.Option("--book", help="Whose days; default: account, of a grid: synthesized.")]


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
    html: Annotated[Path | None, typer.Option("--html", help="Write the tear sheet, one HTML file.")] = None,
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
            html=html,
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
    html: Annotated[Path | None, typer.Option("--html", help="Write the tear sheet, one HTML file.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", help="Write the trades as Parquet.")] = None,
) -> None:
    """The tables of a run; its tear sheet and its trades as files."""
    from .commands import report as command

    command.run(run, breakdown, csv, json, html, parquet)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN...", help="Run ids, prefixes, `last` or paths.")],
    json: Json = False,
) -> None:
    """Several runs side by side: what differs, what each came to, and whether that is more than chance."""
    from .commands import compare as command

    command.run(runs, json)


@app.command()
def ab(
    only: Annotated[str | None, typer.Option("--only", help="Comparisons or groups of them: code,stream.")] = None,
    book: Annotated[str, typer.Option(help="Whose returns stand for the swarm: swarm or edge-tested.")] = "swarm",
    data: Data = None,
    venue: Venue = None,
    timeframe: Timeframe = None,
    pairs: Pairs = None,
    timerange: Timerange = None,
    days: Days = None,
    seed: Seed = 7,
    jobs: Jobs = 1,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of ab.json; default: runs/ab-ID.")] = None,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Which source of information, and which part of the society, is worth anything; placebos beside each."""
    from .commands import workers

    workers.prepare(jobs)
    from .commands import ab as command

    command.run(
        command.AbOptions(
            only=only,
            book=book,
            data=data,
            venue=venue,
            timeframe=timeframe,
            pairs=pairs,
            timerange=timerange,
            days=days,
            seed=seed,
            jobs=jobs,
            out=out,
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        )
    )


@app.command()
def sweep(
    grid: Annotated[
        list[str] | None, typer.Option("--grid", help="costs.fee_ratio=0.001,0.0026 or A.B=from:to:step; repeat.")
    ] = None,
    optuna: Annotated[int | None, typer.Option("--optuna", min=1, help="So many trials chosen by optuna.")] = None,
    objective: Annotated[str, typer.Option(help="What is best: sharpe, profit, drawdown or factor.")] = "sharpe",
    book: Annotated[str, typer.Option(help="Of which book: synthesized, mycelial, baseline ...")] = "synthesized",
    data: Data = None,
    venue: Venue = None,
    timeframe: Timeframe = None,
    pairs: Pairs = None,
    timerange: Timerange = None,
    days: Days = None,
    seed: Seed = 7,
    jobs: Jobs = 1,
    dask: Annotated[str | None, typer.Option("--dask", help="tcp://HOST:PORT of a Dask scheduler.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the trials; given again it goes on.")] = None,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Try many values of any setting: a grid, or chosen by optuna; goes on where it was stopped."""
    from .commands import workers

    workers.prepare(1 if dask is not None else jobs)
    from .commands import sweep as command

    command.run(
        command.SweepOptions(
            grid=tuple(grid or ()),
            optuna=optuna,
            objective=objective,
            book=book,
            data=data,
            venue=venue,
            timeframe=timeframe,
            pairs=pairs,
            timerange=timerange,
            days=days,
            seed=seed,
            jobs=jobs,
            dask=dask,
            out=out,
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        )
    )


@app.command()
def gate(
    run: Annotated[str, typer.Argument(help="Run id, its prefix, `last` or a path.")] = "last",
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="How many were tried, where not all runs are kept.")
    ] = None,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Whether a run may be promoted: every criterion, and gate.json in its folder; exit 6 when refused."""
    from .commands import gate as command

    command.run(run, trials, config, env, tuple(sets or ()), json)


@app.command("walk-forward")
def walk_forward(
    runs: Annotated[list[str] | None, typer.Argument(help="Finished runs to choose among; default: last.")] = None,
    grid: Grid = None,
    book: Book = None,
    train: Annotated[str | None, typer.Option("--train", help="One window instead: days to choose on.")] = None,
    test: Annotated[str | None, typer.Option("--test", help="Days to judge by, after --train.")] = None,
    data: Data = None,
    venue: Venue = None,
    timeframe: Timeframe = None,
    pairs: Pairs = None,
    timerange: Timerange = None,
    days: Days = None,
    jobs: Jobs = 1,
    seed: Seed = 7,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Choose on a window of days, judge on the days after it, again and again."""
    from .commands import forward as command
    from .commands.tried import TriedOptions

    command.walk_forward(
        TriedOptions(
            runs=tuple(runs or ()),
            grid=tuple(grid or ()),
            book=book,
            data=data,
            venue=venue,
            timeframe=timeframe,
            pairs=pairs,
            timerange=timerange,
            days=days,
            jobs=jobs,
            seed=seed,
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        ),
        train,
        test,
    )


@app.command()
def cpcv(
    runs: Annotated[list[str] | None, typer.Argument(help="Finished runs to choose among; default: last.")] = None,
    grid: Grid = None,
    book: Book = None,
    data: Data = None,
    venue: Venue = None,
    timeframe: Timeframe = None,
    pairs: Pairs = None,
    timerange: Timerange = None,
    days: Days = None,
    jobs: Jobs = 1,
    seed: Seed = 7,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Combinatorial purged cross-validation: paths of days that had no part in the choice; overfitting."""
    from .commands import forward as command
    from .commands.tried import TriedOptions

    command.cpcv(
        TriedOptions(
            runs=tuple(runs or ()),
            grid=tuple(grid or ()),
            book=book,
            data=data,
            venue=venue,
            timeframe=timeframe,
            pairs=pairs,
            timerange=timerange,
            days=days,
            jobs=jobs,
            seed=seed,
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        )
    )


@app.command("lookahead-analysis")
def lookahead_analysis(
    cuts: Annotated[int | None, typer.Option("--cuts", min=1, help="How often the future is cut off.")] = None,
    data: Data = None,
    venue: Venue = None,
    timeframe: Timeframe = None,
    pairs: Pairs = None,
    timerange: Timerange = None,
    days: Days = None,
    seed: Seed = 7,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Whether anything in the system knows the future: the first culprit, with both values; exit 6 when found."""
    from .commands import lookahead as command
    from .commands.finite import EvidenceOptions

    command.analyse(
        EvidenceOptions(
            data=data,
            venue=venue,
            timeframe=timeframe,
            pairs=pairs,
            timerange=timerange,
            days=days,
            seed=seed,
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        ),
        cuts,
    )


@app.command("recursive-analysis")
def recursive_analysis(
    warmups: Annotated[str | None, typer.Option("--warmups", help="Bars before the last: 50,100,200.")] = None,
    data: Data = None,
    venue: Venue = None,
    timeframe: Timeframe = None,
    pairs: Pairs = None,
    timerange: Timerange = None,
    days: Days = None,
    seed: Seed = 7,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """How many bars each feature needs before it no longer depends on where one began; exit 6 when it never does."""
    from .commands import lookahead as command
    from .commands.finite import EvidenceOptions

    command.analyse_warmups(
        EvidenceOptions(
            data=data,
            venue=venue,
            timeframe=timeframe,
            pairs=pairs,
            timerange=timerange,
            days=days,
            seed=seed,
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        ),
        warmups,
    )


@app.command()
def replay(
    run: Annotated[str | None, typer.Argument(help="A backtest: id, its prefix, `last` or a path.")] = None,
    state: State = None,
    data: Data = None,
    sha: Annotated[str | None, typer.Option("--sha", metavar="COMMIT", help="Walk it through this commit.")] = None,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Walk a recorded run again, by its settings or others; the first decision that differs; exit 6 if there is one."""
    from .commands import replay as command

    command.replay(
        command.ReplayOptions(
            run=run,
            state=state,
            data=data,
            sha=sha,
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        )
    )


@app.command()
def parity(state: State = None, data: Data = None, json: Json = False) -> None:
    """A paper session, running or not, against its replay: time, input and agent of the first difference; else 0."""
    from .commands import replay as command

    command.parity(command.ReplayOptions(state=state, data=data, json=json))


@app.command()
def stress(
    scenarios: Annotated[list[str] | None, typer.Argument(help="Names; default: all.")] = None,
    data: Data = None,
    venue: Venue = None,
    timeframe: Timeframe = None,
    pairs: Pairs = None,
    timerange: Timerange = None,
    seed: Seed = 7,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Crashes, outages, gaps and other bad days, with what must hold in every slice; exit 6 where it does not."""
    from .commands import stress as command

    command.run(
        command.StressOptions(
            scenarios=tuple(scenarios or ()),
            data=data,
            venue=venue,
            timeframe=timeframe,
            pairs=pairs,
            timerange=timerange,
            seed=seed,
            bus="local",
            config=config,
            env=env,
            sets=tuple(sets or ()),
            json=json,
        )
    )


@app.command()
def hypothesis(
    claim: Annotated[str | None, typer.Argument(help="A shipped claim or a YAML file; default: list them.")] = None,
    data: Data = None,
    seed: Seed = 7,
    plant: Annotated[
        float | None, typer.Option("--plant", help="Put a correlation in, to see whether it is found.")
    ] = None,
    placebo: Annotated[bool, typer.Option("--placebo", help="Shuffle the source's weeks: an empty control.")] = False,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Test a claim written down beforehand that a source leads the market: supported, not supported or cannot tell."""
    from .commands import hypothesis as command

    command.run(command.HypothesisOptions(claim, data, seed, plant, placebo, config, env, tuple(sets or ()), json))


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
