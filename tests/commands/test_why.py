"""`why`, `why-not`, `census` and `tap` as their users type them."""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Event, Thread
from typing import Any

import msgspec
import pytest

from src.commands import tap as tapping
from src.commands.census import exchanged, judged, tree
from src.connectors.control import ask
from src.connectors.embedded_valkey import EmbeddedValkey
from src.connectors.redis_bus import RedisBus, tap
from src.connectors.state_folder import find
from src.core.clock import SimClock, Timer
from src.core.envelopes import finiteness
from src.core.messages import CHANNELS, Barrier, Message
from tests.worlds import settings

from .cli import PAIRS, SECONDS, SMALL, Process, Say, mycelial, one_line, refused


@pytest.fixture(scope="module")
def run(planted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with trades, in the default place."""
    place = tmp_path_factory.mktemp("why")
    done = mycelial("backtest", "--data", planted, *SMALL, "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    return place / "runs" / msgspec.json.decode(done.stdout)["run_id"]


def orders(run: Path) -> list[dict[str, Any]]:
    found = [msgspec.json.decode(line) for line in (run / "orders.jsonl").read_bytes().splitlines()]
    return [one for one in found if "order_id" not in one]


def answer(say: Say, *words: str | Path) -> Any:
    done = say(*words, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    return msgspec.json.decode(line)


def test_every_order_of_a_run_can_be_explained(run: Path, say: Say) -> None:
    found = orders(run)
    assert {one["reason"] for one in found} >= {"entry", "opposite_idea"}
    for order in found:
        told = answer(say, "why", order["id"], "--run", run)
        assert told["order"] == order
        if order["reason"] in ("entry", "opposite_idea"):
            assert told["replay"]["reproduces"] is True
        assert told["outcome"]["states"]


def test_every_hour_of_a_pair_without_an_order_has_a_reason(run: Path, say: Say) -> None:
    reasons = set()
    for hour in range(1, 24):
        told = answer(say, "why-not", PAIRS[0], "--at", f"2021-01-12T{hour:02}:00", "--run", run)
        assert bool(told["stopped_by"]) != bool(told["orders"])
        reasons.add(told["stopped_by"])
    assert len(reasons) > 1


def test_both_speak_to_people_too(run: Path, say: Say) -> None:
    entry = next(one for one in orders(run) if one["reason"] == "entry")
    page = say("why", entry["id"][:13], "--run", run).stdout
    for words in (
        entry["id"],
        "decided again from the messages: the same",
        "edge_against_cost",
        "trade ",
        "message local/1/",
    ):
        assert words in page
    silence = say("why-not", PAIRS[0], "--run", run).stdout
    assert silence.startswith(f"{PAIRS[0]} at 2021-01-17T16:00:00.000Z: ")
    assert "\nbefore: " in silence


def test_what_cannot_be_answered(run: Path, say: Say, tmp_path: Path) -> None:
    for code, words, said in [
        (2, ("why", "nobody", "--run", run), "no order 'nobody'"),
        (4, ("why", "", "--run", run, "--state", tmp_path), "name one of them"),
        (2, ("why", "x"), "there is no such ledger; `--run last`"),
        (2, ("why", "x", "--run", "last"), "holds no finished run"),
        (2, ("why", "x", "--state", tmp_path / "none"), "there is no such ledger"),
        (2, ("why-not", "DOGE/USDT", "--run", run), "no pair 'DOGE/USDT'; there are BTC/USDT"),
        (2, ("why-not", "BTC/USDT", "--at", "2020-01-01", "--run", run), "outside the run"),
        (4, ("why-not", "BTC/USDT", "--at", "noon", "--run", run), "--at 'noon': write 2022-03-01"),
        (4, ("why",), "Missing argument"),
        (4, ("census", "--run", run, "--pairs", "BTC/USDT"), "are what they were"),
        (4, ("tap", "mycelial-trade-idea"), "did you mean 'mycelial-trade-ideas'?"),
        (4, ("tap", "nonsense:*"), "did you mean"),
    ]:
        done = say(*words)
        refused(done, code, said)
        one_line(done)
    many = [one["id"][0] for one in orders(run)]
    twice = next(letter for letter in many if many.count(letter) > 1)
    refused(say("why", twice, "--run", run), 4, "write more of it")


def test_a_damaged_ledger_is_a_failed_check(run: Path, say: Say, tmp_path: Path) -> None:
    hurt = tmp_path / "runs" / "hurt"
    shutil.copytree(run, hurt)
    (hurt / "ledger.sqlite").write_bytes((run / "ledger.sqlite").read_bytes()[:5000])
    for words in (("why", "x"), ("why-not", "BTC/USDT"), ("census",)):
        done = say(*words, "--run", "hurt")
        refused(done, 6, "ledger.sqlite")
        one_line(done)
    (hurt / "ledger.sqlite").unlink()
    refused(say("why", "x", "--run", "hurt"), 2, "there is no such ledger")


def test_a_running_process_is_asked_without_being_disturbed(planted: Path, tmp_path: Path, say: Say) -> None:
    words = ("--data", planted, *SMALL, "--bus", "local", "--speed", "3600x", "--json")
    with Process(*words, cwd=tmp_path, state=tmp_path / "state") as process:
        process.slices(3)
        told = answer(say, "why-not", "BTC/USDT", "--state", process.state)
        assert told["stopped_by"] == "baseline"
        live = answer(say, "census", "--lineage", "--state", process.state)
        assert live["of"] == "the running process"
        assert sum(live["by_moat"].values()) >= len(live["lineage"]) == live["census"]["pattern_learner"]
        ask(find(process.state), "stop", SECONDS)
        process.result()
    after = answer(say, "why-not", "BTC/USDT", "--state", process.state)
    assert after["at"] >= told["at"]


def test_the_census_of_a_finished_run(run: Path, say: Say) -> None:
    found = answer(say, "census", "--lineage", "--run", run)
    result = msgspec.json.decode((run / "result.json").read_bytes())
    assert found["census"] == result["census"]
    assert found["by_team"]["explorers-HFT"] == 3
    assert found["by_pair"]["SOL/USDT"] == 1, "its miner; nobody deployed a team"
    assert set(found["by_moat"]) == {"market", "code", "government", "logistics", "corporate"}
    learners = found["lineage"]
    assert len(learners) == found["census"]["pattern_learner"]
    names = {one["name"] for one in learners}
    for one in learners:
        assert one["children"] == sum(other["parent"] == one["name"] for other in learners)
        assert (one["parent"] is None) == (one["generation"] == 0)
    assert (found["toxic"], found["toxic_since"]) == (0, {})
    assert found["learning"] == result["learning"]
    for one in found["exchanges"]:
        assert {one["giver"], one["taker"]} <= names
    assert any(one["parent"] in names for one in learners), "nobody shared: the tree would prove nothing"
    page = say("census", "--lineage", "--run", run).stdout.splitlines()
    assert len(page[page.index(next(exchanged(found["exchanges"]))) :]) == 1 + len(found["exchanges"]) > 1
    page = page[: page.index(next(exchanged(found["exchanges"])))]
    listed = [line.split()[0] for line in page if line.strip().startswith("learner-")]
    assert sorted(listed) == sorted(names)
    assert "lineage" not in answer(say, "census", "--run", run)


def member(name: str, parent: str | None, generation: int) -> dict[str, Any]:
    return {"name": name, "parent": parent, "generation": generation, "moat": "market", "horizon": "HFT",
            "pair": "BTC/USDT", "children": 0}  # fmt: skip


def test_a_tree_shows_everybody_once_circles_and_orphans_too() -> None:
    living = [member("a", None, 0), member("b", "a", 1), member("c", "b", 2), member("orphan", "gone", 4),
              member("x", "y", 3), member("y", "x", 2)]  # fmt: skip
    lines = [line.rstrip() for line in tree(living)][1:]
    assert [line.split()[0] for line in lines] == ["a", "b", "c", "orphan", "y", "x"]
    assert [len(line) - len(line.lstrip()) for line in lines] == [0, 2, 4, 0, 0, 2]
    assert [line.split()[-1] for line in lines] == ["-", "a", "b", "gone", "x", "y"]


# --- tap ---------------------------------------------------------------------------------------------------------


def made(kind: type[Message]) -> Message:
    """Some message of a struct: the smallest value of each field."""
    by_type = {str: "x", int: 1, float: 0.5, bool: False}
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(kind):
        kind_of = field.type
        if field.name in ("at", "known_at"):
            fields[field.name] = 0
        elif field.required:
            plain = getattr(kind_of, "__supertype__", kind_of)
            members = list(plain) if isinstance(plain, type) and issubclass(plain, str) and plain is not str else []
            origin = getattr(plain, "__origin__", None)
            fields[field.name] = members[0] if members else {tuple: (), dict: {}}.get(origin, by_type.get(plain))
    return kind(**fields)


def test_every_channel_of_the_table_can_be_tapped() -> None:
    tree_of = settings()
    server = EmbeddedValkey(0, tree_of.bus.connect_timeout_seconds)
    bus = RedisBus(server.url, SimClock(), tree_of.bus, producer="own", epoch=1, timer=Timer())
    stop, seen, ready = Event(), {}, Event()

    def show(channel: str, raw: bytes) -> None:
        ready.set()
        seen[channel] = raw
        if len(seen) == len(CHANNELS):
            stop.set()

    listener = Thread(target=tap, args=(server.url, "*", show, stop))
    listener.start()
    try:
        while not ready.wait(0.05):
            assert bus.ping()
        for channel in CHANNELS:
            if channel.struct is not Barrier:
                bus.publish(
                    channel.template.partition("{")[0] + ("x" if "{" in channel.template else ""), made(channel.struct)
                )
        assert bus.settle()
        assert stop.wait(SECONDS), sorted(seen)
    finally:
        stop.set()
        listener.join(SECONDS)
        bus.close()
        server.close()
    assert len(seen) == len(CHANNELS)
    for channel, raw in seen.items():
        tapping.check(channel)
        line = tapping.line(channel, raw, json=False)
        assert line.startswith(f"{channel} {{")
        assert len(line.splitlines()) == 1
        assert msgspec.json.decode(tapping.line(channel, raw, json=True))["channel"] == channel
    assert all(finiteness(channel.struct) for channel in CHANNELS)


def test_the_table_of_channels(say: Say) -> None:
    rows = answer(say, "tap", "--list")["channels"]
    assert [row["channel"] for row in rows] == [channel.template for channel in CHANNELS]
    for row, channel in zip(rows, CHANNELS, strict=True):
        assert row["struct"] == channel.struct.__name__
        assert (row["publishers"], row["subscribers"]) == (list(channel.publishers), list(channel.subscribers))
        tapping.check(row["pattern"])
    assert len(say("tap").stdout.splitlines()) == len(CHANNELS) + 2


@pytest.mark.parametrize(
    "pattern", ["*", "market-data:*", "market-data:BTC/*", "market-*", "m*", "?arket-data:*", "system-control"]
)
def test_patterns_that_can_match(pattern: str) -> None:
    tapping.check(pattern)


@pytest.mark.parametrize(
    ("raw", "line"),
    [(b"no json", '{"channel":"x","message":"no json"}'), (b"\xff\n{", '{"channel":"x","message":"\ufffd\\n{"}')],
)
def test_what_strangers_publish_is_one_line_too(raw: bytes, line: str) -> None:
    assert tapping.line("x", raw, json=True) == line
    assert len(tapping.line("x", raw, json=False).splitlines()) == 1


def test_the_census_tells_what_became_of_patterns_and_who_took_from_whom() -> None:
    learning = {
        "patterns": {"requested": 10, "validated": 1, "failed": 2, "undecided": 3, "overflow": 5},
        "undecided": {"split_vote": 1, "weak_evidence": 2},
    }
    assert list(judged(learning)) == [
        "patterns requested 10: validated 1, failed 2, undecided 3, waiting for their windows 4",
        "undecided because: split_vote 1, weak_evidence 2",
    ]
    assert list(judged({})) == list(exchanged([])) == []
    at = "2021-01-01T00:00:00.000Z"
    head, first, second = exchanged(
        [
            {"at": at, "giver": "a", "taker": "b", "gain": 0.0125},
            {"at": at, "giver": "a", "taker": "c", "gain": None},
        ]
    )
    assert head.split() == ["taker", "giver", "gain", "in", "nats", "taken", "at", at]
    assert (first.split(), second.split()) == (["b", "a", "0.01250"], ["c", "a", "-"])
