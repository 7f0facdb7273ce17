"""The result object, its way through a folder, and the tables that people read."""

import doctest
import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from src.backtesting import report, result, runs, text
from src.backtesting.recorder import Recorder
from src.backtesting.result import EDGE_TESTED, build, to_json
from src.backtesting.runs import Run, find_run, load_run
from src.core import metrics
from src.core.errors import DataError, NotFound, UsageError
from src.core.portfolio import Portfolio
from src.core.types import Pair

from .reports import FILLS, facts, record
from .reports import report as slice_report

FIELDS = re.split(
    " ",
    "run_id mode seed timeframe pairs timerange bars wall_s bars_per_s peak_rss_mb data_sha256 config_sha256 "
    "orders_sha256 decisions_sha256 census streams account market_change_ratio collisions conflicts refusals "
    "abstentions consensus deployments lifecycle messages simulated",
)
STREAM_FIELDS = ["trades", "win_ratio", "total_profit_ratio", "max_drawdown_ratio", "profit_factor", "sharpe", "fees"]


def finished(**changes: object) -> Run:
    given, done = facts(**changes), record(Recorder()).recorded()
    return Run(build(done, given), {book: list(closed) for book, closed in given.trades.items()}, done.curve)


def stored(folder: Path) -> Path:
    with Recorder(folder) as recorder:
        given = facts(run_id=folder.name)
        record(recorder).save(to_json(build(recorder.recorded(), given)), given.trades)
    return folder


def quiet(**changes: object) -> dict[str, Any]:
    """The result of a run in which nothing was bought."""
    recorder = Recorder()
    recorder.take(slice_report(0))
    recorder.take(slice_report(1))
    books = {"baseline": [], "mycelial": [], "synthesized": []}
    return build(recorder.recorded(), facts(portfolio=Portfolio(Decimal(1000)), trades=books, **changes))


# the result


def test_fields_stand_in_the_order_that_is_promised() -> None:
    names = list(finished().result)
    assert names[: len(FIELDS)] == FIELDS
    rest = [EDGE_TESTED, "buy_and_hold", "ideas", "agreement", "haven", "learning", "open_positions", "faults"]
    rest += ["controls", "strategy_types", "moats", "synthesis", "discovery", "effects"]
    rest += ["rss_slope_mb_per_100k_bars", "undefined", "verdict"]
    assert names[len(FIELDS) :] == rest


def test_figures_of_the_run() -> None:
    made = finished().result
    assert made["timeframe"] == "6h"
    assert made["timerange"] == ["2024-01-01T00:00:00.000Z", "2024-01-02T06:00:00.000Z"]
    assert (made["bars"], made["bars_per_s"]) == (9, 4.5)
    assert made["peak_rss_mb"] > 1
    assert made["market_change_ratio"] == pytest.approx((0.1 - 0.1) / 2, abs=1e-15)
    assert made["buy_and_hold"]["total_profit_ratio"] == made["market_change_ratio"]
    # at the end of the first day 90/100 and 12/10: 1.05, then (1.1 + 0.9) / 2 = 1
    assert made["buy_and_hold"]["max_drawdown_ratio"] == pytest.approx(0.05 / 1.05, rel=1e-12)
    assert made["ideas"] == {"baseline": 2, "mycelial": 1}
    assert (made["collisions"], made["conflicts"]) == (3, 1)
    assert made["abstentions"] == {"code": 1, "corporate_miner_1": 1}
    assert (made["consensus"], made["deployments"], made["lifecycle"]) == ({}, {}, {})


def test_the_account_is_marked() -> None:
    account = finished().result["account"]
    returns = [984.92 / 1000 - 1, 981.92 / 984.92 - 1]
    assert account["start_equity"] == 1000.0
    assert account["end_equity"] == 981.92
    assert (account["fees"], account["slippage"], account["fills"]) == (0.78, 0.3, 3)
    assert account["max_drawdown_ratio"] == pytest.approx(18.08 / 1000, rel=1e-12)
    assert account["sharpe"] == pytest.approx(metrics.sharpe(metrics.np.array(returns)), rel=1e-9)


def test_streams_are_of_closed_trades() -> None:
    streams = finished().result["streams"]
    assert list(streams) == ["baseline", "mycelial", "synthesized"]
    assert streams["baseline"] == dict(zip(STREAM_FIELDS, (0, None, 0.0, 0.0, None, None, 0.0), strict=True))
    own = streams["synthesized"]
    assert list(own) == STREAM_FIELDS
    assert (own["trades"], own["win_ratio"], own["fees"]) == (1, 0.0, 0.52)
    assert own["total_profit_ratio"] == pytest.approx(-14.72 / 1000, rel=1e-12)  # 90 - 104 - 2 * 0.36
    assert own["profit_factor"] == 0.0


