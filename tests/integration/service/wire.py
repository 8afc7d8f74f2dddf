"""HTTP by hand: bytes out, bytes in, and traffic that notes what became of each request."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

PREDICT = "/v1/models/housing:predict"
HOUSE = {"instances": [{"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72}]}
BODY = json.dumps(HOUSE).encode()


def head(method: str, path: str, *headers: str) -> bytes:
    """A request's head."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: here", *headers, "", ""]).encode()


def post(body: bytes, *headers: str, path: str = PREDICT) -> bytes:
    """A whole POST."""
    return head("POST", path, f"Content-Length: {len(body)}", *headers) + body


def connect(url: str) -> socket.socket:
    """A connection to a server."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname, address.port), timeout=20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side ends the connection."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


def ask(url: str, *pieces: bytes) -> bytes:
    """Send bytes on a new connection and read until the server ends it."""
    with connect(url) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return read_all(connection)


def read_answer(connection: socket.socket) -> http.client.HTTPResponse:
    """One answer, its body read."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    response.text = response.read().decode()
    return response


@dataclass
class Traffic:
    """Clients that ask one after the other on kept connections until told to stop.

    A client ends when an answer says that its connection ends, as behind a load balancer
    that has seen readiness turn.

    Attributes:
        url: Whom they ask.
        clients: How many.
        answers: Status, version and prediction of every answer.
        failures: What went wrong with requests that got no answer.
    """

    url: str
    clients: int = 2
    answers: list[tuple[int, str | None, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.clients)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join()

    def join(self) -> None:
        """Wait until every client has ended."""
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=20)
        try:
            while not self._stopped.is_set():
                connection.request("POST", PREDICT, BODY)
                response = connection.getresponse()
                prices = json.loads(response.read())["predictions"]
                version = response.getheader("X-Model-Version")
                self.answers.append((response.status, version, prices[0]))
                if response.getheader("Connection") == "close":
                    return
        except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
            self.failures.append(repr(error))
        finally:
            connection.close()
