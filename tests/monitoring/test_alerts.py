"""Every alert fires when it should and is quiet again when that is over, by Prometheus' own judgement."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from src.connectors.metrics_table import exposed
from tests.worlds import ROOT

FOLDER = ROOT / "config" / "monitoring"
PROMTOOL = shutil.which("promtool")
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]
]
NAMES = [rule["alert"] for rule in RULES]
OF_THE_REFERENCE = {
    *("HighCPU", "CriticalCPU", "HighMemory", "CriticalMemory", "RedisDown", "RedisHighMemory", "NoActiveAgents"),
    *("LowAgentCount", "HighDeploymentRejectionRate", "NegativePnL", "CriticalPnL", "NoActiveTradingAssets"),
    *("LowWinRate", "HighMoatAPIErrorRate", "MoatDataStale", "HighMoatAPILatency", "LowConsensusRate"),
    "NoConsensusActivity",
}
OWN = {"Halted", "UnknownOrders", "LedgerFailure", "FeedStale", "DeadManHeartbeat"}
LABELS = '{instance="here:9108",job="mycelial"'

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool (Debian: prometheus) is not installed")


def names_in(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(re.findall(r"\bmycelial_\w+", expression))


def test_the_alerts_that_were_asked_for_are_there_once() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert set(NAMES) >= OF_THE_REFERENCE | OWN


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_names_what_exists_and_where_help_is(rule: dict[str, Any]) -> None:
    assert names_in(rule["expr"]) - exposed().keys() == set()
    assert names_in(rule["expr"])
    assert rule["labels"]["severity"] in ("info", "warning", "critical")
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
    assert rule["annotations"]["summary"]
    runbook = ROOT / "docs" / "runbook.md"
    if runbook.is_file():
        headings = re.findall(r"^#+ (.+?)\s*$", runbook.read_text(), re.MULTILINE)
        assert rule["alert"].lower() in [heading.lower() for heading in headings]


class Case:
    """How series go, a minute a value: when the alert fires, and when it does not."""

    def __init__(self, fires: int, quiet: int, *series: tuple[str, str], before: int = 0) -> None:
        self.fires, self.quiet, self.before, self.series = fires, quiet, before, series


def one(name: str, values: str, **labels: str) -> tuple[str, str]:
    """A series of the run's instance."""
    more = "".join(f',{key}="{value}"' for key, value in labels.items())
    return f"mycelial_{name}{LABELS}{more}}}", values


CASES: dict[str, Case] = {
    "HighCPU": Case(10, 20, one("system_cpu_percent", "50x3 81x10 80x20"), before=6),
    "CriticalCPU": Case(6, 20, one("system_cpu_percent", "50x3 96x6 95x20"), before=4),
    "HighMemory": Case(10, 20, one("system_memory_percent", "50x3 86x10 85x20"), before=6),
    "CriticalMemory": Case(6, 20, one("system_memory_percent", "50x3 96x6 95x20"), before=4),
    "RedisDown": Case(6, 15, one("redis_connection_status", "1x3 0x6 1x20"), before=3),
    "RedisHighMemory": Case(11, 20, one("redis_used_memory_bytes", "1e9x3 1.9e9x10 1.8e9x20"), before=6),
    "BusDown": Case(6, 15, one("bus_up", "1x3 0x6 1x20"), before=3),
    "NoActiveAgents": Case(7, 15, one("active_agents_total", "5x3 0x6 50x20"), before=4),
    "LowAgentCount": Case(10, 20, one("active_agents_total", "50x3 9x10 10x20"), before=6),
    "HighDeploymentRejectionRate": Case(
        40,
        70,
        one("deployments_attempted_total", "0+10x70"),
        one("deployments_rejected_total", "0+6x45 270+0x30", reason="capacity"),
        one("deployments_rejected_total", "0+0x70", reason="cooldown"),
    ),
    "NoActiveTradingAssets": Case(20, 40, one("active_assets_total", "3x5 0x20 1x30"), before=10),
    "LowConsensusRate": Case(
        130, 170, one("consensus_rate", "0.02x5 0.009x140 0.01x40"), one("feed_interval_seconds", "5x200"), before=100
    ),
    "NoConsensusActivity": Case(
        150,
        190,
        one("consensus_reached_total", "0+1x20 20+0x150 30+1x30", team_type="HFT"),
        one("feed_interval_seconds", "60x220"),
        before=60,
    ),
    "AgentsQuarantined": Case(8, 20, one("agents_quarantined", "0x4 1x8 0x20"), before=4),
    "NegativePnL": Case(
        75,
        120,
        one("cumulative_pnl_percent", "0x5 -3x90 0x30", asset="BTC/USD"),
        one("cumulative_pnl_percent", "0x5 -2.1x90 -5x30", asset="ETH/USD"),
        before=50,
    ),
    "CriticalPnL": Case(45, 90, one("cumulative_pnl_percent", "0x5 -11x50 -10x60", asset="BTC/USD"), before=30),
    "LowWinRate": Case(380, 420, one("win_rate_percent", "NaN NaN 50x7 39x380 40x60"), before=300),
    "Halted": Case(6, 12, one("halted", "0x4 1x4 0x20"), before=4),
    "UnknownOrders": Case(8, 14, one("unknown_orders", "0x4 1x6 0x20"), before=4),
    "AlarmRaised": Case(6, 40, one("alarms_total", "_x4 1x60", code="unprotected"), before=3),
    "HighMoatAPIErrorRate": Case(
        50,
        90,
        one("moat_api_calls_total", "0+10x100", moat="code"),
        one("moat_api_errors_total", "0+2x55 110+0x50", moat="code"),
    ),
    "MoatDataStale": Case(
        15,
        25,
        one("moat_last_update_timestamp", "0x20 1200+60x30", moat="code"),
        one("moat_interval_seconds", "60x60", moat="code"),
        before=9,
    ),
    "HighMoatAPILatency": Case(
        30,
        70,
        one("moat_api_latency_seconds_bucket", "0+0x40 0+9x60", moat="code", le="5.0"),
        one("moat_api_latency_seconds_bucket", "0+9x100", moat="code", le="10.0"),
        one("moat_api_latency_seconds_bucket", "0+9x100", moat="code", le="+Inf"),
    ),
    "LedgerFailure": Case(6, 15, one("ledger_failed", "0x4 1x6 0x20"), before=4),
    "LedgerBacklog": Case(8, 20, one("ledger_backlog_rows", "0x4 10001x8 10000x20"), before=5),
    "FeedStale": Case(
        8, 20, one("feed_age_seconds", "10x4 71x8 70x20"), one("feed_interval_seconds", "5x60"), before=4
    ),
    "DeadManHeartbeat": Case(12, 22, one("heartbeat_timestamp_seconds", "0+60x5 300x8 840+60x20"), before=7),
    "AlertsNotDelivered": Case(17, 40, one("discord_failed", "0x4 1x16 0x30"), before=10),
    "LogLinesDropped": Case(6, 40, one("log_lines_dropped_total", "0x4 5x60"), before=4),
}


