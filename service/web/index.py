"""What ``GET /`` tells a program: which protocols, models and documents are here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service import VERSION
from service.web.page import views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.repository.repository import Repository
    from service.settings import Settings
    from service.web.page import ModelView

_REST: Final[Mapping[str, Sequence[str]]] = {
    "tensorflow_serving": ["/v1/models"],
    "kserve_v1": ["/v1/models"],
    "open_inference": ["/v2", "/v2/health/live", "/v2/health/ready"],
    "mlflow": ["/ping", "/health", "/version", "/invocations"],
    "sagemaker": ["/ping", "/invocations"],
}
_GRPC: Final[Mapping[str, Sequence[str]]] = {
    "tensorflow_serving": [
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
    ],
    "open_inference": ["inference.GRPCInferenceService"],
    "health": ["grpc.health.v1.Health"],
    "reflection": ["grpc.reflection.v1alpha.ServerReflection"],
}


def protocols(settings: Settings) -> dict[str, Any]:
    """Paths by protocol for REST, services by protocol for gRPC.

    Args:
        settings: The knobs: routes and ports may be among them.
    """
    rest = dict(_REST)
    routes = [settings.vertex_health_route, settings.vertex_predict_route]
    if any(routes):
        rest["vertex"] = [route for route in routes if route]
    told: dict[str, Any] = {"rest": rest}
    if settings.port or settings.grpc_socket_path:
        addresses = {"port": settings.port, "socket": settings.grpc_socket_path}
        told["grpc"] = {**{name: it for name, it in addresses.items() if it}, "services": _GRPC}
    return told


def describe(
    repository: Repository, spoken: Mapping[str, Any], metrics_paths: Sequence[str]
) -> dict[str, Any]:
    """All that is here; KServe's clients read ``status``.

    Args:
        repository: The models.
        spoken: What ``protocols`` gave.
        metrics_paths: Where the metrics are to be had.
    """
    return {
        "status": "alive",
        "server": "hearth",
        "version": VERSION,
        "protocols": spoken,
        "models": [_model(view) for view in views(repository)],
        "health": ["/livez", "/readyz"],
        "metrics": list(metrics_paths),
    }


def _model(view: ModelView) -> dict[str, Any]:
    documents = {"status": view.path, "metadata": f"{view.path}/metadata"}
    if view.contract is not None:
        documents["contract"] = f"{view.path}/contract"
    if view.report:
        documents["report"] = view.report
    return {
        "name": view.name,
        "version": view.version,
        "predict": f"{view.path}:predict",
        "documents": documents,
        **({"problem": view.problem} if view.problem else {}),
    }
