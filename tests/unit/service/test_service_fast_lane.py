"""The fast lane answers plain requests as every other way does, and nothing else."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.exchange import Exchanges
from service.http.fast_lane import FastLane, Lane, Outbox
from service.http.heads import Heads
from service.http.messages import QUICK_BYTES
from service.http.tensorflow_serving import TensorFlowServing
from tests.unit.service.fakes import Adder
from tests.unit.service.test_service_http import CORPUS, HOUSE, PREDICT, Worker

LIMITS = {"limit_request_line": 4094, "limit_request_fields": 100, "limit_request_field_size": 8190}
HOST = (("Host", "localhost"),)
WITHIN_S = 10.0
MAX_BODY_BYTES = 100_000


class Held(Adder):
    """A slow executor that runs when it is let."""

    def __init__(self) -> None:
        super().__init__(quick=False)
        self.may_run = threading.Event()

    def run(self, signature, inputs):
        assert self.may_run.wait(WITHIN_S)
        return super().run(signature, inputs)


class Joining(Adder):
    """An executor whose requests wait until they are run."""

    joins = True

    def __init__(self) -> None:
        super().__init__(quick=False)
        self.waiting: list[tuple[Future, dict]] = []

    def submit(self, _signature, inputs, _deadline_s):
        future: Future[Any] = Future()
        self.waiting.append((future, inputs))
        return future

    def run_all(self) -> None:
        for future, inputs in self.waiting:
            future.set_result(self.run("serving_default", inputs))
        self.waiting.clear()


@dataclass
class Transport:
    """Remembers what was written to it."""

    written: bytearray = field(default_factory=bytearray)
    closed: bool = False
    reading: bool = True

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Way:
    """One connection's lane on an event loop of its own."""

    def __init__(self, worker: Worker, loop: asyncio.AbstractEventLoop, **limits: float) -> None:
        apis = (TensorFlowServing(worker.repository, 2**20),)
        self.loop = loop
        self.transport = Transport()
        self.handed_over = bytearray()
        lane = Lane(
            heads=Heads(apis, LIMITS, MAX_BODY_BYTES),
            answering=worker.front.answering,
            exchanges=Exchanges(worker.sink),
            health=worker.health,
            loop=loop,
            outbox=Outbox(loop),
            body_timeout_s=limits.get("body_timeout_s", WITHIN_S),
            request_timeout_s=limits.get("request_timeout_s", WITHIN_S),
        )
        self.lane = FastLane(lane, self.transport, "10.0.0.7", self.handed_over.extend)

    def answer(self, *pieces: bytes) -> tuple[bytes, bytes]:
        """Send pieces one by one; what came back, and what is not for the lane."""
        for piece in pieces:
            if self.handed_over:
                self.handed_over += piece
            else:
                self.handed_over += self.receive(piece)
        self.settle()
        answers, rest = bytes(self.transport.written), bytes(self.handed_over)
        self.transport.written.clear()
        self.handed_over.clear()
        return answers, rest

    def receive(self, data: bytes) -> bytes:
        """What the lane leaves of bytes that come in a turn of the loop; that turn ends."""

        async def turn() -> bytes:
            rest = self.lane.receive(data)
            await asyncio.sleep(0)
            return rest

        return self.loop.run_until_complete(turn())

    def settle(self) -> None:
        """Run the loop until nothing is under way but a body that does not come."""
        self.wait_until(lambda: self.lane.is_idle or self.lane._body is not None)
        self.loop.run_until_complete(asyncio.sleep(0))

    def wait_until(self, holds) -> None:
        deadline_s = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < deadline_s
            self.loop.run_until_complete(asyncio.sleep(0.001))


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    runners = {"housing": Adder(), "slow": Adder(quick=False), "joining": Joining(), "held": Held()}
    return Worker(tmp_path_factory.mktemp("models"), runners, max_body_bytes=MAX_BODY_BYTES)


@pytest.fixture(scope="module")
def loop():
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def way(worker, loop):
    worker.sink.seen.clear()
    return Way(worker, loop)


