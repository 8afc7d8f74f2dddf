"""TensorFlow Serving's REST routes and Hearth's additions: a request in, a response out.

It knows no web framework: Flask and the event loop call the same functions.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import msgspec

from service.errors import InvalidRequest, ModelNotFound, SignatureNotFound
from service.http.encoding import plain_body
from service.http.messages import VERSION_HEADER, Response
from service.protocols import json_body, kserve_v1, tensorflow_serving
from service.protocols.examples import from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from service.exchange import Exchange
    from service.http.messages import Request
    from service.inference.executor import Tensors
    from service.protocols.tensorflow_serving import Route
    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

_PATHS: Final = re.compile(r"/v1(/|$)", re.IGNORECASE)
_PROTOCOL: Final = "tensorflow_serving"
_KSERVE: Final = "kserve_v1"
_VARIES: Final = {"Vary": "User-Agent"}
_CORS: Final = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_INFERENCE: Final = frozenset({"predict", "classify", "regress"})


class TensorFlowServing:
    """Answers what stands below ``/v1``.

    Args:
        repository: The models.
        limit_bytes: The most that a body may have, inflated.
        cors: Whether pages of other origins may ask.
    """

    def __init__(self, repository: Repository, limit_bytes: int, *, cors: bool = False) -> None:
        self._repository = repository
        self._limit_bytes = limit_bytes
        self._headers = _CORS if cors else {}
        self._answers: Mapping[str, Callable[[Exchange, Route, bytes], Response]] = {
            "predict": self._predict,
            "classify": self._classify,
            "regress": self._regress,
            "models": self._models,
            "status": self._status,
            "metadata": self._metadata,
            "contract": self._contract,
        }

    def owns(self, path: str) -> bool:
        """Whether a path is below ``/v1``."""
        return _PATHS.match(path) is not None

    def is_quick(self, request: Request) -> bool:
        """Whether it is for a model that runs in microseconds, and as small as it looks."""
        if request.headers.get("content-encoding"):
            return False
        try:
            route = tensorflow_serving.parse_route(request.method, request.path, request.query)
            return route.verb in _INFERENCE and self._find(route).executor.quick
        except Exception:  # noqa: BLE001 - whatever it is, the ordinary way says so
            return False

    def answer(self, request: Request, exchange: Exchange) -> Response:
        """Answer one request; see ``Api.answer``."""
        exchange.protocol = _PROTOCOL
        response = self._respond(request, exchange)
        if not self._headers:
            return response
        return replace(response, headers={**response.headers, **self._headers})

    def _respond(self, request: Request, exchange: Exchange) -> Response:
        if request.method == "OPTIONS":
            return _preflight(request, exchange)
        try:
            route = tensorflow_serving.parse_route(request.method, request.path, request.query)
            exchange.route = route.verb
            if _asks_for_readiness(request, route):
                return self._readiness(exchange, route)
            body = plain_body(request.headers, request.body, self._limit_bytes)
            return self._answers[route.verb](exchange, route, body)
        except Exception as error:  # noqa: BLE001 - the one boundary: every error gets its answer
            status, text = tensorflow_serving.encode_error(exchange.failed(error))
            return Response(status, text)

    def _predict(self, exchange: Exchange, route: Route, body: bytes) -> Response:
        request = tensorflow_serving.parse_inference(body)
        version = self._find(route)
        exchange.answers(version)
        signature = version.signature(request.signature_name)
        inputs = tensorflow_serving.to_inputs(request, signature, version.feature_names(signature))
        outputs = version.predict(request.signature_name, inputs)
        exchange.rows = _rows(outputs)
        answer = tensorflow_serving.encode_predict(outputs, by_row=request.by_row)
        return _of(version, answer)

    def _classify(self, exchange: Exchange, route: Route, body: bytes) -> Response:
        version, outputs = self._run_examples(exchange, route, body)
        return _of(version, tensorflow_serving.encode_classify(outputs, exchange.rows))

    def _regress(self, exchange: Exchange, route: Route, body: bytes) -> Response:
        version, outputs = self._run_examples(exchange, route, body)
        return _of(version, tensorflow_serving.encode_regress(outputs, exchange.rows))

    def _run_examples(
        self, exchange: Exchange, route: Route, body: bytes
    ) -> tuple[ModelVersion, Tensors]:
        request = tensorflow_serving.parse_inference(body)
        version = self._find(route)
        exchange.answers(version)
        try:
            name = version.example_signature(request.signature_name, route.verb)
        except SignatureNotFound as error:
            raise InvalidRequest(f"No signature was found with the name: {error.name}") from error
        examples = from_json(request.document, route.verb)
        exchange.rows = len(examples)
        return version, version.run_examples(name, examples)

    def _models(self, _exchange: Exchange, _route: Route, _body: bytes) -> Response:
        return Response(200, json_body.encode({"models": self._repository.names()}))

    def _status(self, exchange: Exchange, route: Route, _body: bytes) -> Response:
        # TensorFlow Serving pays no heed to a label here.
        statuses = tensorflow_serving.find_statuses(self._repository, route.model, route.version)
        exchange.model = route.model
        return Response(200, tensorflow_serving.encode_status(statuses), headers=_VARIES)

    def _readiness(self, exchange: Exchange, route: Route) -> Response:
        exchange.protocol = _KSERVE
        if route.model not in self._repository.names():
            raise ModelNotFound(f"Could not find any versions of model {route.model}")
        exchange.model = route.model
        ready = route.model not in self._repository.problems()
        status, keys = kserve_v1.readiness(route.model, ready=ready)
        statuses = self._repository.statuses(route.model) if ready else []
        body = tensorflow_serving.encode_status(statuses, keys)
        return Response(status, body, headers=_VARIES)

    def _metadata(self, exchange: Exchange, route: Route, _body: bytes) -> Response:
        version = self._find(route)
        exchange.answers(version)
        answer = tensorflow_serving.encode_metadata(
            version.model, version.number, version.signatures
        )
        return _of(version, answer)

    def _contract(self, exchange: Exchange, route: Route, _body: bytes) -> Response:
        version = self._find(route)
        exchange.answers(version)
        if version.contract is None:
            raise ModelNotFound(f"version {version.number} of {version.model} has no contract")
        return _of(version, msgspec.json.encode(version.contract))

    def _find(self, route: Route) -> ModelVersion:
        return tensorflow_serving.find_version(
            self._repository, route.model, route.version, route.label
        )


def _asks_for_readiness(request: Request, route: Route) -> bool:
    if route.verb != "status" or route.version is not None or route.label is not None:
        return False
    return kserve_v1.is_client(request.headers.get("user-agent", ""))


def _preflight(request: Request, exchange: Exchange) -> Response:
    """Answer a browser that asks whether it may ask; to anybody else that makes no sense."""
    exchange.route = "preflight"
    if request.headers.get("origin", "").startswith(("http://", "https://")):
        return Response(200, b"")
    exchange.outcome = InvalidRequest.__name__
    return Response(400, b"")


def _of(version: ModelVersion, body: bytes) -> Response:
    return Response(200, body, headers={VERSION_HEADER: str(version.number)})


def _rows(outputs: Mapping[str, object]) -> int:
    first = next(iter(outputs.values()), None)
    shape = getattr(first, "shape", ())
    return shape[0] if shape else 1
