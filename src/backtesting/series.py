"""Keeps what moats said and what prices did, aligned by the time it became known, for the statistics of a run."""

from __future__ import annotations

from array import array
from threading import Lock

import msgspec
import numpy as np

from ..core.engine import Report
from ..core.moat_kernels import NEUTRAL
from ..core.moats import CODE, FAILED, MOATS
from ..core.types import FloatArray, IntArray, MoatView, Pair, Snapshot
from .closes import Closes


class Aligned(msgspec.Struct, frozen=True):
    """Rows of what was known when bars closed, `at` (n,) UTC ms strictly rising; NaN where nothing is known.

    `close` (n, pairs). `values` (n, pairs, moats): what the swarm sees of each moat, NaN where the moat does not
    speak. `news` (n, pairs, moats): observations that became known since the row before, of the code moat those of
    the pair's asset; NaN as long as the moat never spoke. `figures` (n, names) of the moats that speak of no single
    asset. `simulated` by moat: somebody invents what it says. `view`: the newest.
    """

    interval_ms: int
    pairs: tuple[Pair, ...]
    at: IntArray
    close: FloatArray
    values: FloatArray
    news: FloatArray
    names: tuple[str, ...]
    figures: FloatArray
    simulated: tuple[bool, ...]
    view: MoatView | None


class Series:
    """An observer of Reports: a row for each slice with bars, the newest `kept` at least, twice as many at most.

    `aligned` may be asked from any thread.
    """

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._at, self._close, self._said = array("q"), array("d"), array("f")
        self._widths = (0, 0)
        self._news: FloatArray = np.empty(0)
        self._silence: FloatArray = np.empty(0)
        self._view: MoatView | None = None
        self._last: Snapshot | None = None
        self._row = b""
        self._rows: dict[str, list[int]] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._at)

    @property
    def view(self) -> MoatView | None:
        """How the moats stood at the newest row."""
        return self._view

    def take(self, report: Report) -> None:
        """Add one Report; slices come in order of time."""
        self.see(report.snapshot)

    def see(self, snapshot: Snapshot) -> None:
        """Add what was known in one slice."""
        if snapshot.moats is None:
            return
        if self._last is None:
            self._begin(snapshot, snapshot.moats)
        if snapshot.observations:
            self._count(snapshot)
        if snapshot.bars is not None:
            self._add(snapshot, snapshot.moats)

    def _begin(self, snapshot: Snapshot, view: MoatView) -> None:
        pairs, moats = len(snapshot.pairs), len(MOATS)
        for place, pair in enumerate(snapshot.pairs):
            self._rows.setdefault(pair.partition("/")[0], []).append(place)
        self._silence = np.full(pairs + moats - 1, np.nan)
        self._news = self._silence.copy()
        self._widths = (pairs, 2 * (pairs + moats - 1) + len(_shared(view)))
        self._last = snapshot

    def _count(self, snapshot: Snapshot) -> None:
        """What was said since the last row."""
        pairs = len(snapshot.pairs)
        for seen in snapshot.observations:
            if seen.moat not in MOATS or FAILED in seen.values:
                continue
            moat = MOATS.index(seen.moat)
            own = slice(0, pairs) if moat == CODE else slice(pairs + moat - 1, pairs + moat)
            if np.isnan(self._silence[own.start]):
                self._news[own] = self._silence[own] = 0.0
            self._news[self._rows.get(seen.subject, []) if moat == CODE else own] += 1.0

    def _add(self, snapshot: Snapshot, view: MoatView) -> None:
        if view is not self._view:
            self._row, self._view = _said(view), view
        with self._lock:
            self._at.append(snapshot.at)
            self._close.frombytes(np.ascontiguousarray(snapshot.close, np.float64).tobytes())
            self._said.frombytes(self._news.astype(np.float32).tobytes() + self._row)
            self._last = snapshot
            if len(self._at) >= 2 * self._kept:
                self._forget(len(self._at) - self._kept)
        self._news[:] = self._silence

    def _forget(self, rows: int) -> None:
        del self._at[:rows]
        del self._close[: rows * self._widths[0]]
        del self._said[: rows * self._widths[1]]

    def closes(self) -> Closes | None:
        """The closes that are kept, as copies; None before the first row."""
        with self._lock:
            at, close, last = self._at[:], self._close[:], self._last
        if not at or last is None:
            return None
        return Closes(np.array(at, np.int64), last.pairs, np.array(close, np.float64).reshape(len(at), -1))

    def aligned(self) -> Aligned | None:
        """Everything that is kept, as copies; None before the first row."""
        with self._lock:
            at, close, said, last, view = self._at[:], self._close[:], self._said[:], self._last, self._view
        if not at or last is None or view is None:
            return None
        rows, pairs, each = len(at), len(last.pairs), len(last.pairs) + len(MOATS) - 1
        table = np.array(said, np.float64).reshape(rows, -1)
        return Aligned(
            interval_ms=last.interval_ms,
            pairs=last.pairs,
            at=np.array(at, np.int64),
            close=np.array(close, np.float64).reshape(rows, pairs),
            news=_spread(table[:, :each], pairs),
            values=_spread(table[:, each : 2 * each], pairs),
            names=tuple(f"{MOATS[int(view.parts.moat[cell])]}: {view.parts.names[cell]}" for cell in _shared(view)),
            figures=table[:, 2 * each :],
            simulated=view.simulated,
            view=view,
        )


def _shared(view: MoatView) -> list[int]:
    """The cells of moats that speak of no single asset."""
    return np.flatnonzero(view.parts.moat != CODE).tolist()


def _said(view: MoatView) -> bytes:
    """Values of the code moat pair by pair, of the other moats once, then their figures; NaN for silence. float32."""
    values = np.where(view.states >= NEUTRAL, view.values, np.nan)
    shared = _shared(view)
    figures = np.where(view.parts.state[shared] >= NEUTRAL, view.parts.figures[shared], np.nan)
    row: FloatArray = np.concatenate((values[:, CODE], values[0, CODE + 1 :], figures))
    return row.astype(np.float32).tobytes()


def _spread(columns: FloatArray, pairs: int) -> FloatArray:
    """(n, pairs + the other moats) to (n, pairs, moats)."""
    shared = np.repeat(columns[:, None, pairs:], pairs, axis=1)
    return np.concatenate((columns[:, :pairs, None], shared), axis=2)
