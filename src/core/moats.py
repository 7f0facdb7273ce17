"""Turns what sources outside the market said into one number a moat and pair, and says how each moat stands.

A value follows from the observations known so far and the last whole hour alone: it is computed anew when a moat said
something or an hour passed, so that slices in between, of whatever bar length, change nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .config import MoatBoardSettings, Moats
from .features import Feature
from .moat_code import Repositories
from .moat_kernels import ALWAYS, COUNT, NEVER, SUMS, Cells, fill, remember, sample, weigh
from .moat_series import Basket, Counted, Schedule
from .timeframes import DAY_MS, HOUR_MS
from .types import STATUSES, FloatArray, IntArray, MoatParts, MoatView, Observation, Pair, Status

MOATS = ("code", "government", "logistics", "corporate")
CODE, GOVERNMENT, LOGISTICS, CORPORATE = range(len(MOATS))
"""Their columns."""
MOAT_FEATURES = (
    Feature("code", "commits of the pair's base asset that became visible in 24 h, as z-score of hours, by age"),
    Feature("government", "signed hours to the next (+) or since the last (-) scheduled event, as z-score of hours"),
    Feature("logistics", "mean of the z-scores of 7-day changes of hash rate, difficulty and dry-bulk freight, by age"),
    Feature("corporate", "mean of the z-scores of filings in 7 days and of the miners' basket's change, by age"),
)
FAILED = "failed"
"""The value by which an observation says that its source gave nothing (1.0) or answers again (0.0).

