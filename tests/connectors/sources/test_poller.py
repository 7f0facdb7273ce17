"""The poller: who is asked when, what gets in, and how each source stands; time is told, never slept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Event, get_ident

import pytest

from src.connectors.sources.poller import Poller
from src.connectors.sources.standing import SourceHealth
from src.core.clock import SimClock, Timer, from_iso
from src.core.errors import Gone, Malformed, RateLimited, Refused, Unavailable, Unconfigured
from src.core.types import Observation, Status
from tests.connectors.sources.served import moats

NOW = from_iso("2026-09-21T14:00:00Z")
Outcome = Sequence[Observation] | Exception


class Told(Timer):
    """Monotonic seconds that stand where a test puts them."""

    def __init__(self) -> None:
        self.now = 100.0

    def seconds(self) -> float:
        return self.now


class Script:
    """A source that says what it is told: one outcome after the other, the last one again and again."""

    simulated = False

    def __init__(
        self, *outcomes: Outcome, name: str = "script", interval: float = 300.0, timer: Told | None = None
    ) -> None:
        self.name, self.moat, self.interval_seconds = name, "code", interval
        self.outcomes, self.asked_at = list(outcomes), list[int]()
        self.took, self.timer, self.closed = 0.0, timer, False

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        self.asked_at.append(now_ms)
        if self.timer is not None:
            self.timer.now += self.took
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def notices(self) -> Sequence[str]:
        return ("something to mend",) if self.name == "noticed" else ()

    def close(self) -> None:
        self.closed = True


def seen(id_: str = "a", at: int = NOW - 1000, known_at: int = NOW, **values: float) -> Observation:
    return Observation("commits", "code", id_, "ETH", at, known_at, values or {"is_bot": 0.0})


class Desk:
    """A poller with a clock and a timer that move together."""

    def __init__(self, *sources: Script, sets: Sequence[str] = ()) -> None:
        self.clock, self.timer = SimClock(NOW), Told()
        self.poller = Poller(sources, moats("http://s", *sets), self.clock, self.timer)

    def go(self, seconds: float) -> float:
        """Let `seconds` pass, then ask who is due; seconds until the next one."""
        self.timer.now += seconds
        self.clock.reach(self.clock.now_ms() + round(seconds * 1000))
        return self.poller.poll_due()

    def ids(self) -> list[str]:
        return [item.id for item in self.poller.drain()]

    def health(self) -> SourceHealth:
        return self.poller.health()[0]


# --- when ------------------------------------------------------------------------------------------------------------


def test_each_source_is_asked_by_its_own_interval() -> None:
    slow, fast = Script([], interval=3600.0), Script([], interval=60.0)
    desk = Desk(slow, fast)
    waits = [desk.go(0)]
    waits += [desk.go(waits[-1]) for _ in range(60)]
    assert waits == [60.0] * 61
    assert [at - NOW for at in slow.asked_at] == [0, 3_600_000]
    assert len(fast.asked_at) == 61


def test_failures_are_tried_again_after_1_2_4_to_60_seconds_and_an_answer_ends_that() -> None:
    script = Script(*[Unavailable("down")] * 8, [seen()])
    desk = Desk(script)
    waits = [desk.go(0)]
    while len(waits) < 9:
        waits.append(desk.go(waits[-1]))
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 300.0]
    health = desk.health()
    assert (health.api_calls, health.api_errors, health.failures_in_a_row, health.error) == (9, 8, 0, "")


def test_a_thousand_failures_still_wait_for_the_cap() -> None:
    desk = Desk(Script(Unavailable("down")))
    assert [desk.go(60.0) for _ in range(1100)][-1] == 60.0


@pytest.mark.parametrize(
    ("error", "wait"),
    [
        (RateLimited("slow down", 42.0), 42.0),
        (RateLimited("slow down", 0.2), 1.0),
        (RateLimited("slow down"), 1.0),
        (Refused("login"), 300.0),
        (Gone("moved"), 300.0),
        (Unconfigured("no login"), 300.0),
        (Malformed("half"), 1.0),
        (ZeroDivisionError("defect"), 1.0),
    ],
)
def test_how_long_after_each_kind_of_failure(error: Exception, wait: float) -> None:
    assert Desk(Script(error)).go(0) == wait


def test_a_source_that_takes_longer_than_its_interval_is_not_asked_without_a_pause() -> None:
    desk = Desk(Script([], interval=10.0))
    script = desk.poller._standings[0].source
    assert isinstance(script, Script)
    script.timer, script.took = desk.timer, 25.0
    desk.go(0)
    assert desk.health().latency_s == 25.0
    assert desk.health().due_in_s == 0.0
    script.took = 0.0
    desk.go(0)
    assert desk.health().due_in_s == 10.0
    script.outcomes, script.took = [Unavailable("down")], 25.0
    desk.go(10)
    assert desk.health().due_in_s == 1.0  # from when it failed, not from when it was asked


def test_one_source_that_fails_costs_nothing_of_the_others() -> None:
    desk = Desk(Script(KeyError("x"), name="bad"), Script([seen()], name="good"))
    desk.go(0)
    assert desk.ids() == ["a"]
    assert [health.status for health in desk.poller.health()] == [Status.ERROR, Status.OK]
    assert desk.health().error == "a defect of the source: KeyError"


def test_without_sources_nothing_is_due() -> None:
    assert Desk().go(0) == float("inf")


# --- what gets in ----------------------------------------------------------------------------------------------------


def test_what_is_new_comes_once_and_in_order() -> None:
    items = [seen("c"), seen("a", known_at=NOW - 5), seen("b"), seen("a", known_at=NOW - 5)]
    desk = Desk(Script(items))
    desk.go(0)
    assert desk.ids() == ["a", "b", "c"]
    desk.go(300)
    assert desk.ids() == []
    assert desk.health().counts == {"new": 3, "duplicate": 5}


def test_what_comes_from_the_future_is_refused_and_counted() -> None:
    event = Observation("calendar", "code", "event", "FOMC", NOW + 10**9, 0, {"scheduled": 1.0})
    ahead = [seen("known", known_at=NOW + 1), seen("dated", at=NOW + 5001), seen("almost", at=NOW + 5000), event]
    desk = Desk(Script(ahead))
    desk.go(0)
    assert desk.ids() == ["event", "almost"]
    assert desk.health().counts == {"future": 2, "new": 2}


def test_what_was_from_the_future_gets_in_when_its_time_has_come() -> None:
    desk = Desk(Script([seen(known_at=NOW + 60_000)], interval=60.0))
    desk.go(0)
    assert desk.ids() == []
    desk.go(60)
    assert desk.ids() == ["a"]


@pytest.mark.parametrize(
    "item",
    [
        seen(x=float("nan")),
        seen(x=float("inf")),
        Observation("commits", "code", "a", "ETH", NOW, NOW, {}),
        Observation("commits", "market", "a", "ETH", NOW, NOW, {"x": 1.0}),
        Observation("commits", "code", "a", "ETH", NOW, NOW, {"x": 1.0}, simulated=True),
        seen(at=-1),
        seen(known_at=-1),
    ],
)
def test_what_cannot_be_believed_is_counted_and_stays_outside(item: Observation) -> None:
    desk = Desk(Script([item]))
    desk.go(0)
    assert (desk.ids(), desk.health().counts) == ([], {"invalid": 1})


def test_a_full_queue_refuses_and_lets_in_what_is_said_again() -> None:
    desk = Desk(Script([seen(letter) for letter in "abc"]), sets=["polling.queue_observations=2"])
    desk.go(0)
    assert desk.ids() == ["a", "b"]
    assert desk.health().counts == {"new": 2, "overflow": 1}
    desk.go(300)
    assert desk.ids() == ["c"]


def test_a_slice_gets_nothing_that_became_known_after_it() -> None:
    desk = Desk(Script([seen("old", known_at=NOW - 2000), seen("new", known_at=NOW)]))
    desk.go(0)
    assert [item.id for item in desk.poller.drain(NOW - 1)] == ["old"]
    assert [item.id for item in desk.poller.drain(NOW)] == ["new"]


def test_what_was_gathered_before_a_failure_gets_in() -> None:
    desk = Desk(Script(RateLimited("slow down", 5.0, (seen(),))))
    desk.go(0)
    assert desk.ids() == ["a"]
    assert desk.health().status is Status.NO_DATA


def test_after_a_restart_nothing_is_said_twice_and_nothing_that_was_not_drained_is_lost() -> None:
    desk = Desk(Script([seen("a")], [seen("a"), seen("b")]))
    desk.go(0)
    assert desk.ids() == ["a"]
    desk.go(300)
    state = desk.poller.state()
    again = Desk(Script([seen("a"), seen("b")]))
    again.poller.restore(state)
    again.go(0)
    assert again.ids() == ["b"]


def test_ids_are_forgotten_oldest_first_and_not_while_they_are_repeated() -> None:
    script = Script([seen("a"), seen("b")], [seen("a")], [seen("c")], [seen("a"), seen("b")])
    desk = Desk(script, sets=["polling.ids_kept=2"])
    for wait, ids in ((0, ["a", "b"]), (300, []), (300, ["c"]), (300, ["b"])):
        desk.go(wait)
        assert desk.ids() == ids


def test_the_last_good_value_of_every_series_is_kept() -> None:
    old, new = seen("old", known_at=NOW - 5), seen("new", x=2.0)
    desk = Desk(Script([new, old], Unavailable("down")), sets=["polling.series_kept=1"])
    desk.go(0)
    desk.go(300)
    assert desk.poller.latest() == {("commits", "ETH"): new}
    other = Observation("commits", "code", "z", "UNI", NOW, NOW, {"x": 1.0})
    desk.poller._inbound.take([other], desk.poller._standings[0].source, NOW)
    assert desk.poller.latest() == {("commits", "UNI"): other}


def told(desk: Desk) -> list[tuple[int, float]]:
    items = [item for item in desk.poller.drain() if "failed" in item.values]
    assert all(
        (item.source, item.moat, item.subject, item.at) == ("poller", "code", "code", item.known_at) for item in items
    )
    return [(item.known_at - NOW, item.values["failed"]) for item in items]


def test_that_a_moat_failed_is_told_once_and_that_it_answers_again() -> None:
    desk = Desk(Script([], Malformed("half"), Malformed("half"), Unavailable("down"), Malformed("half"), []))
    said = []
    for seconds in (0, 300, 1, 2, 4, 8):
        desk.go(seconds)
        said.append(told(desk))
    assert said == [[], [(300_000, 1.0)], [], [(303_000, 0.0)], [(307_000, 1.0)], [(315_000, 0.0)]]


def test_a_moat_with_a_source_that_answers_has_not_failed() -> None:
    desk = Desk(Script([], name="good"), Script(Refused("login"), name="bad"))
    desk.go(0)
    assert told(desk) == []


def test_after_a_restart_only_what_changed_is_told_and_what_nobody_heard_is_told_again() -> None:
    desk = Desk(Script(Malformed("half")))
    desk.go(0)
    unheard = desk.poller.state()
    assert (told(desk), told(desk)) == ([(0, 1.0)], [])
    heard = desk.poller.state()
    for state, first in ((unheard, [(0, 1.0)]), (heard, [])):
        again = Desk(Script(Malformed("half"), []))
        again.poller.restore(state)
        again.go(0)
        assert told(again) == first
        again.go(1)
        assert told(again) == [(1000, 0.0)]


def test_a_full_queue_hears_of_a_failure_when_there_is_room() -> None:
    desk = Desk(Script([seen()], Malformed("half")), sets=["polling.queue_observations=1"])
    desk.go(0)
    desk.go(300)
    assert told(desk) == []
    desk.go(1)
    assert told(desk) == [(301_000, 1.0)]


# --- how it stands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (Unavailable("down"), Status.NO_DATA, Status.OK),
        (RateLimited("slow down"), Status.NO_DATA, Status.OK),
        (Unconfigured("no login"), Status.NO_DATA, Status.NO_DATA),
        (Refused("login"), Status.ERROR, Status.ERROR),
        (Gone("moved"), Status.ERROR, Status.ERROR),
        (Malformed("half"), Status.ERROR, Status.ERROR),
        (ValueError("defect"), Status.ERROR, Status.ERROR),
    ],
)
def test_a_failure_before_and_after_the_first_answer(error: Exception, before: Status, after: Status) -> None:
    desk = Desk(Script(error))
    desk.go(0)
    assert desk.health().status is before
    desk = Desk(Script([seen()], error))
    desk.go(0)
    desk.go(300)
    assert desk.health().status is after
    assert desk.health().error


def test_silence_makes_a_source_stale_after_three_intervals_and_an_answer_makes_it_fresh() -> None:
    desk = Desk(Script([seen()], *[Unavailable("down")] * 2, []))
    assert (desk.health().status, desk.health().age_s) == (Status.NO_DATA, None)
    desk.go(0)
    assert (desk.health().status, desk.health().age_s) == (Status.OK, 0.0)
    desk.go(900)
    assert (desk.health().status, desk.health().age_s) == (Status.OK, 900.0)
    desk.go(1)
    assert (desk.health().status, desk.health().error) == (Status.STALE, "down")
    desk.go(60)
    assert (desk.health().status, desk.health().age_s, desk.health().error) == (Status.OK, 0.0, "")


def test_what_a_person_should_mend_is_shown() -> None:
    desk = Desk(Script([], name="noticed"))
    desk.go(0)
    assert desk.health().notices == ("something to mend",)
    assert (desk.health().name, desk.health().moat, desk.health().simulated) == ("noticed", "code", False)


# --- the thread ------------------------------------------------------------------------------------------------------


class Blocking(Script):
    """A source that answers when it is let, and says where it was asked."""

    def __init__(self) -> None:
        super().__init__([seen()])
        self.entered, self.let, self.thread = Event(), Event(), 0

    def fetch(self, now_ms: int) -> Sequence[Observation]:
        self.thread = get_ident()
        self.entered.set()
        self.let.wait(10)
        return super().fetch(now_ms)


@pytest.fixture
def blocking() -> Iterator[tuple[Blocking, Poller]]:
    source = Blocking()
    poller = Poller([source], moats("http://s"), SimClock(NOW), Timer())
    yield source, poller
    source.let.set()
    poller.close()


def test_a_source_that_hangs_never_holds_up_a_slice(blocking: tuple[Blocking, Poller]) -> None:
    source, poller = blocking
    poller.start()
    assert source.entered.wait(5)
    assert source.thread != get_ident()
    assert (poller.drain(), poller.health()[0].status, poller.latest()) == ([], Status.NO_DATA, {})
    assert poller.state() == {"passed": [], "told": {}}
    assert not source.closed


def test_closing_waits_for_the_answer_and_gives_back_connections(blocking: tuple[Blocking, Poller]) -> None:
    source, poller = blocking
    poller.start()
    assert source.entered.wait(5)
    source.let.set()
    poller.close()
    assert source.closed
    assert not poller._thread.is_alive()
    assert len(poller.drain()) <= 1
    poller.close()


def test_closing_ends_a_long_wait_at_once() -> None:
    waiting = Event()

    class Watched(Timer):
        def wait(self, event: Event, seconds: float) -> bool:
            assert seconds == pytest.approx(300.0, abs=5.0)
            waiting.set()
            return super().wait(event, seconds)

    script = Script([seen()])
    poller = Poller([script], moats("http://s"), SimClock(NOW), Watched())
    poller.start()
    assert waiting.wait(5)
    begun = Timer().seconds()
    poller.close()
    assert Timer().seconds() - begun < 5.0
    assert [item.id for item in poller.drain()] == ["a"]


def test_a_closed_poller_that_never_began_gives_back_connections() -> None:
    script = Script([])
    poller = Poller([script], moats("http://s"), SimClock(NOW), Told())
    poller.close()
    assert (script.closed, poller.poll_due()) == (True, 0.0)
