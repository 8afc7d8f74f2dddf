"""What Open Inference Protocol asks for, answered the same over REST and gRPC."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

import msgspec

from service.errors import Forbidden, InvalidRequest, ModelNotFound, NotReady
from service.protocols import open_inference
from service.protocols.open_inference_statistics import Durations, Statistics
from service.protocols.open_inference_tensors import check_outputs, from_body, select, to_inputs
from service.repository.version import State

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from service.exchange import Exchange
    from service.health import Health
    from service.inference.executor import Tensors
    from service.protocols.open_inference_tensors import Tensor
    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

_Answer = TypeVar("_Answer")
_CONTENT_TYPE: Final = "content_type"
_PANDAS: Final = "pd"
_NS: Final = 1_000_000_000


class ModelControl(Protocol):
    """Who changes what is served; each returns when it is so."""

    def load(self, model: str) -> None:
        """Serve a model."""

    def unload(self, model: str) -> None:
        """Serve a model no longer."""


class InferRequest(msgspec.Struct, frozen=True):
    """A request for inference, whatever carried it.

    Attributes:
        model: The model's name.
        version: The version's text; empty for the newest.
        id: What the caller calls the request.
        tensors: The inputs.
        parameters: Of the request; values are text, numbers or bools.
        output_names: The outputs asked for; all if empty.
        body: Instead of ``tensors``: the bytes of the model's one input.
    """

    model: str
    version: str = ""
    id: str = ""
    tensors: Sequence[Tensor] = ()
    parameters: Mapping[str, Any] = {}
    output_names: Sequence[str] = ()
    body: bytes | None = None


class Dataplane:
    """Answers over the models of one worker.

    Args:
        repository: The models.
        health: Whether requests should be sent here.
        limit_bytes: The most that a request's body may have.
        control: Loads and unloads models; None where callers may not.
    """

    def __init__(
        self,
        repository: Repository,
        health: Health,
        limit_bytes: int,
        control: ModelControl | None = None,
    ) -> None:
        self.limit_bytes = limit_bytes
        self._repository = repository
        self._health = health
        self._control = control
        self._statistics = Statistics()

    def infer(
        self,
        request: InferRequest,
        exchange: Exchange,
        encode: Callable[[ModelVersion, Tensors], _Answer],
    ) -> _Answer:
        """Answer a request for inference, and count it; see ``prepare``."""
        return self.prepare(request, exchange, encode).run()

    def prepare(
        self,
        request: InferRequest,
        exchange: Exchange,
        encode: Callable[[ModelVersion, Tensors], _Answer],
    ) -> Inference[_Answer]:
        """Read and check a request for inference; it is counted when it is answered or fails.

        Args:
            request: The request.
            exchange: Where what is learnt of it is noted.
            encode: From the version and the outputs asked for to the answer.

        Raises:
            HearthError: The request does not fit the model, or there is no such model.
        """
        version = self.find(request.model, request.version)
        exchange.answers(version)
        try:
            name = open_inference.signature_name(request.parameters, version)
            inputs = _inputs(version, name, request)
        except Exception:
            self._statistics.failed(version.model, version.number, _since(exchange))
            raise
        prepared_ns = _since(exchange)
        exchange.decoded()
        names = request.output_names
        return Inference(
            self._statistics, version, name, inputs, names, exchange, encode, prepared_ns
        )

    def answered(
        self, version: ModelVersion, exchange: Exchange, prepared_s: float, computed_s: float
    ) -> None:
        """Count a request for inference that was answered past ``prepare``.

        Args:
            version: The version that answered.
            exchange: The request.
            prepared_s: When its inputs were there, on the exchange's clock.
            computed_s: When its outputs were.
        """
        started_s, now_s = exchange.started_s, time.perf_counter()
        durations = Durations(
            int((now_s - started_s) * _NS),
            int((prepared_s - started_s) * _NS),
            int((computed_s - prepared_s) * _NS),
            int((now_s - computed_s) * _NS),
        )
        self._statistics.answered(version.model, version.number, exchange.rows, durations)

    def find(self, model: str, version: str) -> ModelVersion:
        """The version that answers.

        Raises:
            ModelNotFound: It is not served, and will not be.
            NotReady: It is configured, but not served yet.
        """
        number, label = open_inference.parse_version(version)
        try:
            return self._repository.find(model, number, label)
        except ModelNotFound as error:
            problem = self._not_ready(model, number)
            if problem:
                raise NotReady(f"model {model} is not ready: {problem}") from error
            wanted = (
                f"version {number} of model {model}" if number is not None else f"model {model}"
            )
            raise ModelNotFound(f"{wanted} is not served here") from error

    def is_quick(self, model: str, version: str) -> bool:
        """Whether a version runs in microseconds.

        Raises:
            HearthError: It is not served.
        """
        return self.find(model, version).executor.quick

    def server_problem(self) -> str:
        """Why the server is not ready; empty if it is."""
        return self._health.problem()

    def model_problem(self, model: str, version: str) -> str:
        """Why a version cannot be asked; empty if it can.

        Raises:
            ModelNotFound: It is not there, nor will be.
        """
        try:
            self.find(model, version)
        except NotReady as error:
            return error.message
        return ""

    def metadata(self, model: str, version: str, exchange: Exchange) -> dict[str, Any]:
        """What a version takes and gives."""
        found = self._found(model, version, exchange)
        return open_inference.model_metadata(found, self._served(found.model))

    def config(self, model: str, version: str, exchange: Exchange) -> dict[str, Any]:
        """A version as Triton would have it configured."""
        found = self._found(model, version, exchange)
        return open_inference.model_config(found, self.limit_bytes)

    def statistics(self, model: str, version: str, exchange: Exchange) -> dict[str, Any]:
        """What this worker has counted: of all models, of one, or of one version."""
        served: Mapping[str, Sequence[int]] = self._repository.served()
        if model:
            found = self._found(model, version, exchange)
            served = {model: [found.number] if version else served.get(model, ())}
        return {"model_stats": self._statistics.shown(served)}

    def names(self) -> list[str]:
        """What models there are, ready or not."""
        return self._repository.names()

    def index(self, *, ready: bool) -> list[dict[str, str]]:
        """What models and versions there are; those alone that are ready, if so asked."""
        statuses = {}
        for model in self._repository.names():
            try:
                statuses[model] = self._repository.statuses(model)
            except ModelNotFound:  # it has no version yet, or has just gone
                continue
        return open_inference.repository_index(statuses, self._repository.problems(), ready=ready)

    def load(self, model: str) -> None:
        """Serve a model; returns when it is served.

        Raises:
            Forbidden: Callers may not load models here.
        """
        self._controlled("loaded").load(model)

    def unload(self, model: str) -> None:
        """Serve a model no longer; returns when it is so.

        Raises:
            Forbidden: Callers may not unload models here.
        """
        self._controlled("unloaded").unload(model)

    def _controlled(self, verb: str) -> ModelControl:
        if self._control is None:
            raise Forbidden(f"models cannot be {verb} by request: that is switched off here")
        return self._control

    def _found(self, model: str, version: str, exchange: Exchange) -> ModelVersion:
        found = self.find(model, version)
        exchange.answers(found)
        return found

    def _served(self, model: str) -> Sequence[int]:
        return self._repository.served().get(model, ())

    def _not_ready(self, model: str, number: int | None) -> str:
        """Why a model, or a version, that is known is not served yet; empty if it never will be."""
        if number is None:
            return self._repository.problems().get(model, "")
        try:
            (status,) = self._repository.statuses(model, number)
        except ModelNotFound:
            return ""
        loading = status.state in {State.START, State.LOADING}
        return f"version {number} is {status.state}" if loading else ""


class Inference(msgspec.Struct, Generic[_Answer], frozen=True):
    """A request for inference that is read, checked, and not yet computed.

    Attributes:
        statistics: Where it is counted.
        version: What is to answer it.
        signature: Name of the signature.
        inputs: Its arrays.
        output_names: The outputs asked for; all if empty.
        exchange: Where the rows are noted.
        encode: From the version and the outputs asked for to the answer.
        prepared_ns: Nanoseconds that reading and checking took.
    """

    statistics: Statistics
    version: ModelVersion
    signature: str
    inputs: Tensors
    output_names: Sequence[str]
    exchange: Exchange
    encode: Callable[[ModelVersion, Tensors], _Answer]
    prepared_ns: int

    def run(self) -> _Answer:
        """Have it computed here."""
        try:
            return self._answer(self.version.predict(self.signature, self.inputs, self.exchange))
        except Exception:
            self._failed()
            raise

    def submit(self) -> Future[dict[str, NDArray[Any]]]:
        """Have it computed elsewhere, by a version that joins."""
        try:
            return self.version.submit(self.signature, self.inputs, self.exchange)
        except Exception:
            self._failed()
            raise

    def finish(self, outputs: Future[dict[str, NDArray[Any]]]) -> _Answer:
        """Answer with what was computed elsewhere."""
        try:
            given = self.exchange.collect(outputs)
            return self._answer(given)
        except Exception:
            self._failed()
            raise

    def _answer(self, outputs: Tensors) -> _Answer:
        exchange = self.exchange
        computed_ns = _since(exchange)
        answer = self.encode(self.version, select(self.output_names, outputs))
        exchange.rows = _rows(outputs)
        whole_ns = _since(exchange)
        prepared_ns = self.prepared_ns
        durations = Durations(
            whole_ns, prepared_ns, computed_ns - prepared_ns, whole_ns - computed_ns
        )
        version = self.version
        self.statistics.answered(version.model, version.number, exchange.rows, durations)
        return answer

    def _failed(self) -> None:
        version = self.version
        self.statistics.failed(version.model, version.number, _since(self.exchange))


def _inputs(version: ModelVersion, name: str, request: InferRequest) -> Tensors:
    signature = version.signature(name)
    check_outputs(request.output_names, signature)
    features = version.feature_names(signature)
    tensors = request.tensors
    if request.body is not None:
        if len(signature.inputs) != 1:
            raise InvalidRequest(
                f"a body without JSON needs a model of one input; "
                f"{version.model} takes {', '.join(signature.inputs)}"
            )
        ((only, spec),) = signature.inputs.items()
        tensors = [from_body(only, spec, request.body)]
    by_column = request.parameters.get(_CONTENT_TYPE) == _PANDAS
    return to_inputs(tensors, signature, features, by_column=by_column)


def _rows(outputs: Tensors) -> int:
    first = next(iter(outputs.values()), None)
    return first.shape[0] if first is not None and first.ndim else 1


def _since(exchange: Exchange) -> int:
    """Nanoseconds since a request had come."""
    return int((time.perf_counter() - exchange.started_s) * _NS)