def test_the_edge_tested_book_stands_beside_the_streams() -> None:
    made = finished().result
    swarm, tested = made["streams"]["mycelial"], made[EDGE_TESTED]
    assert (swarm["trades"], swarm["profit_factor"], swarm["total_profit_ratio"]) == (2, 1.25, 0.001)
    assert swarm["max_drawdown_ratio"] == pytest.approx(4 / 1005, rel=1e-12)
    assert (tested["trades"], tested["profit_factor"], tested["win_ratio"]) == (1, None, 1.0)


def test_open_positions_are_marked_to_the_last_close() -> None:
    (held,) = finished().result["open_positions"]
    assert (held["pair"], held["mark"], held["value"]) == ("ETH/USDT", 9.0, 9.0)
    assert (held["cost"], held["profit"], held["opened_at"]) == (12.36, -3.36, "2024-01-02T00:00:00.000Z")


def test_the_result_is_strict_json_and_money_keeps_its_digits() -> None:
    run = finished()
    raw = to_json(run.result)
    decoded = json.loads(raw, parse_constant=lambda token: pytest.fail(f"{token} is no JSON"))
    assert decoded == run.result
    assert list(decoded) == list(run.result)
    assert b'"end_equity":981.92,' in raw


def test_a_run_without_any_slice_has_a_result() -> None:
    empty = Portfolio(Decimal(1000))
    made = build(Recorder().recorded(), facts(portfolio=empty, trades={}, wall_s=0.0))
    assert (made["timerange"], made["bars_per_s"], made["market_change_ratio"]) == ([None, None], None, None)
    assert made["account"]["end_equity"] == 1000.0
    assert "TOTAL" in report.text(Run(made, {}, Recorder().recorded().curve))


@pytest.mark.parametrize(("given", "seen"), [(False, False), (True, True)])
def test_facts_alone_can_say_that_data_were_simulated(given: bool, seen: bool) -> None:
    assert finished(simulated=given).result["simulated"] is seen


# the verdict


def test_a_loss_is_called_a_loss() -> None:
    assert finished().result["verdict"] == (
        "The account lost 18.08 USDT (1.81 %), after 0.78 USDT of fees and 0.30 USDT of slippage, "
        "in 1 closed trade with 1 still open; buying and holding the market would have neither gained nor lost."
    )


def test_simulated_data_are_named_in_the_verdict() -> None:
    assert finished(simulated=True).result["verdict"].startswith("On simulated data, the account lost 18.08 USDT")


def test_no_trade_says_why() -> None:
    assert quiet()["verdict"] == (
        "No trade was made: 3 collisions, 3 refusals, most often edge_below_cost; the account neither gained nor lost; "
        "buying and holding the market would have gained 2.00 %."
    )
    assert quiet(refusals={}, counts={})["verdict"] == (
        "No trade was made: 0 baseline and 0 mycelial ideas, 0 collisions; the account neither gained nor lost; "
        "buying and holding the market would have gained 2.00 %."
    )


def test_a_refused_request_or_message_is_no_reason_for_no_trade() -> None:
    said = quiet(refusals={"no_such_source": 4, "implausible_idea": 9}, counts={})["verdict"]
    assert said.startswith("No trade was made: 0 baseline and 0 mycelial ideas, 0 collisions;")
    said = quiet(refusals={"no_such_source": 4, "edge_below_cost": 1})["verdict"]
    assert "1 refusal, most often edge_below_cost" in said


def test_money_that_went_in_an_earlier_session_is_not_hidden_by_a_quiet_one() -> None:
    made = quiet()
    made["account"]["end_equity"] = 990.0
    assert result.verdict(made).startswith("The account lost 10.00 USDT (1.00 %)")


def test_a_gain_is_called_a_gain() -> None:
    made = finished().result
    made["account"]["end_equity"] = 1100.0
    assert result.verdict(made).startswith("The account gained 100.00 USDT (10.00 %), after 0.78 USDT of fees")
    made["account"]["end_equity"] = 1000.0
    assert result.verdict(made).startswith("The account neither gained nor lost, after")
    made["account"]["end_equity"] = 999.99999
    assert result.verdict(made).startswith("The account lost 0.00001 USDT (0.00 %), after")


# the folder


def test_a_folder_is_read_back_as_it_was(tmp_path: Path) -> None:
    back, run = load_run(stored(tmp_path / "run-1")), finished()
    assert back.trades == {book: closed for book, closed in run.trades.items() if closed}
    assert back.curve.at.tolist() == run.curve.at.tolist()
    assert back.curve.equity.tolist() == run.curve.equity.tolist()
    assert back.curve.cash.tolist() == run.curve.cash.tolist()
    machine = {"peak_rss_mb", "rss_slope_mb_per_100k_bars", "wall_s"}
    assert {k: v for k, v in back.result.items() if k not in machine} == {
        k: v for k, v in run.result.items() if k not in machine
    }
    assert report.pairs_csv(back) == report.pairs_csv(run)


