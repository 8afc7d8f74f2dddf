"""The library over real sockets: retries, timeouts, the connection pool."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import urllib3

from client import (
    Client,
    HttpTransport,
    InvalidRequest,
    NotFound,
    Request,
    ServerFault,
    Unavailable,
)

HOUSE = {"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72}
# 6.142 * 4 - 91.7 * 0.01 - 18.72 * 0.5
PRICE = pytest.approx(14.291)


@pytest.fixture
def client(server):
    with Client(server.url, timeout_s=10) as client:
        yield client


@pytest.fixture
def raw_server():
    """A socket that answers each connection with given bytes, then keeps it open."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened = []

    def answer_with(data):
        def serve():
            connection, _ = listener.accept()
            opened.append(connection)
            connection.recv(65536)
            connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield answer_with
    for connection in opened:
        connection.close()
    listener.close()


def test_houses_of_every_kind_are_priced(client):
    row = list(HOUSE.values())
    assert client.predict(HOUSE) == PRICE
    assert client.predict([HOUSE, row]) == [PRICE, PRICE]
    np.testing.assert_allclose(client.predict(np.array([row, row])), [14.291, 14.291])
    priced = client.predict(pd.DataFrame([HOUSE], index=["a"]))
    assert priced.loc["a", "price"] == PRICE


def test_one_connection_carries_many_requests(client, server):
    for _ in range(5):
        client.predict([HOUSE] * 2500)
    client.status()
    assert len(server.predicts) == 15
    assert server.connections == 1


def test_threads_share_the_pool(client, server):
    barrier = threading.Barrier(4)

    def ask(_):
        barrier.wait(10)
        return client.predict(HOUSE)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(ask, range(40))) == [PRICE] * 40
    assert server.connections <= 4


def test_busy_is_tried_again(client, server):
    server.next.extend([(503, {"Retry-After": "0"}), (429, {"Retry-After": "0"})])
    assert client.predict(HOUSE) == PRICE
    assert len(server.predicts) == 3
    assert server.connections == 1


def test_a_dropped_connection_is_tried_again(client, server):
    server.next.append("drop")
    assert client.predict(HOUSE) == PRICE
    assert len(server.predicts) == 2


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(client, server):
    client.predict(HOUSE)
    server.next.append("drop")
    client.predict(HOUSE)
    assert client.predict(HOUSE) == PRICE


def test_busy_to_the_end_is_unavailable_with_the_request_id(client, server):
    server.next.extend([(503, {"Retry-After": "0", "X-Request-Id": f"req-{n}"}) for n in range(4)])
    with pytest.raises(Unavailable, match="after 4 attempts") as caught:
        client.predict(HOUSE)
    assert caught.value.request_id == "req-3"
    assert len(server.predicts) == 4


def test_a_fault_is_not_tried_again(client, server):
    server.next.append((500, {"Retry-After": "0"}))
    with pytest.raises(ServerFault, match="told to answer 500") as caught:
        client.predict(HOUSE)
    assert caught.value.request_id == "req-1"
    assert len(server.predicts) == 1


def test_a_refusal_names_the_row(client):
    with pytest.raises(InvalidRequest, match=r"instances\[1001\].RM is 500") as caught:
        client.predict([HOUSE] * 1001 + [{**HOUSE, "RM": 500}])
    assert caught.value.row == 1001


def test_an_unknown_version_is_not_found(server):
    with Client(server.url, version=9) as client, pytest.raises(NotFound, match="404 from"):
        client.predict(HOUSE)


def test_an_answer_that_does_not_come_ends_at_the_timeout(server):
    server.next.append("hang")
    client = Client(server.url, timeout_s=0.2)
    with client, pytest.raises(Unavailable, match=r"no answer within 0.2 s") as caught:
        client.predict(HOUSE)
    assert caught.value.status is None
    assert server.url in str(caught.value)


def test_a_silent_server_is_left_after_the_read_timeout_and_asked_again(server):
    server.next.append("hang")
    with HttpTransport(read_timeout_s=0.1) as transport:
        assert Client(server.url, transport=transport).predict(HOUSE) == PRICE
    assert len(server.predicts) == 2


