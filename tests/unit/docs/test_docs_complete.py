"""The documents name every flag, metric, route and command that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from service.fetch.__main__ import parser as fetch_parser
from service.monitoring.drift import Drift
from service.monitoring.drift_gauges import DriftGauges
from service.monitoring.feedback import FeedbackGauges
from service.monitoring.feedback_store import FeedbackStore
from service.monitoring.metrics import Metrics
from service.monitoring.tensorflow_serving import ServingMetrics
from service.settings import WITHOUT_EFFECT, knobs

ROOT = Path(__file__).parents[3]
OPERATIONS = (ROOT / "docs/operations.md").read_text()
API = (ROOT / "docs/api.md").read_text()
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def flags_in(section: str) -> set[str]:
    """The flags with a row in a section of the operations page."""
    _, _, text = OPERATIONS.partition(f"\n## {section}\n")
    return set(re.findall(r"^\| `--(\w+)` \|", text.partition("\n## ")[0], re.MULTILINE))


def test_every_flag_has_its_row():
    assert flags_in("Flags") == {knob.name for knob in knobs()}


def test_every_flag_of_a_fetch_has_its_row():
    options = [name for it in fetch_parser()._actions for name in it.option_strings]

    assert flags_in("Fetching") == {it.removeprefix("--") for it in options} - {"-h", "help"}


def test_every_flag_without_effect_is_named():
    missing = [name for name in WITHOUT_EFFECT if f"`--{name}`" not in OPERATIONS]

    assert missing == []


def test_every_metric_has_its_row_with_its_labels(tmp_path):
    registry = CollectorRegistry()
    Metrics(registry)
    rows = {
        name: (kind, labels)
        for name, kind, labels in re.findall(
            r"^\| `(hearth_\w+)` \| (\w+) \| ([\w, ]*)\|", OPERATIONS, re.MULTILINE
        )
    }

    collectors = list(registry._collector_to_names)
    expected = {}
    for collector in collectors:
        suffix = "_total" if collector._type == "counter" else ""
        expected[collector._name + suffix] = (
            collector._type,
            ", ".join(collector._labelnames) + (" " if collector._labelnames else ""),
        )
    worked_out = [
        *DriftGauges(Drift(tmp_path, 60), list).collect(),
        *FeedbackGauges(FeedbackStore(tmp_path, 1), list).collect(),
    ]
    for family in worked_out:
        expected[family.name] = (family.type, ", ".join(family._labelnames) + " ")
    assert rows == expected


def test_every_metric_of_tensorflow_serving_has_its_row_with_its_labels():
    rows = {
        name: (kind, {*filter(None, labels.strip().split(", "))})
        for name, kind, labels in re.findall(
            r"^\| `(:tensorflow:[\w:]+)` \| (\w+) \| ([\w, ]*)\|", OPERATIONS, re.MULTILINE
        )
    }

    collectors = list(ServingMetrics({})._registry._collector_to_names)
    expected = {it._name: (it._type, {*it._labelnames}) for it in collectors}
    # This one is the count of our own requests.
    expected[":tensorflow:serving:request_count"] = ("counter", {"model_name", "status"})
    assert rows == expected


@pytest.mark.parametrize(
    "folder", ["training", "service", "lessons", "client", "deploy", "benchmarks"]
)
def test_readme_shows_every_part(folder):
    assert f"`{folder}/`" in README
    assert (ROOT / folder).is_dir()


def test_commands_of_the_readme_are_targets_of_the_makefile():
    named = set(re.findall(r"`make (\w+)", README)) | set(re.findall(r"\$ make (\w+)", README))
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))

    assert named
    assert named <= targets


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"])
def test_links_between_pages_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    missing = [link for link in links if not (page.parent / link).exists()]
    assert missing == []
