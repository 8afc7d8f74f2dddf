"""The two routes that Vertex AI gives a container: health and predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from service.errors import HearthError, NotReady, RouteNotFound
from service.http.invocations import find_default
from service.http.messages import VERSION_HEADER, Response
from service.protocols import json_body, tensorflow_serving, vertex

if TYPE_CHECKING:
    from service.exchange import Exchange
    from service.health import Health
    from service.http.messages import Request
    from service.repository.repository import Repository

_PROTOCOL: Final = "vertex"


class Vertex:
    """Answers the routes of ``AIP_HEALTH_ROUTE`` and ``AIP_PREDICT_ROUTE``.

    A route that is TensorFlow Serving's already is left to it.

    Args:
        repository: The models.
        health: Whether requests should be sent here.
        health_route: The path of the one; empty for none.
        predict_route: The path of the other; empty for none.
        default_model: The model that answers; empty for the only one.
    """

    def __init__(
        self,
        repository: Repository,
        health: Health,
        health_route: str,
        predict_route: str,
        default_model: str,
    ) -> None:
        self._repository = repository
        self._health = health
        self._default_model = default_model
        self._health_route = _unless_taken("GET", health_route)
        self._predict_route = _unless_taken("POST", predict_route)

    def owns(self, path: str) -> bool:
        """Whether a path is one of the two."""
        return path != "" and path in {self._health_route, self._predict_route}

    def is_quick(self, request: Request) -> bool:
        """Whether it is a question after health, or for a model that runs in microseconds."""
        try:
            if request.method == "POST":
                return find_default(self._repository, self._default_model).executor.quick
        except HearthError:
            return False
        return request.method == "GET"

    def answer(self, request: Request, exchange: Exchange) -> Response:
        """Answer one request; see ``Api.answer``."""
        exchange.protocol = _PROTOCOL
        try:
            if request.path == self._health_route and request.method in {"GET", "HEAD"}:
                return self._answer_health(exchange)
            if request.path == self._predict_route and request.method == "POST":
                return self._predict(exchange, request.body)
            raise RouteNotFound(f"{request.method} {request.path} is not a route")
        except Exception as error:  # noqa: BLE001 - the one boundary: every error gets its answer
            status, body = tensorflow_serving.encode_error(exchange.failed(error))
            return Response(status, body)

    def _answer_health(self, exchange: Exchange) -> Response:
        exchange.route = "health"
        problem = self._health.problem()
        if problem:
            raise NotReady(problem)
        return Response(200, json_body.encode({"ready": True}))

    def _predict(self, exchange: Exchange, body: bytes) -> Response:
        exchange.route = "predict"
        request = vertex.parse(body)
        version = find_default(self._repository, self._default_model)
        exchange.answers(version)
        signature = version.signature(request.signature_name)
        features = version.feature_names(signature)
        inputs = tensorflow_serving.to_inputs(request, signature, features)
        outputs = version.predict(request.signature_name, inputs)
        answer = tensorflow_serving.encode_predict(outputs, by_row=True)
        exchange.rows = len(next(iter(outputs.values()), ()))
        return Response(200, answer, headers={VERSION_HEADER: str(version.number)})


def _unless_taken(method: str, route: str) -> str:
    try:
        tensorflow_serving.parse_route(method, route)
    except HearthError:
        return route
    return ""
