"""TensorFlow Serving's PredictionService and ModelService."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service.errors import InvalidRequest
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from service.exchange import Exchange
    from service.messages import model_pb2
    from service.repository.control import Control
    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

PROTOCOL: Final = "tensorflow_serving_grpc"
PREDICTION_SERVICE: Final = "tensorflow.serving.PredictionService"
MODEL_SERVICE: Final = "tensorflow.serving.ModelService"

# Bytes of a request up to which decoding and running it cost well under a millisecond.
_QUICK_BYTES: Final = 16 * 1024

# What asks for each response, and what makes its result of a signature's outputs.
_RESULTS: Final[Mapping[Any, Any]] = {
    classification_pb2.ClassificationResponse: ("classify", wire.classification_result),
    regression_pb2.RegressionResponse: ("regress", wire.regression_result),
}


class TensorFlowServing:
    """Answers TensorFlow Serving's calls.

    Args:
        repository: The models.
        control: Changes what is served.
        exposition: The metrics' text, of all workers.
        limit_bytes: The most that one input may take in memory.
        as_content: Answers carry numbers as ``tensor_content`` instead of typed fields.
    """

    def __init__(
        self,
        repository: Repository,
        control: Control,
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

    def services(self) -> tuple[Service, ...]:
        """The services, ready to be carried."""
        quick, slow = self._is_quick, _never
        return (
            Service(
                PREDICTION_SERVICE,
                PROTOCOL,
                {
                    "Predict": Method("predict", predict_pb2.PredictRequest, self.predict, quick),
                    "Classify": Method(
                        "classify", classification_pb2.ClassificationRequest, self.classify, quick
                    ),
                    "Regress": Method(
                        "regress", regression_pb2.RegressionRequest, self.regress, quick
                    ),
                    "MultiInference": Method(
                        "multi_inference",
                        inference_pb2.MultiInferenceRequest,
                        self.multi_inference,
                        slow,
                    ),
                    "GetModelMetadata": Method(
                        "metadata",
                        get_model_metadata_pb2.GetModelMetadataRequest,
                        self.metadata,
                        slow,
                    ),
                },
                wire.encode_error,
            ),
            Service(
                MODEL_SERVICE,
                PROTOCOL,
                {
                    "GetModelStatus": Method(
                        "status", get_model_status_pb2.GetModelStatusRequest, self.status, slow
                    ),
                    "HandleReloadConfigRequest": Method(
                        "reload",
                        model_management_pb2.ReloadConfigRequest,
                        self.reload,
                        slow,
                    ),
                },
                wire.encode_error,
            ),
        )

    def predict(
        self, request: predict_pb2.PredictRequest, exchange: Exchange
    ) -> predict_pb2.PredictResponse:
        """Answer Predict."""
        version = self._find(request, exchange)
        name = wire.signature_name(request.model_spec)
        signature = version.signature(name)
        inputs = wire.to_inputs(request, signature, version.defaults(name), self._limit_bytes)
        wire.check_filter(request.output_filter, signature)
        outputs = version.predict(name, inputs)
        first = next(iter(outputs.values()), None)
        exchange.rows = first.shape[0] if first is not None and first.ndim else 1
        return wire.predict_response(
            version, name, outputs, request.output_filter, as_content=self._as_content
        )

    def classify(
        self, request: classification_pb2.ClassificationRequest, exchange: Exchange
    ) -> classification_pb2.ClassificationResponse:
        """Answer Classify."""
        return self._answer_examples(classification_pb2.ClassificationResponse(), request, exchange)

    def regress(
        self, request: regression_pb2.RegressionRequest, exchange: Exchange
    ) -> regression_pb2.RegressionResponse:
        """Answer Regress."""
        return self._answer_examples(regression_pb2.RegressionResponse(), request, exchange)

    def _answer_examples(self, response: Any, request: Any, exchange: Exchange) -> Any:
        version = self._find(request, exchange)
        examples = from_input(request.input)
        exchange.rows = len(examples)
        return self._fill(response, version, request.model_spec, examples)

    def multi_inference(
        self, request: inference_pb2.MultiInferenceRequest, exchange: Exchange
    ) -> inference_pb2.MultiInferenceResponse:
        """Answer MultiInference: several signatures of one model on the same examples."""
        version = self._find(_checked_tasks(request), exchange)
        examples = from_input(request.input)
        exchange.rows = len(examples)
        response = inference_pb2.MultiInferenceResponse()
        for task in request.tasks:
            result = response.results.add()
            if task.method_name == wire.CLASSIFY_METHOD:
                empty: Any = classification_pb2.ClassificationResponse()
                filled = self._fill(empty, version, task.model_spec, examples)
                result.classification_result.CopyFrom(filled.result)
            else:
                empty = regression_pb2.RegressionResponse()
                filled = self._fill(empty, version, task.model_spec, examples)
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
        self, request: model_management_pb2.ReloadConfigRequest, _exchange: Exchange
    ) -> model_management_pb2.ReloadConfigResponse:
        """Answer HandleReloadConfigRequest once every worker serves what is asked for."""
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

    def _fill(
        self,
        response: Any,
        version: ModelVersion,
        spec: model_pb2.ModelSpec,
        examples: Sequence[bytes],
    ) -> Any:
        """Fill a response with what a signature makes of examples."""
        verb, result = _RESULTS[type(response)]
        name = wire.example_signature(version, spec, verb)
        outputs = version.run_examples(name, examples)
        response.result.CopyFrom(result(outputs, len(examples)))
        wire.fill_spec(response.model_spec, version, name)
        return response

    def _is_quick(self, request: Any) -> bool:
        if request.ByteSize() > _QUICK_BYTES:
            return False
        try:
            spec = wire.read_spec(request.model_spec)
            return find_version(self._repository, *spec).executor.quick
        except Exception:  # noqa: BLE001 - whatever it is, the ordinary way says so
            return True


def _never(_request: Any) -> bool:
    return False


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
