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
from service.protocols.tensorflow_serving import find_statuses, find_version
from service.repository.config import from_message
from service.repository.inference import Inference
from service.rpc.calls import Method, Service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.exchange import Exchange
    from service.inference.executor import Tensors
    from service.messages import model_pb2
    from service.repository.control import Control
    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

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
        control: Changes what is served.
        limit_bytes: The most that one input may take in memory.
        as_content: Answers carry numbers as ``tensor_content`` instead of typed fields.
    """

    def __init__(
        self, repository: Repository, control: Control, limit_bytes: int, *, as_content: bool
    ) -> None:
        self._repository = repository
        self._control = control
        self._limit_bytes = limit_bytes
        self._as_content = as_content

    def services(self) -> tuple[Service, ...]:
        """The services, ready to be carried."""
        return (
            Service(
                PREDICTION_SERVICE,
                PROTOCOL,
                {
                    "Predict": Method(
                        "predict", predict_pb2.PredictRequest, prepare=self.prepare_predict
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
    ) -> Inference[predict_pb2.PredictResponse]:
        """Read and check Predict."""
        version = self._find(request, exchange)
        name = wire.signature_name(request.model_spec)
        signature = version.signature(name)
        inputs = wire.to_inputs(request, signature, self._limit_bytes)
        wanted = request.output_filter
        if wanted:
            wire.check_filter(wanted, signature)

        def encode(outputs: Tensors) -> predict_pb2.PredictResponse:
            first = next(iter(outputs.values()), None)
            exchange.rows = first.shape[0] if first is not None and first.ndim else 1
            return wire.predict_response(
                version, name, outputs, wanted, as_content=self._as_content
            )

        return Inference(version, name, inputs, encode)

    def prepare_classify(
        self, request: classification_pb2.ClassificationRequest, exchange: Exchange
    ) -> Inference[Any]:
        """Read and check Classify."""
        return self._prepare_examples(classification_pb2.ClassificationResponse, request, exchange)

    def prepare_regress(
        self, request: regression_pb2.RegressionRequest, exchange: Exchange
    ) -> Inference[Any]:
        """Read and check Regress."""
        return self._prepare_examples(regression_pb2.RegressionResponse, request, exchange)

    def _prepare_examples(self, kind: Any, request: Any, exchange: Exchange) -> Inference[Any]:
        version = self._find(request, exchange)
        examples = from_input(request.input)
        exchange.rows = len(examples)
        return _on_examples(kind, version, request.model_spec, examples)

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
            classifies = task.method_name == wire.CLASSIFY_METHOD
            kind: Any = (
                classification_pb2.ClassificationResponse
                if classifies
                else regression_pb2.RegressionResponse
            )
            inference = _on_examples(kind, version, task.model_spec, examples)
            filled = inference.encode(inference.run())
            target = result.classification_result if classifies else result.regression_result
            target.CopyFrom(filled.result)
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
            raise InvalidRequest("ServerConfig must be set")
        self._control.reload(from_message(request.config))
        response = model_management_pb2.ReloadConfigResponse()
        response.status.SetInParent()
        return response

    def _find(self, request: Any, exchange: Exchange) -> ModelVersion:
        if not request.HasField("model_spec"):
            raise InvalidRequest("Missing ModelSpec")
        version = find_version(self._repository, *wire.read_spec(request.model_spec))
        exchange.answers(version)
        return version


def _on_examples(
    kind: Any, version: ModelVersion, spec: model_pb2.ModelSpec, examples: list[bytes]
) -> Inference[Any]:
    """What a Classify or Regress request, or a task, asks of a version."""
    verb, fill = _RESULTS[kind]
    name = wire.example_signature(version, spec, verb)

    def encode(outputs: Tensors) -> Any:
        response = kind()
        fill(response.result, outputs, len(examples))
        wire.fill_spec(response.model_spec, version, name)
        return response

    return Inference(version, name, examples, encode)


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
