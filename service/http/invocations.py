"""The routes of MLflow's scoring server, which are also those of SageMaker's containers.

One model answers: the only one that is served, or the one that the settings name.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import msgspec
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from service import VERSION
from service.errors import HearthError, InvalidRequest, ModelNotFound, RouteNotFound
from service.http.encoding import plain_body
from service.http.messages import JSON, Api, Prediction, Response, refusal, version_header
from service.protocols import invocations, levels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from service.exchange import Exchange
    from service.health import Health
    from service.http.messages import Request
    from service.inference.executor import Tensors
    from service.protocols.invocations import Invocation
    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

    Begin = Callable[[Exchange, Request], Response | Prediction]

_PROTOCOL: Final = "mlflow"
_INVOCATIONS: Final = "/invocations"
_PATHS: Final = ("/ping", "/health", "/version", _INVOCATIONS)
_ANSWER_TYPES: Final = (invocations.JSON, invocations.CSV, invocations.JSON_LINES)


def find_default(repository: Repository, default_model: str) -> ModelVersion:
    """The version that answers where a request names no model.

    Args:
        repository: The models.
        default_model: The model that the settings name; empty for the only one.

    Raises:
        ModelNotFound: It is not served.
        InvalidRequest: Several are served, and the settings name none.
    """
    names = repository.names()
    if not default_model and len(names) > 1:
        raise InvalidRequest(
            f"several models are served ({', '.join(names)}) and the request names none: "
            "start the service with --default_model=NAME, or ask /v1/models/NAME:predict"
        )
    if not default_model and not names:
        raise ModelNotFound("no model is served")
    return repository.find(default_model or names[0])


def find_problem(repository: Repository, health: Health, default_model: str) -> str:
    """Why requests that name no model should not be sent here; empty if they may be.

    Args:
        repository: The models.
        health: Whether the service is ready.
        default_model: The model that the settings name; empty for the only one.
    """
    problem = health.problem()
    if problem or (repository.names() and not default_model):
        return problem
    try:
        find_default(repository, default_model)
    except HearthError as error:
        return error.message
    return ""


class Invocations(Api):
    """Answers ``/ping``, ``/health``, ``/version`` and ``/invocations``.

    Args:
        repository: The models.
        health: Whether the service is ready.
        limit_bytes: The most that a body may have, inflated.
        default_model: The model that answers; empty for the only one.
    """

    def __init__(
        self, repository: Repository, health: Health, limit_bytes: int, default_model: str
    ) -> None:
        self._repository = repository
        self._limit_bytes = limit_bytes
        self._health = health
        self._default_model = default_model
        self._begins: Mapping[str, tuple[str, Begin]] = {
            "/ping": ("GET", self._ping),
            "/health": ("GET", self._ping),
            "/version": ("GET", self._version),
            _INVOCATIONS: ("POST", self._invoke),
        }

    def owns(self, path: str) -> bool:
        """Whether a path is one of the four."""
        return path in _PATHS

    def is_light(self, _method: str, _path: str, headers: Mapping[str, str]) -> bool:
        """Whether it is as small as it looks."""
        return "content-encoding" not in headers  # it may be a thousand times as large as it came

    def begin(self, request: Request, exchange: Exchange) -> Response | Prediction:
        """Begin one request; see ``Api.begin``."""
        exchange.protocol = _PROTOCOL
        exchange.route = request.path.removeprefix("/")
        method, begin = self._begins[request.path]
        _check_method(request, method)
        return begin(exchange, request)

    def fail(self, error: Exception, request: Request, exchange: Exchange) -> Response:
        """The answer to a request that went wrong."""
        refused = refusal(*invocations.encode_error(exchange.failed(error)))
        if refused.status != HTTPStatus.METHOD_NOT_ALLOWED:
            return refused
        method, _ = self._begins[request.path]
        return msgspec.structs.replace(refused, headers=(("Allow", method),))

    def _ping(self, exchange: Exchange, _request: Request) -> Response:
        # MLflow's server has no other status for this than 200 and 404.
        problem = find_problem(self._repository, self._health, self._default_model)
        if not problem:
            return Response(200, b"\n")
        exchange.outcome = ModelNotFound.__name__
        exchange.error = problem
        return Response(404, b"\n")

    def _version(self, _exchange: Exchange, _request: Request) -> Response:
        # Bare text called JSON, as MLflow's server sends it.
        return Response(200, VERSION.encode())

    def _invoke(self, exchange: Exchange, request: Request) -> Response | Prediction:
        content = invocations.read_content_type(request.headers.get("content-type"))
        if content.refusal:
            exchange.outcome = InvalidRequest.__name__
            exchange.error = content.refusal
            return Response(415, content.refusal.encode(), invocations.PLAIN)
        try:
            body = plain_body(request.headers, request.body, self._limit_bytes)
            invocation = invocations.parse(body, content.type)
        except InvalidRequest as error:
            return refusal(*invocations.encode_error(exchange.failed(error), malformed=True))
        return self._predict(exchange, invocation, _answer_type(request))

    def _predict(self, exchange: Exchange, invocation: Invocation, answer_type: str) -> Prediction:
        version = find_default(self._repository, self._default_model)
        exchange.answers(version)
        name = levels.signature_name(version, invocation.signature_name, invocation.level)
        signature = version.signature(name)
        features = version.feature_names(signature)
        inputs = invocations.to_inputs(invocation.data, signature, features)

        def encode(outputs: Tensors) -> Response:
            exchange.rows = len(next(iter(outputs.values()), ()))
            body = invocations.encode(outputs, answer_type)
            return Response(200, body, answer_type, version_header(version.number))

        exchange.decoded()
        return Prediction(version, name, inputs, encode, exchange)


def _check_method(request: Request, expected: str) -> None:
    if request.method != expected and (request.method, expected) != ("HEAD", "GET"):
        raise RouteNotFound(f"{request.method} {request.path}: use {expected}")


def _answer_type(request: Request) -> str:
    """The type asked for; JSON where none of those known is."""
    accepted = parse_accept_header(request.headers.get("accept", ""), MIMEAccept)
    return accepted.best_match(_ANSWER_TYPES, JSON)
