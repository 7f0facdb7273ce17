"""The real order path under schedules of faults: nothing breaks, and every planted bug is found."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from src.backtesting.simulation.campaign import Outcome, Play, campaign, first_found, kept_seeds
from src.backtesting.simulation.disk import SimulatedDisk
from src.backtesting.simulation.planted import PLANTED
from src.backtesting.simulation.run import Ground
from src.backtesting.simulation.schedule import PAIRS, Fault, Schedule, Wish
from src.commands import simulate
from src.commands.simulated_ledger import SqliteDisk
from tests.backtesting.simulation.managers import Independent, advised
from tests.worlds import ROOT, settings

from .cli import Say, command, environment

SETTINGS = settings()
REGRESSIONS = ROOT / "tests" / "seeds" / "regressions.txt"
NAMES = ("seeds", "failing", "first_failing", "orders", "virtual_hours", "digest")


def ground() -> Ground:
    return simulate.ground(SETTINGS)


def nothing_breaks(seeds: range) -> Outcome:
    outcome = campaign(seeds, Play(ground()))
    assert outcome.findings == {}, outcome.remained
    assert outcome.conflicts == 0
    return outcome


def test_five_hundred_seeds_break_nothing() -> None:
    outcome = nothing_breaks(range(500))
    assert outcome.seeds == 500
    assert outcome.orders > 2_500
    assert outcome.virtual_hours == pytest.approx(500 * 220 / 3600, abs=0.01)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_four_thousand_seeds_break_nothing() -> None:
    nothing_breaks(range(100_000, 104_000))


def test_seeds_that_failed_once_never_do_again() -> None:
    play = Play(ground())
    kept = kept_seeds(REGRESSIONS)
    assert kept
    assert {seed: play.run(play.schedule(seed)).broken for seed in kept} == {seed: {} for seed in kept}


def test_what_a_full_disk_held_back_does_not_leave_after_the_exchange_has_closed() -> None:
    """The stop of an entry waits for its row; meanwhile the exchange closes, and says so."""
    faults = (
        Fault("pause", 12_000, 14_000),
        Fault("status", 20_000, 60_000, what="cancel_only"),
        Fault("disk", 25_000, 3_000),
    )
    play = Play(ground())
    for at in range(11_700, 12_000, 20):
        assert play.run(Schedule(1, (Wish(at, 1, "buy", PAIRS[0], 900),), faults)).broken == {}


def test_n6_a_cut_stream_is_made_up_for_within_ten_seconds() -> None:
    """With the counter of calls of the middle tier: 20 points, one a second back."""
    usual = ground()
    rules = msgspec.structs.replace(usual.rules, calls=20.0, calls_decay=1.0)
    play = Play(msgspec.structs.replace(usual, rules=rules, caught_up_ms=10_000))
    assert campaign(range(2_000, 2_100), play).findings == {}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found_within_sixty_seeds(name: str) -> None:
    assert first_found(PLANTED[name], ground(), range(60)) is not None


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found_again_and_again(name: str) -> None:
    """In 500 other seeds at least once in every sixty on average."""
    play = Play(ground(), PLANTED[name])
    found = sum(bool(play.run(play.schedule(seed)).broken) for seed in range(1_000, 1_500))
    assert found >= 9


def test_there_are_twelve_of_them() -> None:
    assert len(PLANTED) == 12


def test_what_a_bug_changes_is_nothing_where_its_faults_are_absent() -> None:
    """A planted bug is found by what it does wrong, not by being there."""
    for name, bug in PLANTED.items():
        play = Play(ground(), bug)
        quiet = [msgspec.structs.replace(play.schedule(seed), faults=()) for seed in range(3)]
        if name not in {"stop_not_resized", "fill_before_ack_dropped", "send_then_record", "duplicate_counted_twice"}:
            assert [play.run(one).broken for one in quiet] == [{}, {}, {}], name


def test_independent_managers_get_into_each_other_s_way_and_one_coordinator_does_not() -> None:
    """A stop, a trailing stop and a profit taker, over the same seeds, sells that were more than what was free."""

    def conflicts(given: Ground) -> tuple[int, int]:
        play = Play(given)
        rans = [play.run(play.schedule(seed)) for seed in range(40)]
        return sum(ran.conflicts for ran in rans), sum(bool(ran.broken) for ran in rans)

    usual = ground()
    alone, _ = conflicts(msgspec.structs.replace(usual, build=Independent))
    together, broken = conflicts(msgspec.structs.replace(usual, build=advised(usual.build)))
    assert alone > 200
    assert (together, broken) == (0, 0)


def test_the_real_ledger_stands_the_same_crashes(tmp_path: Path) -> None:
    """Rows are written to SQLite and read back after every crash; the runs are those of the simulated disk."""
    disks: list[SqliteDisk] = []

    def disk(called: Callable[[str], None]) -> SimulatedDisk:
        disks.append(SqliteDisk(called, tmp_path / f"{len(disks)}.sqlite", SETTINGS.ledger))
        return disks[-1]

    usual, real = Play(ground()), Play(msgspec.structs.replace(ground(), disk=disk))
    busy = [seed for seed in range(60) if sum(one.kind == "crash" for one in usual.schedule(seed).faults) >= 2][:8]
    try:
        for seed in busy:
            ran = real.run(real.schedule(seed))
            assert ran.broken == {}
            assert ran == usual.run(usual.schedule(seed))
    finally:
        for one in disks:
            one.give_back()
    assert sum(len(one.rows) for one in disks) > 200


def test_same_seeds_same_digest_in_two_processes() -> None:
    """Under another hash seed, too: no order of a set gets into what happens."""
    told = [
        subprocess.run(
            command("simulate", "--seeds", "0-49", "--json"),
            cwd=ROOT,
            env=environment(PYTHONHASHSEED=hash_seed),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "77")
    ]
    assert told[0] == told[1]
    assert msgspec.json.decode(told[0])["digest"] == campaign(range(50), Play(ground())).digest


def test_the_command_says_what_was_played(say: Say) -> None:
    done = say("simulate", "--seeds", "3-7", "--json")
    assert done.returncode == 0, done.stderr
    told = msgspec.json.decode(done.stdout)
    assert set(NAMES) <= set(told)
    assert (told["seeds"], told["failing"], told["first_failing"]) == (5, 0, None)
    assert len(told["digest"]) == 64
    lines = say("simulate", "--seeds", "3-7").stdout.splitlines()
    assert lines[0].startswith("5 seeds, 0 failing, ")
    assert lines[-1] == f"digest {told['digest']}"


def test_a_failing_seed_is_cut_down_and_the_exit_says_so(say: Say) -> None:
    done = say("simulate", "--seeds", "0-9", "--planted", "no_deadline", "--json")
    assert done.returncode == 6
    told = msgspec.json.decode(done.stdout)
    assert told["failing"] >= 1
    assert told["remained"].startswith(f"seed {told['first_failing']}; faults: late ")
    assert told["remained"].count("late") == 1
    assert f"mycelial simulate --seeds {told['first_failing']} --planted no_deadline" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_processes_play_what_one_plays(say: Say) -> None:
    one, two = (say("simulate", "--seeds", "0-59", "--jobs", jobs, "--json") for jobs in ("1", "2"))
    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert one.stdout == two.stdout


def test_kept_seeds_are_played_first(say: Say, tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    file.write_text("5  # once\n900\n")
    done = say("simulate", "--seeds", "4-5", "--kept", str(file), "--json")
    assert msgspec.json.decode(done.stdout)["seeds"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--seeds", "9-3"), "--seeds '9-3': write A-B with whole numbers A <= B, for instance 0-999"),
        (("--seeds", "many"), "--seeds 'many': write A-B"),
        (("--seeds", "1-2", "--planted", "nobody"), "--planted nobody: no such bug; one of send_then_record, "),
    ],
)
def test_a_mistake_is_one_line(say: Say, words: tuple[str, ...], said: str) -> None:
    done = say("simulate", *words)
    assert done.returncode == 4
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
