"""The same requests down every way to the same answers: whole, cut, one behind the other, over TLS.

The fast lane takes plain requests. A header that asks for trailers is none of its business,
so the same request with it goes through gunicorn and the ASGI front.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import struct
import time

import pytest

from tests.certificates import certify, ssl_config
from tests.integration.service.wire import BODY, PREDICT, connect, post, read_answer
from tests.servers import running_service, wait_until

INFER = "/v2/models/housing/infer"
ROW = [6.142, 91.7, 18.72]
OTHERWISE = "TE: trailers"
# Pieces that are sent as far apart come in reads of their own.
BETWEEN_READS_S = 0.002
WITHIN_S = 20.0
SMALL_BYTES = 1000


def encoded(document) -> bytes:
    return json.dumps(document).encode()


def rows(count: int):
    return [[ROW[0], ROW[1], number / count] for number in range(count)]


def values(data, shape, **more):
    tensor = {"name": "features", "shape": shape, "datatype": "FP32", "data": data}
    return encoded({"inputs": [tensor], **more})


BINARY_HEAD = encoded(
    {
        "inputs": [
            {
                "name": "features",
                "shape": [1, 3],
                "datatype": "FP32",
                "parameters": {"binary_data_size": 12},
            }
        ],
        "outputs": [{"name": "price", "parameters": {"binary_data": True}}],
    }
)
BINARY = (f"Inference-Header-Content-Length: {len(BINARY_HEAD)}",)
LARGE = rows(5000)

# Path, body and headers of each request.
CORPUS = {
    "a row": (PREDICT, encoded({"instances": [ROW]}), ()),
    "by name": (PREDICT, BODY, ()),
    "columns": (PREDICT, encoded({"inputs": {"features": [ROW, ROW]}}), ()),
    "many rows": (PREDICT, encoded({"instances": LARGE}), ()),
    "a label": ("/v1/models/housing/labels/none:predict", BODY, ()),
    "another version": ("/v1/models/housing/versions/9:predict", BODY, ()),
    "another model": ("/v1/models/nobody:predict", BODY, ()),
    "regress": (
        "/v1/models/housing:regress",
        encoded({"examples": [{"RM": 6.1, "AGE": 91.7, "LSTAT": 18.7}]}),
        (),
    ),
    "no JSON": (PREDICT, b"{", ()),
    "nothing": (PREDICT, b"", ()),
    "not a number": (PREDICT, b'{"instances": [[NaN, 1, 2]]}', ()),
    "too few": (PREDICT, b'{"instances": [[1, 2]]}', ()),
    "too many rooms": (PREDICT, b'{"instances": [[51, 2, 3]]}', ()),
    "ragged": (PREDICT, b'{"instances": [[1, 2, 3], [1]]}', ()),
    "many ragged rows": (PREDICT, encoded({"instances": [*LARGE, [1]]}), ()),
    "no such verb": ("/v1/models/housing:price", BODY, ()),
    "a query": (f"{PREDICT}?a=b", BODY, ()),
    "v2": (INFER, values(ROW, [1, 3], id="7"), ()),
    "v2 nested": (INFER, values([ROW, ROW], [2, 3]), ()),
    "v2 binary": (INFER, BINARY_HEAD + struct.pack("<3f", *ROW), BINARY),
    "v2 binary too short": (INFER, BINARY_HEAD + b"123", BINARY),
    "v2 large": (INFER, values(LARGE, [5000, 3]), ()),
    "v2 wrong shape": (INFER, values(ROW, [1, 2]), ()),
    "v2 unknown model": ("/v2/models/nobody/infer", values(ROW, [1, 3]), ()),
    "v2 packed": (INFER, values(LARGE, [5000, 3]), ("Accept-Encoding: gzip",)),
    "invocations": (
        "/invocations",
        encoded({"inputs": [ROW]}),
        ("Content-Type: application/json",),
    ),
    "invocations of CSV": ("/invocations", b"6.1,91.7,18.7\n", ("Content-Type: text/csv",)),
}


@contextlib.contextmanager
def connected(service, trust=None):
    """A connection, over TLS if it is to be trusted."""
    with connect(service.url) as plain:
        if trust is None:
            yield plain
            return
        with trust.wrap_socket(plain, server_hostname="localhost") as secure:
            yield secure


@pytest.fixture(scope="module", params=["plain", "tls"])
def lines(request, housing_models, tmp_path_factory):
    """A service, and what opens connections to it."""
    if request.param == "plain":
        with running_service(housing_models) as service:
            yield lambda: connected(service)
        return
    with secured(housing_models, tmp_path_factory.mktemp("tls")) as found:
        yield found


@contextlib.contextmanager
def secured(models, folder, **flags):
    """A service over TLS, and what opens connections to it."""
    pair = certify(folder, "localhost")
    config = ssl_config(folder, pair, None, verify=False)
    trust = ssl.create_default_context(cafile=pair.certificate)
    with running_service(models, until=None, rest_ssl_config_file=config, **flags) as service:
        wait_until(lambda: listens(service), "it listens", 60)
        yield lambda: connected(service, trust)


def listens(service) -> bool:
    try:
        connect(service.url).close()
    except OSError:
        assert service.process.poll() is None, service.output()
        return False
    return True


def told(answer: http.client.HTTPResponse) -> tuple:
    """What must not depend on the way that a request took."""
    names = ("Content-Type", "X-Model-Version", "Inference-Header-Content-Length",
             "Content-Encoding", "X-Request-Id", "Retry-After")  # fmt: skip
    return (answer.status, answer.body, *(answer.getheader(name) for name in names))


def ask(connection: socket.socket, *pieces: bytes) -> tuple:
    for piece in pieces:
        connection.sendall(piece)
        if piece is not pieces[-1]:
            time.sleep(BETWEEN_READS_S)
    return told(answer_of(connection))


def answer_of(connection: socket.socket) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.body = response.read()
    return response


@pytest.fixture(scope="module")
def requests():
    ids = {name: f"X-Request-Id: request-{index}" for index, name in enumerate(CORPUS)}
    return {
        name: (
            post(body, ids[name], *headers, path=path),
            post(body, ids[name], OTHERWISE, *headers, path=path),
        )
        for name, (path, body, headers) in CORPUS.items()
    }


@pytest.mark.parametrize("name", CORPUS)
def test_a_request_has_one_answer_whichever_way_it_takes(lines, requests, name):
    plain, otherwise = requests[name]

    with lines() as connection:
        there = ask(connection, otherwise)
        here = [ask(connection, plain) for _ in range(2)]

    assert here == [there, there]
    assert (there[0] == 200) == (b'"error"' not in there[1])


def test_requests_may_come_cut_anywhere_and_leave_the_connection_in_order(lines, requests):
    for name in ("a row", "v2 binary", "too many rooms"):
        data, otherwise = requests[name]
        with lines() as connection:
            expected = ask(connection, otherwise)
            for end in range(1, len(data), 3):
                assert ask(connection, data[:end], data[end:]) == expected
                assert ask(connection, data) == expected


def test_a_large_request_may_come_in_pieces(lines, requests):
    data, otherwise = requests["many rows"]
    size = len(data) // 7
    pieces = [data[start : start + size] for start in range(0, len(data), size)]

    with lines() as connection:
        assert ask(connection, *pieces) == ask(connection, otherwise)


def test_requests_sent_one_behind_the_other_are_answered_in_their_order(lines, requests):
    """The small ones in one go, alternately down one way and the other.

    Behind a request of its own gunicorn keeps so many bytes and no more, and ends the connection.
    """
    small = {name: ways for name, ways in requests.items() if len(ways[0]) < SMALL_BYTES}
    with lines() as connection:
        expected = {name: ask(connection, otherwise) for name, (_, otherwise) in small.items()}
        sent = [(name, ways[turn % 2]) for turn in range(4) for name, ways in small.items()]
        # They fit into the sockets' buffers, and one thread alone may use a TLS connection.
        connection.sendall(b"".join(it for _, it in sent))
        with connection.makefile("rb") as reading:
            answers = [read_from(reading) for _ in sent]

    assert answers == [expected[name] for name, _ in sent]


class _Stream:
    """What http.client asks a socket for, when a stream that goes on is read."""

    def __init__(self, stream) -> None:
        self._stream = stream

    def makefile(self, _mode: str):
        return _Unclosed(self._stream)


class _Unclosed:
    def __init__(self, stream) -> None:
        self._stream = stream
        self.closed = False

    def __getattr__(self, name: str):
        return getattr(self._stream, name)

    def close(self) -> None:
        pass


def read_from(stream) -> tuple:
    return told(answer_of(_Stream(stream)))  # type: ignore[arg-type]


def test_a_client_that_leaves_in_the_middle_harms_nobody(lines, requests):
    data, otherwise = requests["many rows"]
    for end in (10, 200, len(data) - 1, len(data)):
        with lines() as connection:
            connection.sendall(data[:end])
    with lines() as connection:
        assert ask(connection, otherwise)[0] == 200
        connection.sendall(post(BODY))
        assert read_answer(connection).status == 200


def test_a_stop_does_not_wait_for_clients_to_take_leave_of_tls(housing_models, tmp_path):
    with contextlib.ExitStack() as clients:
        with secured(housing_models, tmp_path, graceful_timeout_s=90) as open_line:
            connection = clients.enter_context(open_line())
            assert ask(connection, post(BODY))[0] == 200
        # It ended long before, though this client has neither read nor closed.
        assert connection.recv(1) == b""


def test_who_begins_no_tls_holds_a_place_no_longer_than_a_head_may_take(housing_models, tmp_path):
    limits = {"header_timeout_s": 0.5, "max_connections": 8}
    with secured(housing_models, tmp_path, **limits) as open_line, contextlib.ExitStack() as stack:
        with open_line() as connection:
            address = connection.getpeername()
        silent = [
            stack.enter_context(socket.create_connection(address, WITHIN_S)) for _ in range(20)
        ]
        # One after the other: those that find no place are ended at once.
        for it in silent:
            with contextlib.suppress(ConnectionResetError):
                assert it.recv(1) == b""
        wait_until(lambda: is_answered(open_line), "there is room again")


def is_answered(open_line) -> bool:
    try:
        with open_line() as connection:
            return ask(connection, post(BODY))[0] == 200
    except ConnectionResetError:
        return False