def test_a_connection_that_does_not_open_ends_at_the_connect_timeout():
    """A listener whose queue is full lets a connection wait."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)  # noqa: FBT003  the library's own form
            one.connect_ex(("127.0.0.1", port))
        with HttpTransport(connect_timeout_s=0.2) as transport:
            client = Client(f"http://127.0.0.1:{port}", transport=transport, retries=0)
            with pytest.raises(Unavailable, match=r"no connection within 0.2 s"):
                client.predict(HOUSE)
        for one in waiting:
            one.close()


def test_nobody_there_is_unavailable():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with Client(url, retries=1) as client:
        with pytest.raises(Unavailable, match=r"connection refused \(http.* after 2 attempts"):
            client.predict(HOUSE)
        assert not client.ready()


def test_an_unknown_host_is_unavailable():
    client = Client("http://no-such-host.invalid", retries=0)
    with client, pytest.raises(Unavailable, match=re.escape("no-such-host.invalid")):
        client.predict(HOUSE)


def test_an_answer_that_stops_in_the_middle_ends_at_the_timeout(raw_server):
    url = raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    client = Client(url, timeout_s=0.2, retries=0)
    with client, pytest.raises(Unavailable, match=r"no answer within 0.2 s"):
        client.predict(HOUSE)


def test_an_answer_that_dribbles_in_ends_at_the_timeout():
    """No single wait is long, but all of them together are."""
    enough = threading.Event()

    def serve():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not enough.wait(0.01):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        client = Client(url, timeout_s=0.2, retries=0)
        with client, pytest.raises(Unavailable, match="still coming in at the deadline"):
            client.predict(HOUSE)
        enough.set()
        thread.join()


def test_an_answer_in_pieces_is_put_together(raw_server):
    body = b'11\r\n{"predictions": [\r\n4\r\n1.5]\r\n1\r\n}\r\n0\r\n\r\n'
    url = raw_server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    with Client(url, retries=0) as client:
        assert client.predict(HOUSE) == 1.5


def test_an_answer_cut_short_is_a_broken_connection():
    """The server promises more than it sends before it hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"predictions"')

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with Client(url, retries=0) as client, pytest.raises(Unavailable, match="broke"):
            client.predict(HOUSE)
        thread.join()


def test_what_speaks_no_http_is_unavailable(raw_server):
    client = Client(raw_server(b"SSH-2.0-OpenSSH\r\n"), retries=0)
    with client, pytest.raises(Unavailable, match="broke"):
        client.predict(HOUSE)


def test_tls_to_a_plain_server_is_a_wrong_address(server):
    client = Client(server.url.replace("http:", "https:"))
    with client, pytest.raises(InvalidRequest, match="cannot be spoken to"):
        client.predict(HOUSE)


def test_a_given_pool_is_used_with_its_headers_and_left_open(server):
    pool = urllib3.PoolManager(headers={"Authorization": "Bearer abc"})
    with Client(server.url, transport=HttpTransport(pool=pool)) as client:
        assert client.predict(HOUSE) == PRICE
    assert len(pool.pools) == 1
    pool.clear()


def test_a_pools_headers_are_sent():
    listener = socket.create_server(("127.0.0.1", 0))
    seen = []

    def serve():
        connection, _ = listener.accept()
        with connection:
            seen.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    thread = threading.Thread(target=serve)
    thread.start()
    pool = urllib3.PoolManager(headers={"Authorization": "Bearer abc"})
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    with listener:
        HttpTransport(pool=pool).send(Request("GET", url))
        thread.join()
    assert b"\r\nAuthorization: Bearer abc\r\n" in seen[0]
    assert b"\r\nUser-Agent: hearth-client\r\n" in seen[0]
    pool.clear()


def test_a_server_like_tensorflow_serving_gives_prices_but_no_tables(client, server):
    server.describes = False
    assert client.predict(list(HOUSE.values())) == PRICE
    assert client.ready()
    with pytest.raises(InvalidRequest, match="describes no contract"):
        client.predict(pd.DataFrame([HOUSE]))


def test_wait_returns_when_the_server_comes_up(client, server):
    server.next.extend([(503, {}), (503, {}), "drop"])
    client.wait(30)
    assert [path for _, path in server.requests] == ["/readyz"] * 4
