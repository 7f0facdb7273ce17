"""The page of metrics: the table, the document and the registry name the same; it is served to this machine alone."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client.parser import text_string_to_metric_families

from src.connectors.metrics_http import HOST, Distribution, Figures, MetricsServer, capped
from src.connectors.metrics_table import MEASURES, PREFIX, exposed
from src.connectors.system_figures import SystemFigures
from src.core.clock import Timer
from src.core.errors import UsageError
from tests.monitoring.documented import document
from tests.worlds import ROOT

OF_THE_REFERENCE = (
    *("system_cpu_percent", "system_memory_percent", "system_memory_bytes", "redis_connection_status"),
    *("redis_used_memory_bytes", "redis_connected_clients", "redis_total_keys", "database_size_bytes"),
    *("active_agents_total", "active_agents_by_type", "agents_spawned_total", "agents_stopped_total"),
    *("consensus_reached_total", "consensus_rate", "deployments_attempted_total", "deployments_successful_total"),
    *("deployments_rejected_total", "active_assets_total", "hibernated_assets_total", "cumulative_pnl_percent"),
    *("cumulative_pnl_usd", "trades_executed_total", "trade_execution_duration_seconds", "win_rate_percent"),
    *("probation_level", "moat_signal_quality", "moat_last_update_timestamp", "moat_api_calls_total"),
    *("moat_api_errors_total", "moat_api_latency_seconds", "cross_moat_signals_detected_total", "app"),
)
LABELS = {
    "consensus_reached_total": ("team_type",),
    "deployments_rejected_total": ("reason",),
    "cumulative_pnl_percent": ("asset",),
    "cumulative_pnl_usd": ("asset",),
    "trades_executed_total": ("asset", "direction"),
    "cross_moat_signals_detected_total": ("asset", "moat_type"),
}


@pytest.fixture
def served() -> Iterator[MetricsServer]:
    spread = Distribution((0.5, 1.0))
    for value in (0.1, 0.5, 0.6, 9.0):
        spread.observe(value)
    figures = Figures(
        {
            "halted": {(): 1.0},
            "refusals_total": {("edge_below_cost",): 3.0, ('hostile"\n\\{}',): 1.0},
            "win_rate_percent": {(): float("nan")},
        },
        {"slice_duration_seconds": {(): spread.copy()}},
        {"version": "1", "mode": "paper"},
    )
    server = MetricsServer(0, lambda: figures, lambda: "")
    server.start()
    yield server
    server.close()


def fetch(server: MetricsServer, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection(HOST, server.port, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def samples(page: str) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a page by name and labels."""
    families = list(text_string_to_metric_families(page))
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def test_the_table_has_what_was_asked_for_and_every_counter_ends_in_total() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(names) == len(set(names))
    assert set(OF_THE_REFERENCE) <= set(names)
    by_name = {measure.name: measure for measure in MEASURES}
    assert {name: by_name[name].labels for name in LABELS} == LABELS
    assert [one.name for one in MEASURES if one.kind == "counter" and not one.name.endswith("_total")] == []
    given = {"active_agents_total", "active_assets_total", "hibernated_assets_total"}
    assert {one.name for one in MEASURES if one.kind == "gauge" and one.name.endswith("_total")} == given
    assert all(re.fullmatch(r"[a-z][a-z0-9_]+", measure.name) and measure.help.endswith(".") for measure in MEASURES)


def test_the_registry_names_what_the_table_names(served: MetricsServer) -> None:
    status, page = fetch(served, "/metrics")
    assert status == 200
    told = dict(re.findall(r"^# TYPE (\w+) (\w+)$", page, re.MULTILINE))
    kinds = {PREFIX + one.name + ("_info" if one.kind == "info" else ""): one.kind for one in MEASURES}
    assert told == {name: "gauge" if kind == "info" else kind for name, kind in kinds.items()}
    found = {name for name, _ in samples(page)}
    assert found <= exposed().keys()


def test_the_document_says_what_the_table_says() -> None:
    told = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert document(told) == told, "the table in docs/metrics.md is not that of src/connectors/metrics_table.py"


