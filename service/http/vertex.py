"""The two routes that Vertex AI gives a container: health and predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.errors import HearthError, NotReady, RouteNotFound
from service.http.encoding import plain_body
from service.http.invocations import find_default, find_problem
from service.http.messages import Api, Prediction, Response, refusal, version_header
from service.protocols import json_body, levels, tensorflow_serving, vertex

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.exchange import Exchange
    from service.health import Health
    from service.http.messages import Request
    from service.inference.executor import Tensors
    from service.repository.repository import Repository
    from service.settings import Settings

_PROTOCOL: Final = "vertex"


class Vertex(Api):
    """Answers the routes of ``AIP_HEALTH_ROUTE`` and ``AIP_PREDICT_ROUTE``.

    A route that is TensorFlow Serving's already is left to it.

    Args:
        repository: The models.
        health: Whether requests should be sent here.
        settings: The routes, which model answers, and the most that a body may have.
    """

    def __init__(self, repository: Repository, health: Health, settings: Settings) -> None:
        self._repository = repository
        self._health = health
        self._default_model = settings.default_model
        self._limit_bytes = settings.max_body_bytes
        self._health_route = _unless_taken("GET", settings.vertex_health_route)
        self._predict_route = _unless_taken("POST", settings.vertex_predict_route)

    def owns(self, path: str) -> bool:
        """Whether a path is one of the two."""
        return path != "" and path in {self._health_route, self._predict_route}

    def is_light(self, _method: str, _path: str, headers: Mapping[str, str]) -> bool:
        """Whether it is as small as it looks."""
        return "content-encoding" not in headers  # it may be a thousand times as large as it came

    def begin(self, request: Request, exchange: Exchange) -> Response | Prediction:
        """Begin one request; see ``Api.begin``."""
        exchange.protocol = _PROTOCOL
        if request.path == self._health_route and request.method in {"GET", "HEAD"}:
            return self._answer_health(exchange)
        if request.path == self._predict_route and request.method == "POST":
            body = plain_body(request.headers, request.body, self._limit_bytes)
            return self._predict(exchange, body)
        raise RouteNotFound(f"{request.method} {request.path} is not a route")

    def fail(self, error: Exception, _request: Request, exchange: Exchange) -> Response:
        """The answer to a request that went wrong."""
        return refusal(*tensorflow_serving.encode_error(exchange.failed(error)))

    def _answer_health(self, exchange: Exchange) -> Response:
        exchange.route = "health"
        problem = find_problem(self._repository, self._health, self._default_model)
        if problem:
            raise NotReady(problem)
        return Response(200, json_body.encode({"ready": True}))

    def _predict(self, exchange: Exchange, body: bytes) -> Prediction:
        exchange.route = "predict"
        request = vertex.parse(body)
        version = find_default(self._repository, self._default_model)
        exchange.answers(version)
        name = levels.signature_name(version, request.signature_name, request.level)
        signature = version.signature(name)
        features = version.feature_names(signature)
        inputs = tensorflow_serving.to_inputs(request, signature, features)

        def encode(outputs: Tensors) -> Response:
            answer = tensorflow_serving.encode_predict(outputs, by_row=True)
            exchange.rows = len(next(iter(outputs.values()), ()))
            return Response(200, answer, headers=version_header(version.number))

        exchange.decoded()
        return Prediction(version, name, inputs, encode, exchange)


def _unless_taken(method: str, route: str) -> str:
    try:
        tensorflow_serving.parse_route(method, route)
    except HearthError:
        return route
    return ""
