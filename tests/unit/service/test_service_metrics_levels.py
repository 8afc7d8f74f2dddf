"""How things stand: versions, labels, queues and workers, as they come and go."""

from __future__ import annotations

import os

import pytest
from prometheus_client import CollectorRegistry

from service.inference.batching import Batching
from service.inference.batching_parameters import BatchingParameters
from service.monitoring.levels import ModelState, Waiting, states
from service.monitoring.metrics import Metrics
from service.repository.config import ModelConfig
from service.repository.repository import Repository
from tests.unit.service.fakes import Adder, Witness, version
from tests.unit.service.test_service_monitoring import samples

LITERT = {1: "litert"}


def state(served=LITERT, labels=(), refused=0, waiting=()) -> ModelState:
    return ModelState(dict(served), dict(labels), refused, dict(waiting))


@pytest.fixture
def metrics():
    return Metrics(CollectorRegistry())


def looked(metrics: Metrics, *models: ModelState) -> dict[tuple, float]:
    for it in models:
        metrics.look({"housing": it}, 0.0, {})
    return samples(metrics)


def test_the_newest_version_and_each_swap_are_told(metrics):
    seen = looked(metrics, state(), state({1: "litert", 2: "litert"}), state({2: "litert"}))

    assert seen["hearth_model_newest_version", "housing"] == 2
    assert seen["hearth_model_swaps_total", "housing"] == 1


def test_going_back_is_a_swap_too_and_a_gap_is_none(metrics):
    seen = looked(metrics, state({2: "litert"}), state({}), state({1: "litert"}))

    assert seen["hearth_model_newest_version", "housing"] == 1
    assert seen["hearth_model_swaps_total", "housing"] == 1


def test_the_first_version_is_no_swap(metrics):
    seen = looked(metrics, state({}), state())

    assert seen["hearth_model_swaps_total", "housing"] == 0


def test_a_label_that_moved_stands_for_its_new_version_alone(metrics):
    two = {1: "litert", 2: "litert"}
    seen = looked(metrics, state(two, {"stable": 1}), state(two, {"stable": 2}))

    # Labels sorted by name: label, model, version.
    assert seen["hearth_model_label_workers", "stable", "housing", "1"] == 0
    assert seen["hearth_model_label_workers", "stable", "housing", "2"] == 1


def test_a_label_of_a_version_that_is_not_served_stands_for_nothing(metrics):
    seen = looked(metrics, state(LITERT, {"candidate": 7}))

    assert "hearth_model_label_workers" not in {name for name, *_ in seen}


def test_what_runs_a_version_is_told(metrics):
    seen = looked(metrics, state(), state({1: "tensorflow"}))

    # Labels sorted by name: executor, model, version.
    assert seen["hearth_model_version_info", "litert", "housing", "1"] == 0
    assert seen["hearth_model_version_info", "tensorflow", "housing", "1"] == 1


def test_a_queue_is_empty_once_its_version_has_gone(metrics):
    waiting = {1: Waiting(12, 100)}
    assert looked(metrics, state(waiting=waiting))["hearth_queue_rows", "housing", "1"] == 12

    seen = looked(metrics, state({}))
    assert seen["hearth_queue_rows", "housing", "1"] == 0
    assert seen["hearth_queue_limit_rows", "housing", "1"] == 0


def test_versions_that_are_refused_are_counted_until_they_are_not(metrics):
    assert looked(metrics, state(refused=2))["hearth_model_versions_refused", "housing"] == 2
    assert looked(metrics, state())["hearth_model_versions_refused", "housing"] == 0


def test_a_worker_tells_of_itself(metrics):
    metrics.worker_started(3)
    metrics.look({}, 0.125, {"rest": 4, "grpc": 1})

    seen, pid = samples(metrics), str(os.getpid())
    assert seen["hearth_workers",] == 1
    assert seen["hearth_workers_wanted",] == 3
    assert seen["hearth_worker_loop_lag_seconds", pid] == 0.125
    assert seen["hearth_requests_pending", "rest"] == 4
    assert seen["hearth_requests_pending", "grpc"] == 1
    started = seen["hearth_worker_start_time_seconds", pid]
    assert started <= seen["hearth_worker_heartbeat_timestamp_seconds", pid]
    assert seen["hearth_worker_resident_memory_bytes", pid] >= 0
    assert seen["hearth_cpu_seconds_total",] > 0
    (build,) = [key for key in seen if key[0] == "hearth_build_info"]
    assert all(build)


def test_a_repository_is_seen_as_it_is(tmp_path):
    for number in ("1", "2", "3"):
        (tmp_path / number).mkdir()
    batching = Batching(Adder(quick=False), BatchingParameters(max_batch_size=8))

    def load(model, number, path):
        if number == 3:
            raise OSError("half of it is missing")
        runner = batching if number == 2 else Adder()
        return version(number, model=model, path=path, executor=runner)

    config = ModelConfig("housing", tmp_path, labels={"stable": 2})
    repository = Repository([config], load, Witness())
    repository.poll()

    assert states(repository) == {
        "housing": ModelState({2: "adder"}, {"stable": 2}, 1, {2: Waiting(0, 80)})
    }
