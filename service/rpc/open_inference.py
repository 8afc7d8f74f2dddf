"""Open Inference Protocol's GRPCInferenceService."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service.errors import NotFound
from service.protocols import open_inference
from service.protocols import open_inference_grpc as wire
from service.protocols import open_inference_pb2 as messages
from service.rpc.calls import Method, Service

if TYPE_CHECKING:
    from service.exchange import Exchange
    from service.protocols.open_inference_dataplane import Dataplane, Inference

PROTOCOL: Final = "open_inference_grpc"
SERVICE: Final = "inference.GRPCInferenceService"


class OpenInference:
    """Answers the calls.

    Args:
        dataplane: Answers over the models.
    """

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane

    def service(self) -> Service:
        """The service, ready to be carried."""
        infer = Method("infer", messages.ModelInferRequest, prepare=self.prepare_infer)
        methods = {
            "ServerLive": Method("live", messages.ServerLiveRequest, self.live),
            "ServerReady": Method("ready", messages.ServerReadyRequest, self.ready),
            "ModelReady": Method("model_ready", messages.ModelReadyRequest, self.model_ready),
            "ServerMetadata": Method("server", messages.ServerMetadataRequest, self.server),
            "ModelMetadata": Method("metadata", messages.ModelMetadataRequest, self.metadata),
            "ModelInfer": infer,
            "ModelConfig": Method("config", messages.ModelConfigRequest, self.config),
            "ModelStatistics": Method(
                "statistics", messages.ModelStatisticsRequest, self.statistics
            ),
            "RepositoryIndex": Method("index", messages.RepositoryIndexRequest, self.index),
            "RepositoryModelLoad": Method("load", messages.RepositoryModelLoadRequest, self.load),
            "RepositoryModelUnload": Method(
                "unload", messages.RepositoryModelUnloadRequest, self.unload
            ),
        }
        return Service(SERVICE, PROTOCOL, methods, wire.encode_error)

    def prepare_infer(
        self, request: messages.ModelInferRequest, exchange: Exchange
    ) -> Inference[messages.ModelInferResponse]:
        """Read and check ModelInfer."""
        return self._dataplane.prepare(
            wire.parse_infer(request),
            exchange,
            lambda version, outputs: wire.encode_infer(version, outputs, request),
        )

    def live(
        self, _request: messages.ServerLiveRequest, _exchange: Exchange
    ) -> messages.ServerLiveResponse:
        """Answer ServerLive."""
        return messages.ServerLiveResponse(live=True)

    def ready(
        self, _request: messages.ServerReadyRequest, _exchange: Exchange
    ) -> messages.ServerReadyResponse:
        """Answer ServerReady."""
        return messages.ServerReadyResponse(ready=not self._dataplane.server_problem())

    def model_ready(
        self, request: messages.ModelReadyRequest, _exchange: Exchange
    ) -> messages.ModelReadyResponse:
        """Answer ModelReady: no for a model that is not there, as Triton does."""
        try:
            problem = self._dataplane.model_problem(request.name, request.version)
        except NotFound as error:
            problem = error.message
        return messages.ModelReadyResponse(ready=not problem)

    def server(self, _request: messages.ServerMetadataRequest, _exchange: Exchange) -> Any:
        """Answer ServerMetadata."""
        document = open_inference.server_metadata()
        return wire.to_message(document, messages.ServerMetadataResponse)

    def metadata(self, request: messages.ModelMetadataRequest, exchange: Exchange) -> Any:
        """Answer ModelMetadata."""
        document = self._dataplane.metadata(request.name, request.version, exchange)
        return wire.to_message(document, messages.ModelMetadataResponse)

    def config(self, request: messages.ModelConfigRequest, exchange: Exchange) -> Any:
        """Answer ModelConfig."""
        document = self._dataplane.config(request.name, request.version, exchange)
        return wire.to_message({"config": document}, messages.ModelConfigResponse)

    def statistics(self, request: messages.ModelStatisticsRequest, exchange: Exchange) -> Any:
        """Answer ModelStatistics."""
        document = self._dataplane.statistics(request.name, request.version, exchange)
        return wire.to_message(document, messages.ModelStatisticsResponse)

    def index(self, request: messages.RepositoryIndexRequest, _exchange: Exchange) -> Any:
        """Answer RepositoryIndex."""
        document = {"models": self._dataplane.index(ready=request.ready)}
        return wire.to_message(document, messages.RepositoryIndexResponse)

    def load(
        self, request: messages.RepositoryModelLoadRequest, exchange: Exchange
    ) -> messages.RepositoryModelLoadResponse:
        """Answer RepositoryModelLoad."""
        self._dataplane.load(request.model_name)
        exchange.model = request.model_name
        return messages.RepositoryModelLoadResponse()

    def unload(
        self, request: messages.RepositoryModelUnloadRequest, exchange: Exchange
    ) -> messages.RepositoryModelUnloadResponse:
        """Answer RepositoryModelUnload."""
        self._dataplane.unload(request.model_name)
        exchange.model = request.model_name
        return messages.RepositoryModelUnloadResponse()
