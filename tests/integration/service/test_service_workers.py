"""Several worker processes, their numbers, and the end of them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.integration.service.wire import (
    BODY,
    HOUSE,
    PREDICT,
    Traffic,
    connect,
    head,
    post,
    read_answer,
)
from tests.servers import fetch, metric, running_service, wait_until, workers_of


def predictions(service) -> float:
    return metric(service, "hearth_requests_total", route="predict", outcome="ok")


@pytest.fixture
def service(housing_models):
    with running_service(housing_models, workers=2) as server:
        both = 'hearth_model_version_workers{model="housing",version="1"} 2.0'
        wait_until(lambda: both in server.get("/metrics").text, "both workers serve the model")
        yield server


def ask_until_both_answered(service, count: int) -> None:
    for _ in range(count):
        assert service.post(PREDICT, HOUSE).status == 200


def replaced(service, old: int) -> bool:
    return old not in workers_of(service) and len(workers_of(service)) == 2


def up(service) -> bool:
    return metric(service, "hearth_workers") == 2


def wait_for_predictions(service, count: int) -> None:
    """A scrape of one worker sees what another has counted a fraction of a second later."""
    wait_until(lambda: predictions(service) >= count, f"{count} requests are counted")
    assert predictions(service) == count


def test_numbers_add_up_over_workers_and_outlive_them(service):
    ask_until_both_answered(service, 40)
    wait_for_predictions(service, 40)
    assert metric(service, "hearth_rows_total") == 40
    assert metric(service, "hearth_request_seconds_count", route="predict") == 40

    for end in (signal.SIGKILL, signal.SIGTERM):
        old = min(workers_of(service))
        os.kill(old, end)
        wait_until(lambda: replaced(service, old), f"a new worker after {end.name}")  # noqa: B023
        wait_until(lambda: up(service), "two workers count themselves")
        assert predictions(service) == 40
    ask_until_both_answered(service, 10)
    wait_for_predictions(service, 50)
    assert metric(service, "hearth_model_version_workers", version="1") == 2


def test_a_worker_holds_no_tensorflow(service):
    for pid in workers_of(service):
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "litert" in maps
        assert "tensorflow/" not in maps.replace("tensorflow_serving/", "")


def test_sighup_replaces_the_workers_and_keeps_serving(service):
    before = workers_of(service)
    ask_until_both_answered(service, 5)
    os.kill(service.process.pid, signal.SIGHUP)
    wait_until(lambda: not before & workers_of(service), "the old workers are gone")

    wait_until(lambda: up(service), "two workers count themselves")
    ask_until_both_answered(service, 5)
    wait_for_predictions(service, 10)
    assert "Traceback" not in service.output()


def test_on_sigterm_readiness_turns_and_every_request_is_answered(housing_models):
    with running_service(housing_models, shutdown_delay_s=0.5) as service:
        with Traffic(service.url, clients=3) as traffic:
            wait_until(lambda: len(traffic.answers) > 50, "traffic")
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: service.get("/readyz").status == 503, "readiness has turned")
            assert service.get("/readyz").json() == {"ready": False, "reason": "shutting down"}
            assert service.get("/livez").status == 200
            traffic.join()
        assert service.process.wait(20) == 0

    assert traffic.failures == []
    assert {status for status, *_ in traffic.answers} == {200}


def test_a_request_that_is_half_sent_at_sigterm_is_still_answered(housing_models):
    with running_service(housing_models) as service:
        with connect(service.url) as half, connect(service.url) as resting:
            resting.sendall(head("GET", "/livez"))
            assert read_answer(resting).status == 200
            half.sendall(post(BODY)[:-5])
            # Its head is with the worker once a later request on another connection is answered.
            assert service.get("/livez").status == 200
            service.process.send_signal(signal.SIGTERM)
            assert resting.recv(1) == b""  # a resting connection is ended at once
            wait_until(lambda: refuses(service), "no new connections are taken")
            half.sendall(BODY[-5:])
            answer = read_answer(half)
            assert half.recv(1) == b""
        assert service.process.wait(20) == 0

    assert answer.status == 200
    assert answer.getheader("Connection") == "close"


def refuses(service) -> bool:
    try:
        fetch(f"{service.url}/livez")
    except OSError:
        return True
    return False


def test_a_client_that_never_ends_does_not_hold_up_the_end(housing_models):
    limits = {"graceful_timeout_s": 1, "body_timeout_s": 300, "header_timeout_s": 300}
    with running_service(housing_models, **limits) as service, connect(service.url) as stuck:
        stuck.sendall(post(BODY)[:-5])
        assert service.get("/livez").status == 200
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(20) == 0


def kill_the_master(models) -> None:
    with running_service(models) as service:
        left = workers_of(service)
        service.process.kill()
        service.process.wait()
        wait_until(lambda: not any(map(alive, left)), "the workers have ended")


def test_workers_end_when_their_master_is_killed(housing_models):
    with pytest.raises(RuntimeError, match="ended with -9"):
        kill_the_master(housing_models)


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_tensorflow_executor_answers_as_litert_does(housing_models):
    answers = []
    for executor in ("auto", "tensorflow"):
        with running_service(housing_models, executor=executor) as service:
            assert f"with {executor.replace('auto', 'litert')} after" in service.output()
            bad = service.post(PREDICT, {"instances": [[6.0, 50.0]]})
            assert bad.status == 400
            answers.append((service.post(PREDICT, HOUSE).json()["predictions"], bad.json()))

    assert answers[0][0] == pytest.approx(answers[1][0], abs=1e-3)
    assert answers[0][1] == answers[1][1]
