"""A verdict promotes what it is about, as it was judged, and nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest

from src.backtesting.evidence.examination import Rules
from src.backtesting.evidence.gate import Criterion
from src.backtesting.evidence.verdict import (
    GATE,
    Bound,
    Passed,
    Refused,
    Verdict,
    find_verdict,
    judged_folders,
    read,
    rules_sha256,
    verdict_for,
    write,
)
from src.core.canonical import digest, encode
from src.core.errors import DataError, NotFound, UsageError
from tests.worlds import settings

CODE, CONFIG, DATA = ("c" * 64, "f" * 64, "d" * 64)


def rules(**changes: object) -> Rules:
    tree = settings(**changes)
    return Rules(tree.gate, tree.validation, tree.statistics)


BOUND = Bound(CODE, CONFIG, rules(), DATA)
MET = Criterion("days", "days it ran", "at least", 90, 120.0, "passed")
MISSED = Criterion("trades", "trades it closed", "at least", 30, 4.0, "failed")
UNKNOWN = Criterion("paths", "median", "above", 0.0, None, "not enough data", "too short")


def folder(path: Path, **changes: object) -> Path:
    """A run's folder with a verdict that lets it pass, but for the changes."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "result.json").write_bytes(b"{}\n")
    verdict = Verdict(
        passed=True, run_id="r", seed=7, simulated=False, trials=1, code_sha256=CODE, config_sha256=CONFIG,
        data_sha256=DATA, rules_sha256=rules_sha256(BOUND.rules),
        files={"result.json": hashlib.sha256(b"{}\n").hexdigest()}, criteria=(MET,),
    )  # fmt: skip
    write(path, msgspec.structs.replace(verdict, **changes))
    return path


def reason(path: Path, bound: Bound = BOUND) -> str:
    answer = verdict_for(path, bound)
    assert isinstance(answer, Refused)
    return answer.reason


def test_a_verdict_of_the_same_hashes_lets_pass(tmp_path: Path) -> None:
    answer = verdict_for(folder(tmp_path), BOUND)
    assert isinstance(answer, Passed)
    assert (answer.path, answer.verdict.criteria) == (tmp_path / GATE, (MET,))
    assert isinstance(verdict_for(tmp_path, Bound(CODE, CONFIG, rules())), Passed)


def test_the_file_is_canonical_and_its_digest_is_of_everything_else(tmp_path: Path) -> None:
    body = (folder(tmp_path) / GATE).read_bytes()
    plain = msgspec.json.decode(body, type=dict[str, object])
    assert body == encode(plain) + b"\n"
    assert plain.pop("digest") == digest(plain)


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (Bound("0" * 64, CONFIG, rules(), DATA), "another code (code_sha256 cccccccccccc, not 000000000000)"),
        (Bound(CODE, "0" * 64, rules(), DATA), "another configuration"),
        (Bound(CODE, CONFIG, rules(), "0" * 64), "another data"),
        (Bound(CODE, CONFIG, rules(gate__min_days=1), DATA), "other limits"),
        (Bound(CODE, CONFIG, rules(validation__folds=5), DATA), "other limits"),
        (Bound(CODE, CONFIG, rules(statistics__draws=100), DATA), "other limits"),
    ],
)
def test_a_verdict_about_something_else_is_refused(tmp_path: Path, bound: Bound, said: str) -> None:
    assert said in reason(folder(tmp_path), bound)


def test_a_verdict_that_did_not_pass_is_refused_by_name(tmp_path: Path) -> None:
    said = reason(folder(tmp_path, passed=False, criteria=(MET, MISSED, UNKNOWN)))
    assert "did not pass (trades, paths)" in said


def test_a_verdict_that_contradicts_its_criteria_is_refused(tmp_path: Path) -> None:
    assert "did not pass (trades)" in reason(folder(tmp_path, criteria=(MET, MISSED)))


def test_made_up_prices_promote_nothing(tmp_path: Path) -> None:
    assert "made-up prices" in reason(folder(tmp_path, simulated=True))


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'"passed":false', b'"passed":true'), (b'"value":4.0', b'"value":40.0'), (b'"trials":1', b'"trials":2')],
)
def test_an_edited_verdict_is_found(tmp_path: Path, old: bytes, new: bytes) -> None:
    path = folder(tmp_path, passed=False, criteria=(MISSED,)) / GATE
    body = path.read_bytes()
    assert old in body
    path.write_bytes(body.replace(old, new))
    with pytest.raises(DataError, match="was edited"):
        read(path)
    assert "was edited" in reason(tmp_path)


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"digest":1}', b"\xff\xfe"])
def test_what_is_no_verdict_is_named(tmp_path: Path, body: bytes) -> None:
    (tmp_path / GATE).write_bytes(body)
    assert GATE in reason(tmp_path)


def test_a_whole_file_of_another_shape_is_no_verdict(tmp_path: Path) -> None:
    for plain, said in (({"version": 1}, "no verdict"), ({"version": 2}, "version 2")):
        (tmp_path / GATE).write_bytes(encode({**plain, "digest": digest(plain)}))
        assert said in reason(tmp_path)


def test_a_result_that_was_changed_after_it_was_judged_is_found(tmp_path: Path) -> None:
    (folder(tmp_path) / "result.json").write_bytes(b"{ }\n")
    assert "result.json beside it was changed" in reason(tmp_path)


def test_a_verdict_that_was_carried_away_from_its_run_promotes_nothing(tmp_path: Path) -> None:
    (folder(tmp_path) / "result.json").unlink()
    assert "result.json, which it judged, does not lie beside it" in reason(tmp_path)


def test_a_folder_without_a_verdict_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="mycelial gate"):
        read(tmp_path / GATE)
    assert "holds no gate.json" in reason(tmp_path)


def test_a_verdict_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    verdict = read(folder(tmp_path) / GATE)
    with pytest.raises(UsageError, match="was not written"):
        write(tmp_path / "nowhere", verdict)


def test_the_one_that_passes_is_found_among_others(tmp_path: Path) -> None:
    folder(tmp_path / "old")
    folder(tmp_path / "new", code_sha256="0" * 64)
    answer = find_verdict(judged_folders(tmp_path), BOUND)
    assert isinstance(answer, Passed)
    assert answer.path == tmp_path / "old" / GATE
    nothing = find_verdict([], BOUND)
    assert isinstance(nothing, Refused)
    assert "no run has been judged" in nothing.reason
