"""The pattern learners as one structure of arrays, because hundreds of them must cost microseconds a slice.

One row is one learner: a name, a home pair and a horizon. The Mesa agents are named views of these rows.
Births and deaths touch their own row alone; what a learner is born with comes from its own random stream.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..core.config import Costs, Learners
from ..core.errors import ConfigError, DataError, InvariantError, NotFound
from ..core.randomness import generator_for
from ..core.types import BoolArray, FloatArray, IntArray, Scalar, Snapshot
from . import colony_layout as k
from .colony_kernels import step_rows
from .colony_votes import Ballot, SwarmIdea

__all__ = ["Colony", "ColonyState", "ColonyStep", "SwarmIdea"]

# A learner that sees fewer features than this is a single indicator, not a pattern.
_FEWEST_FEATURES = 3
# Size of the first allocation; full arrays grow by an eighth, at least by so much, and no result depends on it.
_FIRST_ROWS = 64


class ColonyStep(msgspec.Struct, frozen=True):
    """What all learners said about one slice; read-only arrays, shape (capacity,), one entry a row.

    `conviction` = p_up - p_down, NaN where nothing was predicted (pair not fresh, feature or volatility NaN,
    faulty or free row). `score` is the mid-rank of |conviction| among the learner's last predictions before
    this one, in [0, 1], NaN while `abstained` (also during the warm-up of the ranks). `edge` is the calibrated
    log return over the learner's horizon, signed like conviction; 0 where the calibration is not significant or
    reversed, and where `abstained`. `population` counts births and deaths before this step.
    """

    grid: int
    population: int
    conviction: FloatArray
    score: FloatArray
    edge: FloatArray
    abstained: BoolArray


class ColonyState(msgspec.Struct, frozen=True):
    """All that a colony remembers; `names` and `parents` have one entry a row, empty where there is none."""

    names: tuple[str, ...]
    parents: tuple[str, ...]
    grid: int | None
    population: int
    arrays: dict[str, npt.NDArray[np.generic]]


class Colony:
    """All pattern learners of a run.

    Raises ConfigError when the warm-up of the ranks is longer than their window.
    """

    def __init__(self, settings: Learners, costs: Costs, n_features: int, n_pairs: int, seed: int) -> None:
        if settings.rank_warmup > settings.rank_window:
            raise ConfigError("learners.rank_warmup: must not be longer than learners.rank_window")
        if settings.rank_window > np.iinfo(k.NARROW).max:
            raise ConfigError(f"learners.rank_window: at most {np.iinfo(k.NARROW).max}, the ranks are counted narrow")
        self._settings = settings
        self._knobs = k.knobs_of(settings, costs)
        self._n_features, self._n_pairs, self._seed = n_features, n_pairs, seed
        self._depth = max(horizon.intervals for horizon in settings.horizons) + 1
        self._row_of: dict[str, int] = {}
        self._named, self._parents = _nobody(_FIRST_ROWS), _nobody(_FIRST_ROWS)  # by row
        self._names: tuple[str, ...] = ()
        self._order: IntArray | None = None  # living rows by name; None after a birth or death
        self._grid: int | None = None
        self._population = 0
        self._rows = self._by_slot = self._blank_rows(_FIRST_ROWS)
        self._lay(self._rows)
        self._past = k.Past(
            np.full((self._depth, n_pairs, n_features), np.nan),
            np.full((self._depth, n_pairs), np.nan),
            np.full((self._depth, n_pairs), np.nan),
        )
        self._work = k.Work(np.empty(self._past.close.shape), np.empty(n_pairs, dtype=np.int64))
        self._slice = k.Slice(
            np.empty(n_pairs, dtype=np.bool_),
            np.empty(n_pairs),
            np.empty(n_pairs),
            np.empty(n_pairs),
            np.empty((n_pairs, n_features)),
        )
        self._seen_at = np.full(n_pairs, k.EMPTY, dtype=np.int64)
        self._ballot = Ballot(n_pairs, settings.min_learners)

    # Population

    @property
    def names(self) -> tuple[str, ...]:
        """The living learners, sorted."""
        self._by_name()
        return self._names

    @property
    def order(self) -> IntArray:
        """The rows of the living, in the order of `names`."""
        return self._by_name()

    @property
    def rows(self) -> k.Rows:
        """The live arrays, for code that teaches learners; replaced when a birth makes them grow."""
        return self._rows

    @property
    def capacity(self) -> int:
        """Rows there is room for now."""
        return int(self._rows.counts.shape[0])

    def __len__(self) -> int:
        """Living learners."""
        return len(self._row_of)

    def born(
        self,
        name: str,
        pair_index: int,
        horizon: int,
        always_in: Sequence[int] = (),
        parent: str | None = None,
        moat: int = 0,
    ) -> int:
        """Add a learner and return its row; `always_in` are feature indices its mask must have, those of its moat.

        A `parent` (living) only sets the lineage: generation is the parent's plus one, nothing is inherited.
        Raises InvariantError for a name that lives, a pair or feature out of range, a horizon not configured.
        """
        self._check_birth(name, pair_index, horizon, always_in)
        generation = 0 if parent is None else int(self._rows.counts[self.row_of(parent), k.GENERATION]) + 1
        if len(self._row_of) == self.capacity:
            self._grow()
        row = int(self._rows.counts[:, k.ALIVE].argmin())  # the first free one
        self._draw(row, name, always_in)
        counts = self._rows.counts[row]
        counts[k.ALIVE], counts[k.PAIR], counts[k.HORIZON] = 1, pair_index, horizon
        counts[k.GENERATION], counts[k.MOAT] = generation, moat
        self._row_of[name] = row
        self._named[row], self._parents[row] = name, parent or ""
        self._changed()
        return row

    def died(self, name: str) -> None:
        """Remove a learner with all it knew; its row is free again. Raises NotFound."""
        row = self.row_of(name)
        for column, blank in self._blank_rows(1)._asdict().items():
            getattr(self._rows, column)[row] = blank[0]
        del self._row_of[name]
        self._named[row] = self._parents[row] = ""
        self._changed()

    def row_of(self, name: str) -> int:
        """The row of a living learner. Raises NotFound."""
        try:
            return self._row_of[name]
        except KeyError:
            raise NotFound(f"no learner is called {name!r}") from None

    def rows_of(self, names: Iterable[str]) -> IntArray:
        """The rows of living learners, (names,). Raises NotFound."""
        try:
            return np.fromiter(map(self._row_of.__getitem__, names), np.int64)
        except KeyError as error:
            raise NotFound(f"no learner is called {error}") from None

    def rows_behind(self, ideas: Sequence[SwarmIdea]) -> IntArray:
        """The rows of those who support these ideas, one idea after the other. Raises NotFound where one is dead."""
        known = self._ballot.rows_behind(ideas, self._population)  # to look every name up is dear
        return self.rows_of(chain.from_iterable([idea.learners for idea in ideas])) if known is None else known

    def __contains__(self, name: str) -> bool:
        """Whether a learner of this name lives."""
        return name in self._row_of

    @property
    def past(self) -> k.Past:
        """What was known at the last grid points, live."""
        return self._past

    @property
    def population(self) -> int:
        """Counts births and deaths: what was made for one population is not valid for the next."""
        return self._population

    @property
    def grid(self) -> int | None:
        """The grid of the newest step."""
        return self._grid

    @property
    def seed(self) -> int:
        """That of the run."""
        return self._seed

    def adopt(self, parents: Mapping[str, str]) -> None:
        """Let the lineage follow: child to the one it learnt from. Names of the living, as sharing reports them."""
        for name, parent in parents.items():
            self._parents[self.row_of(name)] = parent

    def adopt_rows(self, parent: IntArray) -> None:
        """The same by rows, (capacity,): below 0 where nobody learnt from anybody better."""
        learnt = parent >= 0
        self._parents[learnt] = self._named[parent[learnt]]

    def _changed(self) -> None:
        self._order = None
        self._population += 1

    def _by_name(self) -> IntArray:
        if self._order is None:
            self._names = tuple(sorted(self._row_of))
            self._order = np.array([self._row_of[name] for name in self._names], dtype=np.int64)
        return self._order

    def _check_birth(self, name: str, pair_index: int, horizon: int, always_in: Sequence[int]) -> None:
        if not name or name in self._row_of:
            raise InvariantError(f"learner {name!r}: a name must not be empty and lives only once")
        if not 0 <= pair_index < self._n_pairs:
            raise InvariantError(f"learner {name!r}: pair {pair_index} is not one of {self._n_pairs}")
        if not 1 <= horizon < self._depth:
            raise InvariantError(f"learner {name!r}: horizon {horizon} is longer than any of learners.horizons")
        if any(not 0 <= index < self._n_features for index in always_in):
            raise InvariantError(f"learner {name!r}: always_in names a feature outside 0..{self._n_features - 1}")

    def _draw(self, row: int, name: str, always_in: Sequence[int]) -> None:
        """What differs between learners, from the learner's own stream in a fixed order."""
        settings, rng = self._settings, generator_for(self._seed, name)
        numbers, drawn = self._rows.numbers[row], rng.random(2 + self._n_features)
        spread, shift = drawn[:2].tolist()
        numbers[k.RATE] = settings.learning_rate * math.exp(_within(settings.learning_rate_spread, spread))
        shift = _within(settings.entry_score_spread, shift)
        numbers[k.ENTRY] = min(1.0, max(0.0, settings.entry_score + shift))
        chosen = drawn[2:] < settings.feature_mask_ratio
        for index in always_in:
            chosen[index] = True
        others = rng.permutation(self._n_features)
        mask = np.flatnonzero(chosen)
        if mask.size < _FEWEST_FEATURES:
            others = others[~chosen[others]]
            chosen[others[: _FEWEST_FEATURES - mask.size]] = True
            mask = np.flatnonzero(chosen)
        self._rows.mask[row, : mask.size] = mask
        self._rows.counts[row, k.FEATURES] = mask.size
        self._rows.stream[row] = rng.bit_generator.random_raw()

    def _blank_rows(self, capacity: int) -> k.Rows:
        settings, features = self._settings, self._n_features
        counts = np.zeros((capacity, k.COUNTS), dtype=np.int64)
        counts[:, [k.BOOK_SINCE, k.SHARED_AT, k.SIGHTED_AT, k.PATTERN_AT, k.ARCHIVED_AT]] = k.EMPTY
        numbers = np.zeros((capacity, k.NUMBERS))
        numbers[:, [k.SAID, k.SAID_SCORE, k.PATTERN_MOVE]] = np.nan
        return k.Rows(
            numbers=numbers,
            counts=counts,
            weights=np.zeros((capacity, k.CLASSES, features)),
            mask=np.zeros((capacity, features), dtype=np.int64),
            guesses=np.zeros((capacity, self._depth, k.GUESS_WIDTH)),
            guessed_at=np.full((capacity, self._depth), k.EMPTY, dtype=np.int64),
            ranks=np.zeros((capacity, settings.rank_window), dtype=np.int16),
            book=np.zeros((capacity, settings.book_trades)),
            pattern=np.zeros((capacity, 2, features)),
            stream=np.zeros(capacity, dtype=np.uint64),
        )

    def _grow(self) -> None:
        size = max(_FIRST_ROWS, self.capacity // 8)  # not double: every loop of a step passes over the free rows
        self._named, self._parents = (np.append(one, _nobody(size)) for one in (self._named, self._parents))
        rows, more = self._rows._asdict(), self._blank_rows(size)._asdict()
        self._lay(k.Rows(**{column: np.concatenate((rows[column], more[column])) for column in rows}))

    def _lay(self, rows: k.Rows) -> None:
        """Keep `rows`: guesses slot by slot, so that those of one slice lie side by side and few pages are looked at.

        `_by_slot` are the same arrays as the loops take them.
        """
        guesses: FloatArray = np.ascontiguousarray(rows.guesses.swapaxes(0, 1))
        guessed_at: IntArray = np.ascontiguousarray(rows.guessed_at.swapaxes(0, 1))
        self._by_slot = rows._replace(guesses=guesses, guessed_at=guessed_at)
        self._rows = rows._replace(guesses=guesses.swapaxes(0, 1), guessed_at=guessed_at.swapaxes(0, 1))

    # Steps

    def step(self, snapshot: Snapshot) -> ColonyStep:
        """Let all learners of fresh pairs learn from what is due, predict, and go on with their books.

        Time is `snapshot.grid`. A pair may come late within a grid point, but only once. Raises InvariantError
        when the grid runs backwards, a pair is fresh twice at one grid point, or a shape is not the colony's.
        """
        self._check(snapshot)
        self._copy(snapshot)
        grid, size = snapshot.grid, self._rows.counts.shape[0]
        last = grid if self._grid is None else self._grid
        out = k.Out(np.empty(size), np.empty(size), np.empty(size), np.empty(size, dtype=np.bool_))
        arguments: list[Any] = [*self._by_slot, *self._past, self._seen_at, self._knobs, *self._work, grid, last]
        arguments += [*self._slice, *out]
        step_rows(*arguments)
        self._grid = grid
        for array in out:
            array.setflags(write=False)
        return ColonyStep(grid, self._population, *out)

    def _check(self, snapshot: Snapshot) -> None:
        if snapshot.features.shape != (self._n_pairs, self._n_features):
            shape = (self._n_pairs, self._n_features)
            raise InvariantError(f"colony: snapshot has features of shape {snapshot.features.shape}, not {shape}")
        if self._grid is not None and snapshot.grid < self._grid:
            raise InvariantError(f"colony: grid {snapshot.grid} comes after {self._grid}; time runs forward")
        if snapshot.grid == self._grid and np.any(snapshot.fresh & (self._seen_at == snapshot.grid)):
            raise InvariantError(f"colony: a pair is fresh twice at grid {snapshot.grid}")

    def _copy(self, snapshot: Snapshot) -> None:
        """The slice into arrays of one memory layout, so that the loops are compiled once."""
        fresh, close, opened, volatility, features = self._slice
        fresh[:], close[:] = snapshot.fresh, snapshot.close
        opened[:] = math.nan if snapshot.bars is None else snapshot.bars.open
        volatility[:], features[:] = snapshot.volatility, snapshot.features

    def ideas(self, step: ColonyStep, snapshot: Snapshot) -> list[SwarmIdea]:
        """The swarm's ideas of this step, at most one a pair, in the order of pairs.

        A learner supports the side of its conviction when its score reaches its own entry threshold and it is
        not silenced; abstaining learners support nothing. With at least `min_learners` on a side there is an
        idea; with enough on both, the side with more learners has it, and equal numbers cancel.

        `score` is the mean of the supporters' scores. `edge` is the sum of the supporters' calibrated edges over
        their number n: since edge_i = (1 - min_t2 / t_i^2) beta_i move_i, this weights each opinion by the strength of
        its calibration and gives the rest of its weight to zero. An uncalibrated voice counts fully as zero, so
        one learner never carries more than 1/n of its own edge. Signed: negative for a sell idea. `horizon` is
        that of the supporter with the largest |edge|, the first name among equals. Raises InvariantError for a
        step of another slice or population.
        """
        if step.grid != snapshot.grid or step.population != self._population:
            raise InvariantError("colony: ideas belong to the newest step, before any birth or death")
        counts, order = self._rows.counts, self._by_name()
        said = (step.conviction, step.score, step.edge)
        return self._ballot.ideas(self._names, order, counts, self._rows.numbers, said, self._population)

    # Reading

    def view(self, row: int) -> dict[str, Scalar | None]:
        """A living learner's numbers to read; None where a value does not exist yet.

        `t` outcomes learnt from, `loss` and `base_loss` mean nats (recorded when predicted, fading with
        calibration_memory), `edge` log return, `pnl` sum of profit ratios of the last book_trades trades,
        `total_pnl` of all. Raises NotFound for a free row.
        """
        if not (0 <= row < self.capacity and self._rows.counts[row, k.ALIVE]):
            raise NotFound(f"row {row} of the colony holds no learner")
        return k.readable(self._rows.numbers[row], self._rows.counts[row])

    def parent_of(self, name: str) -> str | None:
        """The name of a living learner's parent, None for a founder. Raises NotFound for an unknown learner."""
        return self._parents[self.row_of(name)] or None

    def policy_vectors(self) -> FloatArray:
        """What each learner would do, shape (learners, features), in the order of `names`.

        Up weights minus down weights, zero where masked out: conviction rises along this vector.
        """
        weights = self._rows.weights[self._by_name()]
        return np.asarray(weights[:, k.UP] - weights[:, k.DOWN])

    # Restart

    def state(self) -> ColonyState:
        """A copy of everything that the next steps depend on."""
        arrays = {name: array.copy() for name, array in self._arrays().items()}
        names, parents = tuple(self._named.tolist()), tuple(self._parents.tolist())
        return ColonyState(names, parents, self._grid, self._population, arrays)

    def restore(self, state: ColonyState) -> None:
        """Go on exactly where `state` was taken. Raises DataError when it is of other settings or damaged."""
        blank = self._blank_rows(len(state.names))._asdict()
        expected = {**blank, **self._past._asdict(), "seen_at": self._seen_at}
        if set(state.arrays) != set(expected):
            raise DataError("colony state: other arrays than this version keeps; start with a fresh state")
        for name, array in expected.items():
            found = state.arrays[name]
            if found.shape != array.shape or found.dtype != array.dtype:
                raise DataError(f"colony state: {name} is {found.dtype}{found.shape}, settings ask for {array.shape}")
        copies = {name: np.array(array, order="C") for name, array in state.arrays.items()}
        self._lay(k.Rows(**{name: copies[name] for name in k.Rows._fields}))
        self._past = k.Past(**{name: copies[name] for name in k.Past._fields})
        self._seen_at = copies["seen_at"]
        self._row_of = {name: row for row, name in enumerate(state.names) if name}
        self._named, self._parents = np.array(state.names, dtype=object), np.array(state.parents, dtype=object)
        self._grid, self._population, self._order = state.grid, state.population, None

    def _arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        return {**self._rows._asdict(), **self._past._asdict(), "seen_at": self._seen_at}


def _within(spread: float, drawn: float) -> float:
    """Evenly in [-spread, spread) for `drawn` in [0, 1), as `Generator.uniform` makes it of the same draw."""
    return -spread + (spread + spread) * drawn


def _nobody(capacity: int) -> npt.NDArray[np.object_]:
    return np.full(capacity, "", dtype=object)
