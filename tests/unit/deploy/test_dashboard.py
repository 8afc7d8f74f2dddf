"""The dashboard asks only for metrics that the service publishes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.monitoring.metrics import Metrics

DASHBOARD = Path(__file__).resolve().parents[3] / "deploy/grafana/dashboards/hearth.json"


@pytest.fixture
def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


@pytest.fixture
def published() -> set[str]:
    """The names of all sample families, as Prometheus stores them."""
    registry = CollectorRegistry()
    Metrics(registry)
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    return {
        family.name + ending for family in registry.collect() for ending in endings[family.type]
    }


def test_every_query_asks_for_metrics_that_exist(
    panels: list[dict[str, Any]], published: set[str]
) -> None:
    for panel in panels:
        for target in panel["targets"]:
            asked = set(re.findall(r"\bhearth_\w+", target["expr"]))
            assert asked <= published, panel["title"]


def test_every_panel_says_what_it_shows_and_in_which_unit(panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]


def test_no_two_panels_lie_on_each_other(panels: list[dict[str, Any]]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert max(x for x, _ in taken) < 24


def test_all_panels_ask_the_source_that_is_provisioned(panels: list[dict[str, Any]]) -> None:
    assert {panel["datasource"]["uid"] for panel in panels} == {"prometheus"}
