"""The dashboard asks only for metrics that the service publishes, and is laid out in rows."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.published import published

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = json.loads((ROOT / "deploy/grafana/dashboards/hearth.json").read_text())
RULES = yaml.safe_load((ROOT / "deploy/prometheus/rules/hearth.yml").read_text())
# What Grafana itself fills in.
OWN_VARIABLES = {"__rate_interval"}


@pytest.fixture
def panels() -> list[dict[str, Any]]:
    return [it for it in DASHBOARD["panels"] if it["type"] != "row"]


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return [it for it in DASHBOARD["panels"] if it["type"] == "row"]


def expressions() -> list[str]:
    """All queries: of the panels, of the marks on them, and of the variables."""
    panels = [it["expr"] for panel in DASHBOARD["panels"] for it in panel.get("targets", [])]
    marks = [it["expr"] for it in DASHBOARD["annotations"]["list"]]
    variables = [it["query"]["query"] for it in DASHBOARD["templating"]["list"]]
    return [*panels, *marks, *variables]


def test_every_query_asks_for_metrics_that_exist() -> None:
    recorded = {
        it["record"] for group in RULES["groups"] for it in group["rules"] if "record" in it
    }
    for expression in expressions():
        assert set(re.findall(r"\bhearth_\w+", expression)) <= published(), expression
        assert set(re.findall(r"\bhearth:[\w:]+", expression)) <= recorded, expression


def test_every_variable_is_used_and_every_one_used_is_there() -> None:
    known = {it["name"] for it in DASHBOARD["templating"]["list"]}
    used = {name for it in expressions() for name in re.findall(r"\$(\w+)", it)}

    assert used - OWN_VARIABLES == known
    assert {"instance", "model"} <= known


def test_every_panel_says_what_it_shows_and_in_which_unit(panels: list[dict[str, Any]]) -> None:
    for panel in panels:
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["legendFormat"] for target in panel["targets"])


def test_the_rows_are_few_and_in_the_order_of_the_questions(rows: list[dict[str, Any]]) -> None:
    assert [it["title"] for it in rows] == [
        "Traffic", "Latency", "Errors", "Saturation", "Models", "Drift", "Workers",
        "Servers behind",
    ]  # fmt: skip
    assert [it["gridPos"]["y"] for it in rows] == sorted(it["gridPos"]["y"] for it in rows)


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert max(x for x, _ in taken) < 24


def test_all_queries_go_to_the_source_that_is_provisioned(panels: list[dict[str, Any]]) -> None:
    asking = [*panels, *DASHBOARD["annotations"]["list"], *DASHBOARD["templating"]["list"]]

    assert {it["datasource"]["uid"] for it in asking} == {"prometheus"}
    assert len({it["id"] for it in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
