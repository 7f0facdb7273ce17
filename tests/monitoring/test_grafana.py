"""Dashboards as code: every panel names metrics that exist, with labels they have, and can be read by anybody."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from src.connectors.metrics_table import MEASURES, PREFIX, exposed
from tests.worlds import ROOT

FOLDER = ROOT / "config" / "monitoring" / "grafana"
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
OF_PROMETHEUS = {"le", "instance", "job"}


def panels(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
    return found


def targets() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{path.stem}: {panel['title']}", one)
        for path in DASHBOARDS
        for panel in panels(path)
        for one in panel["targets"]
    ]


def labels_of(target: dict[str, Any]) -> set[str]:
    """Labels that an expression groups by or a legend shows."""
    grouped = re.findall(r"\bby \(([^)]*)\)", target["expr"])
    shown = re.findall(r"{{(\w+)}}", target["legendFormat"])
    return {name.strip() for group in grouped for name in group.split(",")} | set(shown)


def test_there_are_the_five() -> None:
    assert [path.stem for path in DASHBOARDS] == ["moats", "orders", "overview", "swarm", "system"]
    told = [json.loads(path.read_text()) for path in DASHBOARDS]
    assert [one["uid"] for one in told] == [f"mycelial-{path.stem}" for path in DASHBOARDS]


@pytest.mark.parametrize(("where", "target"), targets(), ids=[f"{where} {one['refId']}" for where, one in targets()])
def test_a_panel_names_what_exists(where: str, target: dict[str, Any]) -> None:
    names = set(re.findall(r"\bmycelial_\w+", target["expr"]))
    assert names
    assert names - exposed().keys() == set()
    app = {"mode", "feed", "timeframe", "simulated", "version", "run"}
    known = {label for name in names for label in (exposed()[name].labels or ())} | OF_PROMETHEUS
    known |= app if names == {"mycelial_app_info"} else set()
    assert labels_of(target) <= known


def test_every_measure_is_on_a_panel() -> None:
    text = " ".join(target["expr"] for _, target in targets())
    unseen = {one.name for one in MEASURES if not re.search(rf"\b{PREFIX}{one.name}(_bucket|_info)?\b", text)}
    assert unseen == set()


def test_panels_do_not_overlap_and_are_alike() -> None:
    for path in DASHBOARDS:
        taken: set[tuple[int, int]] = set()
        for panel in panels(path):
            place = panel["gridPos"]
            cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
            assert not cells & taken, panel["title"]
            assert max(x for x, _ in cells) < 24
            taken |= cells
            assert panel["title"]
            assert panel["datasource"] == {"type": "prometheus", "uid": "mycelial-prometheus"}
        ids = [panel["id"] for panel in panels(path)]
        assert len(ids) == len(set(ids))


def test_provisioning_finds_source_and_dashboards() -> None:
    (source,) = yaml.safe_load((FOLDER / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert (source["uid"], source["type"], source["url"]) == ("mycelial-prometheus", "prometheus", "${PROMETHEUS_URL}")
    (provider,) = yaml.safe_load((FOLDER / "dashboards" / "mycelial.yaml").read_text())["providers"]
    assert provider["options"] == {"path": "/etc/grafana/provisioning/dashboards"}
    assert provider["allowUiUpdates"] is False
