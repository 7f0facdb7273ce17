"""A healthy session of hourly bars on an exchange alarms nobody between two bars; one whose bars stop coming does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from src.commands.exchange_feed import ExchangeFeed
from src.commands.feeds import Source
from src.commands.measures import NONE, Measures
from src.commands.monitoring import interval_s
from src.connectors.heartbeat import Heartbeat
from src.connectors.metrics_http import Table
from src.core.config import Settings
from src.core.history import HistoryFeed
from src.core.timeframes import HOUR_MS
from src.core.types import Pair
from tests.money import SHIPPED
from tests.monitoring.test_alerts import FOLDER, PROMTOOL, needs_promtool
from tests.monitoring.test_measures import Run, health

WARM = 40
"""Bars of the tape that pass at once at the start, as candles of the exchange do."""
HOURS = 5
OF_CODE = '{instance="here:9108",job="mycelial",moat="code"}'
DEAD = 60 * HOURS + 150
"""The minute in which a person must know that no bars came after the healthy hours."""


class Hourly(Run):
    """The tape's house as on an exchange: its bars come with the hour, it is asked for figures each minute."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.minute, self.timer.now = 0, 0.0
        self.measures = Measures(self.house, self.ledger, SHIPPED.monitoring.metrics, {}, self.timer, self.now_ms)
        feed = ExchangeFeed([Pair("BTC/USD")], HOUR_MS, moatless(), 7, folder)
        self.measures.around.interval_s = interval_s(Source(feed, "kraken", 0, None, feed), None)
        self.measures.around.health = lambda: [health("commits", 3 + self.minute // 5, 0, 0.2)]
        self.heart = Heartbeat(
            folder / "heartbeat", None, SHIPPED.monitoring.heartbeat, self.measures.silent, self.timer, self.now_ms
        )
        self.measures.around.beside = lambda: {
            "heartbeat_timestamp_seconds": {NONE: (self.heart.beat_ms or 0) / 1000},
            "log_lines_dropped_total": {NONE: 0.0},
        }
        self._slices = iter(HistoryFeed(self.history))
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(Table(self.measures.figures))

    def now_ms(self) -> int:
        return int(self.timer.now * 1000)

    def bars(self, count: int) -> None:
        for _ in range(count):
            self.measures(self.house.engine.on_slice(next(self._slices)))

    def pages(self, healthy: int, minutes: int) -> Iterator[dict[str, float]]:
        """Every sample of each minute; bars come with each full hour of the `healthy` minutes."""
        self.bars(WARM)
        for self.minute in range(minutes):
            self.timer.now = 60.0 * self.minute
            if self.minute and self.minute % 60 == 0 and self.minute <= healthy:
                self.bars(1)
            self.heart.beat()
            yield samples(generate_latest(self._registry).decode())


def moatless() -> Settings:
    """The shipped settings, with nobody to ask about moats."""
    board = SHIPPED.moats.board.model_copy(update={"enabled": False})
    return SHIPPED.model_copy(update={"moats": SHIPPED.moats.model_copy(update={"board": board})})


def samples(page: str) -> dict[str, float]:
    """Every sample by the words with which Prometheus names its series."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = {"instance": "here:9108", "job": "mycelial", **sample.labels}
            written = ",".join(f'{name}="{value}"' for name, value in labels.items())
            found[f"{sample.name}{{{written}}}"] = sample.value
    return found


def test_an_hour_without_a_bar_is_life_and_its_sources_are_of_now(tmp_path: Path) -> None:
    run = Hourly(tmp_path)
    beats = []
    for page in run.pages(60, 60 + 121 + 2):
        beats.append(run.heart.beat_ms)
        assert page[f"mycelial_moat_last_update_timestamp{OF_CODE}"] == run.timer.now - 30.0
    run.house.close()
    assert beats == [60_000 * min(minute, 60 + 121) for minute in range(60 + 121 + 2)]
    assert run.measures.silent() == "no slice for 7320 s"


@needs_promtool
def test_an_hour_between_bars_alarms_nobody_and_three_do(tmp_path: Path) -> None:
    run = Hourly(tmp_path)
    pages = list(run.pages(60 * HOURS, DEAD + 1))
    run.house.close()
    assert "no slice for" in run.measures.silent()
    names = dict.fromkeys(name for page in pages for name in page)
    series = [
        {"series": name, "values": " ".join(str(page[name]) if name in page else "_" for page in pages)}
        for name in names
    ]
    firing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    quiet = [{"expr": firing, "eval_time": f"{at}m", "exp_samples": []} for at in range(0, 60 * HOURS + 115, 5)]
    dead = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in ("DeadManHeartbeat", "FeedStale")]
    shutil.copy(FOLDER / "alerts.yaml", tmp_path / "alerts.yaml")
    told = {
        "rule_files": ["alerts.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "promql_expr_test": [*quiet, {"expr": firing, "eval_time": f"{DEAD}m", "exp_samples": dead}],
            }
        ],
    }
    (tmp_path / "hourly.test.yaml").write_text(yaml.safe_dump(told))
    words = [str(PROMTOOL), "test", "rules", "hourly.test.yaml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
