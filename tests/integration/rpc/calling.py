"""TensorFlow Serving's calls over a channel: requests made, answers and refusals taken apart."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.messages import (
    classification_pb2,
    example_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)
from service.repository.config import parse_config, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.repository.config import ModelConfig

HOUSE = {"RM": 6.142, "AGE": 91.7, "LSTAT": 18.72}
ROW = list(HOUSE.values())
WITHIN_S = 20


@dataclass(frozen=True)
class Client:
    """The stubs of one channel."""

    prediction: Any
    models: Any
    health: Any

    def predict(self, request: Any = None, **spec: Any) -> Any:
        """Ask for a price: of one house unless told otherwise."""
        return self.prediction.Predict(request or price_of(ROW, **spec), timeout=WITHIN_S)

    def price(self, **spec: Any) -> float:
        """The price of the house."""
        (price,) = self.predict(**spec).outputs["price"].float_val
        return price

    def reload(self, *configs: ModelConfig) -> Any:
        """Ask for these models and no others."""
        return self.models.HandleReloadConfigRequest(reload_of(*configs), timeout=60)

    def serving(self, name: str = "") -> str:
        """What the health service says."""
        answer = self.health.Check(health_pb2.HealthCheckRequest(service=name), timeout=WITHIN_S)
        return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


@contextlib.contextmanager
def calling(target: str, credentials: Any = None, **options: Any) -> Iterator[Client]:
    """A channel of its own connection."""
    arguments = [("grpc.use_local_subchannel_pool", 1), *options.items()]
    if credentials is None:
        channel = grpc.insecure_channel(target, arguments)
    else:
        channel = grpc.secure_channel(target, credentials, arguments)
    with channel:
        yield Client(
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
            health_pb2_grpc.HealthStub(channel),
        )


def fill(spec: Any, *, name: str = "housing", version: int | None = None, **rest: str) -> None:
    """Name a model; ``rest`` may be signature_name or version_label."""
    spec.name = name
    if version is not None:
        spec.version.value = version
    for key, value in rest.items():
        setattr(spec, key, value)


def price_of(*rows: list[float], **spec: Any) -> predict_pb2.PredictRequest:
    """A Predict request for rows of features."""
    request = predict_pb2.PredictRequest()
    fill(request.model_spec, **spec)
    features = request.inputs["features"]
    features.dtype = 1
    for size in (len(rows), len(rows[0])):
        features.tensor_shape.dim.add(size=size)
    features.float_val.extend(value for row in rows for value in row)
    return request


def example(**features: float) -> example_pb2.Example:
    """An Example of decimals."""
    made = example_pb2.Example()
    for name, value in features.items():
        made.features.feature[name].float_list.value.append(value)
    return made


def examples(kind: type, *rows: dict[str, float], context: Any = None, **spec: Any) -> Any:
    """A request of a kind that takes examples, with a context or without."""
    request = kind()
    fill(request.model_spec, **spec)
    if context is None:
        target = request.input.example_list
    else:
        target = request.input.example_list_with_context
        target.context.CopyFrom(example(**context))
    target.examples.extend(example(**row) for row in rows)
    return request


def regress(*rows: dict[str, float], **rest: Any) -> regression_pb2.RegressionRequest:
    """A Regress request."""
    return examples(regression_pb2.RegressionRequest, *rows, **rest)


def classify(*rows: dict[str, float], **rest: Any) -> classification_pb2.ClassificationRequest:
    """A Classify request."""
    return examples(classification_pb2.ClassificationRequest, *rows, **rest)


def tasks(*wanted: tuple[str, str], row: dict[str, float]) -> inference_pb2.MultiInferenceRequest:
    """A MultiInference request: pairs of signature and method on one example."""
    request = inference_pb2.MultiInferenceRequest()
    request.input.example_list.examples.append(example(**row))
    for signature, method in wanted:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        fill(task.model_spec, signature_name=signature)
    return request


def status(**spec: Any) -> get_model_status_pb2.GetModelStatusRequest:
    """A GetModelStatus request."""
    request = get_model_status_pb2.GetModelStatusRequest()
    fill(request.model_spec, **spec)
    return request


def metadata(**spec: Any) -> get_model_metadata_pb2.GetModelMetadataRequest:
    """A GetModelMetadata request."""
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    fill(request.model_spec, **spec)
    return request


def reload_of(*configs: ModelConfig) -> model_management_pb2.ReloadConfigRequest:
    """A HandleReloadConfigRequest."""
    from google.protobuf import text_format

    request = model_management_pb2.ReloadConfigRequest()
    assert parse_config(to_text(configs)) == list(configs)
    text_format.Parse(to_text(configs), request.config)
    return request


@contextlib.contextmanager
def refused(code: grpc.StatusCode, *said: str) -> Iterator[None]:
    """The call inside must fail so."""
    with pytest.raises(grpc.RpcError) as error:
        yield
    assert error.value.code() == code, error.value.details()
    for part in said:
        assert part in error.value.details()
