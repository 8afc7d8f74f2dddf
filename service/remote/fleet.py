"""The servers behind: which versions they serve, and one call of theirs."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc

from service import errors
from service.errors import DeadlineExceeded, NotReady, VersionRefused
from service.inference.signature import callable_signatures, read_definitions
from service.messages import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from service.messages import model_service_pb2_grpc as model_service
from service.remote.breaker import Breaker
from service.remote.channel import open_channel
from service.remote.executor import Remote

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from service.errors import HearthError
    from service.remote.channel import Access
    from service.repository.config import ModelConfig

# What a server's code says to our own callers; of one that is not here, we are at fault.
_ERRORS: Final[Mapping[grpc.StatusCode, type[HearthError]]] = {
    grpc.StatusCode.UNAVAILABLE: NotReady,
    grpc.StatusCode.CANCELLED: NotReady,
    grpc.StatusCode.NOT_FOUND: NotReady,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidRequest,
    grpc.StatusCode.FAILED_PRECONDITION: errors.NotPossibleNow,
    grpc.StatusCode.ABORTED: errors.NotPossibleNow,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotSupported,
}
_LOST: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})
_AVAILABLE: Final = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE

# Seconds of a call that nobody set a deadline for: those of a load.
_DEFAULT_S: Final = 30.0
# Of what is left, the share and at the most the seconds that the answer's way back may take.
_WAY_BACK: Final = 0.05
_WAY_BACK_S: Final = 0.05
# A deadline that passes tells of the servers only if they had so many seconds.
_LONG_S: Final = 1.0
# Seconds in which a server has to say which versions it serves.
_LOOK_S: Final = 1.0


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
        breaker: Says when they are left alone.
    """

    def __init__(
        self,
        servers: Sequence[str],
        access: Access,
        observer: FleetObserver,
        breaker: Breaker | None = None,
    ) -> None:
        self._servers = ",".join(servers)
        self._metadata = access.metadata
        self._observer = observer
        self._breaker = Breaker() if breaker is None else breaker
        channel = open_channel(servers, access)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        # Each is asked by itself for its versions; a name's addresses as one.
        self._looked_at = [
            model_service.ModelServiceStub(open_channel([it], access)) for it in servers
        ]

    def __str__(self) -> str:
        return f"the fleet {self._servers}"

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
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = config.name
        calls = [
            it.GetModelStatus.future(request, timeout=_LOOK_S, metadata=self._metadata)
            for it in self._looked_at
        ]
        answers = [_versions(it) for it in calls]
        told = [it for it in answers if isinstance(it, set)]
        if not told:
            raise NotReady(f"{self} cannot be asked for its versions: {answers[0]}")
        self._breaker.succeeded()
        numbers = set.intersection(*told) or set.union(*told)
        return {number: config.base_path / str(number) for number in numbers}

    def open(self, model: str, number: int) -> Remote:
        """The executor of a version.

        Raises:
            VersionRefused: The servers do not say what it takes and gives.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name, request.model_spec.version.value = model, number
        definitions = get_model_metadata_pb2.SignatureDefMap()
        try:
            answer = self._prediction.GetModelMetadata(
                request, timeout=_DEFAULT_S, metadata=self._metadata
            )
        except grpc.RpcError as error:
            raise VersionRefused(f"{self} does not say what it takes: {_told(error)}") from error
        answer.metadata["signature_def"].Unpack(definitions)
        signatures = callable_signatures(read_definitions(definitions.signature_def))
        if not signatures:
            raise VersionRefused(f"{self} tells of no signature that can be called")
        return Remote(self, model, number, signatures)

    def predict(self, request: predict_pb2.PredictRequest, deadline_s: float) -> Any:
        """Begin a call.

        Args:
            request: What is asked.
            deadline_s: When its answer must be there, on the clock of ``time.perf_counter``.

        Returns:
            gRPC's own future.

        Raises:
            NotReady: The servers are left alone for a while.
            DeadlineExceeded: There is no time left.
        """
        model = request.model_spec.name
        began_s = time.perf_counter()
        left_s = deadline_s - began_s if deadline_s < math.inf else _DEFAULT_S
        if left_s <= 0:
            raise DeadlineExceeded(f"no time is left to ask {self}")
        if not self._breaker.allows():
            self._observer.called(model, "HELD_BACK", 0.0)
            raise NotReady(f"{self} cannot be reached; it is asked again in a moment")
        timeout_s = left_s - min(_WAY_BACK * left_s, _WAY_BACK_S)
        call = self._prediction.Predict.future(request, timeout=timeout_s, metadata=self._metadata)
        call.add_done_callback(partial(self._ended, model, began_s, timeout_s))
        return call

    def response(self, call: Any) -> predict_pb2.PredictResponse:
        """The response of a call that has ended.

        Raises:
            HearthError: It failed.
        """
        code = call.code()
        if code is grpc.StatusCode.OK:
            return call.result()
        kind = _ERRORS.get(code, errors.InternalError)
        if kind is DeadlineExceeded:
            raise DeadlineExceeded(f"{self} did not answer in the time that was left")
        if kind is errors.InvalidRequest:
            raise kind(call.details())  # of the request's own making
        if code in _LOST:
            raise kind(f"{self} does not answer ({code.name})")  # the rest tells of addresses
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


def _versions(call: Any) -> set[int] | str:
    """The versions that a server serves, or why it does not say."""
    try:
        statuses = call.result().model_version_status
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return set()
        return _told(error)
    return {it.version for it in statuses if it.state == _AVAILABLE}


def _told(call: Any) -> str:
    return f"{call.code().name}: {call.details()}"
