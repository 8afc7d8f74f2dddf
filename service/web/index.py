"""What ``GET /`` tells a program: which protocols, models and documents are here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service import VERSION
from service.web.page import views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from service.repository.repository import Repository
    from service.settings import Settings
    from service.web.page import ModelView, VersionView

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
        "openapi": "/openapi.json",
        "metrics": list(metrics_paths),
    }


def _model(view: ModelView) -> dict[str, Any]:
    served = view.served
    documents = {"status": view.path, "metadata": f"{view.path}/metadata"}
    if served is not None:
        documents |= _documents(view, served)
    return {
        "name": view.name,
        "version": None if served is None else served.number,
        "predict": f"{view.path}:predict",
        "documents": documents,
        "versions": [_version(view, version) for version in view.versions],
        **({"problem": view.problem} if view.problem else {}),
    }


def _version(view: ModelView, version: VersionView) -> dict[str, Any]:
    told = {
        "version": version.number,
        "state": version.state,
        "labels": version.labels,
        "error": version.error,
        "executor": version.executor,
        "since": version.since,
    }
    path = f"{view.path}/versions/{version.number}"
    documents = {"metadata": f"{path}/metadata", **_documents(view, version, path)}
    return {**told, "documents": documents} if version.executor else told


def _documents(view: ModelView, version: VersionView, path: str = "") -> dict[str, str]:
    """Where a served version's own description and examples are, and its report."""
    if not version.described:
        return {}
    name = view.path.removeprefix("/v1/models/")
    documents = {
        "contract": f"{path or view.path}/contract",
        "examples": f"/examples/{name}/{version.number}",
    }
    return documents | ({"report": version.report} if version.report else {})
