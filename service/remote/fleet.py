"""The servers behind: which versions they serve, and one call of theirs.

Callers are told of the fleet, the log of its servers' addresses and of what they said.
"""

from __future__ import annotations

import logging
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc

from service import errors
from service.errors import DeadlineExceeded, HearthError, InternalError, NotReady, VersionRefused
from service.remote.breaker import Breaker
from service.remote.channel import open_channel
from service.remote.executor import Remote
from service.remote.open_inference import OpenInference
from service.remote.tensorflow_serving import TensorFlowServing
from service.remote.wire import DEFAULT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from service.inference.executor import Tensors
    from service.remote.channel import Access
    from service.remote.wire import Outputs, Wire
    from service.repository.config import ModelConfig

_log: Final = logging.getLogger("hearth.remote")

# What --remote_protocol may be.
WIRES: Final[Mapping[str, Callable[[grpc.Channel, Sequence[tuple[str, str]]], Wire]]] = {
    "tensorflow_serving": TensorFlowServing,
    "open_inference": OpenInference,
}

# What a server's code says to our own callers; of one that is not here, we are at fault.
_ERRORS: Final[Mapping[grpc.StatusCode, type[HearthError]]] = {
    grpc.StatusCode.UNAVAILABLE: NotReady,
    grpc.StatusCode.CANCELLED: NotReady,
    grpc.StatusCode.NOT_FOUND: NotReady,
    grpc.StatusCode.UNAUTHENTICATED: NotReady,
    grpc.StatusCode.PERMISSION_DENIED: NotReady,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
    grpc.StatusCode.FAILED_PRECONDITION: errors.NotPossibleNow,
    grpc.StatusCode.ABORTED: errors.NotPossibleNow,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotSupported,
}
# Of whoever asks: another front, which is let in, may reach the servers.
_LOST: Final = frozenset(
    {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.UNAUTHENTICATED}
)

# Of what is left, the share and at the most the seconds that the answer's way back may take.
_WAY_BACK: Final = 0.05
_WAY_BACK_S: Final = 0.05
# A deadline that passes tells of the servers only if they had so many seconds.
_LONG_S: Final = 1.0


class FleetObserver(Protocol):
    """Who is told of calls: the metrics."""

    def called(self, model: str, code: str, seconds: float) -> None:
        """A call has ended with this gRPC code, or was held back: ``HELD_BACK``."""