def test_figures_come_out_as_they_are(served: MetricsServer) -> None:
    _, page = fetch(served, "/metrics?x=1")
    found = samples(page)
    assert found["mycelial_halted", ()] == 1.0
    assert found["mycelial_refusals_total", (("reason", "edge_below_cost"),)] == 3.0
    assert found["mycelial_refusals_total", (("reason", 'hostile"\n\\{}'),)] == 1.0
    assert found["mycelial_app_info", (("mode", "paper"), ("version", "1"))] == 1.0
    assert str(found["mycelial_win_rate_percent", ()]) == "nan"
    buckets = {
        bound: found["mycelial_slice_duration_seconds_bucket", (("le", bound),)] for bound in ("0.5", "1.0", "+Inf")
    }
    assert buckets == {"0.5": 2.0, "1.0": 3.0, "+Inf": 4.0}
    assert found["mycelial_slice_duration_seconds_sum", ()] == pytest.approx(10.2)
    assert found["mycelial_slice_duration_seconds_count", ()] == 4.0


def test_nothing_else_is_served(served: MetricsServer) -> None:
    assert fetch(served, "/")[0] == 404
    assert fetch(served, "/metrics/../etc/passwd")[0] == 404
    assert fetch(served, "/metrics", "POST")[0] == 501
    assert fetch(served, "/live") == (200, "live\n")
    assert served._server.server_address[0] == "127.0.0.1"


def test_life_is_answered_with_the_reason_why_not() -> None:
    server = MetricsServer(0, Figures, lambda: "no slice for 99 s")
    server.start()
    assert fetch(server, "/live") == (503, "no slice for 99 s\n")
    server.close()


def test_a_taken_port_is_said_in_one_line_with_the_remedy(served: MetricsServer) -> None:
    with pytest.raises(
        UsageError, match=rf"port {served.port} of the metrics is taken.*metrics\.port=0.*=null"
    ) as refused:
        MetricsServer(served.port, Figures, str)
    assert "\n" not in str(refused.value)


@pytest.mark.skipif(not hasattr(socket, "AF_INET"), reason="no network")
def test_a_port_that_may_not_be_opened_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socketserver.TCPServer.server_bind", refuse)
    with pytest.raises(UsageError, match=r"port 80 of the metrics cannot be opened \(Permission denied\)"):
        MetricsServer(80, Figures, str)


def test_readers_that_hang_or_leave_hold_up_nobody(served: MetricsServer) -> None:
    idle = [socket.create_connection((HOST, served.port)) for _ in range(20)]
    for one in idle[:10]:
        one.sendall(b"GET /metr")
    for one in idle[10:]:
        one.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        one.close()
    answers: list[int] = []
    readers = [Thread(target=lambda: answers.append(fetch(served, "/metrics")[0])) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(20)
    assert answers == [200] * 8
    for one in idle[:10]:
        one.close()


def test_no_measure_has_more_series_than_it_may() -> None:
    counts = {(f"r{number}",): float(number) for number in range(10)}
    assert capped(counts, 10) == counts
    found = capped(counts, 4)
    assert found == {("r0",): 0.0, ("r1",): 1.0, ("r2",): 2.0, ("other",): 42.0}


def test_the_machine_and_a_server_that_is_not_there(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.sqlite"
    ledger.write_bytes(b"x" * 1000)
    (tmp_path / "ledger.sqlite-wal").write_bytes(b"x" * 500)
    timer = Timer()
    local = SystemFigures("", ledger, 10.0, timer)
    found = local.read()
    assert found["database_size_bytes"] == 1500.0
    assert 1e7 < found["system_memory_bytes"] < 1e11
    assert 0 < found["system_memory_percent"] <= 100
    assert 0 <= found["system_cpu_percent"] <= 100
    assert not any(name.startswith("redis") for name in found)
    local.close()
    begun = timer.seconds()
    away = SystemFigures("redis://127.0.0.1:1", ledger, 10.0, timer)
    assert away.read()["redis_connection_status"] == 0.0
    assert timer.seconds() - begun < 5.0
    away.close()
