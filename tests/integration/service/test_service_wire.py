"""HTTP as it comes from real clients, and from those that misbehave."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
from urllib.parse import urlsplit

import pytest

from tests.integration.service.wire import (
    BODY,
    HOUSE,
    PREDICT,
    ask,
    connect,
    head,
    post,
    read_all,
    read_answer,
)
from tests.servers import running_service, workers_of

LIMIT = 100_000


@pytest.fixture(scope="module")
def service(housing_models):
    limits = {"max_body_bytes": LIMIT, "header_timeout_s": 0.5, "body_timeout_s": 0.5}
    with running_service(housing_models, access_log="all", **limits) as server:
        yield server


@pytest.fixture(autouse=True)
def still_serving(service):
    """Whatever a test did, the server is none the worse."""
    yield
    assert service.post(PREDICT, HOUSE).status == 200


def price(service) -> float:
    return service.post(PREDICT, HOUSE).json()["predictions"][0]


def test_a_house_gets_its_price(service):
    # The tract of that row is worth 15.2; the network is right within a few thousand.
    assert price(service) == pytest.approx(15.2, abs=5)


def test_many_requests_share_one_connection(service):
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=10)
    for path, body in [(PREDICT, BODY), (PREDICT, b"nope"), ("/livez", None), (PREDICT, BODY)] * 5:
        connection.request("POST" if body else "GET", path, body)
        socket_before = connection.sock
        connection.getresponse().read()
        assert connection.sock is socket_before
    connection.close()


def test_requests_sent_at_once_are_answered_in_order(service):
    bodies = [json.dumps({"instances": [[rm, 50.0, 10.0]]}).encode() for rm in (5, 6, 7, 8)]
    alone = [service.post(PREDICT, body).json()["predictions"] for body in bodies]
    with connect(service.url) as connection:
        connection.sendall(
            b"".join(map(post, bodies)) + head("GET", "/livez") + post(b"", "Connection: close")
        )
        stream = read_all(connection).decode()

    answers = [json.loads(it.split("\r\n\r\n")[1]) for it in stream.split("HTTP/1.1 ")[1:]]
    assert [it["predictions"] for it in answers[:4]] == alone
    assert answers[4] == {"live": True}
    assert "document is empty" in answers[5]["error"]


def test_a_request_may_come_byte_by_byte(service):
    with connect(service.url) as connection:
        for byte in post(BODY, "Connection: close"):
            connection.sendall(bytes([byte]))
        assert read_answer(connection).status == 200


@pytest.mark.parametrize("rows", [1, 2000])
def test_a_chunked_body_is_taken(service, rows):
    body = json.dumps({"instances": [[6.0, 50.0, 10.0]] * rows}).encode()
    pieces = [body[start : start + 7000] for start in range(0, len(body), 7000)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(it), it) for it in pieces) + b"0\r\n\r\n"
    with connect(service.url) as connection:
        connection.sendall(head("POST", PREDICT, "Transfer-Encoding: chunked") + chunks)
        assert len(json.loads(read_answer(connection).text)["predictions"]) == rows


def test_half_a_head_is_given_up_on(service):
    assert ask(service.url, b"POST /v1/models/hou") == b""
    assert ask(service.url, head("GET", "/livez")[:-2]) == b""
    assert ask(service.url) == b""


def test_half_a_head_on_a_kept_connection_is_given_up_on(service):
    with connect(service.url) as connection:
        connection.sendall(head("GET", "/livez"))
        assert read_answer(connection).status == 200
        connection.sendall(b"GET /liv")
        assert connection.recv(100) == b""


@pytest.mark.parametrize("first", [head("GET", "/livez"), post(BODY)])
def test_half_a_head_that_comes_with_the_request_before_it_is_given_up_on(service, first):
    answer = ask(service.url, first + b"GET /liv")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_kept_connection_may_rest_longer_than_a_head_may_take(service):
    with connect(service.url) as connection:
        connection.sendall(head("GET", "/livez"))
        assert read_answer(connection).status == 200
        # Another connection is given up on meanwhile: so much time has passed for sure.
        assert ask(service.url, b"GET") == b""
        connection.sendall(head("GET", "/livez"))
        assert read_answer(connection).status == 200


def test_a_body_that_does_not_come_is_answered_with_408(service):
    with connect(service.url) as connection:
        connection.sendall(post(BODY)[:-5])
        answer = read_answer(connection)
        assert connection.recv(1) == b""

    assert answer.status == 408
    assert json.loads(answer.text) == {"error": "the body did not arrive within 0.5 s"}
    assert answer.getheader("Connection") == "close"


def test_an_announced_body_over_the_limit_is_refused_before_it_comes(service):
    with connect(service.url) as connection:
        connection.sendall(
            head("POST", PREDICT, f"Content-Length: {LIMIT + 1}", "Expect: 100-continue")
        )
        answer = read_answer(connection)

    assert answer.status == 413
    assert json.loads(answer.text) == {
        "error": f"the body has {LIMIT + 1} bytes, the limit is {LIMIT}"
    }


def test_an_awaited_go_ahead_comes(service):
    with connect(service.url) as connection:
        connection.sendall(
            head("POST", PREDICT, f"Content-Length: {len(BODY)}", "Expect: 100-continue")
        )
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert read_answer(connection).status == 200


def test_a_chunked_body_over_the_limit_is_refused_as_it_comes(service):
    chunk = b"%x\r\n%s\r\n" % (60_000, b" " * 60_000)
    with connect(service.url) as connection:
        connection.sendall(head("POST", PREDICT, "Transfer-Encoding: chunked") + chunk + chunk)
        answer = read_answer(connection)

    assert answer.status == 413
    assert json.loads(answer.text)["error"].startswith(f"the body has more than {LIMIT} bytes")


@pytest.mark.parametrize("size", [LIMIT + 1, 50 * LIMIT])
def test_a_client_that_sends_all_of_a_large_body_first_reads_the_refusal(service, size, tmp_path):
    (tmp_path / "body").write_bytes(b" " * size)
    command = ["curl", "-sS", "--data-binary", f"@{tmp_path / 'body'}", service.url + PREDICT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["error"] == f"the body has {size} bytes, the limit is {LIMIT}"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (head("GET", "/" + "a" * 9000), 414),
        (head("GET", "/", *["X-A: b"] * 200), 431),
        (head("GET", "/", "X-A: " + "b" * 20_000), 431),
        (head("POST", PREDICT, "Content-Length: -1"), 400),
        (head("POST", PREDICT, "Content-Length: " + "9" * 5000), 400),
        (head("POST", PREDICT, "Content-Length: 1", "Content-Length: 2"), 400),
        (head("POST", PREDICT, "Content-Length: 3", "Transfer-Encoding: chunked"), 400),
        (head("POST", PREDICT, "Transfer-Encoding: chunked") + b"zz\r\n", 400),
        (head("POST", PREDICT, "Transfer-Encoding: gzip"), 400),
    ],
)
def test_what_is_no_http_is_answered_in_json_and_ended(service, sent, status):
    with connect(service.url) as connection:
        connection.sendall(sent)
        answer = read_answer(connection)
        assert connection.recv(1) == b""

    assert answer.status == status
    assert answer.getheader("Content-Type") == "application/json"
    assert json.loads(answer.text)["error"]


def test_an_upgrade_to_websockets_is_refused_without_harm(service):
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    answer = ask(service.url, head("GET", "/", *upgrade, "Sec-WebSocket-Key: " + "A" * 22 + "=="))

    assert answer.startswith(b"HTTP/1.1 403 ")


def test_a_request_id_is_in_the_answer_and_in_the_log(service):
    with connect(service.url) as connection:
        connection.sendall(post(b"nope", "X-Request-Id: my-own-7", "Connection: close"))
        assert read_answer(connection).getheader("X-Request-Id") == "my-own-7"
    (line,) = [it for it in service.output().splitlines() if "my-own-7" in it]

    told = json.loads(line)
    # What was wrong with it would quote it, and is told to its caller alone.
    assert (told["status"], told["outcome"], told["error"]) == (400, "InvalidRequest", "")


def test_a_head_has_no_body(service):
    answer = ask(service.url, head("HEAD", "/livez", "Connection: close"))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n")


def test_a_health_check_by_head_leaves_nothing_in_the_log(service):
    answer = ask(service.url, head("HEAD", "/ping", "Connection: close"))

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert "body bytes" not in service.output()


def test_a_signal_to_all_processes_is_for_the_master_alone(service):
    (worker,) = workers_of(service)
    for number in (signal.SIGHUP, signal.SIGUSR2):
        os.kill(worker, number)
    with connect(service.url) as connection:
        connection.sendall(post(BODY))
        assert read_answer(connection).status == 200
    assert workers_of(service) == {worker}


def test_nothing_of_all_this_is_a_traceback_in_the_log(service):
    assert "Traceback" not in service.output()