def test_every_alert_has_its_case() -> None:
    assert set(CASES) == set(NAMES)


def judged(folder: Path, *asked: tuple[str, dict[int, bool]], bare: bool = False) -> subprocess.CompletedProcess[str]:
    """What promtool says: does each of these alerts fire at these minutes? `bare`: without a single series."""
    for name, expected in asked:
        (rule,) = (rule for rule in RULES if rule["alert"] == name)
        alone = {"groups": [{"name": "one", "rules": [rule]}]}
        (folder / f"{name}.rules.yaml").write_text(yaml.safe_dump(alone))
        tests = [probe(name, rule["labels"]["severity"], expected, () if bare else CASES[name].series)]
        told = {"rule_files": [f"{name}.rules.yaml"], "evaluation_interval": "15s", "tests": tests}
        (folder / f"{name}.test.yaml").write_text(yaml.safe_dump(told))
    words = [str(PROMTOOL), "test", "rules", *(f"{name}.test.yaml" for name, _ in asked)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def probe(name: str, severity: str, expected: dict[int, bool], series: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """How often the alert fires at each minute: once, or not at all."""
    firing = f'count(ALERTS{{alertname="{name}",alertstate="firing",severity="{severity}"}})'
    once = [{"labels": "{}", "value": 1}]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": one, "values": values} for one, values in series],
        "promql_expr_test": [
            {"expr": firing, "eval_time": f"{at}m", "exp_samples": once if fires else []}
            for at, fires in sorted(expected.items())
        ],
    }


@needs_promtool
def test_every_alert_fires_and_is_quiet_before_and_after(tmp_path: Path) -> None:
    asked = [(name, {case.before: False, case.fires: True, case.quiet: False}) for name, case in CASES.items()]
    done = judged(tmp_path, *asked)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_a_run_that_is_gone_is_noticed_without_a_single_sample(tmp_path: Path) -> None:
    assert judged(tmp_path, ("DeadManHeartbeat", {0: False, 3: True}), bare=True).returncode == 0


@needs_promtool
def test_a_wrong_expectation_is_noticed(tmp_path: Path) -> None:
    for at, fires in ((CASES["Halted"].fires, False), (CASES["Halted"].quiet, True)):
        assert judged(tmp_path, ("Halted", {at: fires})).returncode == 1


@needs_promtool
def test_what_prometheus_reads_is_valid() -> None:
    for words in (("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yaml")):
        done = subprocess.run(
            [str(PROMTOOL), *words], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
    scrape = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    assert [one["static_configs"] for one in scrape] == [[{"targets": ["127.0.0.1:9108"]}]]
