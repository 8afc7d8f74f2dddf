"""TensorFlow Serving's PredictionService and ModelService."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from service.errors import Forbidden, InvalidRequest
from service.messages import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
from service.protocols import tensorflow_serving_grpc as wire
from service.protocols.examples import from_input
from service.protocols.metric_increase import increases, read_totals
from service.protocols.tensorflow_serving import find_statuses, find_version
from service.repository.config import from_message
from service.rpc.calls import Method, Service
from service.rpc.templates import Templates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from service.exchange import Exchange
    from service.inference.executor import Tensors
    from service.messages import model_pb2
    from service.repository.control import Control
    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

    Outputs: TypeAlias = dict[str, NDArray[Any]]

PROTOCOL: Final = "tensorflow_serving_grpc"
PREDICTION_SERVICE: Final = "tensorflow.serving.PredictionService"
MODEL_SERVICE: Final = "tensorflow.serving.ModelService"

# What asks for each response, and what fills its result with a signature's outputs.
_RESULTS: Final[Mapping[Any, Any]] = {
    classification_pb2.ClassificationResponse: ("classify", wire.fill_classification),
    regression_pb2.RegressionResponse: ("regress", wire.fill_regression),
}


class TensorFlowServing:
    """Answers TensorFlow Serving's calls.

    Args:
        repository: The models.
        control: Changes what is served; None where callers may not.
        exposition: The metrics' text, of all workers.
        limit_bytes: The most that one input may take in memory.
        as_content: Answers carry numbers as ``tensor_content`` instead of typed fields.
    """

    def __init__(
        self,
        repository: Repository,
        control: Control | None,
        exposition: Callable[[], bytes],
        limit_bytes: int,
        *,
        as_content: bool,
    ) -> None:
        self._repository = repository
        self._control = control
        self._exposition = exposition
        self._limit_bytes = limit_bytes
        self._as_content = as_content
        self._templates = Templates(as_content=as_content)

    def services(self) -> tuple[Service, ...]:
        """The services, ready to be carried."""
        return (
            Service(
                PREDICTION_SERVICE,
                PROTOCOL,
                {
                    "Predict": Method(
                        "predict",
                        predict_pb2.PredictRequest,
                        prepare=self.prepare_predict,
                        shortcut=self.predict_like_before,
                        learn=self.learn,
                    ),
                    "Classify": Method(
                        "classify",
                        classification_pb2.ClassificationRequest,
                        prepare=self.prepare_classify,
                    ),
                    "Regress": Method(
                        "regress", regression_pb2.RegressionRequest, prepare=self.prepare_regress
                    ),
                    "MultiInference": Method(
                        "multi_inference",
                        inference_pb2.MultiInferenceRequest,
                        self.multi_inference,
                    ),
                    "GetModelMetadata": Method(
                        "metadata",
                        get_model_metadata_pb2.GetModelMetadataRequest,
                        self.metadata,
                    ),
                },
                wire.encode_error,
            ),
            Service(
                MODEL_SERVICE,
                PROTOCOL,
                {
                    "GetModelStatus": Method(
                        "status", get_model_status_pb2.GetModelStatusRequest, self.status
                    ),
                    "HandleReloadConfigRequest": Method(
                        "reload", model_management_pb2.ReloadConfigRequest, self.reload
                    ),
                },
                wire.encode_error,
            ),
        )

    def prepare_predict(
        self, request: predict_pb2.PredictRequest, exchange: Exchange
    ) -> _Prediction:
        """Read and check Predict."""
        version = self._find(request, exchange)
        name = wire.signature_name(request.model_spec)
        signature = version.signature(name)
        inputs = wire.to_inputs(request, signature, version.defaults(name), self._limit_bytes)
        wanted = request.output_filter
        if wanted:
            wire.check_filter(wanted, signature)
        exchange.rows = _rows(inputs)
        exchange.decoded()
        return _Prediction(version, name, inputs, wanted, exchange, self._as_content)

    def predict_like_before(self, message: bytes, exchange: Exchange) -> bytes | None:
        """The answer to a Predict message like one before; see ``Method.shortcut``."""
        template = self._templates.find(message)
        if template is None:
            return None
        try:
            version = find_version(self._repository, *template.asked)
            direct = version.direct.get(template.signature)
            if direct is None or direct.input != template.input:
                return None
            batch = template.batch(message)
            decoded_s = time.perf_counter()
            outputs = direct.run(batch)
            ran_s = time.perf_counter()
            response = None if outputs is None else template.answer(version, outputs)
        except Exception:  # noqa: BLE001 - the ordinary way says what is wrong
            return None
        if response is not None and outputs is not None:
            direct.note(exchange, version, batch, outputs)
            exchange.stages = (decoded_s - exchange.started_s, 0.0, ran_s - decoded_s)
        return response

    def learn(self, message: bytes, prediction: _Prediction) -> None:
        """Remember the form of a Predict message; see ``Method.learn``."""
        if prediction.signature in prediction.version.direct:
            self._templates.learn(message, prediction.inputs)

    def prepare_classify(
        self, request: classification_pb2.ClassificationRequest, exchange: Exchange
    ) -> _OnExamples:
        """Read and check Classify."""
        return self._prepare_examples(classification_pb2.ClassificationResponse, request, exchange)

    def prepare_regress(
        self, request: regression_pb2.RegressionRequest, exchange: Exchange
    ) -> _OnExamples:
        """Read and check Regress."""
        return self._prepare_examples(regression_pb2.RegressionResponse, request, exchange)

    def _prepare_examples(self, kind: Any, request: Any, exchange: Exchange) -> _OnExamples:
        version = self._find(request, exchange)
        examples = from_input(request.input)
        exchange.rows = len(examples)
        exchange.decoded()
        return _on_examples(kind, version, request.model_spec, examples, exchange)

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, exchange: Exchange
    ) -> inference_pb2.MultiInferenceResponse:
        """Answer MultiInference: several signatures of one model on the same examples."""
        version = self._find(_checked_tasks(request), exchange)
        examples = from_input(request.input)
        exchange.rows = len(examples)
        exchange.decoded()
        response = inference_pb2.MultiInferenceResponse()
        for task in request.tasks:
            result = response.results.add()
            if task.method_name == wire.CLASSIFY_METHOD:
                kind: Any = classification_pb2.ClassificationResponse
                filled = _on_examples(kind, version, task.model_spec, examples, exchange).run()
                result.classification_result.CopyFrom(filled.result)
            else:
                kind = regression_pb2.RegressionResponse
                filled = _on_examples(kind, version, task.model_spec, examples, exchange).run()
                result.regression_result.CopyFrom(filled.result)
            result.model_spec.CopyFrom(filled.model_spec)
        return response

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, exchange: Exchange
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Answer GetModelMetadata."""
        if not request.HasField("model_spec"):
            raise InvalidRequest("Missing ModelSpec")
        wire.check_metadata_fields(request.metadata_field)
        return wire.metadata_response(self._find(request, exchange))

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest, exchange: Exchange
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Answer GetModelStatus; TensorFlow Serving pays no heed to a label here."""
        if not request.HasField("model_spec"):
            raise InvalidRequest("Missing ModelSpec")
        model, version, _ = wire.read_spec(request.model_spec)
        statuses = find_statuses(self._repository, model, version)
        exchange.model = model
        return wire.status_response(statuses)

    def reload(
        self, request: model_management_pb2.ReloadConfigRequest, exchange: Exchange
    ) -> model_management_pb2.ReloadConfigResponse:
        """Answer HandleReloadConfigRequest once every worker serves what is asked for."""
        if self._control is None:
            raise Forbidden("models cannot be reloaded by request: that is switched off here")
        exchange.concerns = ", ".join(it.name for it in request.config.model_config_list.config)
        if request.config.WhichOneof("config") is None:
            raise InvalidRequest(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        before = self._totals(request)
        self._control.reload(from_message(request.config))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        for name, grown in increases(request.metric_names, before, self._totals(request)).items():
            response.metric.add(name=name, int64_value_increase=grown)
        return response

    def _totals(self, request: model_management_pb2.ReloadConfigRequest) -> dict[str, float]:
        """What the metrics say now, if the request asks for any."""
        return read_totals(self._exposition()) if request.metric_names else {}

    def _find(self, request: Any, exchange: Exchange) -> ModelVersion:
        if not request.HasField("model_spec"):
            raise InvalidRequest("Missing ModelSpec")
        version = find_version(self._repository, *wire.read_spec(request.model_spec))
        exchange.answers(version)
        return version


@dataclass(slots=True)
class _Prediction:
    """A Predict request.

    Attributes:
        version: What is to answer it.
        signature: Name of the signature.
        inputs: Its arrays.
        wanted: Names of the outputs to send; all if empty.
        exchange: Where the rows are noted.
        as_content: Numbers go into ``tensor_content``.
    """

    version: ModelVersion
    signature: str
    inputs: Tensors
    wanted: Sequence[str]
    exchange: Exchange
    as_content: bool

    def run(self) -> predict_pb2.PredictResponse:
        """Have it computed here."""
        return self._answer(self.version.predict(self.signature, self.inputs, self.exchange))

    def submit(self) -> Future[Outputs]:
        """Have it computed elsewhere."""
        return self.version.submit(self.signature, self.inputs, self.exchange)

    def finish(self, outputs: Future[Outputs]) -> predict_pb2.PredictResponse:
        """Answer with what was computed."""
        given = self.exchange.collect(outputs)
        return self._answer(given)

    def _answer(self, outputs: Tensors) -> predict_pb2.PredictResponse:
        self.exchange.rows = _rows(outputs)
        return wire.predict_response(
            self.version, self.signature, outputs, self.wanted, as_content=self.as_content
        )


@dataclass(slots=True)
class _OnExamples:
    """A Classify or Regress request.

    Attributes:
        version: What is to answer it.
        signature: Name of the signature.
        examples: The serialised messages.
        exchange: Who asks.
        kind: Class of the response.
    """

    version: ModelVersion
    signature: str
    examples: Sequence[bytes]
    exchange: Exchange
    kind: Any

    def run(self) -> Any:
        """Have it computed here."""
        return self._answer(self.version.run_examples(self.signature, self.examples, self.exchange))

    def submit(self) -> Future[Outputs]:
        """Have it computed elsewhere."""
        return self.version.submit_examples(self.signature, self.examples, self.exchange)

    def finish(self, outputs: Future[Outputs]) -> Any:
        """Answer with what was computed."""
        given = self.exchange.collect(outputs)
        return self._answer(given)

    def _answer(self, outputs: Tensors) -> Any:
        _, fill = _RESULTS[self.kind]
        response = self.kind()
        fill(response.result, outputs, len(self.examples))
        wire.fill_spec(response.model_spec, self.version, self.signature)
        return response


def _rows(arrays: Tensors) -> int:
    for first in arrays.values():
        return first.shape[0] if first.ndim else 1
    return 1


def _on_examples(
    kind: Any,
    version: ModelVersion,
    spec: model_pb2.ModelSpec,
    examples: Sequence[bytes],
    exchange: Exchange,
) -> _OnExamples:
    """What a request on examples asks of a version."""
    verb, _ = _RESULTS[kind]
    name = wire.example_signature(version, spec, verb)
    return _OnExamples(version, name, examples, exchange, kind)


def _checked_tasks(request: inference_pb2.MultiInferenceRequest) -> Any:
    """The first task, once all are known to be of one model, distinct, and of a known method."""
    if not request.tasks:
        raise InvalidRequest("Inference request must have at least one task")
    models = {task.model_spec.name for task in request.tasks}
    if len(models) > 1:
        raise InvalidRequest(
            "All ModelSpecs in a MultiInferenceRequest must access the same model name."
        )
    seen: set[str] = set()
    for task in request.tasks:
        name = task.model_spec.signature_name
        if name in seen:
            raise InvalidRequest(f"Duplicate evaluation of signature: {name}")
        seen.add(name)
        wire.check_method(task.method_name)
    return request.tasks[0]
