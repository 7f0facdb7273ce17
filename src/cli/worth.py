"""Commands that ask what a result is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import (
    Book,
    ConfigFile,
    Data,
    Days,
    Env,
    Grid,
    Jobs,
    Json,
    Pairs,
    Seed,
    Sets,
    State,
    Timeframe,
    Timerange,
    Venue,
    app,
)


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
    from ..commands import workers

    workers.prepare(jobs)
    from ..commands import ab as command

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
    book: Annotated[
        str,
        typer.Option(help="synthesized, mycelial, baseline ...; technical: the analysts alone, compiled."),
    ] = "synthesized",
    check: Annotated[
        int | None, typer.Option("--check", min=1, help="Of --book technical: so many of the best in the engine too.")
    ] = None,
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
    from ..commands import workers

    workers.prepare(1 if dask is not None else jobs)
    from ..commands import sweep as command

    command.run(
        command.SweepOptions(
            grid=tuple(grid or ()),
            optuna=optuna,
            objective=objective,
            book=book,
            check=check,
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
    from ..commands import gate as command

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
    from ..commands import forward as command
    from ..commands.tried import TriedOptions

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
    from ..commands import forward as command
    from ..commands.tried import TriedOptions

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
    from ..commands import lookahead as command
    from ..commands.finite import EvidenceOptions

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
    from ..commands import lookahead as command
    from ..commands.finite import EvidenceOptions

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
    from ..commands import replay as command

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
    from ..commands import replay as command

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
    from ..commands import stress as command

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
    from ..commands import hypothesis as command

    command.run(command.HypothesisOptions(claim, data, seed, plant, placebo, config, env, tuple(sets or ()), json))
