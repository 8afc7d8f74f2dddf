"""The gRPC server in this process, carrying a service of our own: deadlines, drain, health."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.errors import NotReady, Overloaded
from service.exchange import Exchanges
from service.protocols.tensorflow_serving_grpc import encode_error
from service.rpc.calls import Calls, Method, Service
from service.rpc.server import RpcServer
from tests.integration.rpc.calling import WITHIN_S, refused
from tests.servers import free_port, wait_until

Code = grpc.StatusCode
Message = health_pb2.HealthCheckRequest  # any message with a text


class Notes:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str, str]] = []

    def finished(self, exchange, status, _seconds) -> None:
        self.ended.append((exchange.route, str(status), exchange.outcome))


class Readiness:
    """A health that is told."""

    reason = ""

    def problem(self) -> str:
        return self.reason


@dataclass
class Echoed:
    """An inference that echoes: on a quick version at once, on a joining one when it is told."""

    request: Any
    exchange: Any
    version: Any
    outputs: Future[Any] = field(default_factory=Future)
    threads: list[str] = field(default_factory=list)

    def run(self):
        self.threads.append(threading.current_thread().name)
        return self.request

    def submit(self):
        if self.request.service == "full":
            raise Overloaded("as much waits as may wait")
        return self.outputs

    def finish(self, outputs):
        outputs.result()
        return self.run()


def version(*, quick: bool = False, joins: bool = False) -> Any:
    return SimpleNamespace(executor=SimpleNamespace(quick=quick, joins=joins))


class Echo:
    """A service that echoes: at once, when the gate opens, or with a failure."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.inferences: list[Echoed] = []

    def service(self) -> Service:
        return Service(
            "test.Echo",
            "test",
            {
                "Quick": Method("quick", Message, prepare=self.inference(quick=True)),
                "Plain": Method("plain", Message, prepare=self.inference()),
                "Joined": Method("joined", Message, prepare=self.inference(joins=True)),
                "Slow": Method("slow", Message, self.slow),
                "Bug": Method("bug", Message, self.bug),
                "Refused": Method("refused", Message, prepare=self.refuse),
            },
            encode_error,
        )

    def inference(self, **how):
        def prepare(request, exchange):
            exchange.rows = 100_000 if request.service == "many rows" else 1
            self.inferences.append(Echoed(request, exchange, version(**how)))
            return self.inferences[-1]

        return prepare

    def slow(self, request, _exchange):
        self.begun.release()
        assert self.gate.wait(WITHIN_S)
        return request

    def bug(self, _request, _exchange):
        raise ZeroDivisionError("the wires are crossed")

    def refuse(self, _request, _exchange):
        raise NotReady("not yet: äöü\n")


@pytest.fixture
def echo():
    made = Echo()
    yield made
    made.gate.set()


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def readiness():
    return Readiness()


@pytest.fixture
def address():
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def server(echo, notes, readiness, address):
    with ThreadPoolExecutor(4, thread_name_prefix="rpc") as threads:
        calls = Calls(Exchanges(notes), threads)
        made = RpcServer([address], [echo.service()], calls, readiness)
        made.start()
        yield made
        echo.gate.set()
        made.stop(0)


@pytest.fixture
def call(server, address):
    with grpc.insecure_channel(address) as channel:

        def made(method: str, text: str = "x", **options):
            stub = channel.unary_unary(
                f"/test.Echo/{method}",
                request_serializer=Message.SerializeToString,
                response_deserializer=Message.FromString,
            )
            return stub.future(Message(service=text), timeout=options.pop("timeout", WITHIN_S))

        yield made


def test_a_quick_call_is_answered_while_slow_ones_wait(call, echo):
    slow = [call("Slow") for _ in range(3)]
    for _ in slow:
        assert echo.begun.acquire(timeout=WITHIN_S)

    assert call("Quick", "now").result().service == "now"

    echo.gate.set()
    assert [it.result().service for it in slow] == ["x"] * 3


LARGE = "x" * 20_000


@pytest.mark.parametrize(
    ("method", "text", "thread"),
    [
        ("Quick", "x", "grpc"),
        ("Quick", LARGE, "rpc"),
        ("Quick", "many rows", "rpc"),
        ("Plain", "x", "rpc"),
        ("Plain", LARGE, "rpc"),
    ],
)
def test_only_a_small_call_of_a_quick_version_is_computed_on_the_loop(
    call, echo, method, text, thread
):
    assert call(method, text).result().service == text

    (inference,) = echo.inferences
    assert [it.split("_")[0] for it in inference.threads] == [thread]


def joined(echo: Echo, count: int) -> list[Echoed]:
    wait_until(lambda: len(echo.inferences) == count, f"{count} requests wait")
    return echo.inferences


def test_requests_that_are_to_be_joined_wait_in_no_thread(call, echo):
    before = threading.active_count()
    asked = [call("Joined", str(n)) for n in range(100)]
    inferences = joined(echo, 100)

    assert threading.active_count() - before < 10  # gRPC's own
    assert call("Slow", timeout=0.1).code() == Code.DEADLINE_EXCEEDED  # a thread is free for it
    assert echo.begun.acquire(timeout=WITHIN_S)
    for it in inferences:
        it.outputs.set_result({"y": np.zeros(1)})

    assert [it.result().service for it in asked] == [str(n) for n in range(100)]
    assert {name for it in inferences for name in it.threads} == {"grpc"}


def test_a_large_message_is_read_and_a_large_answer_written_in_a_thread(call, echo):
    asked = call("Joined", LARGE)
    (inference,) = joined(echo, 1)
    inference.outputs.set_result({"y": np.zeros(10_000)})

    assert asked.result().service == LARGE
    assert inference.threads[0].startswith("rpc")


