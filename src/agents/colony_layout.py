"""How the learners lie in memory: the arrays that the compiled loops share, and the names of their columns."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from numba import njit, types
from numba.extending import intrinsic

from ..core.compiled import compiled as plainly
from ..core.config import Costs, Learners
from ..core.types import BoolArray, FloatArray, IntArray, Scalar

NarrowArray = npt.NDArray[np.int16]
NARROW = np.int16
StreamArray = npt.NDArray[np.uint64]

DOWN, FLAT, UP = range(3)
CLASSES = 3
RANK_UNIT = 2.0**15 - 1.0  # |conviction| as a 16-bit integer: a quarter of the memory to scan, ties count half
SMALLEST = 2.0**-1022  # keeps the loss of an impossible outcome finite
EMPTY = -(2**62)  # a grid point that no run reaches
NO_ORDER, ENTER, LEAVE = range(3)

# Columns of Rows.numbers.
RATE, ENTRY, BIAS = range(3)  # own learning rate, score from which it speaks, the one bias (flat class)
BETA, T2 = range(3, 5)  # slope of realised on predicted move, its squared t
SXX, SXY, SYY, WEIGHT = range(5, 9)  # fading sums behind it; WEIGHT counts the outcomes
LOSS, BASE_LOSS = range(9, 11)  # fading sums of log losses: own, and of the class frequencies, as predicted
SEEN, SEEN_FLAT, SEEN_UP = range(11, 14)  # fading counts of outcomes: down, flat, up
BOOK_PRICE, BOOK_TOTAL, BOOK_RECENT = range(14, 17)  # entry price, sum of all profit ratios, of the last ones
SAID, SAID_SCORE, SAID_EDGE = range(17, 20)  # conviction, score and edge of the newest step
SIGHTED_SCORE, SIGHTED_SAID = range(20, 22)  # of the pattern whose outcome is awaited: score, conviction
PATTERN_SCORE, PATTERN_SAID, PATTERN_MOVE = range(22, 25)  # of the newest pattern with an outcome: the log return too
GAVE = 25  # share of the neighbours that took from it when they last looked
NUMBERS = 26

# Columns of Rows.counts.
ALIVE, PAIR, HORIZON, GENERATION, FEATURES = range(5)  # FEATURES: length of the used part of Rows.mask
LEARNT, LEARNT_AT, PREDICTED, DROPPED = range(5, 9)  # LEARNT_AT: grid; DROPPED: guesses without outcome
FAULTY, SILENCED = range(9, 11)
BOOK_ORDER, BOOK_SINCE, TRADES, WINS = range(11, 15)  # BOOK_SINCE: grid of the entry's bar, EMPTY when flat
MOAT, TOXIC, SHARED_AT = range(15, 18)  # SHARED_AT: grid at which it last looked at its neighbours
SIGHTED_AT, PATTERN_AT, ARCHIVED_AT = range(18, 21)  # grids of sightings: awaited, with outcome, last archived
COUNTS = 21
SIGHTED, SETTLED = range(2)  # of Rows.pattern

GUESS_BASE, GUESS_MOVE, GUESS_WIDTH = 3, 6, 7  # of Rows.guesses: probabilities, base rates, predicted log return


class Rows(NamedTuple):
    """The learners, one a row; `depth` is the longest horizon + 1, a guess of grid g lies at g % depth.

    The loops take the guesses slot by slot: (depth, rows, GUESS_WIDTH) and (depth, rows).
    """

    numbers: FloatArray  # (rows, NUMBERS)
    counts: IntArray  # (rows, COUNTS)
    weights: FloatArray  # (rows, CLASSES, features); zero where masked out
    mask: IntArray  # (rows, features): indices of the features in use, ascending
    guesses: FloatArray  # (rows, depth, GUESS_WIDTH)
    guessed_at: IntArray  # (rows, depth): grid of the guess, EMPTY where none waits
    ranks: NarrowArray  # (rows, rank_window): last |conviction| in units of 1 / RANK_UNIT
    book: FloatArray  # (rows, book_trades): last profit ratios
    pattern: FloatArray  # (rows, 2, features): what was seen, zero where masked out
    stream: StreamArray  # (rows,): state of the learner's own random numbers


class Past(NamedTuple):
    """What was known at the last `depth` grid points; features clipped, NaN where not finite."""

    features: FloatArray  # (depth, pairs, features)
    close: FloatArray  # (depth, pairs)
    volatility: FloatArray  # (depth, pairs)


class Slice(NamedTuple):
    """A copy of what a step takes of a slice, made anew by each."""

    fresh: BoolArray  # (pairs,)
    close: FloatArray  # (pairs,)
    open: FloatArray  # (pairs,)
    volatility: FloatArray  # (pairs,)
    features: FloatArray  # (pairs, features)


class Now(NamedTuple):
    """One slice; `last` is the grid of the step before."""

    grid: int
    last: int
    fresh: BoolArray
    close: FloatArray
    open: FloatArray
    volatility: FloatArray
    features: FloatArray


class Out(NamedTuple):
    """What a step says, (rows,) each."""

    conviction: FloatArray
    score: FloatArray
    edge: FloatArray
    abstained: BoolArray


class Work(NamedTuple):
    """Scratch of one step, made anew by each."""

    moved: FloatArray  # (depth, pairs): log return since the bar in that slot, NaN where nobody asked yet
    known: IntArray  # (pairs,): how much is known of each pair in this slice


class Knobs(NamedTuple):
    """The settings the loops need."""

    clip: float
    flat_min: float
    flat_max: float
    round_trip: float
    side_cost: float
    rate_floor: float
    rate_halving: float
    rank_warmup: int
    memory: float
    min_t2: float
    silence_profit: float
    silence_trades: int
    voice_profit: float


_SOURCES = zlib.crc32(b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("colony*.py"))))


def compiled[F: Callable[..., Any]](function: F) -> F:
    """`core.compiled`, with a name of its own for every version of the colony.

    numba's cache sees changes of a function's own file only, and these functions call and read across files; so the
    fingerprint of all of them is part of the name.
    """
    function.__qualname__ = f"{function.__qualname__}-{_SOURCES:08x}"
    return plainly(function)


def inlined[F: Callable[..., Any]](function: F) -> F:
    """A step of one row, which numba writes into the loop that calls it; no function of its own."""
    return cast(F, njit(inline="always", error_model="numpy")(function))


def _uncounted(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Machine code for the array without the block of memory that counts who refers to it."""
    view = context.make_array(signature.args[0])(context, builder, arguments[0])
    view.meminfo = context.get_constant_null(types.MemInfoPointer(types.voidptr))  # type: ignore[no-untyped-call]
    view.parent = context.get_constant_null(types.pyobject)
    return view._getvalue()


