"""Services behind the stack's proxy are replaced one by one, and end untimely, under load."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.integration.reliability.traffic import mixed, percentile, tell
from tests.integration.rpc.calling import ROW, price_of
from tests.proxy import at_places, running_proxy
from tests.servers import Server, fetch, free_port, metric, running_service, wait_until, workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.system("haproxy")

REPLICAS = 3
# As in docker-compose.yml: longer than the proxy takes to see that a service is going.
DELAY_S = 2
# Between requests of a client, so that those that begin get their share of the machine.
PAUSE_S = 0.01
PREDICT = "predict"


@contextlib.contextmanager
def served(models: Path, place: tuple[int, int]) -> Iterator[Server]:
    rest, grpc = place
    with running_service(
        models, rest_api_port=rest, port=grpc, shutdown_delay_s=DELAY_S
    ) as service:
        yield service


def answered(service: Server, protocol: str) -> float:
    return metric(service, "hearth_requests_total", protocol=protocol, route=PREDICT)


def more(clients, count: int) -> None:
    start = len(clients.asked)
    wait_until(lambda: len(clients.asked) >= start + count, f"{count} more requests")


def is_ready(proxy: Server) -> bool:
    try:
        return fetch(proxy.url + "/readyz").status == 200
    except OSError:
        return False


def takes_part(service: Server) -> bool:
    """Whether the proxy sends it requests of both kinds."""
    return (
        min(answered(service, "tensorflow_serving"), answered(service, "tensorflow_serving_grpc"))
        > 0
    )


@pytest.fixture
def message() -> bytes:
    return price_of(ROW).SerializeToString()


@pytest.fixture
def places() -> list[tuple[int, int]]:
    return [(free_port(), free_port()) for _ in range(2 * REPLICAS)]


def told(promise: str, clients) -> None:
    slow_ms = percentile([it.took_s for it in clients.asked], 0.99) * 1000
    lost = len(clients.failures)
    tell(promise, f"{len(clients.asked)} requests, {lost} lost, p99 {slow_ms:.0f} ms")


def test_a_rolling_update_loses_no_request(housing_models, message, places, tmp_path) -> None:
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(running_proxy(tmp_path, at_places(places)))
        old = [stack.enter_context(served(housing_models, it)) for it in places[:REPLICAS]]
        wait_until(lambda: is_ready(proxy), "the proxy has found a service")
        with mixed(proxy, message, pause_s=PAUSE_S) as clients:
            for ending, place in zip(old, places[REPLICAS:], strict=True):
                new = stack.enter_context(served(housing_models, place))
                wait_until(lambda it=new: takes_part(it), "the new one is asked")
                ending.process.send_signal(signal.SIGTERM)
                assert ending.process.wait(30) == 0
            more(clients, 100)
    told("a rolling update", clients)
    assert clients.failures == []


def test_a_crash_behind_the_proxy_loses_at_most_what_was_under_way(
    housing_models, message, places, tmp_path
) -> None:
    with contextlib.ExitStack() as stack:
        proxy = stack.enter_context(running_proxy(tmp_path, at_places(places[:2])))
        doomed, _ = (stack.enter_context(served(housing_models, it)) for it in places[:2])
        wait_until(lambda: is_ready(proxy), "the proxy has found a service")
        with mixed(proxy, message, retries=True) as clients:
            wait_until(lambda: takes_part(doomed), "it is asked")
            (worker,) = workers_of(doomed)
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda: workers_of(doomed) - {worker}, "another takes its place")
            more(clients, 500)
    told("a crash behind a proxy", clients)
    # The proxy asks another what the worker had under way, if it can do so safely.
    assert len(clients.failures) <= len(clients.clients)
