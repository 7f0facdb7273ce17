"""Commands that run the model, and those that look after data, settings and this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import ConfigFile, Data, Env, Json, Pairs, Seed, Sets, State, Timerange, app


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
    from ..commands import run as command
    from ..commands.options import ProcessOptions

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
    from ..commands import backtest as command
    from ..commands.options import BacktestOptions

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
def list_data(
    data: Data = None,
    quality: Annotated[
        bool, typer.Option("--quality", help="Gaps, outages, still prices, jumps of every file.")
    ] = False,
    query: Annotated[str | None, typer.Option("--query", help="A question in SQL to the table `bars`.")] = None,
    json: Json = False,
) -> None:
    """What the data folder holds: ranges, gaps, hashes."""
    from ..commands import data as command

    command.inspect(data, quality, query, json)


@app.command("import-data")
def import_data(
    source: Annotated[
        Path, typer.Argument(help="CSV, Parquet, Freqtrade feather, Kraken archive; a folder or zip of them.")
    ],
    venue: Annotated[str, typer.Option(help="Where it is filed.")],
    timeframe: Annotated[str | None, typer.Option(help="Its bar length; default: from the file's name.")] = None,
    pair: Annotated[str | None, typer.Option(help="BASE/QUOTE; default: from the file's name.")] = None,
    data: Data = None,
    json: Json = False,
) -> None:
    """Bring bars of your own into the data folder."""
    from ..commands import data as command

    command.import_data(source, venue, timeframe, pair, data, json)


@app.command("download-data")
def download_data(
    pairs: Annotated[str, typer.Option("--pairs", help="BTC/USD,ETH/USD.")],
    timeframes: Annotated[str, typer.Option("--timeframes", help="Bar lengths, for instance 5m,1h.")] = "1h",
    timerange: Timerange = None,
    data: Data = None,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Kraken's history into the data folder; run it again to go on where it ended."""
    from ..commands import download as command

    command.run(pairs, timeframes, timerange, data, config, env, tuple(sets or ()), json)


@app.command("show-config")
def show_config(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
    config: ConfigFile = None,
    env: Env = None,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Every value in force; secrets hidden."""
    from ..commands import settings as command

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
    from ..commands import doctor as command

    command.run(state, data, config, env, tuple(sets or ()), json, sources)


@app.command()
def verify(
    ledger: Annotated[Path, typer.Argument(help="A ledger file or the folder it lies in.")], json: Json = False
) -> None:
    """Check the hash chain, fills against positions and the cash identity; exit 6 when broken."""
    from ..commands import ledger as command

    command.verify(ledger, json)


@app.command()
def bench(
    only: Annotated[str | None, typer.Option("--only", help="One benchmark by name.")] = None, json: Json = False
) -> None:
    """The benchmarks, as ratios against whichever peers are installed."""
    from ..commands import bench as command

    command.run(only, json)