def test_runs_are_found_by_id_prefix_last_and_path(tmp_path: Path) -> None:
    older, newer, third = (stored(tmp_path / name) for name in ("20240101-aa", "20240101-b", "2024"))
    for age, folder in enumerate((older, third, newer)):
        os.utime(folder / "result.json", (1_700_000_000 + age, 1_700_000_000 + age))
    assert find_run(tmp_path, "last") == newer
    assert find_run(tmp_path, "20240101-a") == older
    assert find_run(tmp_path, "2024") == third  # the whole id wins over prefixes
    assert find_run(tmp_path / "elsewhere", str(older)) == older
    assert find_run(tmp_path / "elsewhere", str(older / "result.json")) == older


def test_what_is_not_found_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no run 'last': .* holds no finished run; make one with `mycelial backtest`"):
        find_run(tmp_path, "last")
    for name in ("one", "other"):
        stored(tmp_path / name)
    with pytest.raises(NotFound, match=r"no run 'x': .* holds (other, one|one, other)$"):
        find_run(tmp_path, "x")
    with pytest.raises(UsageError, match=r"run 'o' fits (other, one|one, other): write more of it"):
        find_run(tmp_path, "o")
    with pytest.raises(NotFound, match="no run ''"):
        find_run(tmp_path, "")


