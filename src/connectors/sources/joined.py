"""Joins a market feed on the wall clock with what the real sources say: each slice brings what was new by then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from ...core.clock import Timer
from ...core.config import Moats
from ...core.ports import Clock, Feed
from ...core.types import Pair, Slice
from .poller import Poller
from .standing import SourceHealth


class MarketAndSources:
    """A Feed: the slices of `market`, each with the observations that were known at its time and not said before.

    Asking begins with the first slice, after a `restore`, and runs on a thread of its own: no slice waits for a
    server, and none ends because of one. `state` holds what was said, so that a restart says nothing twice; carry it
    with the checkpoint (`MycelialModel.keep`). `close` stops asking.
    """

    name = "sources"

    def __init__(self, market: Feed, poller: Poller) -> None:
        self.pairs: tuple[Pair, ...] = market.pairs
        self.interval_ms: int = market.interval_ms
        self.simulated: bool = market.simulated
        self._market = market
        self._poller = poller

    def __iter__(self) -> Iterator[Slice]:
        self._poller.start()
        for slice_ in self._market:
            new = tuple(self._poller.drain(slice_.at))
            yield msgspec.structs.replace(slice_, observations=(*slice_.observations, *new)) if new else slice_

    def health(self) -> Sequence[SourceHealth]:
        """How every source stands now; from any thread."""
        return self._poller.health()

    def state(self) -> dict[str, Any]:
        """What was said so far."""
        return self._poller.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`; before the first slice."""
        self._poller.restore(state)

    def close(self) -> None:
        """Stop asking and give back all connections."""
        self._poller.close()


def with_real_sources(
    market: Feed, settings: Moats, environ: Mapping[str, str], config_folder: Path, clock: Clock, timer: Timer
) -> MarketAndSources:
    """`market` joined with one source of each kind; their clients are imported only now, which takes a moment.

    `clock` tells the time at which things become known: the wall's, whatever the market does.
    """
    build = import_module(".build", __package__)
    return MarketAndSources(
        market, Poller(build.real_sources(settings, environ, config_folder, timer), settings, clock, timer)
    )
