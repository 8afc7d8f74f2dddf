"""The alerts: written down, tested both ways, about metrics that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.published import published

ROOT = Path(__file__).resolve().parents[3]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GROUPS = yaml.safe_load((PROMETHEUS / "rules/hearth.yml").read_text())["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = sorted({rule["alert"] for rule in ALERTS})
TESTS: list[dict[str, Any]] = [
    test
    for path in sorted((PROMETHEUS / "rules/tests").glob("*.yml"))
    for test in yaml.safe_load(path.read_text())["tests"]
]
OPERATIONS = (ROOT / "docs/operations.md").read_text()


def asked(name: str) -> list[list[Any]]:
    """What the rules' own tests expect of an alert, each time that they look."""
    looks = [look for test in TESTS for look in test["alert_rule_test"]]
    return [look["exp_alerts"] for look in looks if look["alertname"] == name]


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_is_tested_to_fire_and_to_be_quiet(name: str) -> None:
    assert any(asked(name))
    assert not all(asked(name))


def test_every_alert_fires_with_each_of_its_rules_in_the_tests() -> None:
    own = {(it["alert"], *sorted(it["labels"].items())) for it in ALERTS}
    fired = {
        (look["alertname"], *sorted((key, alert["exp_labels"][key]) for key in keys))
        for test in TESTS
        for look in test["alert_rule_test"]
        for alert in look["exp_alerts"]
        for keys in [alert["exp_labels"].keys() & {"severity", "window", "between"}]
    }

    latency = {it for it in own if it[0] == "HearthLatencyBudgetBurn"}
    assert own - fired <= latency  # whose rules are the error budget's with another ratio
    assert fired & latency


@pytest.mark.parametrize("rule", ALERTS, ids=lambda it: it["alert"])
def test_every_alert_says_what_is_wrong_and_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert "for" in rule
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (ROOT / page).is_file()
    assert anchor == rule["alert"].lower()


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    assert sorted(re.findall(r"^### (Hearth\w+)$", OPERATIONS, re.MULTILINE)) == NAMES


def test_every_rule_asks_for_metrics_that_exist() -> None:
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for rule in RULES:
        assert set(re.findall(r"\bhearth_\w+", rule["expr"])) <= published()
        assert set(re.findall(r"\bhearth:[\w:]+", rule["expr"])) <= recorded


def test_the_rules_are_read_and_mounted() -> None:
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())

    assert config["rule_files"] == ["rules/*.yml"]
    mounted = compose["services"]["prometheus"]["volumes"]
    assert "./deploy/prometheus/rules:/etc/prometheus/rules:ro" in mounted
    # Their tests lie one folder deeper, where that pattern does not reach.
    assert [it.name for it in (PROMETHEUS / "rules").glob("*.yml")] == ["hearth.yml"]