def request(method="POST", path=PREDICT, body=HOUSE, headers=HOST, version="1.1") -> bytes:
    head = f"{method} {path} HTTP/{version}\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"{head}{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


def split(answers: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """Read answers by HTTP's own rules, one behind the other."""
    read = []
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        length = int(headers["content-length"])
        read.append((int(status.split()[1]), headers, rest[:length]))
        answers = rest[length:]
    return read


@pytest.mark.parametrize(("method", "path", "body"), CORPUS)
def test_a_request_is_answered_as_by_the_front_or_left_alone(worker, way, method, path, body):
    headers = [*HOST, ("X-Request-Id", "same")]
    data = request(method, path, body, headers)

    answers, rest = way.answer(data)

    if rest:
        assert (answers, rest) == (b"", data)
        assert worker.sink.seen == []
        return
    ((status, said, text),) = split(answers)
    ((exchange, counted),) = worker.sink.seen
    front = worker.through_front(method, path, body, headers)
    assert (status, text) == (front.status, front.body)
    for name in ("content-type", "content-length", "x-request-id", "x-model-version"):
        assert said.get(name) == front.headers.get(name), name
    (_, (other, status_there)) = worker.sink.seen
    assert counted == status_there
    for name in ("protocol", "route", "model", "version", "rows", "outcome", "error", "path"):
        assert getattr(exchange, name) == getattr(other, name), name


def test_a_plain_predict_request_is_answered_here(way):
    answers, rest = way.answer(request())

    assert rest == b""
    assert split(answers)[0][0] == 200


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(request(headers=(*HOST, ("Expect", "100-continue"))), id="expect"),
        pytest.param(request(headers=(*HOST, ("Upgrade", "h2c"))), id="upgrade"),
        pytest.param(request(headers=(*HOST, ("Connection", "close"))), id="close"),
        pytest.param(request(headers=(*HOST, ("X_Forwarded_For", "1"))), id="underscore"),
        pytest.param(request(headers=()), id="no host"),
        pytest.param(request(headers=(*HOST, *HOST)), id="two hosts"),
        pytest.param(request(headers=(*HOST, ("Content-Length", "1"))), id="two lengths"),
        pytest.param(request(version="1.0"), id="HTTP/1.0"),
        pytest.param(request(path="/v1/models/hous%69ng:predict"), id="percent"),
        pytest.param(request(method="GET", path="/readyz", body=b""), id="another route"),
        pytest.param(request(body=HOUSE + b" " * MAX_BODY_BYTES), id="too large a body"),
        pytest.param(request().replace(b"\r\nHost", b"\nHost"), id="a bare line feed"),
        pytest.param(request().replace(b"Host: ", b"Host: \r"), id="a bare carriage return"),
        pytest.param(b"\r\n\r\n" + request(), id="empty lines first"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(
            b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
            b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            id="chunked",
        ),
    ],
)
def test_what_is_not_plain_is_left_alone_however_often_it_comes(way, worker, data):
    for _ in range(2):
        assert way.answer(data) == (b"", data)
    assert worker.sink.seen == []


def test_a_head_that_is_cut_is_left_alone(way):
    data = request()
    head = data.index(b"\r\n\r\n") + 4

    for end in range(1, head):
        assert way.answer(data[:end]) == (b"", data[:end])


def test_a_body_cut_at_any_byte_is_waited_for(way):
    data = request()
    whole, _ = way.answer(data)

    for end in range(data.index(b"\r\n\r\n") + 4, len(data)):
        answers, rest = way.answer(data[:end], data[end:])
        assert rest == b""
        assert [it[2] for it in split(answers)] == [it[2] for it in split(whole)]


def test_a_large_body_is_answered_in_a_thread_whatever_pieces_it_comes_in(way, worker):
    rows = b'{"instances": [' + b"[1, 2, 3]," * 3000 + b"[4, 5, 6]]}"
    assert QUICK_BYTES < len(rows) < MAX_BODY_BYTES
    data = request(body=rows) + request()
    pieces = [data[start : start + 7000] for start in range(0, len(data), 7000)]

    answers, rest = way.answer(*pieces)

    assert rest == b""
    (many, one) = split(answers)
    assert many[2] == worker.through_front("POST", PREDICT, rows).body
    assert one[0] == 200


def test_requests_behind_one_another_are_answered_in_their_order(way):
    ids = [f"id-{number}" for number in range(100)]
    data = b"".join(request(headers=(*HOST, ("X-Request-Id", it))) for it in ids)

    answers, rest = way.answer(data)

    assert rest == b""
    assert [headers["x-request-id"] for _, headers, _ in split(answers)] == ids


def test_of_many_requests_that_come_at_once_others_have_their_turn_between(way):
    turns = []

    def look() -> None:
        turns.append(len(split(bytes(way.transport.written))))

    way.loop.call_soon(way.loop.call_soon, look)  # it comes behind what receives

    answers, _ = way.answer(request() * 100)

    assert len(split(answers)) == 100
    assert 0 < turns[0] < 100


def test_what_stands_behind_an_answered_request_is_left_from_its_first_byte_on(way):
    other = request(method="GET", path="/readyz", body=b"")

    answers, rest = way.answer(request() + other + request())

    assert [status for status, _, _ in split(answers)] == [200]
    assert rest == other + request()


def test_what_comes_behind_a_slow_request_waits_for_its_answer(way):
    other = request(method="GET", path="/readyz", body=b"")

    answers, rest = way.answer(request(path="/v1/models/slow:predict"), request(), other)

    assert [status for status, _, _ in split(answers)] == [200, 200]
    assert rest == other


def test_requests_that_are_joined_are_answered_when_they_have_run(way, worker):
    joining = worker.runners["joining"]
    data = request(path="/v1/models/joining:predict")

    assert way.receive(data + request()) == b""
    assert not way.transport.written
    joining.run_all()
    way.settle()

    assert [json for _, _, json in split(bytes(way.transport.written))] == [
        b'{"predictions":[6.0]}'
    ] * 2


def test_who_leaves_is_taken_out_of_the_queue(way, worker):
    joining = worker.runners["joining"]
    way.receive(request(path="/v1/models/joining:predict"))

    way.lane.close()
    way.settle()

    ((future, _),) = joining.waiting
    joining.waiting.clear()
    assert future.cancelled()
    ((exchange, status),) = worker.sink.seen
    assert (exchange.outcome, status) == ("Cancelled", 499)
    assert not way.transport.written


def test_a_request_that_takes_too_long_is_told_so_and_the_connection_ends(worker, loop):
    way = Way(worker, loop, request_timeout_s=0.01)
    held = worker.runners["held"]

    answers, _ = way.answer(request(path="/v1/models/held:predict"))
    held.may_run.set()

    ((status, headers, text),) = split(answers)
    assert status == 504
    assert b"longer than 0.01 s" in text
    assert headers["connection"] == "close"
    assert way.transport.closed


def test_a_body_that_does_not_come_is_not_waited_for_for_ever(worker, loop):
    way = Way(worker, loop, body_timeout_s=0.01)

    way.receive(request()[:-1])
    way.wait_until(lambda: way.transport.closed)

    ((status, headers, _),) = split(bytes(way.transport.written))
    assert (status, headers["connection"]) == (408, "close")


def test_a_slow_request_of_a_worker_that_goes_down_is_answered_and_its_connection_ends(
    worker, loop
):
    way = Way(worker, loop)
    joining = worker.runners["joining"]
    way.receive(request(path="/v1/models/joining:predict"))
    worker.health.draining = True
    try:
        joining.run_all()
        way.wait_until(lambda: way.transport.closed)
    finally:
        worker.health.draining = False

    ((status, headers, _),) = split(bytes(way.transport.written))
    assert (status, headers["connection"]) == (200, "close")


def test_no_more_is_read_than_may_wait_behind_a_slow_request(way, worker):
    joining = worker.runners["joining"]
    way.receive(request(path="/v1/models/joining:predict"))
    sent = 0
    while way.transport.reading:
        assert way.receive(request() * 200) == b""
        sent += 200
    joining.run_all()
    way.settle()

    assert way.transport.reading
    assert len(split(bytes(way.transport.written))) == sent + 1


def test_heads_that_differ_each_time_are_read_as_well_as_those_that_repeat(way):
    for number in range(3000):
        answers, rest = way.answer(request(headers=(*HOST, ("X-Trace", str(number)))))
        assert (split(answers)[0][0], rest) == (200, b"")
    assert len(way.lane._heads.known) <= 1024


@given(
    at=st.integers(0, len(request()) - 1),
    junk=st.binary(max_size=12),
    cut=st.integers(0, 12),
)
def test_mangled_bytes_are_answered_or_left_but_never_lost(worker, loop, at, junk, cut):
    way = Way(worker, loop)
    data = request()[:at] + junk + request()[at + cut :]

    answers, rest = way.answer(data)

    assert data.endswith(rest)
    assert all(status < 500 for status, _, _ in split(answers))
    missing = way.lane._body
    assert bool(answers) == (missing is None and len(rest) < len(data))
    way.lane.close()
