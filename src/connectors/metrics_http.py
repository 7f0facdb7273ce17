"""The page that Prometheus reads, from a copy of the figures that nobody changes any more: a scrape holds up nobody."""

from __future__ import annotations

import errno
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from ..core.errors import UsageError
from .metrics_table import MEASURES, PREFIX, Measure

HOST = "127.0.0.1"
OTHER = "other"
"""The label of what is beyond the number of series a measure may have."""
_SOCKET_SECONDS = 5.0
"""For a reader to ask; it costs one thread."""

Labels = tuple[str, ...]
Series = Mapping[Labels, float]
Spread = tuple[tuple[tuple[str, float], ...], float]
"""(upper bound, how many lie at or below it) in order, ending with +Inf; and the sum."""


class Distribution:
    """Counts of what lies at or below each bound; for one thread, which gives away copies."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def copy(self) -> Spread:
        """As it stands."""
        total, rows = 0, []
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return tuple(rows), self._sum


class Figures(msgspec.Struct, frozen=True):
    """What a page shows: series by measure (without prefix), distributions, and what the application is."""

    series: Mapping[str, Series] = {}
    distributions: Mapping[str, Mapping[Labels, Spread]] = {}
    app: Mapping[str, str] = {}


def capped(series: Mapping[Labels, float], most: int) -> Series:
    """At most so many series, the oldest: what is beyond is summed up as `other`."""
    if len(series) <= most:
        return dict(series)
    kept = dict(list(series.items())[: most - 1])
    width = len(next(iter(series)))
    kept[(OTHER,) * width] = sum(series.values()) - sum(kept.values())
    return kept


class Table(Collector):
    """All measures of the table in its order, with the figures that `read` gives at the moment."""

    def __init__(self, read: Callable[[], Figures]) -> None:
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Nothing: figures are not looked at before somebody asks."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family a measure, with no samples where there is nothing to say."""
        figures = self._read()
        for measure in MEASURES:
            yield _family(measure, figures)


def _family(measure: Measure, figures: Figures) -> Metric:
    name = PREFIX + measure.name
    if measure.kind == "info":
        return InfoMetricFamily(name, measure.help, dict(figures.app))
    if measure.kind == "histogram":
        spread = HistogramMetricFamily(name, measure.help, labels=measure.labels)
        for labels, (buckets, total) in figures.distributions.get(measure.name, {}).items():
            spread.add_metric(labels, buckets, total)
        return spread
    kind = CounterMetricFamily if measure.kind == "counter" else GaugeMetricFamily
    family = kind(name, measure.help, labels=measure.labels)
    for labels, value in figures.series.get(measure.name, {}).items():
        family.add_metric(labels, value)
    return family


class MetricsServer:
    """Serves `/metrics`, and `/live` for whoever asks whether slices are walked; on loopback alone.

    `read` gives the figures, `silent` says why there is no life (empty while there is). Both are called from the
    server's threads. UsageError when the port is taken.
    """

    def __init__(self, port: int, read: Callable[[], Figures], silent: Callable[[], str]) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Table(read))
        self._silent, self._lock = silent, Lock()
        try:
            self._server = _Server((HOST, port), _handler(self))
        except OSError as error:
            raise _refusal(port, error) from None
        self.port = int(self._server.server_address[1])
        self._thread = Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and give back the port."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def page(self) -> bytes:
        """The text of all measures; one at a time, however many ask."""
        with self._lock:
            return bytes(generate_latest(self._registry))

    def life(self) -> tuple[int, str]:
        """Status and words for `/live`."""
        why = self._silent()
        return (503, why) if why else (200, "live")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that left is no event."""


def _handler(page: MetricsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SOCKET_SECONDS
        server_version, sys_version = "mycelial", ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, page.page())
            elif path == "/live":
                status, words = page.life()
                self._answer(status, "text/plain; charset=utf-8", words.encode() + b"\n")
            else:
                self._answer(404, "text/plain; charset=utf-8", b"there are /metrics and /live\n")

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Scrapes are no events."""

    return Handler


def _refusal(port: int, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} of the metrics is taken: something listens there; --set monitoring.metrics.port=0 picks a "
            "free one, monitoring.metrics.port=null goes without"
        )
    return UsageError(f"port {port} of the metrics cannot be opened ({error.strerror}); choose another one")