What was known before stands meanwhile, with its age.
"""

COMMITS, REPOSITORIES, CALENDAR = "commits", "github_repositories", "calendar"
NETWORK, EQUITIES, FILINGS = "btc_network_daily", "equities_daily", "sec_filings"
DOCUMENTS = "federal_register"
"""Names of sources, of recorded observations and of live ones alike."""

SPEAKING = frozenset({Status.OK, Status.NEUTRAL})
"""A moat that stands so has data of this moment."""
BASKETS = ("hash_rate", "difficulty", "freight", "miners")
MINUTES = 60.0
_ARRAYS = ("as_of", "known", "failed", "recent", "readings")
NETWORK_VALUES = {"hash_rate": "hashrate_th_s", "difficulty": "difficulty"}


class MoatBoard:
    """Four moats over the pairs of a run. `simulation`: invented observations count; else they weigh nothing.

    Cells: one for each asset, then the events, the filings, the agencies' documents and the baskets. All but the
    baskets are sampled on every hour of the window; baskets have a value a day. Documents, and what repositories say
    besides their commits, are known and shown, and no part of any value.
    """

    def __init__(self, pairs: tuple[Pair, ...], settings: Moats, simulation: bool = False) -> None:
        board = self._board = settings.board
        self._simulation = simulation
        bases = [pair.partition("/")[0] for pair in pairs]
        self._assets = {asset: cell for cell, asset in enumerate(dict.fromkeys(bases))}
        self._events, self._filed = len(self._assets), len(self._assets) + 1
        self._documents = self._filed + 1
        self._first_basket = self._documents + 1
        self._window_ms = board.window_days * DAY_MS
        commits_ms = board.commits_hours * HOUR_MS
        self._counted = {cell: Counted(commits_ms, self._window_ms) for cell in self._assets.values()}
        self._counted[self._filed] = Counted(board.filings_days * DAY_MS, self._window_ms)
        self._counted[self._documents] = Counted(board.documents_days * DAY_MS, self._window_ms)
        self._schedule = Schedule(board.event_hours * HOUR_MS)
        days = dict.fromkeys(BASKETS, board.change_days) | {"miners": board.basket_days}
        self._baskets = {name: Basket(days[name], board.window_days) for name in BASKETS}
        self._cell_of = np.array([self._assets[asset] for asset in bases], np.int64)
        self._enabled = np.array([moat in board.enabled for moat in MOATS], np.int64)
        self._rules = np.array([board.stale_half_lives, board.clip, board.neutral_z])
        self._half_life = np.array([1000.0 * getattr(settings.pace, moat).half_life_seconds for moat in MOATS])
        self._ripe_hours = board.min_history_days * DAY_MS // HOUR_MS
        self._repositories = Repositories(settings.github, round(board.stale_half_lives * self._half_life[CODE]))
        self._names = (*self._assets, "event_hours", "filings", "documents", *(f"{name}_change" for name in BASKETS))
        self._clear()

    def _clear(self) -> None:
        """Nothing known yet."""
        self._quiet = True
        hourly, cells, moats = self._first_basket, len(self._names), len(MOATS)
        self._ring = np.zeros((hourly, self._window_ms // HOUR_MS), np.int64)
        self._sums = np.zeros((hourly, SUMS), np.int64)
        self._sums[:, COUNT] = -1
        self._numbers = np.zeros(hourly, np.int64)
        moat = [CODE] * len(self._assets) + [GOVERNMENT, CORPORATE, GOVERNMENT, *[LOGISTICS] * 3, CORPORATE]
        valued = np.ones(cells, np.int64)
        valued[self._documents] = 0
        whole, zeros = np.zeros(cells, np.int64), np.zeros(cells)
        never = np.full(cells, NEVER, np.int64)
        moats_ = np.array(moat, np.int64)
        self._cells = Cells(whole, moats_, valued, never, zeros, zeros.copy(), zeros.copy(), whole.copy())
        self._figures, self._history_hours = np.full(cells, np.nan), np.zeros(cells)
        self._as_of, self._known, self._failed = (np.full(moats, NEVER, np.int64) for _ in range(3))
        self._quality, self._total = np.zeros(moats), np.zeros(moats, np.int64)
        self._recent = np.zeros((moats, self._board.strength.readings))
        self._readings = np.zeros(moats, np.int64)
        self._mark = self._documented = NEVER
        self._repositories.clear()
        self._anew: set[int] = set()
        self._news: list[int | None] = [None] * moats
        self._classes: list[Status | None] = [None] * moats
        self._simulated = [False] * moats
        self._following: int | None = None
        self._nearest: tuple[int | None, int | None] = (None, None)  # events, as of the newest count
        self._begun: IntArray | None = None  # cells of which something is known; None: to be looked up
        self.view = self._view(*self._judge())

    # What comes in

    def push(self, at: int, observations: Sequence[Observation]) -> MoatView:
        """The moats after the slice of `at` (UTC ms) with its observations, none of which is known later."""
        mark = at // HOUR_MS * HOUR_MS
        heard = self._hear(observations) if observations else frozenset()
        rolled = mark != self._mark
        self._quiet = self._quiet and not observations
        if not heard and (not rolled or (self._quiet and self._mark != NEVER)):
            return self.view  # nothing new; in a run without moats every hour would say the same
        self._roll(mark)
        for moat in range(len(MOATS)):
            if rolled or moat in heard:
                self._as_of[moat] = max(self._as_of[moat], mark, self._known[moat])
        self._count()
        values, states = self._judge()
        if rolled:
            remember(values, states, self._recent, self._readings)
        self._note_news(at, heard & {MOATS.index(seen.moat) for seen in observations if self._is_news(seen)})
        self.view = self._view(values, states)
        return self.view

    def _hear(self, observations: Sequence[Observation]) -> frozenset[int]:
        """Every observation into its series, in order of time whatever the order said; the moats that were of use."""
        used = [self._take(seen) for seen in sorted(observations, key=_by_time)]
        return frozenset([moat for moat in used if moat is not None and self._enabled[moat]])

    def _is_news(self, seen: Observation) -> bool:
        """What is said of an asset that nobody trades here shows that the source speaks; no miner announces it."""
        return seen.moat in MOATS and (
            seen.source not in (COMMITS, REPOSITORIES) or FAILED in seen.values or seen.subject in self._assets
        )

    def _take(self, seen: Observation) -> int | None:
        """Into its series; the moat whose value it is part of, None where nobody reads it."""
        if seen.moat not in MOATS:
            return None
        moat = MOATS.index(seen.moat)
        if seen.simulated and not self._simulation:
            self._simulated[moat] = True
            return None
        if FAILED in seen.values:
            self._failed[moat] = seen.known_at if seen.values[FAILED] else NEVER
            return moat
        used = self._file(seen)
        if used is None:
            return None
        if seen.source == DOCUMENTS:  # they move no age but their own: the schedule stands as if there were none
            self._documented = max(self._documented, seen.known_at)
        else:
            self._known[used] = max(int(self._known[used]), seen.known_at)
        self._simulated[used] = seen.simulated
        return used

    def _file(self, seen: Observation) -> int | None:
        """A real observation into its series."""
        source, used = seen.source, None
        if source in (COMMITS, REPOSITORIES):
            used = self._file_code(seen)
        elif source == CALENDAR and seen.values.get("scheduled") and self._schedule.see(seen.at):
            self._anew.add(self._events)
            used = GOVERNMENT
        elif source == FILINGS:
            self._file_event(self._filed, seen.known_at)
            used = CORPORATE
        elif source == DOCUMENTS:
            self._file_event(self._documents, seen.known_at)
            used = GOVERNMENT
        elif source == NETWORK:
            read = [self._file_day(name, seen, value) for name, value in NETWORK_VALUES.items()]
            used = LOGISTICS if any(read) else None
        elif source == EQUITIES and seen.subject == self._board.freight:
            used = LOGISTICS if self._file_day("freight", seen, "close") else None
        elif source == EQUITIES and seen.subject in self._board.miners:
            used = CORPORATE if self._file_day("miners", seen, "close") else None
        return used

    def _file_code(self, seen: Observation) -> int:
        """Whatever the source says shows that it speaks; commits count for their asset."""
        cell = self._assets.get(seen.subject)
        if cell is None:
            return CODE
        if seen.source == COMMITS:
            self._file_event(cell, seen.known_at)
        else:
            self._repositories.see(seen)
        return CODE

    def _file_event(self, cell: int, known_at: int) -> None:
        counted = self._counted[cell]
        if counted.begins is None:
            self._begun = None
        if counted.begins is None or known_at <= self._mark:
            self._anew.add(cell)
        counted.see(known_at)

    def _file_day(self, name: str, seen: Observation, value: str) -> bool:
        number, basket = seen.values.get(value), self._baskets[name]
        if number is None or not basket.see(seen.subject, seen.at, seen.known_at, number):
            return False
        self._read(name)
        return True

    def _read(self, name: str) -> None:
        """A basket into its cell."""
        basket, cell = self._baskets[name], self._first_basket + BASKETS.index(name)
        cells, change = self._cells, basket.change
        cells.known_at[cell], cells.z[cell] = basket.known_at, basket.score()
        cells.ripe[cell] = basket.history_days >= self._board.min_history_days
        self._history_hours[cell] = basket.history_days * (DAY_MS // HOUR_MS)
        self._figures[cell] = np.nan if change is None else change

    # What follows from it

    def _roll(self, mark: int) -> None:
        """Sample every hour up to `mark`; cells of which something new is known about the past are sampled anew."""
        if mark - self._mark > self._window_ms:
            self._anew.update(self._counted, [self._events])
        else:
            for hour in range(self._mark + HOUR_MS, mark + 1, HOUR_MS):
                self._count_at(hour, self._counted)
                self._numbers[self._events] = self._schedule.at(hour)
                sample(self._ring, self._sums, self._numbers)
        self._mark = mark
        for cell in self._anew:
            self._sample_anew(cell)
        self._anew.clear()
        if mark % DAY_MS == 0:
            for counted in self._counted.values():
                counted.forget(mark)

    def _sample_anew(self, cell: int) -> None:
        begins: int | None
        if cell == self._events:
            series: Schedule | Counted = self._schedule
            begins = self._schedule.events[0] if self._schedule.events else None
        else:
            series = self._counted[cell]
            begins = self._counted[cell].begins
        if begins is None:
            return
        first = max(-(-begins // HOUR_MS) * HOUR_MS, self._mark - self._window_ms + HOUR_MS)
        fill(self._ring[cell], self._sums[cell], series.over(np.arange(first, self._mark + 1, HOUR_MS, dtype=np.int64)))

    def _count_at(self, time: int, cells: Iterable[int]) -> None:
        for cell in cells:
            counted = self._counted[cell]
            if counted.until <= time:
                self._numbers[cell] = counted.at(time)

    def _count(self) -> None:
        """The numbers of each moat as of its time, and since when they are known."""
        as_of, known = self._as_of, self._cells.known_at
        self._count_at(int(as_of[CODE]), range(self._events))
        self._count_at(int(as_of[CORPORATE]), [self._filed])
        now = int(as_of[GOVERNMENT])
        last, following = self._nearest = self._schedule.neighbours(now)
        self._numbers[self._events] = self._schedule.minutes(now, last, following)
        if following is not None:
            known[self._events] = ALWAYS
        elif last is not None:
            known[self._events] = last
        if self._begun is None:
            self._begun = np.array([cell for cell, one in self._counted.items() if one.begins is not None], np.int64)
        known[self._begun] = self._known[self._cells.moat[self._begun]]
        self._count_at(max(now, self._documented), [self._documents])
        known[self._documents] = self._documented

    def _judge(self) -> tuple[FloatArray, IntArray]:
        """Values and states, (pairs, moats)."""
        cells, pairs = self._cells, len(self._cell_of)
        values, states = np.empty((pairs, len(MOATS))), np.empty((pairs, len(MOATS)), np.int64)
        weigh(
            self._sums, self._numbers, self._ripe_hours, cells.ripe, cells.moat, cells.valued, cells.known_at, cells.z,
            cells.weight, cells.part, cells.state, self._as_of, self._half_life, self._rules, self._cell_of,
            self._failed, self._enabled, self._quality, self._total, values, states,
        )  # fmt: skip
        values.flags.writeable = states.flags.writeable = False
        return values, states

    def _note_news(self, at: int, told: frozenset[int]) -> None:
        """News: an observation, a change between speaking, stale, failed and silent, an event that passed."""
        following = self._nearest[1]
        for moat, number in enumerate(self._total.tolist()):
            class_ = Status.OK if STATUSES[number] in SPEAKING else STATUSES[number]
            passed = moat == GOVERNMENT and following != self._following
            if moat in told or passed or class_ is not self._classes[moat]:
                self._news[moat] = at
            self._classes[moat] = class_
        self._following = following

    # What goes out

    def _view(self, values: FloatArray, states: IntArray) -> MoatView:
        cells, figures = self._cells, self._figures.copy()
        figures[: self._first_basket] = self._numbers
        figures[self._events] /= MINUTES
        history, as_of = self._history_hours.copy(), self._as_of.copy()
        history[: self._first_basket] = self._sums[:, COUNT]
        as_of[GOVERNMENT] = max(as_of[GOVERNMENT], self._documented)
        return MoatView(
            values=values,
            states=states,
            statuses=tuple([STATUSES[state] for state in self._total.tolist()]),
            news_at=tuple(self._news),
            simulated=tuple(self._simulated),
            parts=MoatParts(
                self._names, cells.moat, cells.known_at.copy(), cells.state.copy(), cells.part.copy(), figures,
                as_of, self._quality.copy(), self._recent.copy(), self._readings.copy(),
                history, (self._documents,), self._repositories.figures(int(as_of[CODE])),
                self._repositories.known_at,
            ),
        )  # fmt: skip

    # Restart

    def state(self) -> dict[str, Any]:
        """Series and what stands beside them; samples of hours follow from the series."""
        return {
            "mark": self._mark,
            "quiet": self._quiet,
            "counted": {self._names[cell]: counted.state() for cell, counted in self._counted.items()},
            "events": list(self._schedule.events),
            "baskets": {name: basket.state() for name, basket in self._baskets.items()},
            **{name: getattr(self, f"_{name}").tolist() for name in _ARRAYS},
            "news": list(self._news),
            "classes": [class_ and class_.value for class_ in self._classes],
            "simulated": list(self._simulated),
            "following": self._following,
            "documented": self._documented,
            "repositories": self._repositories.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; `view` is again what it was."""
        self._clear()
        for cell, counted in self._counted.items():
            if self._names[cell] in state["counted"]:  # states of earlier versions know of no documents
                counted.restore(state["counted"][self._names[cell]])
        self._documented = state.get("documented", NEVER)
        self._repositories.restore(state.get("repositories", {}))
        self._schedule.events = list(state["events"])
        for name, basket in self._baskets.items():
            basket.restore(state["baskets"][name])
            self._read(name)
        for name in _ARRAYS:
            getattr(self, f"_{name}")[...] = state[name]
        self._quiet = state["quiet"]
        self._news, self._simulated = list(state["news"]), list(state["simulated"])
        self._classes = [class_ and Status(class_) for class_ in state["classes"]]
        self._following = state["following"]
        if state["mark"] != NEVER:
            self._roll(state["mark"])
            self._count()
        self.view = self._view(*self._judge())


def _by_time(seen: Observation) -> tuple[int, int]:
    return seen.known_at, seen.at


def history_ms(settings: MoatBoardSettings) -> int:
    """How far back observations matter to the first value (ms)."""
    counted = max(settings.filings_days, settings.documents_days)
    days = settings.window_days + max(counted, 2 * settings.change_days, 2 * settings.basket_days)
    return (days + 1) * DAY_MS + settings.commits_hours * HOUR_MS
