"""The recorder: files, hashes, curves, and that it costs next to nothing."""

import gc
import hashlib
import json
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from src.backtesting.evidence import verdict
from src.backtesting.recorder import SAID_OF_IT, Recorder, money_text
from src.backtesting.result import EDGE_TESTED, build, to_json
from src.backtesting.sheet import folder
from src.core import records
from src.core.canonical import encode
from src.core.clock import Timer
from src.core.errors import DataError, InvariantError, UsageError
from src.core.timeframes import DAY_MS
from src.core.types import Decision, Stream

from .reports import BEGIN, DECISIONS, FILLS, at, facts, fill, order, record, report, run_reports

QUIET_SLICE_US = 5.0


def saved(out: Path) -> Recorder:
    with Recorder(out) as recorder:
        record(recorder)
        given = facts()
        recorder.save(to_json(build(recorder.recorded(), given)), given.trades)
    return recorder


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_decisions_stand_in_order_in_canonical_form(tmp_path: Path) -> None:
    saved(tmp_path)
    expected = b"".join(encode(records.decision_fields(decision)) + b"\n" for decision in DECISIONS)
    assert (tmp_path / "decisions.jsonl").read_bytes() == expected
    first = json.loads(expected.splitlines()[0])
    assert (first["at"], first["kind"], first["source"]) == ("2024-01-01T06:00:00.000Z", "idea", "baseline")
    assert "reason" not in first


def test_hashes_are_those_of_the_files_with_or_without_a_folder(tmp_path: Path) -> None:
    written, kept = saved(tmp_path).recorded(), record(Recorder()).recorded()
    assert written.decisions_sha256 == kept.decisions_sha256 == sha(tmp_path / "decisions.jsonl")
    assert written.orders_sha256 == kept.orders_sha256 == sha(tmp_path / "orders.jsonl")


def test_orders_come_first_then_fills_each_by_time_pair_and_id(tmp_path: Path) -> None:
    saved(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "orders.jsonl").read_bytes().splitlines()]
    named = [line.get("order_id", line["id"]) for line in lines]
    assert named == ["b-order", "c-order", "a-order", "b-order", "c-order", "a-order"]
    assert ["order_id" in line for line in lines] == [False] * 3 + [True] * 3


def test_the_order_of_arrival_within_a_slice_does_not_move_the_hash() -> None:
    one, other = Recorder(), Recorder()
    orders = tuple(order(0, FILLS[0].pair, FILLS[0].side, name) for name in ("b", "a"))
    fills = tuple(fill(0, FILLS[0].pair, FILLS[0].side, name, "100") for name in ("b", "a"))
    one.take(report(0, orders=orders, fills=fills))
    other.take(report(0, orders=orders[::-1], fills=fills[::-1]))
    assert one.orders_sha256 == other.orders_sha256


def test_every_decision_moves_the_hash() -> None:
    recorder = Recorder()
    seen = {recorder.decisions_sha256}
    for each in run_reports()[:3]:
        recorder.take(each)
        seen.add(recorder.decisions_sha256)
    assert len(seen) == 4


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(DataError, match="not a finite number at"):
        Recorder().take(report(0, decisions=(Decision(at(0), "idea", detail={"score": float("nan")}),)))


def test_counts_and_curve() -> None:
    done = record(Recorder()).recorded()
    assert (done.slices, done.bars, done.fills) == (5, 9, 3)
    assert done.ideas == {"baseline": 2, "mycelial": 1}
    assert done.abstentions == {"code": 1, "corporate_miner_1": 1}
    assert done.faults == {"learner-7": 1}
    assert (done.started, done.ended) == (BEGIN, at(4))
    assert done.curve.equity.tolist() == [100000000000, 99964000000, 99764000000, 98492000000, 98192000000]
    assert done.curve.equity_quote()[1] == 999.64
    assert not done.simulated