class Fleet:
    """Servers that serve the same models.

    Args:
        servers: Their addresses, or one name for all.
        access: How they are asked.
        observer: Who is told of calls.
        protocol: What they speak, one of ``WIRES``.
        breaker: Says when they are left alone.
    """

    def __init__(
        self,
        servers: Sequence[str],
        access: Access,
        observer: FleetObserver,
        protocol: str = "tensorflow_serving",
        breaker: Breaker | None = None,
    ) -> None:
        def wire(*addresses: str) -> Wire:
            return WIRES[protocol](open_channel(addresses, access), access.metadata)

        self._observer = observer
        self._breaker = Breaker() if breaker is None else breaker
        self._wire = wire(*servers)
        # Each is asked by itself for its versions; a name's addresses as one.
        self._servers = [_Server(it, wire(it)) for it in servers]
        self._said = _Said(",".join(servers))

    def __str__(self) -> str:
        return "the fleet"

    @property
    def is_cut_off(self) -> bool:
        """Whether calls are held back, since the servers cannot be reached."""
        return self._breaker.is_open

    def problem(self) -> str:
        """Why nothing can be computed; empty if it can."""
        return f"{self} cannot be reached" if self.is_cut_off else ""

    def find(self, config: ModelConfig) -> dict[int, Path]:
        """The versions of a model that the servers serve, and where what describes each may lie.

        Those that all servers have that answer; where they have none in common, those of any.

        Raises:
            NotReady: No server answers.
        """
        asked = [it.versions(config.name) for it in self._servers]
        answers = [it() for it in asked]
        told = [it for it in answers if isinstance(it, set)]
        if not told:
            raise NotReady(f"{self} cannot be asked for its versions: {answers[0]}")
        self._breaker.succeeded()
        self._said.note("")
        numbers = set.intersection(*told) or set.union(*told)
        return {number: config.base_path / str(number) for number in numbers}

    def open(self, model: str, number: int) -> Remote:
        """The executor of a version.

        Raises:
            VersionRefused: The servers do not say what it takes and gives.
        """
        try:
            signatures = self._wire.signatures(model, number)
            most_rows = self._wire.most_rows(model, number)
        except grpc.RpcError as error:
            self._said.note(_told(error))
            raise VersionRefused(f"{self} does not say what it takes: {_reason(error)}") from error
        if not signatures:
            raise VersionRefused(f"{self} tells of no signature that can be called")
        return Remote(self, model, number, signatures, most_rows)

    def predict(
        self, model: str, number: int, signature: str, inputs: Tensors, deadline_s: float
    ) -> Any:
        """Begin a call.

        Args:
            model: The model's name.
            number: The version's number.
            signature: One of its signatures.
            inputs: An array for every input.
            deadline_s: When its answer must be there, on the clock of ``time.perf_counter``.

        Returns:
            gRPC's own future.

        Raises:
            NotReady: The servers are left alone for a while.
            DeadlineExceeded: There is no time left.
        """
        began_s = time.perf_counter()
        left_s = deadline_s - began_s if deadline_s < math.inf else DEFAULT_S
        if left_s <= 0:
            raise DeadlineExceeded(f"no time is left to ask {self}")
        if not self._breaker.allows():
            self._observer.called(model, "HELD_BACK", 0.0)
            raise NotReady(f"{self} cannot be reached; it is asked again in a moment")
        timeout_s = left_s - min(_WAY_BACK * left_s, _WAY_BACK_S)
        call = self._wire.predict(model, number, signature, inputs, timeout_s)
        call.add_done_callback(partial(self._ended, model, began_s, timeout_s))
        return call

    def outputs(self, call: Any, wanted: Collection[str]) -> Outputs:
        """The outputs of a call that has ended.

        Raises:
            HearthError: It failed, or they are not all there.
        """
        response = self._response(call)
        try:
            outputs = self._wire.outputs(response, wanted)
        except HearthError as error:
            raise InternalError(f"{self} answered what makes no sense") from error
        missing = set(wanted) - outputs.keys()
        if missing:
            raise InternalError(f"{self} left out the outputs {sorted(missing)}")
        return outputs

    def _response(self, call: Any) -> Any:
        code = call.code()
        if code is grpc.StatusCode.OK:
            return call.result()
        kind = _ERRORS.get(code, InternalError)
        if kind is DeadlineExceeded:
            raise DeadlineExceeded(f"{self} did not answer in the time that was left")
        if kind is errors.InvalidRequest:
            raise kind(call.details())  # of the request's own making
        if kind in {NotReady, InternalError}:
            self._said.note(_told(call))
            raise kind(f"{self} does not answer ({code.name})")
        raise kind(f"{self} answered {_told(call)}")

    def _ended(self, model: str, began_s: float, timeout_s: float, call: Any) -> None:
        code = call.code()
        if call.cancelled() or (code is grpc.StatusCode.DEADLINE_EXCEEDED and timeout_s < _LONG_S):
            pass  # says nothing of the servers
        elif code in _LOST or code is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        self._observer.called(model, code.name, time.perf_counter() - began_s)


class _Said:
    """What servers said last that went wrong: for the log, once until it is another.

    Args:
        address: The servers'.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._problem = ""

    def note(self, problem: str) -> None:
        """Log a problem, if it is a new one; an empty one is that there is none."""
        if problem == self._problem:
            return
        self._problem = problem
        if problem:
            _log.warning("the fleet %s: %s", self._address, problem)
        else:
            _log.info("the fleet %s answers again", self._address)


class _Server:
    """One server, asked by itself.

    Args:
        address: Its address, or one name for several.
        wire: Asks it.
    """

    def __init__(self, address: str, wire: Wire) -> None:
        self._wire = wire
        self._said = _Said(address)

    def versions(self, model: str) -> Callable[[], set[int] | str]:
        """Ask for the versions of a model that it serves; waits for them, or for why not."""
        asked = self._wire.versions(model)
        return lambda: self._versions(asked)

    def _versions(self, asked: Callable[[], set[int]]) -> set[int] | str:
        try:
            versions = asked()
        except NotReady as error:
            return error.message
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return set()
            self._said.note(_told(error))
            return _reason(error)
        self._said.note("")
        return versions


def _reason(call: Any) -> str:
    """Why a call failed, for callers: details tell of addresses and keys."""
    return str(call.code().name)


def _told(call: Any) -> str:
    return f"{call.code().name}: {call.details()}"
