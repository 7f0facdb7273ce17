"""A/B on worlds whose truth is known: commits that lead prices, commits that say nothing, and what cannot be asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from src.commands.ab import MisledArm, walk_misled
from src.commands.ab_plan import FILTER, GROUPS, PARTS, RANDOM, RESEEDED, SHUFFLED, planned
from src.commands.arms import walk_arm
from src.commands.finite import enough_days, simulated_feed
from src.core.errors import NotFound
from src.core.moats import MOATS
from tests.commands.cli import SMALL, Say, one_line, refused
from tests.worlds import settings

PAIRS = "[ADA/USD,BTC/USD,ETH/USD]"
WORLD = {
    "simulated.pairs": PAIRS, "simulated.timeframe": "1h", "simulated.volatility_day_ratio": "0.06",
    "simulated.moats.commits_day": "120", "simulated.moats.commits_lag": "0", "moats.board.commits_hours": "6",
    "builder.bootstrap_pairs": PAIRS, "learners.team": "6", "learners.entry_score": "0.6",
    "costs.fee_ratio": "0.0002", "costs.slippage_ratio": "0.0001",
}  # fmt: skip
"""Cheap trading and learners that speak early: what can be known is traded."""
STRONG, NOTHING = "0.95", "0"
DAYS, FEWEST_DAYS = "80", "56"


def words(correlation: str, days: str = DAYS) -> list[str]:
    leaves = {**WORLD, "simulated.moats.commits_correlation": correlation}
    return [*("--days", days), *(word for leaf, value in leaves.items() for word in ("--set", f"{leaf}={value}"))]


def asked(say: Say, correlation: str, *more: str) -> dict[str, Any]:
    days = DAYS if correlation == STRONG else FEWEST_DAYS
    done = say("ab", *words(correlation, days), "--json", *more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    (written,) = Path("runs").glob("ab-*/ab.json")
    assert json.loads(written.read_text()) == found
    return found


def test_commits_that_lead_prices_are_supported(say: Say) -> None:
    found = asked(say, STRONG, "--only", "code")
    (answer,) = found["comparisons"]
    assert answer["verdict"] == "supported", answer["says"]
    assert (answer["arm"], answer["reference"]) == ("ta+code:mycelial", "ta:mycelial")
    assert (answer["placebo_arm"], answer["placebo_kind"]) == ("ta+code~:mycelial", SHUFFLED)
    assert min(answer["arm_trades"], answer["reference_trades"], answer["placebo"]["trades"]) > 0
    assert answer["low"] > 0.0
    assert answer["arm_mean"] > 0.0
    assert answer["placebo"]["beaten"]
    assert not answer["placebo"]["improves"]
    assert 0.0 < answer["least_found"] < 2.0 * answer["difference"]
    assert (found["simulated"], found["trials"], found["book"]) == (True, 1, "mycelial")
    assert found["verdict"] == "Of 1 comparisons 1 are supported, 0 are not, 0 cannot be told."
    real, _, shuffled = (arm["data_sha256"] for arm in found["arms"])
    assert real != shuffled
    assert [arm["name"] for arm in found["arms"]] == ["ta", "ta+code", "ta+code~"]


def test_commits_that_say_nothing_are_not(say: Say) -> None:
    found = asked(say, NOTHING, "--only", "code")
    (answer,) = found["comparisons"]
    assert answer["verdict"] in ("not supported", "cannot tell"), answer["says"]


def test_streams_of_one_run_have_placebos_of_their_own(say: Say) -> None:
    found = asked(say, NOTHING, "--only", "stream")
    assert {answer["name"]: answer["placebo_kind"] for answer in found["comparisons"]} == {
        "swarm_vs_baseline": RANDOM,
        "swarm_vs_ridge": RANDOM,
        "collision_vs_baseline": FILTER,
        "collision_vs_swarm": FILTER,
    }
    assert [arm["name"] for arm in found["arms"]] == ["all"]
    assert {answer["reference"] for answer in found["comparisons"]} == {"all:baseline", "all:ridge", "all:mycelial"}


def test_too_few_days_cannot_be_told(say: Say) -> None:
    done = say("ab", *words(STRONG, "20"), "--only", "code")
    assert done.returncode == 0, done.stderr
    assert "it cannot be told, 20 days are fewer than 56" in done.stdout
    assert "A/B on SIMULATED data" in done.stdout
    shown = " ".join(done.stdout.split())
    assert "Per day, over 20 days, interval of 95% from blocks of 7 days." in shown
    assert "Family p: corrected for 1 comparisons (Holm)." in shown
    assert "Of 1 comparisons 0 are supported, 0 are not, 1 cannot be told." in done.stdout


def test_everything_is_asked_and_nothing_without_a_placebo() -> None:
    plan = planned(MOATS, "mycelial")
    names = [one.name for one in plan.comparisons]
    streams = ["swarm_vs_baseline", "swarm_vs_ridge", "collision_vs_baseline", "collision_vs_swarm"]
    assert names == [*MOATS, "all_moats", *(f"without_{moat}" for moat in MOATS), *streams, *PARTS]
    assert {one.group for one in plan.comparisons} == set(GROUPS)
    asked_of = {one.name: one.arm.book for one in plan.comparisons if one.group == "part"}
    assert asked_of == {"sharing": "mycelial", "memory": "synthesized", "evolution": "mycelial"}
    assert {side.arm for one in plan.comparisons for side in (one.arm, one.reference, one.placebo)} == plan.arms.keys()
    assert all(one.placebo not in (one.arm, one.reference) for one in plan.comparisons)
    assert {one.name for one in plan.comparisons if one.placebo_kind == RESEEDED} == set(PARTS)
    assert len(plan.needed()) == len(plan.arms) == 1 + 1 + 2 * 4 + 1 + 2 * 4 + 2 * 3
    rest = [one.name for one in planned((), "mycelial", controls=False).comparisons]
    assert rest == ["collision_vs_baseline", "collision_vs_swarm", *PARTS]


def test_every_arm_changes_what_its_name_says() -> None:
    arms = planned(MOATS, "mycelial").arms
    assert arms["ta"].sets == ("moats.board.enabled=[]",)
    assert arms["ta+code~"].sets == arms["ta+code"].sets == ("moats.board.enabled=[code]",)
    assert arms["all-code"].sets == ("moats.board.enabled=[government, logistics, corporate]",)
    assert (arms["all~code"].shuffled, arms["all~"].shuffled, arms["all"].shuffled) == (("code",), MOATS, ())
    assert arms["all-memory"].sets[1:] == ("memory.enabled=false",)
    assert (arms["all-memory~"].seed_step, arms["all-memory"].seed_step) == (1, 0)


def test_only_what_is_asked_for_is_walked() -> None:
    plan = planned(MOATS, "mycelial").only(["code", "sharing"])
    names = ["ta", "all", "ta+code", "ta+code~", "all-sharing", "all-sharing~"]
    assert [arm.name for arm in plan.needed()] == names
    with pytest.raises(NotFound, match="did you mean government"):
        planned(MOATS, "mycelial").only(["goverment"])


def test_a_misled_arm_hears_the_same_at_other_times() -> None:
    tree = settings(simulated__pairs=["ADA/USD", "BTC/USD"], simulated__timeframe="1h", learners__team=3)
    feed = simulated_feed(tree, 7, 20)
    plain, misled = MisledArm("a", tree, 7), MisledArm("b", tree, 7, ("code",), 7)
    true, false = walk_misled(plain, feed), walk_misled(misled, feed)
    assert true.decisions_sha256 == walk_arm(plain, feed).decisions_sha256
    assert true.result["data_sha256"] == feed.data_sha256 != false.result["data_sha256"]
    assert true.result["config_sha256"] == false.result["config_sha256"]


def test_days_of_the_made_up_market_are_enough_to_tell() -> None:
    assert enough_days(settings()) == 2 * 8 * 7
    assert enough_days(settings(simulated__history_days=400)) == 400


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--only", "nothing"), 2, "no such comparison"),
        (("--book", "mine"), 4, "choose swarm, edge-tested"),
        (("--pairs", "BTC/USD"), 4, "--pairs belongs to recorded data"),
        (("--set", "costs.fee_rato=1"), 4, 'did you mean "costs.fee_ratio"?'),
        (("--data", "nowhere"), 2, "nowhere"),
    ],
)
def test_what_cannot_be_asked_is_said(more: tuple[str, ...], code: int, said: str, say: Say) -> None:
    done = say("ab", *more)
    refused(done, code, said)


def test_moats_without_data_are_named_and_not_compared(say: Say, planted: Path) -> None:
    done = say("ab", "--data", planted, "--timerange", "20210101-20210103", *SMALL, "--only", "code")
    refused(done, 2, "not compared, nothing was said in these data: code", "--only 'code': no such comparison")
    done = say("ab", "--data", planted, "--days", "3")
    refused(done, 4, "--days belongs to the simulated market")
    one_line(done)
