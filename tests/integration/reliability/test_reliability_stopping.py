"""Stops, reloads and recycled workers lose no request, under load by HTTP and gRPC."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.reliability.traffic import (
    longest_gap_s,
    mixed,
    percentile,
    tell,
)
from tests.integration.service.wire import connect, head, read_answer
from tests.servers import (
    free_port,
    metric,
    running,
    running_service,
    wait_until,
    workers_of,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from tests.servers import Server

WORKERS = 2


def under_way(clients, count: int) -> None:
    start = len(clients.asked)
    wait_until(lambda: len(clients.asked) >= start + count, f"{count} more requests")


def figure(clients) -> str:
    slow_ms = percentile([it.took_s for it in clients.asked], 0.99) * 1000
    gap_ms = longest_gap_s(clients.asked) * 1000
    lost = len(clients.failures)
    return f"{len(clients.asked)} requests, {lost} lost, p99 {slow_ms:.0f} ms, gap {gap_ms:.0f} ms"


def test_a_stop_loses_no_request(housing_models, message):
    with running_service(housing_models, workers=WORKERS, shutdown_delay_s=1.5) as service:
        with mixed(service, message) as clients:
            under_way(clients, 200)
            begun_s = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            wait_until(lambda: service.get("/readyz").status == 503, "readiness turns")
            # As behind a load balancer, which sends on until it has seen that.
            under_way(clients, 200)
        assert service.process.wait(20) == 0
        ended_s = time.monotonic() - begun_s
    tell("a stop", f"{figure(clients)}, ended after {ended_s:.1f} s")
    assert clients.failures == []


def test_a_request_sent_just_as_the_stop_begins_is_answered(housing_models):
    with running_service(housing_models) as service, connect(service.url) as kept:
        kept.sendall(head("GET", "/v1/models/housing"))
        assert read_answer(kept).status == 200
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses(service), "no new connections are taken")
        kept.sendall(head("GET", "/v1/models/housing"))
        answer = read_answer(kept)
        assert service.process.wait(20) == 0
    assert answer.status == 200
    assert answer.getheader("Connection") == "close"


def refuses(service) -> bool:
    try:
        connect(service.url).close()
    except ConnectionRefusedError:
        return True
    return False


def replaced(service, before: set[int]) -> bool:
    now = workers_of(service)
    return not before & now and len(now) == WORKERS


def test_a_reload_loses_no_request(housing_models, message):
    with running_service(housing_models, workers=WORKERS) as service:
        wait_until(lambda: metric(service, "hearth_workers") == WORKERS, "both are up")
        with mixed(service, message, retries=True) as clients:
            under_way(clients, 200)
            before = workers_of(service)
            os.kill(service.process.pid, signal.SIGHUP)
            wait_until(lambda: replaced(service, before), "new workers")
            under_way(clients, 200)
        assert "Traceback" not in service.output()
    tell("a reload", figure(clients))
    assert clients.failures == []


def test_recycled_workers_lose_no_request(housing_models, message):
    with running_service(housing_models, workers=WORKERS, max_requests=400) as service:
        wait_until(lambda: metric(service, "hearth_workers") == WORKERS, "both are up")
        before = workers_of(service)
        with mixed(service, message, retries=True) as clients:
            wait_until(lambda: replaced(service, before), "new workers")
            under_way(clients, 100)
    tell("recycled workers", figure(clients))
    assert clients.failures == []


@pytest.fixture
def flags(housing_models, tmp_path) -> Path:
    file = tmp_path / "flags"
    write(file, housing_models, "--model_name=housing", "--workers=1")
    return file


def write(file: Path, models: Path, *lines: str) -> None:
    file.write_text("\n".join((f"--model_base_path={models / 'housing'}", *lines)))


def served_by(flags: Path) -> AbstractContextManager[Server]:
    port, grpc = free_port(), free_port()
    addresses = ("--host=127.0.0.1", f"--rest_api_port={port}", f"--port={grpc}")
    url = f"http://127.0.0.1:{port}"
    return running([sys.executable, "-m", "service", *addresses, f"@{flags}"], url, url + "/readyz")


def test_a_reload_takes_flags_anew(housing_models, flags):
    with served_by(flags) as service:
        write(flags, housing_models, "--model_name=house", f"--workers={WORKERS}")
        before = workers_of(service)
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: replaced(service, before), "new workers")
        assert service.get("/v1/models/house").status == 200
        assert service.get("/v1/models/housing").status == 404


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("--workers=none", "--workers is 'none', not a whole number"),
        ("--port=1", "--port is 1, and {port} until a restart"),
        ("--help", "--help and --version are for the command line"),
        ("--batching_parameters_file=x", "is given without --enable_batching"),
    ],
)
def test_wrong_flags_reload_nothing(housing_models, flags, wrong, message):
    with served_by(flags) as service:
        write(flags, housing_models, "--model_name=housing", wrong)
        before = workers_of(service)
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "nothing is reloaded" in service.output(), "the log says so")
        assert message.format(port=port_of(service)) in service.output()
        assert workers_of(service) == before
        assert service.get("/v1/models/housing").status == 200


def port_of(service: Server) -> str:
    (flag,) = (it for it in service.process.args if it.startswith("--port="))
    return flag.removeprefix("--port=")
