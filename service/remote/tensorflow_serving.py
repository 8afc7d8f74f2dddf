"""Servers behind that speak TensorFlow Serving's protocol: it itself, or other Hearths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service.inference.signature import callable_signatures, read_definitions
from service.messages import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from service.messages import model_service_pb2_grpc as model_service
from service.protocols import tensor_proto
from service.remote.wire import DEFAULT_S, LOOK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import grpc

    from service.inference.executor import Tensors
    from service.inference.signature import Signature
    from service.remote.wire import Outputs

_AVAILABLE: Final = get_model_status_pb2.ModelVersionStatus.State.AVAILABLE
# Bytes of one output: as much as one message may hold.
_LIMIT_BYTES: Final = 2**31


class TensorFlowServing:
    """Asks by PredictionService and ModelService; see ``Wire``.

    Args:
        channel: Where to.
        metadata: What goes along with each call.
    """

    def __init__(self, channel: grpc.Channel, metadata: Sequence[tuple[str, str]]) -> None:
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self._models = model_service.ModelServiceStub(channel)
        self._metadata = metadata

    def versions(self, model: str) -> Callable[[], set[int]]:
        """See ``Wire``."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = model
        call = self._models.GetModelStatus.future(request, timeout=LOOK_S, metadata=self._metadata)
        return lambda: {
            it.version for it in call.result().model_version_status if it.state == _AVAILABLE
        }

    def signatures(self, model: str, number: int) -> Mapping[str, Signature]:
        """See ``Wire``."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name, request.model_spec.version.value = model, number
        definitions = get_model_metadata_pb2.SignatureDefMap()
        answer = self._prediction.GetModelMetadata(
            request, timeout=DEFAULT_S, metadata=self._metadata
        )
        answer.metadata["signature_def"].Unpack(definitions)
        return callable_signatures(read_definitions(definitions.signature_def))

    @staticmethod
    def most_rows(_model: str, _number: int) -> int:
        """See ``Wire``; nobody says."""
        return 0

    def predict(
        self, model: str, number: int, signature: str, inputs: Tensors, timeout_s: float
    ) -> Any:
        """See ``Wire``."""
        request = predict_pb2.PredictRequest()
        spec = request.model_spec
        spec.name, spec.version.value, spec.signature_name = model, number, signature
        for name, array in inputs.items():
            tensor_proto.fill(request.inputs[name], array, as_content=True)
        return self._prediction.Predict.future(request, timeout=timeout_s, metadata=self._metadata)

    @staticmethod
    def outputs(response: predict_pb2.PredictResponse, wanted: Iterable[str]) -> Outputs:
        """See ``Wire``."""
        sent = response.outputs
        return {
            name: tensor_proto.decode(sent[name], name, _LIMIT_BYTES)
            for name in wanted
            if name in sent
        }
