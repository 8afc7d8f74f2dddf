"""More is asked than can be answered: the surplus is refused at once, and the rest is answered."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from pathlib import Path

import grpc
import pytest

from service.messages import predict_pb2
from tests import models as written
from tests.integration.reliability.open_loop import OpenLoop
from tests.integration.reliability.traffic import percentile, tell
from tests.integration.rpc.calling import calling
from tests.servers import running_service, workers_of

PATH = "/v1/models/laborious:predict"
BODY = json.dumps({"instances": [1.0]}).encode()
IN_FLIGHT = 32
MOST_CONNECTIONS = 500
SECONDS = 2.0
TIMES = (2, 5, 10)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laborious")
    written.laborious(folder / "laborious" / "1")
    limits = {
        "executor": "tensorflow",
        "enable_batching": "false",
        "rest_api_num_threads": 1,
        "grpc_max_threads": 1,
        "tensorflow_session_parallelism": 1,
        "max_requests_in_flight": IN_FLIGHT,
        "max_connections": MOST_CONNECTIONS,
    }
    with running_service(folder, name="laborious", **limits) as server:
        for _ in range(20):
            assert server.post(PATH, BODY).status == 200
        yield server


def goodput(outcomes) -> float:
    """Answers with a price a second."""
    ended = sorted(it.ended_s for it in outcomes if it.status == 200)
    return (len(ended) - 1) / (ended[-1] - ended[0])


def send(service, rate: float, source: str = "127.0.0.1"):
    return asyncio.run(OpenLoop(service.url, PATH, BODY, source).run(rate, SECONDS))


def capacity_of(service) -> float:
    """Answers a second to clients that leave the worker no rest."""
    ended: list[float] = []
    until_s = time.monotonic() + SECONDS

    def ask() -> None:
        while time.monotonic() < until_s:
            assert service.post(PATH, BODY).status == 200
            ended.append(time.monotonic())

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (len(ended) - 1) / (max(ended) - min(ended))


def cpu_s(service) -> float:
    """Seconds that the worker has computed."""
    (worker,) = workers_of(service)
    fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def under(service, rate: float):
    """What became of requests at a rate, and how many were answered in a CPU second of ours."""
    before_s = cpu_s(service)
    outcomes = send(service, rate)
    return outcomes, sum(it.status == 200 for it in outcomes) / (cpu_s(service) - before_s)


def test_overload_is_refused_at_once_and_costs_no_throughput(service):
    capacity = capacity_of(service)
    runs = {times: under(service, capacity * times) for times in TIMES}
    peak = max(goodput(outcomes) for outcomes, _ in runs.values())
    most_per_cpu_s = max(per_cpu_s for _, per_cpu_s in runs.values())
    for times, (outcomes, per_cpu_s) in runs.items():
        accepted = [it.took_s for it in outcomes if it.status == 200]
        refused = [it for it in outcomes if it.status == 429]
        slow_s = percentile(accepted, 0.99)
        refused_s = percentile([it.took_s for it in refused], 0.5)
        tell(
            f"overload, {times} times",
            f"{goodput(outcomes) / peak:.0%} of the peak of {peak:.0f}/s, "
            f"{per_cpu_s / most_per_cpu_s:.0%} by CPU second; accepted p99 {slow_s * 1000:.0f} ms; "
            f"{len(refused)} of {len(outcomes)} refused, median {refused_s * 1000:.1f} ms",
        )
        assert len(accepted) + len(refused) == len(outcomes)
        assert all("retry-after: 1" in it.head.lower() for it in refused)
        # A lone client has half of the places: so many wait before the last.
        assert slow_s < 5 * IN_FLIGHT / capacity
        assert refused_s < slow_s / 2
        # By CPU second, since others may take the machine's CPUs from us.
        assert per_cpu_s > 0.5 * most_per_cpu_s


def test_health_and_metrics_answer_under_overload(service):
    took: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            for path in ("/livez", "/readyz", "/metrics"):
                began_s = time.monotonic()
                assert service.get(path).status == 200
                took.append(time.monotonic() - began_s)

    watcher = threading.Thread(target=watch)
    watcher.start()
    outcomes = send(service, 600)
    ended.set()
    watcher.join()
    tell("health under overload", f"slowest of {len(took)} answers {max(took) * 1000:.0f} ms")
    # They wait for none of the requests that wait for one another.
    accepted = [it.took_s for it in outcomes if it.status == 200]
    assert percentile(took, 0.5) < percentile(accepted, 0.5) / 2


def test_a_greedy_client_leaves_room_for_others(service):
    async def both():
        greedy = OpenLoop(service.url, PATH, BODY).run(600, SECONDS)
        modest = OpenLoop(service.url, PATH, BODY, "127.0.0.2").run(10, SECONDS)
        return await asyncio.gather(greedy, modest)

    greedy, modest = asyncio.run(both())
    refused, of_greedy = (sum(it.status == 429 for it in mine) for mine in (modest, greedy))
    tell(
        "fairness",
        f"of a client at 600/s {of_greedy} of {len(greedy)} requests refused, "
        f"of one at 10/s {refused} of {len(modest)}",
    )
    assert of_greedy > 0
    assert refused == 0


def test_calls_over_the_limit_are_resource_exhausted(service):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "laborious"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add().size = 1
    request.inputs["x"].float_val.append(1.0)
    with calling(service.grpc) as client:
        calls = [client.prediction.Predict.future(request, timeout=20) for _ in range(100)]
        codes = [call.code() for call in calls]
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert codes.count(grpc.StatusCode.OK) >= IN_FLIGHT // 2


def test_connections_over_the_limit_are_told_to_come_again(service):
    async def fill() -> list[bytes]:
        host, port = service.url.removeprefix("http://").split(":")
        held = [
            await asyncio.open_connection(host, int(port)) for _ in range(MOST_CONNECTIONS + 20)
        ]
        try:
            late = (
                asyncio.wait_for(reader.read(), 20) for reader, _ in held[MOST_CONNECTIONS + 5 :]
            )
            return await asyncio.gather(*late)
        finally:
            for _, writer in held:
                writer.close()
            await asyncio.gather(*(it.wait_closed() for _, it in held), return_exceptions=True)

    said = asyncio.run(fill())
    assert all(it.startswith(b"HTTP/1.1 503 ") for it in said)
    assert all(b"Retry-After: 1" in it for it in said)