borrowed = cast("Callable[[Any], Any]", intrinsic(lambda typing, array: (array(array), _uncounted)))
"""The same array, whose references are not counted: for loops that hand arrays on once a row, where counting would
cost more than the arithmetic. Only for arguments of a compiled function: whoever called it holds them meanwhile."""


def readable(numbers: FloatArray, counts: IntArray) -> dict[str, Scalar | None]:
    """One row's columns by name, in plain numbers; the names are explained at `Colony.view`."""
    weight, trades = float(numbers[WEIGHT]), int(counts[TRADES])
    return {
        "t": int(counts[LEARNT]),
        "pair": int(counts[PAIR]),
        "horizon": int(counts[HORIZON]),
        "features": int(counts[FEATURES]),
        "generation": int(counts[GENERATION]),
        "learning_rate": float(numbers[RATE]),
        "entry_score": float(numbers[ENTRY]),
        "beta": float(numbers[BETA]),
        "t2": float(numbers[T2]),
        "loss": float(numbers[LOSS]) / weight if weight else None,
        "base_loss": float(numbers[BASE_LOSS]) / weight if weight else None,
        "conviction": _known(numbers[SAID]),
        "score": _known(numbers[SAID_SCORE]),
        "edge": _known(numbers[SAID_EDGE]),
        "pnl": float(numbers[BOOK_RECENT]),
        "total_pnl": float(numbers[BOOK_TOTAL]),
        "trades": trades,
        "win_rate": int(counts[WINS]) / trades if trades else None,
        "predicted": int(counts[PREDICTED]),
        "dropped": int(counts[DROPPED]),
        "silenced": bool(counts[SILENCED]),
        "faulty": bool(counts[FAULTY]),
        "moat": int(counts[MOAT]),
        "toxic": bool(counts[TOXIC]),
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def knobs_of(settings: Learners, costs: Costs) -> FloatArray:
    """The settings that the loops need, in the order of `Knobs`."""
    knobs = Knobs(
        clip=settings.feature_clip,
        flat_min=settings.flat_min,
        flat_max=settings.flat_max,
        round_trip=costs.round_trip,
        side_cost=float(costs.per_side),
        rate_floor=settings.learning_rate_floor,
        rate_halving=settings.learning_rate_halving,
        rank_warmup=settings.rank_warmup,
        memory=settings.calibration_memory,
        min_t2=settings.calibration_min_t2,
        silence_profit=settings.silence_profit_ratio,
        silence_trades=settings.silence_min_trades,
        voice_profit=settings.voice_profit_ratio,
    )
    return np.array(knobs, dtype=np.float64)
