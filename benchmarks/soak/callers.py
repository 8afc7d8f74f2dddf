"""Callers that ask in every form, one request after the other, and check every answer."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import grpc

from benchmarks import forms
from benchmarks.forms import Reply, WrongAnswer, framed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.forms import Form, Request, Rows
    from benchmarks.servers import Ports
    from service.contract import Golden

FORMS: Final[tuple[Form, ...]] = (
    forms.tensorflow_serving(),
    forms.open_inference(),
    forms.open_inference_binary(),
    forms.grpc_predict(),
    forms.grpc_infer(),
)
_LIMIT_S: Final = 30.0
_SIZES: Final = (1, 1, 1, 20)  # rows of the requests, in turn
# One request in so many is one that must be refused.
_BAD_EVERY: Final = 50
_BAD: Final = b'{"instances": [["none"]]}'
_BAD_REQUEST: Final = 400
_TOLD: Final = 10


@dataclass
class Counts:
    """What became of requests; written by many threads, each under the lock.

    Attributes:
        right: Answered with the right prices.
        refused: Bad ones that were refused as such.
        wrong: What was said instead of an answer that was due, the first few.
        unanswered: What happened to requests that got no answer, the first few.
        lost: How many were answered wrongly or not at all.
        latencies_ms: Latency of the right ones since they were last taken.
    """

    right: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    lost: int = 0
    latencies_ms: array[float] = field(default_factory=lambda: array("d"))
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def total(self) -> int:
        """All requests that came to an end."""
        return self.right + self.refused + self.lost

    def taken_ms(self) -> array[float]:
        """The latencies since the last call."""
        with self.lock:
            taken, self.latencies_ms = self.latencies_ms, array("d")
        return taken


class Callers:
    """Threads that ask until told to stop; entered and left as a context.

    Args:
        ports: Where the server listens.
        golden: Rows and their prices.
        number: Threads; each asks in all forms.
        counts: Where they count.
        most: Requests in all, after which they stop by themselves.
    """

    def __init__(
        self, ports: Ports, golden: Golden, number: int, counts: Counts, most: int
    ) -> None:
        self._ports = ports
        self._golden = golden
        self._counts = counts
        self._most = most
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(it,)) for it in range(number)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def are_done(self) -> bool:
        """Whether all requests were made."""
        return self._counts.total >= self._most

    def _call(self, first: int) -> None:
        asked = self._written()
        rest = http.client.HTTPConnection(f"127.0.0.1:{self._ports.http}", timeout=_LIMIT_S)
        with grpc.insecure_channel(f"127.0.0.1:{self._ports.grpc}") as channel:
            try:
                for turn in itertools.count(first):
                    if self._stopped.is_set() or self.are_done:
                        return
                    if turn % _BAD_EVERY == 0:
                        self._ask_badly(rest)
                        continue
                    self._ask(rest, channel, *asked[turn % len(asked)])
            finally:
                rest.close()

    def _written(self) -> list[tuple[Form, Request, Sequence[float]]]:
        """Every form with every size, each once."""
        written: list[tuple[Form, Request, Sequence[float]]] = []
        for form, size in itertools.product(FORMS, _SIZES):
            rows: Rows = self._golden.rows[:size]
            written.append((form, form.write(rows), self._golden.predictions[:size]))
        return written

    def _ask(
        self,
        rest: http.client.HTTPConnection,
        channel: grpc.Channel,
        form: Form,
        request: Request,
        expected: Sequence[float],
    ) -> None:
        started_s = time.perf_counter()
        try:
            reply = _send(rest, channel, request)
            seconds = time.perf_counter() - started_s
            form.check(reply, expected)
        except WrongAnswer as error:
            self._lose(self._counts.wrong, str(error))
        except (OSError, http.client.HTTPException, grpc.RpcError) as error:
            rest.close()
            self._lose(self._counts.unanswered, f"{form.name}: {error!r}")
        else:
            with self._counts.lock:
                self._counts.right += 1
                self._counts.latencies_ms.append(seconds * 1000)

    def _ask_badly(self, rest: http.client.HTTPConnection) -> None:
        try:
            status, _, _ = _post(rest, "/v1/models/housing:predict", _BAD, {})
        except (OSError, http.client.HTTPException) as error:
            rest.close()
            self._lose(self._counts.unanswered, f"a bad request: {error!r}")
            return
        if status != _BAD_REQUEST:
            self._lose(self._counts.wrong, f"{status} for a bad request")
            return
        with self._counts.lock:
            self._counts.refused += 1

    def _lose(self, told: list[str], what: str) -> None:
        with self._counts.lock:
            self._counts.lost += 1
            if len(told) < _TOLD:
                told.append(" ".join(what.split()))


def _send(rest: http.client.HTTPConnection, channel: grpc.Channel, request: Request) -> Reply:
    if request.grpc:
        call: Callable[..., bytes] = channel.unary_unary(request.path)
        return Reply(framed(call(request.body[5:], timeout=_LIMIT_S)))
    status, body, headers = _post(rest, request.path, request.body, request.headers)
    if status != http.client.OK:
        raise WrongAnswer(f"{request.path} answered {status}: {body[:300]!r}")
    return Reply(body, headers)


def _post(
    rest: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, bytes, dict[str, str]]:
    rest.request("POST", path, body, dict(headers))
    response = rest.getresponse()
    content = response.read()
    return response.status, content, {name.lower(): it for name, it in response.getheaders()}
