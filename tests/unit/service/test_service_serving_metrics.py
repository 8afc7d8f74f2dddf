"""The numbers under TensorFlow Serving's names, in its form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from service.errors import InvalidRequest
from service.monitoring.metrics import Metrics
from service.monitoring.tensorflow_serving import ServingMetrics
from service.repository.version import WarmUp
from tests.unit.service.fakes import version
from tests.unit.service.test_service_monitoring import exchange

REST = {"protocol": "tensorflow_serving", "model": "housing", "version": "1"}
GRPC = {**REST, "protocol": "tensorflow_serving_grpc"}
PREDICTED = (2e-6, 0.0, 30e-6)


@pytest.fixture
def metrics():
    statuses = {"InvalidRequest": "INVALID_ARGUMENT", "NotFound": "NOT_FOUND"}
    return Metrics(CollectorRegistry(), ServingMetrics(statuses))


def text(metrics: Metrics) -> str:
    published, content_type = metrics.serving_published("")
    assert content_type == "text/plain"
    return published.decode()


def test_requests_are_counted_by_model_and_status(metrics):
    for noted in (
        {**REST, "route": "predict"},
        {**GRPC, "route": "predict"},
        {**REST, "route": "status"},
        {**REST, "route": "predict", "model": "", "outcome": "InvalidRequest"},
    ):
        metrics.answered(exchange(**noted), 0.001)

    seen = text(metrics)
    name = ":tensorflow:serving:request_count"
    assert f"# TYPE {name} counter\n" in seen
    assert f'{name}{{model_name="housing",status="OK"}} 3\n' in seen
    assert f'{name}{{model_name="",status="INVALID_ARGUMENT"}} 1\n' in seen


def test_what_it_does_not_count_is_not_counted(metrics):
    for noted in (
        {**GRPC, "route": "metadata"},
        {**GRPC, "route": "status"},
        {**GRPC, "route": "multi_inference"},
        {**REST, "protocol": "open_inference", "route": "infer"},
        {**REST, "protocol": "http", "route": "metrics"},
    ):
        metrics.answered(exchange(**noted), 0.001)

    assert "{model_name=" not in text(metrics)


def test_latency_is_in_microseconds_and_its_own_buckets(metrics):
    metrics.answered(exchange(**REST, route="predict", stages=PREDICTED), 40e-6)
    metrics.answered(exchange(**GRPC, route="predict", stages=PREDICTED), 40e-6)

    seen = text(metrics)
    whole = ':tensorflow:serving:request_latency_bucket{model_name="housing",API="predict",'
    for bound, count in (("10", 0), ("18", 0), ("32.4", 0), ("58.32", 1), ("104.976", 1)):
        assert f'{whole}entrypoint="REST",le="{bound}"}} {count}\n' in seen
    assert 'API="Predict",entrypoint="GRPC",le="+Inf"} 1\n' in seen
    # In its own words: one name for both transports, and TF1 for what runs it.
    run = ':tensorflow:serving:runtime_latency_bucket{model_name="housing",API="Predict",'
    assert f'{run}runtime="TF1",le="18"}} 0\n' in seen
    assert f'{run}runtime="TF1",le="32.4"}} 2\n' in seen


def test_latency_is_that_of_success_alone(metrics):
    metrics.answered(exchange(**REST, route="predict", outcome="InvalidRequest"), 40e-6)

    assert "request_latency_bucket" not in text(metrics)


def test_loads_and_warm_ups_go_by_the_models_path(metrics):
    path = Path("/models/housing/3")
    metrics.loaded(replace(version(3, path=path), warm_up=WarmUp(2, 0.0005)), 0.25)
    metrics.refused("housing", Path("/models/housing/4"), InvalidRequest("no"))

    seen, load = text(metrics), ":tensorflow:cc:saved_model:"
    assert f'{load}load_attempt_count{{model_path="{path}",status="success"}} 1\n' in seen
    assert f'{load}load_attempt_count{{model_path="/models/housing/4",status="fail"}} 1\n' in seen
    assert f'{load}load_latency{{model_path="{path}"}} 250000\n' in seen
    warm_up = f'{{model_path="{path}",status="OK"'
    assert f":tensorflow:serving:model_warmup_records_read{warm_up}}} 2\n" in seen
    assert f":tensorflow:serving:model_warmup_latency_count{warm_up}}} 1\n" in seen


def test_batches_are_told_by_size_padding_and_wait(metrics):
    metrics.batches("housing", 1).taken(3, 8, [0.0001, 0.00011])

    seen, batching = text(metrics), ":tensorflow:serving:batching_session:"
    assert f"{batching}wrapped_run_count{{}} 1\n" in seen
    assert f'{batching}input_batch_size_bucket{{le="2"}} 0\n' in seen
    assert f'{batching}input_batch_size_bucket{{le="4"}} 1\n' in seen
    assert f"{batching}processed_batch_size_sum{{}} 8\n" in seen
    assert f'{batching}padding_size_sum{{execution_batch_size="8"}} 5\n' in seen
    assert f'{batching}queuing_latency_bucket{{thread_pool_name="housing",le="100"}} 1\n' in seen
    assert f'{batching}queuing_latency_count{{thread_pool_name="housing"}} 2\n' in seen


def test_any_reader_of_prometheus_text_takes_it(metrics):
    metrics.answered(exchange(**REST, route="predict", stages=PREDICTED), 40e-6)
    metrics.loaded(version(1, path=Path('/m/"odd"\\n')), 0.1)

    families = {it.name: it for it in text_string_to_metric_families(text(metrics))}
    (attempt,) = families[":tensorflow:cc:saved_model:load_attempt_count"].samples
    assert attempt.labels["model_path"] == '/m/"odd"\\n'


def test_neither_text_has_the_others_names(metrics):
    metrics.answered(exchange(**REST, route="predict", stages=PREDICTED), 40e-6)

    assert ":tensorflow:" not in metrics.exposition().decode()
    assert "hearth_" not in text(metrics)


def test_batches_are_counted_under_our_own_names_too(metrics):
    metrics.batches("housing", 2).taken(3, 8, [0.0001, 0.5])

    seen = metrics.exposition().decode()
    assert 'hearth_batch_rows_sum{model="housing",version="2"} 3.0' in seen
    assert 'hearth_batch_wait_seconds_count{model="housing",version="2"} 2.0' in seen
