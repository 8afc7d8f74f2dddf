"""How much metrics have grown over a reload."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from service.monitoring.metrics import Metrics
from service.protocols.metric_increase import COUNTERPARTS, increases, read_totals
from tests.unit.service.fakes import version

BEFORE = b"""
# TYPE hearth_model_loads_total counter
hearth_model_loads_total{model="a",outcome="ok"} 2.0
hearth_model_loads_total{model="b",outcome="VersionRefused"} 1.0
# TYPE hearth_model_load_seconds histogram
hearth_model_load_seconds_bucket{model="a",le="+Inf"} 2.0
hearth_model_load_seconds_count{model="a"} 2.0
hearth_model_load_seconds_sum{model="a"} 0.5
# TYPE hearth_workers gauge
hearth_workers 2.0
# TYPE :tensorflow:serving:model_warmup_count counter
:tensorflow:serving:model_warmup_count{model_path="/a"} 4
"""
AFTER = BEFORE.replace(b'"ok"} 2.0', b'"ok"} 5.0').replace(b'{model="a"} 0.5', b'{model="a"} 0.75')


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


def grown(*names: str) -> dict[str, int]:
    return increases(names, read_totals(BEFORE), read_totals(AFTER))


@pytest.mark.parametrize("name", ["hearth_model_loads_total", "hearth_model_loads"])
def test_a_counter_is_added_up_over_its_labels(name):
    assert read_totals(BEFORE)["hearth_model_loads_total"] == 3
    assert grown(name) == {name: 3}


def test_what_has_not_grown_is_told_as_0():
    assert grown("hearth_workers") == {"hearth_workers": 0}


def test_of_a_histogram_it_is_how_many_were_observed():
    before = {"hearth_model_load_seconds_count": 2.0}

    asked = increases(["hearth_model_load_seconds"], before, {**before, "x": 1.0})
    assert asked == {"hearth_model_load_seconds": 0}
    assert increases(["hearth_model_load_seconds"], {}, before) == {"hearth_model_load_seconds": 2}


def test_tensorflow_servings_names_count_for_the_same():
    assert grown(
        "/tensorflow/cc/saved_model/load_attempt_count", "/tensorflow/cc/saved_model/load_latency"
    ) == {
        "/tensorflow/cc/saved_model/load_attempt_count": 3,
        "/tensorflow/cc/saved_model/load_latency": 250_000,  # microseconds, as there
    }


def test_a_name_that_prometheus_writes_with_colons_may_have_its_slashes():
    name = "/tensorflow/serving/model_warmup_count"

    assert increases([name], {}, read_totals(BEFORE)) == {name: 4}


def test_a_name_that_is_not_known_has_not_grown():
    assert grown("/no/such", "") == {"/no/such": 0, "": 0}


def test_a_name_given_twice_counts_once():
    assert list(grown("b", "a", "b")) == ["b", "a"]


def test_every_counterpart_is_a_number_that_there_is():
    metrics = Metrics(CollectorRegistry())
    metrics.loaded(version(), 0.5)

    names = {name.removesuffix("_sum") for name, _ in COUNTERPARTS.values()}
    families = metrics.exposition().decode()
    assert [it for it in names if f"# TYPE {it} " not in families] == []