def test_a_run_that_did_not_end_is_not_a_run(tmp_path: Path) -> None:
    with Recorder(tmp_path / "cut") as recorder:
        record(recorder)
    with pytest.raises(NotFound, match="no run 'cut'"):
        find_run(tmp_path, "cut")
    with pytest.raises(NotFound, match=r"holds no result\.json: that run did not end"):
        find_run(tmp_path, str(tmp_path / "cut"))


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("result.json", "{", "result.json: not a result"),
        ("trades.csv", "id,stream\n1,nonsense\n", "trades.csv:2: not a trade"),
        ("equity.csv", "at,equity,cash\n2024-01-01T00:00:00.000Z,one,1\n", "equity.csv: not an equity curve"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, body: str, message: str) -> None:
    folder = stored(tmp_path / "run-1")
    (folder / name).write_text(body)
    with pytest.raises(DataError, match=message):
        load_run(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = stored(tmp_path / "run-1")
    (folder / "trades.csv").unlink()
    with pytest.raises(NotFound, match=r"trades\.csv is missing"):
        load_run(folder)


# the tables


def row(shown: str, table: str, name: str) -> list[str]:
    """The cells of the first row called `name` in a table of the plain text."""
    lines = shown[shown.index(table) :].splitlines()
    line = next(line for line in lines if line.startswith(f"| {name} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_blocks_come_in_the_order_people_know() -> None:
    shown = report.text(finished(), "day")
    titles = [
        "BACKTESTING REPORT",
        "LEFT OPEN TRADES REPORT",
        "EXIT REASON STATS",
        "STREAMS",
        "REFUSALS",
        "DAY BREAKDOWN",
        "SUMMARY METRICS",
        "The account lost 18.08 USDT",
    ]
    places = [shown.index(title) for title in titles]
    assert places == sorted(places)


def test_columns_are_freqtrades() -> None:
    shown = report.text(finished())
    assert row(shown, "BACKTESTING REPORT", "Pair") == [
        "Pair",
        "Trades",
        "Avg Profit %",
        "Tot Profit USDT",
        "Tot Profit %",
        "Avg Duration",
        "Win  Draw  Loss  Win%",
    ]
    cells = ["1", "-14.11", "-14.72", "-1.47", "12:00", "0     0     1   0.0"]
    assert row(shown, "BACKTESTING REPORT", "BTC/USDT") == ["BTC/USDT", *cells]
    assert row(shown, "BACKTESTING REPORT", "TOTAL") == ["TOTAL", *cells]
    assert row(shown, "EXIT REASON STATS", "horizon") == ["horizon", *cells]


def test_what_is_left_open_is_shown_with_its_loss() -> None:
    cells = row(report.text(finished()), "LEFT OPEN TRADES REPORT", "ETH/USDT")
    assert cells == ["ETH/USDT", "1", "-27.18", "-3.36", "-0.34", "6:00", "0     0     1   0.0"]


def test_streams_stand_side_by_side() -> None:
    shown = report.text(finished())
    assert row(shown, "STREAMS", "baseline") == ["baseline", "2", "0", "-", "0.00", "0.00", "-", "-", "0.00"]
    assert row(shown, "STREAMS", "mycelial, edge above cost")[2:5] == ["1", "100.0", "0.50"]
    assert row(shown, "STREAMS", "buy and hold")[2:6] == ["-", "-", "0.00", "4.76"]


def test_summary_has_two_columns_and_says_the_annualisation() -> None:
    shown = report.text(finished())
    assert row(shown, "SUMMARY METRICS", "Absolute profit") == ["Absolute profit", "-18.08 USDT"]
    assert row(shown, "SUMMARY METRICS", "Total profit %") == ["Total profit %", "-1.81"]
    assert row(shown, "SUMMARY METRICS", "Sharpe (daily equity, x sqrt(365))")[1] != "-"
    assert row(shown, "SUMMARY METRICS", "Rejected entry signals")[1] == "3"
    assert row(shown, "SUMMARY METRICS", "Days win/draw/lose")[1] == "0 / 0 / 2"
    assert row(shown, "SUMMARY METRICS", "Drawdown End")[1] == "2024-01-02T06:00:00.000Z"
    assert row(shown, "SUMMARY METRICS", "data sha256")[1] == "d" * 16
    assert row(shown, "SUMMARY METRICS", "Abstentions")[1] == "code 1, corporate_miner_1 1"


def test_a_day_without_change_is_a_draw() -> None:
    recorder = Recorder()
    recorder.take(slice_report(0))
    shown = report.text(Run(quiet(), {}, recorder.recorded().curve))
    assert row(shown, "SUMMARY METRICS", "Days win/draw/lose")[1] == "0 / 1 / 0"


def test_refusals_come_most_often_first() -> None:
    shown = report.text(finished())
    assert shown.index("edge_below_cost") < shown.index("NO_DATA")
    assert row(shown, "REFUSALS", "TOTAL")[1] == "3"


def test_rejected_entries_are_of_who_wanted_to_buy() -> None:
    counted = {"edge_below_cost": 5, "max_positions": 2, "nothing_to_close": 3, "no_such_source": 4}
    shown = report.text(finished(refusals=counted))
    assert row(shown, "SUMMARY METRICS", "Rejected entry signals")[1] == "7"
    assert row(shown, "REFUSALS", "TOTAL")[1] == "14"


def test_simulated_data_have_a_banner_on_top() -> None:
    assert report.text(finished(simulated=True)).startswith("SIMULATED DATA: ")
    assert "SIMULATED" not in report.text(finished())


def test_plain_text_has_no_escapes_and_no_cut_cells() -> None:
    shown = report.text(finished(), "month")
    assert "\x1b" not in shown
    assert "\u2026" not in shown
    assert shown.isascii()


def test_what_data_say_is_never_read_as_markup() -> None:
    assert "[bold]odd[/bold]" in report.text(finished(refusals={"[bold]odd[/bold]": 1}))


def test_breakdowns() -> None:
    run = finished()
    units = (
        ("day", "2024-01-01"),
        ("week", "2024-01-01"),
        ("month", "2024-01"),
        ("year", "2024"),
        ("weekday", "1 Mon"),
    )
    for unit, name in units:
        assert row(report.text(run, unit), f"{unit.upper()} BREAKDOWN", name)[1] == "1"
    with pytest.raises(UsageError, match="breakdown 'hour': choose day, week, month"):
        report.text(run, "hour")


def test_a_trade_that_closes_at_midnight_belongs_to_the_day_before() -> None:
    closing = FILLS[1].at
    assert report.period(closing, "day") == "2024-01-01"
    assert report.period(closing + 1, "day") == "2024-01-02"
    assert report.period(closing - 5 * 86_400_000, "week") == "2023-12-25"
    assert report.period(closing - 5 * 86_400_000, "month") == "2023-12"


def test_several_runs_are_compared_in_one_table() -> None:
    table = report.comparison_table([finished(), finished(run_id="run-2", simulated=True)])
    assert list(table.columns[0].cells) == ["run-1", "run-2"]
    assert list(table.columns[-1].cells) == ["recorded", "simulated"]


def test_pairs_as_csv_with_raw_numbers() -> None:
    header, line = report.pairs_csv(finished()).splitlines()
    cells = dict(zip(header.split(","), line.split(","), strict=True))
    assert (cells["pair"], cells["trades"], cells["profit"]) == ("BTC/USDT", "1", "-14.72")
    assert cells["profit_factor"] == "0.0"


def test_pairs_of_different_quotes_have_no_quote() -> None:
    assert result.quote_of([Pair("BTC/USDT"), Pair("ETH/USD")]) == ""


def test_examples_in_the_documentation() -> None:
    for module in (report, result, runs, text):
        assert doctest.testmod(module).failed == 0
