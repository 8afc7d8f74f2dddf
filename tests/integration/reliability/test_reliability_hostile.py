"""Clients that stall, flood or lie are ended within limits, and nobody else is slowed."""

from __future__ import annotations

import gzip
import json
import os
import resource
import selectors
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import pytest

from tests.integration.reliability.traffic import HttpClient, percentile, stopped, tell, timed
from tests.integration.service.wire import BODY, PREDICT, ask, connect, head, post, read_all
from tests.servers import running_service, wait_until

if TYPE_CHECKING:
    import socket

HEAD_S = 1.0
BODY_S = 1.0
MOST_BYTES = 2**20
IDLE = 10_000
CROWD = 1000


@pytest.fixture(scope="module")
def service(housing_models):
    limits = {
        "header_timeout_s": HEAD_S,
        "body_timeout_s": BODY_S,
        "max_body_bytes": MOST_BYTES,
        "max_connections": 1_000_000,
    }
    with running_service(housing_models, **limits) as server:
        yield server


def latencies_ms(service, count: int = 200) -> list[float]:
    """How long an honest client waits."""
    client = HttpClient(service.url)
    asked = [timed(client) for _ in range(count)]
    client.close()
    assert {it.status for it in asked} == {200}
    return [it.took_s * 1000 for it in asked]


def beside(service, name: str, honest_ms: float) -> None:
    now_ms = percentile(latencies_ms(service), 0.5)
    tell(name, f"an honest client's median {now_ms:.2f} ms, alone {honest_ms:.2f} ms")
    assert now_ms < 20 * honest_ms + 20


@pytest.fixture(scope="module")
def honest_ms(service) -> float:
    return percentile(latencies_ms(service), 0.5)


def ended(connection: socket.socket) -> bytes:
    """What a connection was told before the server ended it."""
    try:
        return read_all(connection)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    ("name", "sent", "told"),
    [
        ("half a head", post(BODY)[:30], b""),
        ("half a body", post(BODY)[:-5], b"HTTP/1.1 408 "),
        ("nothing at all", b"", b""),
    ],
)
def test_who_stalls_is_ended(service, honest_ms, name, sent, told):
    with ExitStack() as stack:
        stalled = [stack.enter_context(connect(service.url)) for _ in range(100)]
        for connection in stalled:
            connection.sendall(sent)
        beside(service, f"100 clients send {name}", honest_ms)
        assert {ended(it)[: len(told)] for it in stalled} == {told}


@pytest.mark.parametrize("sent", [head("POST", PREDICT, "X-A: " + "b" * 100), post(BODY)])
def test_a_byte_at_a_time_is_given_no_more_time_than_the_whole(service, sent):
    with connect(service.url) as slow:
        slow.settimeout(0.3)
        begun_s = time.monotonic()
        with pytest.raises((ConnectionError, EOFError)):
            trickle(slow, sent[:-1])
        assert time.monotonic() - begun_s < 20 * HEAD_S


def trickle(slow: socket.socket, sent: bytes) -> None:
    """Send a byte at a time."""
    for byte in sent:
        slow.sendall(bytes([byte]))
        pause(slow)


def pause(slow: socket.socket) -> None:
    """Wait until it is time for the next byte; an answer, or an end, ends it all."""
    try:
        slow.recv(4096)
    except TimeoutError:
        return
    raise EOFError


def test_who_never_reads_holds_up_nobody(service, honest_ms):
    with ExitStack() as stack:
        for _ in range(20):
            deaf = stack.enter_context(connect(service.url))
            deaf.settimeout(0)
            flood(deaf, head("GET", "/openapi.json"))
        beside(service, "20 clients never read", honest_ms)


def test_who_never_reads_a_large_file_takes_no_thread_from_health(service):
    with ExitStack() as stack:
        for _ in range(4 * (os.cpu_count() or 1) + 1):
            deaf = stack.enter_context(connect(service.url))
            # One fits into the network's buffers.
            deaf.sendall(head("GET", "/report/housing/1/index.html") * 20)
        for _ in range(20):
            assert service.get("/livez").status == 200
            assert service.get("/metrics").status == 200


def test_a_flood_of_pipelined_requests_is_answered_in_turns(service, honest_ms):
    with connect(service.url) as flooding:
        flooding.settimeout(0)
        flood(flooding, post(BODY))
        beside(service, "a flood of pipelined requests", honest_ms)


def test_a_flood_that_gunicorn_answers_is_taken_no_faster_than_it_is_answered(service):
    requests = head("GET", "/livez") * 2000
    most = 64 * 2**20
    with connect(service.url) as flooding:
        flooding.settimeout(1.0)
        sent = 0
        with suppress(TimeoutError):
            while sent < most:
                sent += flooding.send(requests)
        assert sent < most / 2  # what the network's buffers hold, and little more
        assert service.get("/livez").status == 200