def test_what_goes_wrong_in_a_batch_reaches_the_caller(call, echo, notes):
    asked = call("Joined")
    (inference,) = joined(echo, 1)
    inference.outputs.set_exception(NotReady("not yet"))

    with refused(Code.UNAVAILABLE, "not yet"):
        asked.result()
    with refused(Code.RESOURCE_EXHAUSTED, "as much waits as may wait"):
        call("Joined", "full").result()
    assert notes.ended == [
        ("joined", "UNAVAILABLE", "NotReady"),
        ("joined", "RESOURCE_EXHAUSTED", "Overloaded"),
    ]


def test_who_leaves_or_runs_out_of_time_leaves_the_queue(call, echo, notes):
    leaving, late = call("Joined"), call("Joined", timeout=0.3)
    inferences = joined(echo, 2)

    leaving.cancel()
    with refused(Code.DEADLINE_EXCEEDED):
        late.result()

    wait_until(lambda: all(it.outputs.cancelled() for it in inferences), "both are given up")
    wait_until(lambda: len(notes.ended) == 2, "both are noted")
    assert sorted(notes.ended) == [
        ("joined", "CANCELLED", "Cancelled"),
        ("joined", "DEADLINE_EXCEEDED", "DeadlineExceeded"),
    ]


def test_a_method_or_service_that_is_not_there_is_refused(server, address):
    with grpc.insecure_channel(address) as channel:
        for path in ("/test.Echo/Nothing", "/test.Nobody/Quick"):
            with refused(Code.UNIMPLEMENTED):
                channel.unary_unary(path)(b"", timeout=WITHIN_S)


def test_a_deadline_that_passes_is_noted(call, echo, notes):
    with refused(Code.DEADLINE_EXCEEDED):
        call("Slow", timeout=0.2).result()

    wait_until(lambda: notes.ended, "the call is noted")
    assert notes.ended == [("slow", "DEADLINE_EXCEEDED", "DeadlineExceeded")]
    assert call("Quick").result().service == "x"


def test_a_caller_that_leaves_is_noted(call, echo, notes):
    waiting = call("Slow")
    assert echo.begun.acquire(timeout=WITHIN_S)
    waiting.cancel()

    wait_until(lambda: notes.ended, "the call is noted")
    assert notes.ended == [("slow", "CANCELLED", "Cancelled")]
    assert call("Quick").result().service == "x"


def test_a_bug_is_an_internal_error_with_nothing_but_a_request_id(call, notes):
    with refused(Code.INTERNAL, "internal error, request id ") as _:
        call("Bug").result()

    assert notes.ended == [("bug", "INTERNAL", "InternalError")]


def test_a_refusal_carries_any_text(call, notes):
    with refused(Code.UNAVAILABLE, "not yet: äöü\n"):
        call("Refused").result()

    assert notes.ended == [("refused", "UNAVAILABLE", "NotReady")]


def test_a_message_that_cannot_be_read_is_noted_and_refused(server, address, notes):
    with grpc.insecure_channel(address) as channel, refused(Code.INVALID_ARGUMENT, "1 bytes"):
        channel.unary_unary("/test.Echo/Quick")(b"\xff", timeout=WITHIN_S)

    assert notes.ended == [("quick", "INVALID_ARGUMENT", "InvalidRequest")]


def test_a_stop_waits_for_the_call_under_way_and_takes_no_more(server, call, echo):
    waiting = call("Slow")
    assert echo.begun.acquire(timeout=WITHIN_S)
    with ThreadPoolExecutor() as threads:
        stopping = threads.submit(server.stop, 30)
        wait_until(lambda: call("Quick").code() == Code.UNAVAILABLE, "no call is taken any more")
        assert not stopping.done()
        echo.gate.set()
        assert waiting.result().service == "x"
        stopping.result(WITHIN_S)


def test_a_call_that_outlasts_its_grace_does_not_hold_up_the_stop(server, call, echo):
    waiting = call("Slow")
    assert echo.begun.acquire(timeout=WITHIN_S)

    server.stop(0.1)

    assert waiting.code() in {Code.CANCELLED, Code.UNAVAILABLE}


def test_a_stop_does_not_wait_for_those_that_only_watch_health(server, address):
    with grpc.insecure_channel(address) as channel, ThreadPoolExecutor() as threads:
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        next(watching)
        threads.submit(server.stop, 300).result(WITHIN_S)

        with pytest.raises(grpc.RpcError):
            list(watching)


def test_a_stop_may_come_twice_or_before_a_start(server, echo, notes, readiness, address):
    server.stop(1)
    server.stop(1)
    with ThreadPoolExecutor(1) as threads:
        RpcServer([address], [], Calls(Exchanges(notes), threads), readiness).stop(1)


def test_health_follows_readiness(server, address, readiness):
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def told(name: str) -> int:
            return stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=WITHIN_S).status

        serving, not_serving = 1, 2  # grpc/health/v1/health.proto
        for reason, status in (("", serving), ("loading", not_serving), ("", serving)):
            readiness.reason = reason
            for name in ("", "test.Echo", "Echo"):
                wait_until(lambda name=name, it=status: told(name) == it, f"{name!r} is {status}")


def test_an_address_that_is_taken_is_an_error_at_the_start(server, notes, readiness):
    import socket

    with socket.socket() as taken, ThreadPoolExecutor(1) as threads:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        other = RpcServer([address], [], Calls(Exchanges(notes), threads), readiness)
        with pytest.raises(RuntimeError, match="Failed to bind"):
            other.start()
        other.stop(0)