def test_daily_closes_end_at_midnight_and_first_closes_wait_for_the_first() -> None:
    done = record(Recorder()).recorded()
    assert done.days.tolist() == [BEGIN // DAY_MS, BEGIN // DAY_MS + 1]
    assert done.daily_closes.tolist() == [[90.0, 12.0], [110.0, 9.0]]
    assert done.first_closes.tolist() == [100.0, 10.0]


def test_recording_goes_on_after_a_look() -> None:
    recorder = Recorder()
    recorder.take(run_reports()[0])
    early = recorder.recorded()
    recorder.take(run_reports()[1])
    assert (early.slices, recorder.recorded().slices) == (1, 2)
    assert len(early.curve.at) == 1


def test_nothing_recorded_is_nothing() -> None:
    done = Recorder().recorded()
    assert (done.slices, done.started, done.ended, len(done.days), len(done.curve.at)) == (0, None, None, 0, 0)
    assert done.orders_sha256 == hashlib.sha256(b"").hexdigest()


def test_one_simulated_slice_makes_the_run_simulated() -> None:
    recorder = Recorder()
    recorder.take(report(0))
    recorder.take(report(1, simulated=True))
    recorder.take(report(2))
    assert recorder.recorded().simulated


def test_equity_csv(tmp_path: Path) -> None:
    saved(tmp_path)
    assert (tmp_path / "equity.csv").read_text().splitlines()[:3] == [
        "at,equity,cash",
        "2024-01-01T06:00:00.000Z,1000,1000",
        "2024-01-01T12:00:00.000Z,999.64,895.64",
    ]


def test_trades_csv_names_the_book(tmp_path: Path) -> None:
    saved(tmp_path)
    header, *rows = (tmp_path / "trades.csv").read_text().splitlines()
    assert header == (
        "id,stream,pair,amount,entry_at,exit_at,entry_price,exit_price,fees,slippage,profit,profit_ratio,"
        "exit_reason,score,leave_at"
    )
    assert [row.split(",")[1] for row in rows] == ["mycelial", "mycelial", EDGE_TESTED, Stream.SYNTHESIZED]


def test_an_old_result_does_not_stay_beside_new_decisions(tmp_path: Path) -> None:
    saved(tmp_path)
    with Recorder(tmp_path):
        assert not (tmp_path / "result.json").exists()
        assert (tmp_path / "decisions.jsonl").read_bytes() == b""


def test_what_was_said_of_an_old_run_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    assert (verdict.GATE, folder.AB) == SAID_OF_IT
    saved(tmp_path)
    for name in SAID_OF_IT:
        (tmp_path / name).write_text('{"passed":true}')
    saved(tmp_path)
    assert (tmp_path / "result.json").exists()
    assert not [name for name in SAID_OF_IT if (tmp_path / name).exists()]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"--out .*file/run: Not a directory; name a folder"):
        Recorder(tmp_path / "file" / "run")


def test_an_account_too_large_for_the_record_is_said() -> None:
    with pytest.raises(InvariantError, match="equity 100000000000 is more"):
        Recorder().take(report(0, equity="100000000000"))


def test_money_text() -> None:
    assert [money_text(units) for units in (0, 1, -150_000_000, 10**10)] == ["0", "0.00000001", "-1.5", "100"]


def test_a_slice_in_which_nothing_happened_costs_little() -> None:
    recorder = Recorder()
    record(recorder)
    quiet, count = report(4, "981.92", "972.92"), 2000
    reports = [msgspec.structs.replace(quiet, at=quiet.at + n * 3_600_000) for n in range(count)]
    times, timer = [], Timer()
    gc.disable()
    try:
        for _ in range(5):
            begin = timer.seconds()
            for each in reports:
                recorder.take(each)
            times.append((timer.seconds() - begin) / count * 1e6)
    finally:
        gc.enable()
    assert min(times) < QUIET_SLICE_US, f"{min(times):.2f} us a slice"


def test_equity_is_exact_to_the_last_booked_place() -> None:
    recorder = Recorder()
    recorder.take(report(0, equity="90000000000.00000001"))
    assert np.array_equal(recorder.recorded().curve.equity, [9_000_000_000_000_000_001])
    assert Decimal(money_text(9_000_000_000_000_000_001)) == Decimal("90000000000.00000001")