def flood(connection: socket.socket, request: bytes, most: int = 20_000) -> None:
    """Send until nobody takes any more."""
    for _ in range(most):
        try:
            connection.send(request)
        except BlockingIOError:
            return


def test_ten_thousand_idle_connections_slow_nobody(service, honest_ms):
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(IDLE, most - 500)
    try:
        with ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(connect(service.url)).sendall(post(BODY))
            beside(service, f"{count} idle connections", honest_ms)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def test_a_crowd_that_comes_while_nobody_takes_it_is_let_in_beside_busy_clients(service):
    with ExitStack() as stack:
        with stopped(service):
            crowd = [stack.enter_context(connect(service.url)) for _ in range(CROWD)]
            for connection in crowd:
                connection.sendall(post(BODY))
        answers = ask_again_until_all_are_answered(crowd)
    tell(
        "a crowd", f"{CROWD} came at once; the last in had its answer when the first had {answers}"
    )
    assert answers < CROWD / 8


def ask_again_until_all_are_answered(crowd: list[socket.socket]) -> int:
    """How many answers the busiest client has had when the last has its first."""
    answers = dict.fromkeys(crowd, 0)
    with selectors.DefaultSelector() as ready:
        for connection in crowd:
            ready.register(connection, selectors.EVENT_READ)
        while not all(answers.values()):
            events = ready.select(timeout=20)
            assert events, f"{list(answers.values()).count(0)} clients wait for ever"
            for key, _ in events:
                answer = key.fileobj.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200 "), answer[:100]
                answers[key.fileobj] += 1
                key.fileobj.sendall(post(BODY))
    return max(answers.values())


NESTED = b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BOMB = gzip.compress(b'{"instances": [' + b" " * (64 * MOST_BYTES) + b"]}")
MANY = json.dumps({"instances": [[1e308] * 1000] * 100}).encode()
CHUNKED = head("POST", PREDICT, "Transfer-Encoding: chunked")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (post(NESTED, "Connection: close"), 400),
        (post(BOMB, "Content-Encoding: gzip", "Connection: close"), 413),
        (post(MANY, "Connection: close"), 400),
        (head("POST", PREDICT, "X-Large: " + "a" * 100_000), 400),
        (head("POST", PREDICT, *(f"X-{it}: a" for it in range(2000))), 400),
        (head("GET", "/" + "a" * 100_000), 400),
    ],
    ids=["nesting", "gzip bomb", "numbers", "large header", "many headers", "long path"],
)
def test_bombs_are_refused(service, sent, status):
    begun_s = time.monotonic()
    answer = ask(service.url, sent)
    assert answer.startswith(b"HTTP/1.1 4"), answer[:100]
    assert int(answer[9:12]) in {status, 431, 414}
    assert time.monotonic() - begun_s < 10


SMUGGLED = head("GET", "/livez")


@pytest.mark.parametrize(
    "sent",
    [
        head("POST", PREDICT, "Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        head("POST", PREDICT, "Content-Length: 5", "Content-Length: 6") + b"12345",
        head("POST", PREDICT, "Content-Length: 5, 6") + b"12345",
        head("POST", PREDICT, "Content-Length: +5") + b"12345",
        head("POST", PREDICT, "Content-Length: -1"),
        head("POST", PREDICT, "Transfer-Encoding: chunked, identity") + b"0\r\n\r\n",
        head("POST", PREDICT, "Transfer-Encoding : chunked") + b"0\r\n\r\n",
        head("POST", PREDICT, "Transfer-Encoding: xchunked") + b"0\r\n\r\n",
        CHUNKED + b"-1\r\n\r\n",
        CHUNKED + b"0x5\r\n12345\r\n0\r\n\r\n",
        CHUNKED + b"5\r\n123456\r\n0\r\n\r\n",
        CHUNKED + b"5\n12345\n0\n\n",
        head("POST", PREDICT, "Content-Length: 0").replace(b"\r\n", b"\n"),
        head("POST", PREDICT, "X: a\nContent-Length: 0"),
    ],
    ids=["CL+TE", "two CL", "list CL", "plus CL", "minus CL", "TE not last", "TE space", "TE x",
         "minus chunk", "0x chunk", "long chunk", "bare LF chunk", "bare LF", "bare LF inside"],
)  # fmt: skip
def test_no_second_request_is_found_behind_an_unclear_first(service, sent):
    with connect(service.url) as connection:
        connection.sendall(sent + SMUGGLED)
        answers = ended(connection)
    assert b'{"live":true}' not in answers
    assert answers.count(b"HTTP/1.1 ") <= 1
    assert not answers or answers.startswith((b"HTTP/1.1 4", b"HTTP/1.1 501 "))


def test_after_all_that_the_service_is_as_before(service, honest_ms):
    wait_until(lambda: percentile(latencies_ms(service), 0.5) < 5 * honest_ms + 5, "as before")
    assert "Traceback" not in service.output()
