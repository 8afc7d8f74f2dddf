"""One request and its answer, whatever lane carries them, and what is recorded of it."""

from __future__ import annotations

import itertools
import logging
import math
import re
import secrets
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec

from service.errors import Forbidden, HearthError, InternalError
from service.inference.futures import Timed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from service.repository.version import ModelVersion

_Outputs = TypeVar("_Outputs")

# The header, by which a caller says with "no" that its request is no real case.
OBSERVE: Final = "x-observe"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NOTHING: Final[Mapping[str, str]] = {}
_log: Final = logging.getLogger("hearth.exchange")
# Calls, from the innermost out, by which a bug is told.
_CALLS: Final = 6


class Trace(Protocol):
    """A request's part of a trace.

    Attributes:
        id: The trace's id, 32 hexadecimal digits.
        context: The request's own place in it, as W3C's trace context writes it.
    """

    @property
    def id(self) -> str: ...  # noqa: D102 - above

    @property
    def context(self) -> str: ...  # noqa: D102 - above


class Computed(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What a version was given and what it made of it.

    Attributes:
        version: The version.
        signature: Name of the signature that ran.
        inputs: Its arrays.
        outputs: What came out.
        is_small: It is known that the arrays are of a few numbers.
    """

    version: ModelVersion
    signature: str
    inputs: Mapping[str, NDArray[Any]]
    outputs: Mapping[str, NDArray[Any]]
    is_small: bool = False


class Exchange(msgspec.Struct, gc=False):
    """What is known of one request while it is answered, for log, metrics and traces.

    A request for inference goes through four stages: its body is *decoded* into arrays, it may
    have to *wait* for a thread, for others to be joined with and for the event loop, the network
    *runs*, and the outputs are *encoded*.

    Attributes:
        request_id: The caller's own id, or a new one.
        method: The HTTP method, or ``gRPC``.
        path: The path, still percent-encoded; of a call, service and method.
        client: The caller's address.
        started_s: When its last byte had come, on the monotonic clock.
        protocol: Whose wire form it speaks, from a closed set.
        route: What it asks for, from a closed set.
        model: The model that answers; empty until it is found.
        version: Its version.
        rows: Rows predicted.
        outcome: ``ok``, or the class of the error.
        error: The error's message.
        waited_s: Seconds that it waited for a thread before anybody looked at it.
        decoded_s: When its inputs were arrays, on the same clock as ``started_s``.
        deadline_s: When nobody waits for its answer any more, on the same clock; noted where that
            is made elsewhere.
        stages: Seconds of the first three stages, once they are over; the last is what is left.
        trace: Its part of a trace; None if it is not traced.
        caller: Who asks; empty where nobody asks who it is.
        audited: Whether it would change what is served.
        concerns: What it would change.
        computed: What a version computed for it; None for nothing.
        observed: Whether what was asked and answered may be looked at: it is a real case.
    """

    request_id: str
    method: str
    path: str
    client: str
    started_s: float
    protocol: str = "http"
    route: str = "other"
    model: str = ""
    version: str = ""
    rows: int = 0
    outcome: str = "ok"
    error: str = ""
    waited_s: float = 0.0
    decoded_s: float = 0.0
    deadline_s: float = math.inf
    stages: tuple[float, float, float] | None = None
    trace: Trace | None = None
    caller: str = ""
    audited: bool = False
    concerns: str = ""
    computed: Computed | None = None
    observed: bool = True

    def answers(self, version: ModelVersion) -> None:
        """Note which version answers."""
        self.model = version.model
        self.version = version.number_text

    def taken(self) -> None:
        """Note that a thread has begun on it."""
        self.waited_s = time.perf_counter() - self.started_s

    def decoded(self) -> None:
        """Note that its inputs are arrays."""
        self.decoded_s = time.perf_counter()

    def collect(self, outputs: Future[_Outputs]) -> _Outputs:
        """What a network gave elsewhere; notes how long that took."""
        given = outputs.result()
        if isinstance(outputs, Timed):
            self.ran(outputs.began_s, outputs.ended_s)
        return given

    def ran(self, began_s: float, ended_s: float) -> None:
        """Note when its network ran, on the same clock as ``started_s``."""
        if not self.decoded_s:
            return  # a request that is not for inference alone
        if self.stages is not None:  # one of several runs
            decode_s, wait_s, run_s = self.stages
            self.stages = (decode_s, wait_s, run_s + ended_s - began_s)
            return
        decode_s = self.decoded_s - self.started_s - self.waited_s
        wait_s = self.waited_s + began_s - self.decoded_s + time.perf_counter() - ended_s
        self.stages = (decode_s, wait_s, ended_s - began_s)

    def failed(self, error: Exception) -> HearthError:
        """Note what went wrong.

        Args:
            error: Anything raised while answering.

        Returns:
            The error to show. Of one that nobody foresaw only the request id is shown;
            the log has the rest.
        """
        if not isinstance(error, HearthError):
            self.error = place_of(error, 1)
            _log.error("request %s failed: %s", self.request_id, place_of(error, _CALLS))
            error = InternalError(f"internal error, request id {self.request_id}")
        else:
            self.error = error.message
        if isinstance(error, Forbidden):
            self.caller = self.caller or error.caller
        self.outcome = type(error).__name__
        return error

    def left(self) -> None:
        """Note that the caller left before the answer."""
        self.outcome, self.error = "Cancelled", "the caller left before the answer"


def place_of(error: BaseException, calls: int) -> str:
    """What an error is and where it was raised, without its message: that may quote a request.

    Args:
        error: The error.
        calls: Calls to name, from the innermost out.
    """
    frames = traceback.extract_tb(error.__traceback__)[-calls:]
    places = [f"{it.name} ({Path(it.filename).name}:{it.lineno})" for it in reversed(frames)]
    return f"{type(error).__name__} in {' < '.join(places) or 'no code'}"


def is_observed(told: str | None) -> bool:
    """Whether a request is a real case.

    Args:
        told: The value of its header ``OBSERVE``; None where there is none.
    """
    return told is None or told.strip().lower() != "no"


class Sink(Protocol):
    """Who is told of a finished exchange: metrics and the access log."""

    def finished(self, exchange: Exchange, status: int | str, seconds: float) -> None:
        """An exchange has its answer."""


class Tracing(Protocol):
    """Who decides which requests are traced."""

    def begin(self, carrier: Mapping[str, str]) -> Trace | None:
        """The trace of a request with these headers, by lower-case name; None for no trace."""


class Exchanges:
    """Begins and ends exchanges.

    Args:
        sink: Who is told.
        tracing: Who decides which are traced; None for none at all.

    Attributes:
        traces: Whether any may be traced.
        ended: How many have ended, more or less: threads may count at once.
    """

    def __init__(self, sink: Sink, tracing: Tracing | None = None) -> None:
        self.traces = tracing is not None
        self.ended = 0
        self._sink = sink
        self._tracing = tracing
        # Unique over workers and restarts, and cheap.
        self._prefix = secrets.token_hex(6)
        self._numbers = itertools.count(1)

    def begin(
        self,
        method: str,
        path: str,
        client: str,
        request_id: str | None,
        carrier: Mapping[str, str] = _NOTHING,
        *,
        observed: bool = True,
    ) -> Exchange:
        """A request has come in whole; a request id that is not plain text is replaced.

        Args:
            method: See ``Exchange``, here and below.
            path: The path.
            client: The caller's address.
            request_id: The caller's own id, if it sent one.
            carrier: Its headers by lower-case name, where it may be part of a trace.
            observed: Whether it is a real case.
        """
        if request_id is None or not _REQUEST_ID.fullmatch(request_id):
            request_id = f"{self._prefix}-{next(self._numbers):x}"
        exchange = Exchange(request_id, method, path, client, time.perf_counter())
        if not observed:
            exchange.observed = False
        if self._tracing is not None:
            exchange.trace = self._tracing.begin(carrier)
        return exchange

    def end(self, exchange: Exchange, status: int | str) -> None:
        """Its answer is made, with this HTTP status or the name of this gRPC code."""
        self.ended += 1
        self._sink.finished(exchange, status, time.perf_counter() - exchange.started_s)
