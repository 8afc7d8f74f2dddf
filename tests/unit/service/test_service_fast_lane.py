"""The fast lane answers plain whole requests as every other way does, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.exchange import Exchanges
from service.http.fast_lane import FastLane
from service.http.messages import QUICK_BYTES
from service.http.tensorflow_serving import TensorFlowServing
from tests.unit.service.fakes import Adder
from tests.unit.service.test_service_http import CORPUS, HOUSE, PREDICT, Sink, Worker

LIMITS = {"limit_request_line": 4094, "limit_request_fields": 100, "limit_request_field_size": 8190}
HOST = (("Host", "localhost"),)


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    return Worker(
        tmp_path_factory.mktemp("models"), {"housing": Adder(), "slow": Adder(quick=False)}
    )


@pytest.fixture
def lane(worker):
    worker.sink.seen.clear()
    apis = (TensorFlowServing(worker.repository, 2**20),)
    return FastLane(apis, Exchanges(worker.sink), "10.0.0.7", LIMITS)


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
def test_a_request_is_answered_as_by_the_front_or_left_alone(worker, lane, method, path, body):
    headers = [*HOST, ("X-Request-Id", "same")]
    data = request(method, path, body, headers)

    answers, rest = lane.answer(data)

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


def test_a_plain_predict_request_is_answered_here(lane):
    answers, rest = lane.answer(request())

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
        pytest.param(request(path="/v1/models/slow:predict"), id="slow model"),
        pytest.param(request(method="GET", path="/readyz", body=b""), id="another route"),
        pytest.param(request(body=HOUSE + b" " * QUICK_BYTES), id="large body"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(
            b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
            b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            id="chunked",
        ),
    ],
)
def test_what_is_not_plain_is_left_alone(lane, worker, data):
    assert lane.answer(data) == (b"", data)
    assert worker.sink.seen == []


def test_requests_behind_one_another_are_answered_in_their_order(lane):
    ids = ["a", "b", "c"]
    data = b"".join(request(headers=(*HOST, ("X-Request-Id", it))) for it in ids)

    answers, rest = lane.answer(data)

    assert rest == b""
    assert [headers["x-request-id"] for _, headers, _ in split(answers)] == ids


def test_what_stands_behind_an_answered_request_is_left_from_its_first_byte_on(lane):
    other = request(method="GET", path="/readyz", body=b"")

    answers, rest = lane.answer(request() + other + request())

    assert [status for status, _, _ in split(answers)] == [200]
    assert rest == other + request()


def test_a_request_cut_at_any_byte_is_left_alone(lane):
    data = request()

    for end in range(1, len(data)):
        assert lane.answer(data[:end]) == (b"", data[:end])
        assert not lane.is_one_request(data[:end])
    assert lane.is_one_request(data)
    assert not lane.is_one_request(data + data[:1])


@given(
    at=st.integers(0, len(request()) - 1),
    junk=st.binary(max_size=12),
    cut=st.integers(0, 12),
)
def test_mangled_bytes_are_answered_or_left_but_never_lost(worker, at, junk, cut):
    apis = (TensorFlowServing(worker.repository, 2**20),)
    lane = FastLane(apis, Exchanges(Sink()), "", LIMITS)
    data = request()[:at] + junk + request()[at + cut :]

    answers, rest = lane.answer(data)

    assert data.endswith(rest)
    assert all(status < 500 for status, _, _ in split(answers))
    assert bool(answers) == (len(rest) < len(data))
