"""Clients that ask again and again, over HTTP or gRPC, and note what became of each request."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import grpc

from tests.integration.service.wire import BODY, PREDICT
from tests.servers import workers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

GRPC_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_FAILURES = (OSError, http.client.HTTPException, grpc.RpcError)


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        began_s: When it was sent, on the monotonic clock.
        took_s: Seconds to its answer.
        status: 200 for a price, another status, or 0 for no answer.
        failure: What went wrong.
    """

    began_s: float
    took_s: float
    status: int
    failure: str = ""


class HttpClient:
    """Asks on one kept connection; makes a new one when an answer says that it ends."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._connection = http.client.HTTPConnection(self._address, timeout=20)

    def ask(self) -> int:
        """The status of one answer."""
        self._connection.request("POST", PREDICT, BODY)
        response = self._connection.getresponse()
        response.read()
        if response.getheader("Connection") == "close":
            self.renew()
        return response.status

    def renew(self) -> None:
        """Begin again with a new connection."""
        self.close()
        self._connection = http.client.HTTPConnection(self._address, timeout=20)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


# As docs/reliability.md advises: a call that reaches a server which has just begun to stop is
# cancelled by gRPC itself, before anything of it is looked at.
RETRIES = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.01s",
                "maxBackoff": "0.1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["CANCELLED", "UNAVAILABLE"],
            },
        }
    ]
}


class GrpcClient:
    """Asks on one channel; while it has no connection, a call waits for one.

    Args:
        address: Host and port.
        message: What it asks.
        retries: Whether the channel tries a call again by itself, as ``RETRIES`` says.
    """

    def __init__(self, address: str, message: bytes, *, retries: bool = False) -> None:
        again = [("grpc.service_config", json.dumps(RETRIES))] if retries else []
        options = [("grpc.use_local_subchannel_pool", 1), *again]
        self._channel = grpc.insecure_channel(address, options)
        self._call = self._channel.unary_unary(GRPC_PREDICT)
        self._message = message

    def ask(self) -> int:
        """200 for a response."""
        self._call(self._message, timeout=20, wait_for_ready=True)
        return 200

    def renew(self) -> None:
        """The channel makes its connections by itself."""

    def close(self) -> None:
        """End the channel."""
        self._channel.close()


@dataclass
class Clients:
    """Clients in threads, from entry to exit or until told.

    Attributes:
        clients: Who ask.
        pause_s: Seconds that each rests between requests.
        asked: What became of every request.
    """

    clients: list[HttpClient | GrpcClient]
    pause_s: float = 0.0
    asked: list[Asked] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._run, args=(it,)) for it in self.clients]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each end the request that it has begun."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for client in self.clients:
            client.close()

    @property
    def failures(self) -> list[str]:
        """What went wrong."""
        return [it.failure for it in self.asked if it.status != 200]

    def _run(self, client: HttpClient | GrpcClient) -> None:
        while not self._stopped.wait(self.pause_s):
            self.asked.append(timed(client))


def timed(client: HttpClient | GrpcClient) -> Asked:
    """One request."""
    began_s = time.monotonic()
    try:
        status, failure = client.ask(), ""
    except _FAILURES as error:
        status, failure = 0, repr(error)
        client.renew()
    took_s = time.monotonic() - began_s
    return Asked(began_s, took_s, status, failure or ("" if status == 200 else str(status)))


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def tell(promise: str, figure: str) -> None:
    """Print a figure of docs/reliability.md, to be seen with ``pytest -s``."""
    print(f"\n{promise}: {figure}")


@contextlib.contextmanager
def stopped(service: Server) -> Iterator[None]:
    """Its processes stand still; they were begun by this test."""
    processes = [service.process.pid, *workers_of(service)]
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)


def mixed(
    service, message: bytes, *, each: int = 3, retries: bool = False, pause_s: float = 0.0
) -> Clients:
    """As many clients of either kind; those of gRPC may try again by themselves."""
    over_http = [HttpClient(service.url) for _ in range(each)]
    over_grpc = [GrpcClient(service.grpc, message, retries=retries) for _ in range(each)]
    return Clients([*over_http, *over_grpc], pause_s)


def longest_gap_s(asked: list[Asked]) -> float:
    """The longest time without an answer."""
    ends = sorted(it.began_s + it.took_s for it in asked if it.status == 200)
    return max(after - before for before, after in itertools.pairwise(ends))
