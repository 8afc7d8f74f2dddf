"""A fleet behind: servers that are killed, frozen, slowed or replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from tests.integration.reliability.traffic import (
    longest_gap_s,
    mixed,
    percentile,
    stopped,
    tell,
)
from tests.integration.rpc.calling import ROW, calling, price_of, refused
from tests.integration.service.wire import HOUSE, PREDICT
from tests.servers import free_port, metric, running_service, wait_until, workers_of

# Less than it takes to find out that a connection is dead.
TIMEOUT_S = 0.4
LATE_S = 10.0
V2 = "/v2/models/housing/infer"
V2_BODY = {
    "inputs": [
        {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [6.142, 91.7, 18.72]}
    ]
}
EVERY_PROTOCOL = [(PREDICT, HOUSE), (V2, V2_BODY), ("/invocations", HOUSE)]


@contextlib.contextmanager
def front_of(models, *servers, **flags):
    """A service that runs its networks in others."""
    addresses = ",".join(it.grpc for it in servers)
    with running_service(models, remote_servers=addresses, **flags) as front:
        yield front


@contextlib.contextmanager
def slowed(service, *, share: float = 0.8, period_s: float = 0.1):
    """Its processes stand still for most of the time."""
    ended = threading.Event()

    def hold() -> None:
        while not ended.wait((1 - share) * period_s):
            with stopped(service):
                ended.wait(share * period_s)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture(scope="module")
def pair(housing_models):
    """Two servers, and one in front of them."""
    with (
        running_service(housing_models) as one,
        running_service(housing_models) as other,
        front_of(housing_models, one, other) as front,
    ):
        yield front, one, other


def kill(service) -> None:
    """End its processes at once; they were begun by this test."""
    for pid in (service.process.pid, *workers_of(service)):
        os.kill(pid, signal.SIGKILL)


def test_no_request_is_lost_when_one_of_two_servers_is_killed(housing_models, message):
    with running_service(housing_models) as one, contextlib.ExitStack() as other:
        victim = other.enter_context(_expected_to_die(housing_models))
        with (
            front_of(housing_models, one, victim) as front,
            mixed(front, message) as clients,
        ):
            wait_until(lambda: len(clients.asked) > 300, "traffic")
            kill(victim)
            asked = len(clients.asked)
            wait_until(lambda: len(clients.asked) > asked + 500, "traffic goes on")
    tell("a server of two killed", f"{len(clients.failures)} of {len(clients.asked)} requests "
         f"lost, longest gap {longest_gap_s(clients.asked) * 1e3:.0f} ms")  # fmt: skip
    assert clients.failures == []


@contextlib.contextmanager
def _expected_to_die(models):
    """A server that the test kills."""
    with contextlib.suppress(RuntimeError), running_service(models) as server:  # exit code -9
        yield server


def test_no_request_is_lost_when_one_of_two_servers_is_frozen(pair, message):
    front, one, _ = pair
    with mixed(front, message) as clients:
        wait_until(lambda: len(clients.asked) > 300, "traffic")
        with stopped(one):
            asked = len(clients.asked)
            frozen_s = time.monotonic()
            wait_until(
                lambda: (
                    len(clients.asked) > asked + 500 and time.monotonic() > frozen_s + LATE_S / 2
                ),
                "traffic goes on",
            )
    slowest = max(it.took_s for it in clients.asked)
    tell("a server of two frozen", f"{len(clients.failures)} of {len(clients.asked)} requests "
         f"lost, the slowest took {slowest:.1f} s")  # fmt: skip
    assert clients.failures == []
    assert slowest < LATE_S


def test_no_request_is_lost_when_one_of_two_servers_is_slowed(pair, message):
    front, one, _ = pair
    with slowed(one), mixed(front, message) as clients:
        wait_until(lambda: len(clients.asked) > 600, "traffic")
    took = [it.took_s for it in clients.asked]
    tell("a server of two slowed five times", f"{len(clients.failures)} of {len(took)} requests "
         f"lost, p99 {percentile(took, 0.99) * 1e3:.0f} ms")  # fmt: skip
    assert clients.failures == []


def test_no_request_is_lost_while_the_fleet_is_replaced(housing_models, message):
    ports = [free_port(), free_port()]

    def server(port):
        return running_service(housing_models, port=port, shutdown_delay_s=0.5)

    servers = [contextlib.ExitStack() for _ in ports]
    first, second = (
        stack.enter_context(server(it)) for stack, it in zip(servers, ports, strict=True)
    )
    with front_of(housing_models, first, second) as front, mixed(front, message) as clients:
        wait_until(lambda: len(clients.asked) > 200, "traffic")
        for stack, port in zip(servers, ports, strict=True):
            stack.close()
            new = stack.enter_context(server(port))
            # As a rollout does: the next goes once this one is at work.
            wait_until(
                lambda: metric(new, "hearth_requests_total", route="predict") > 50,  # noqa: B023
                "the new server is asked",
            )
        # It is asked again on its own: by the health of its connection.
        wait_until(lambda: metric(front, "hearth_remote_cut_off_workers") == 0, "connected")
    for stack in servers:
        stack.close()
    tell("both servers of a fleet replaced, one after the other", f"{len(clients.failures)} of "
         f"{len(clients.asked)} requests lost, "
         f"longest gap {longest_gap_s(clients.asked) * 1e3:.0f} ms")  # fmt: skip
    assert clients.failures == []


@pytest.fixture(scope="module")
def lone(housing_models):
    """One server, and one in front of it that answers within ``TIMEOUT_S``."""
    with (
        running_service(housing_models) as server,
        front_of(housing_models, server, rest_api_timeout_in_ms=int(TIMEOUT_S * 1000)) as front,
    ):
        yield front, server


def is_held_back(front) -> bool:
    """Whether a request finds the breaker open."""
    return "asked again in a moment" in front.post(PREDICT, HOUSE).text


def test_a_frozen_fleet_is_a_timeout_and_then_not_there_in_every_protocol(lone):
    front, server = lone
    with stopped(server), calling(front.grpc) as client:
        with refused(grpc.StatusCode.DEADLINE_EXCEEDED, "the fleet 127.0.0.1"):
            client.prediction.Predict(price_of(ROW), timeout=TIMEOUT_S / 2)
        with ThreadPoolExecutor(len(EVERY_PROTOCOL)) as at_once:
            posted = [at_once.submit(front.post, path, body) for path, body in EVERY_PROTOCOL]
            late = [it.result(LATE_S) for it in posted]
        wait_until(lambda: is_held_back(front), "the breaker is open")
        began_s = time.monotonic()
        held_back = [front.post(path, body) for path, body in EVERY_PROTOCOL]
        took_s = time.monotonic() - began_s
        with refused(grpc.StatusCode.UNAVAILABLE, "the fleet 127.0.0.1"):
            client.predict()
        ready = front.get("/readyz")
        wait_until(lambda: metric(front, "hearth_remote_cut_off_workers") == 1, "it is told")
    assert [it.status for it in late] == [504] * 3
    assert [it.status for it in held_back] == [503] * 3
    assert all("the fleet 127.0.0.1" in it.text for it in held_back)
    assert ready.status == 503
    assert "cannot be reached" in ready.text
    back_s = time.monotonic()
    wait_until(lambda: front.post(PREDICT, HOUSE).status == 200, "it answers again")
    back_s = time.monotonic() - back_s
    wait_until(lambda: front.get("/readyz").status == 200, "it is ready again")
    tell("the only server frozen", f"504 within the deadline, then 503 in "
         f"{took_s / 3 * 1e3:.0f} ms; back after {back_s:.1f} s")  # fmt: skip


def test_a_fleet_that_is_killed_is_not_there_and_found_again(housing_models):
    port = free_port()
    with (
        contextlib.ExitStack() as stack,
        running_service(housing_models, remote_servers=f"127.0.0.1:{port}", until=None) as front,
        calling(front.grpc) as client,
    ):
        wait_until(lambda: "cannot be asked for its versions" in _readiness(front), "it says so")
        first = contextlib.ExitStack()
        first.enter_context(running_service(housing_models, port=port))
        wait_until(lambda: _readiness(front) == '{"ready":true}', "the fleet is found")
        assert front.post(PREDICT, HOUSE).status == 200
        first.close()
        answers = [front.post(path, body) for path, body in EVERY_PROTOCOL]
        with refused(grpc.StatusCode.UNAVAILABLE, "the fleet 127.0.0.1"):
            client.predict()
        stack.enter_context(running_service(housing_models, port=port))
        back_s = time.monotonic()
        wait_until(lambda: front.post(PREDICT, HOUSE).status == 200, "it is found again")
        back_s = time.monotonic() - back_s
    tell("the only server gone", f"503 at once; found again after {back_s:.1f} s")
    assert [it.status for it in answers] == [503] * 3
    assert all("the fleet 127.0.0.1" in it.text for it in answers)


def _readiness(front) -> str:
    try:
        return front.get("/readyz").text
    except OSError:
        return ""
