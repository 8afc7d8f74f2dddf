"""The same numbers whichever way a request comes, and how workers and models stand."""

from __future__ import annotations

import os
import signal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.rpc.calling import calling
from tests.integration.service.wire import PREDICT, ask
from tests.servers import metric, running_service, wait_until, workers_of

BODY = b'{"instances": [[6.142, 91.7, 18.72], [6.0, 50.0, 10.0]]}'
INFER = {
    "inputs": [
        {"name": "features", "shape": [2, 3], "datatype": "FP32", "data": [6, 90, 20, 7, 40, 5]}
    ]
}
ASKED = 4
STAGES = ("decode", "wait", "run", "encode")
SERVING_PATH = "/monitoring/prometheus/metrics"


@pytest.fixture(scope="module")
def service(housing_models, tmp_path_factory):
    monitoring = tmp_path_factory.mktemp("monitoring") / "config"
    monitoring.write_text("prometheus_config { enable: true }")
    with running_service(housing_models, workers=2, monitoring_config_file=monitoring) as server:
        both = 'hearth_model_version_workers{model="housing",version="1"} 2.0'
        wait_until(lambda: both in server.get("/metrics").text, "both workers serve the model")
        yield server


def by_the_lane(service) -> None:
    assert service.post(PREDICT, BODY).status == 200


def by_gunicorn(service) -> None:
    """A chunked body is gunicorn's to read."""
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    head = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % PREDICT.encode()
    answer = ask(service.url, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk)
    assert answer.startswith(b"HTTP/1.1 200")


def in_a_thread(service) -> None:
    """A body that is too large for the event loop."""
    assert service.post(PREDICT, BODY[:-1] + b" " * 20_000 + b"}").status == 200


def by_open_inference(service) -> None:
    assert service.post("/v2/models/housing/infer", INFER).status == 200


def by_grpc(service) -> None:
    with calling(service.grpc) as client:
        client.predict()


@pytest.mark.parametrize(
    ("way", "protocol", "route", "rows"),
    [
        (by_the_lane, "tensorflow_serving", "predict", 2),
        (by_gunicorn, "tensorflow_serving", "predict", 2),
        (in_a_thread, "tensorflow_serving", "predict", 2),
        (by_open_inference, "open_inference", "infer", 2),
        (by_grpc, "tensorflow_serving_grpc", "predict", 1),
    ],
)
def test_a_request_counts_the_same_by_every_way(service, way, protocol, route, rows):
    labels = {"protocol": protocol, "route": route, "model": "housing"}

    def counted() -> dict[str, float]:
        stages = {
            stage: metric(service, "hearth_request_stage_seconds_count", stage=stage, **labels)
            for stage in STAGES
        }
        ok = {"outcome": "ok", "version": "1"}
        return {
            "requests": metric(service, "hearth_requests_total", **labels, **ok),
            "seconds": metric(service, "hearth_request_seconds_count", **labels),
            "rows": metric(service, "hearth_rows_total", model="housing", version="1"),
            **stages,
        }

    before = counted()
    for _ in range(ASKED):
        way(service)

    expected = {name: number + ASKED for name, number in before.items()}
    expected["rows"] = before["rows"] + ASKED * rows
    wait_until(lambda: counted()["requests"] == expected["requests"], "all are counted")
    assert counted() == expected
    whole = metric(service, "hearth_request_seconds_sum", **labels)
    assert metric(service, "hearth_request_stage_seconds_sum", **labels) == pytest.approx(whole)


def test_a_request_that_waited_for_a_thread_says_so(service):
    labels = {"stage": "wait", "protocol": "tensorflow_serving"}
    before = metric(service, "hearth_request_stage_seconds_sum", **labels)
    in_a_thread(service)

    wait_until(
        lambda: metric(service, "hearth_request_stage_seconds_sum", **labels) > before,
        "its wait is counted",
    )


def test_tensorflow_servings_names_are_on_their_own_path(service):
    by_the_lane(service)
    by_grpc(service)

    def seen() -> dict[str, float]:
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(service.get(SERVING_PATH).text):
            for it in family.samples:
                name = it.name.removesuffix("_total")  # which this parser adds
                found[name] = found.get(name, 0) + it.value
        return found

    wait_until(lambda: seen().get(":tensorflow:serving:request_latency_count", 0) >= 2, "both")
    numbers = seen()
    assert numbers[":tensorflow:serving:request_count"] >= 2
    assert numbers[":tensorflow:serving:runtime_latency_sum"] > 0
    assert numbers[":tensorflow:cc:saved_model:load_attempt_count"] == 2
    # The housing model brings a warm-up along, and each worker ran it.
    assert numbers[":tensorflow:serving:model_warmup_latency_count"] == 2
    assert not any(name.startswith("hearth") for name in numbers)


def test_each_worker_lives_and_is_seen_to(service):
    def beating() -> set[str]:
        return {
            sample.labels["worker"]
            for family in text_string_to_metric_families(service.get("/metrics").text)
            for sample in family.samples
            if sample.name == "hearth_worker_heartbeat_timestamp_seconds"
        }

    wait_until(lambda: beating() == {str(it) for it in workers_of(service)}, "both beat")
    assert metric(service, "hearth_workers") == metric(service, "hearth_workers_wanted") == 2
    assert metric(service, "hearth_build_info") == 1

    old = min(workers_of(service))
    cpu = metric(service, "hearth_cpu_seconds_total")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: len(workers_of(service) - {old}) == 2, "a new worker")
    wait_until(lambda: beating() == {str(it) for it in workers_of(service)}, "the old is gone")
    assert metric(service, "hearth_cpu_seconds_total") >= cpu


def test_the_asker_has_the_form_that_it_takes(service):
    import urllib.request

    def asked(accept: str) -> tuple[str, str]:
        request = urllib.request.Request(service.url + "/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers["Content-Type"], answer.read().decode()

    kind, text = asked("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    kind, text = asked("text/plain")
    assert kind.startswith("text/plain; version=0.0.4")
    assert "# EOF" not in text
