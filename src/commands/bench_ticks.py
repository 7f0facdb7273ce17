"""The stream of an exchange for the benchmark of ticks, built as the feed builds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..connectors.kraken.attempts import ConnectionBudget
from ..connectors.kraken.feed import MINUTE_MS, PublicStream
from ..connectors.kraken.streams import Ports
from ..core.clock import Timer, WallClock
from ..core.config import Settings
from ..core.types import Pair, Tick


class BenchStream:
    """Trades of some pairs from an address; the newest of each pair at any time."""

    def __init__(self, settings: Settings, url: str, pairs: Sequence[Pair], timer: Timer) -> None:
        chosen = settings.kraken.streams.model_copy(update={"url": url})
        ports = Ports(timer, ConnectionBudget(chosen.connection), 0, lambda _: None)
        self._public = PublicStream(pairs, MINUTE_MS, chosen, WallClock(), ports)
        self._timer = timer
        self._public.start()

    def ready(self) -> bool:
        """Whether everything that was asked for is promised."""
        return not self._public.stream.troubles()

    def wait(self, seconds: float) -> bool:
        """Until there is a newer trade, at most so long."""
        return self._timer.wait(self._public.market.fresh, seconds)

    def newest(self) -> Mapping[Pair, Tick]:
        """The newest trade of each pair that had one since the last call."""
        return self._public.market.newest()

    def close(self) -> None:
        """Leave."""
        self._public.close()
