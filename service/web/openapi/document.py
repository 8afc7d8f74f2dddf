"""The document, put together from what each protocol has.

References:
    OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from service import VERSION
from service.errors import ModelNotFound
from service.web.openapi import invocations, open_inference, operations, tensorflow_serving
from service.web.openapi.operation import SHARED_RESPONSES, SHARED_SCHEMAS
from service.web.openapi.served import Served

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from service.repository.repository import Repository
    from service.security.scopes import Scope

_DESCRIPTION: Final = (
    "Predictions over the protocols of TensorFlow Serving, Open Inference v2 (Triton, KServe), "
    "MLflow, SageMaker and Vertex AI, each with the same models and the same checks. "
    "Bodies may be compressed (Content-Encoding: gzip or deflate)."
)

# Either will do.
_SCHEMES: Final[Mapping[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key or a token."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "A key."},
}

_TAGS: Final = (
    tensorflow_serving.TAG,
    open_inference.TAG,
    invocations.TAG,
    invocations.VERTEX_TAG,
    operations.TAG,
)


@dataclass(frozen=True)
class Offered:
    """Routes that depend on settings.

    Attributes:
        metrics_paths: Where the metrics are to be had.
        vertex_health_route: Vertex AI's health route; empty for none.
        vertex_predict_route: Vertex AI's predict route; empty for none.
        default_model: The model that answers where a request names none.
        model_control: Whether callers may load and unload models.
        drift: Whether requests are held against the training.
        feedback: Whether true values are taken.
        needed: The scope that method and path need, None for none; where callers show keys or
            tokens.
    """

    metrics_paths: tuple[str, ...] = ("/metrics",)
    vertex_health_route: str = ""
    vertex_predict_route: str = ""
    default_model: str = ""
    model_control: bool = False
    drift: bool = False
    feedback: bool = False
    needed: Callable[[str, str], Scope | None] | None = None


def document(repository: Repository, offered: Offered) -> dict[str, Any]:
    """Describe what is served now.

    Args:
        repository: The models.
        offered: The routes that settings turn on.
    """
    served = list(_served(repository))
    default = _default(served, offered.default_model)
    paths = operations.paths(offered.metrics_paths)
    for model in served:
        paths |= tensorflow_serving.paths(model, drift=offered.drift)
        paths |= open_inference.paths(model)
        if offered.feedback:
            paths |= tensorflow_serving.feedback_path(model)
    paths |= tensorflow_serving.index_paths()
    paths |= open_inference.server_paths(repository.names(), control=offered.model_control)
    paths |= invocations.paths(default)
    paths |= invocations.vertex_paths(
        offered.vertex_health_route, offered.vertex_predict_route, default
    )
    components = {"schemas": SHARED_SCHEMAS, "responses": SHARED_RESPONSES}
    if offered.needed is not None:
        components = {**components, "securitySchemes": _SCHEMES}
        _secure(paths, offered.needed)
    return {
        "openapi": "3.1.1",
        "info": {"title": "Hearth", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in _TAGS],
        "paths": dict(sorted(paths.items())),
        "components": components,
    }


def _secure(paths: dict[str, Any], needed: Callable[[str, str], Scope | None]) -> None:
    """Say of each operation what its caller is to show."""
    for path, item in paths.items():
        for method, it in item.items():
            closed = needed(method.upper(), path) is not None
            it["security"] = [{name: []} for name in _SCHEMES] if closed else []


def _served(repository: Repository) -> Iterator[Served]:
    labels = {name: repository.labels(name) for name in repository.names()}
    for name, numbers in sorted(repository.served().items()):
        try:
            version = repository.find(name)
        except ModelNotFound:  # it went since
            continue
        yield Served(version, tuple(numbers), tuple(sorted(labels.get(name, ()))))


def _default(served: list[Served], name: str) -> Served | None:
    """The model that answers where none is named, if there is one."""
    if not name:
        return served[0] if len(served) == 1 else None
    return next((it for it in served if it.version.model == name), None)
