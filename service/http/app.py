"""The Flask application: every route there is. Thin; what it answers is made elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import flask
from werkzeug.exceptions import HTTPException

from service.errors import NotReady
from service.exchange import OBSERVE, is_observed
from service.http.flask_messages import (
    current_exchange,
    keep_exchange,
    raw_path,
    to_flask,
    to_request,
)
from service.http.messages import EXCHANGE, REQUEST_ID_HEADER, TRACE_HEADER, Response, find_api
from service.http.pages import add_pages
from service.protocols import json_body
from service.protocols.tensorflow_serving import encode_error
from service.security.guard import Guard
from service.security.headers import browser_headers
from service.web import page
from service.web.openapi import Offered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from service.exchange import Exchanges
    from service.health import Health
    from service.http.messages import Api
    from service.repository.repository import Repository


@dataclass(frozen=True)
class Parts:
    """What the application is put together from.

    Attributes:
        repository: The models.
        apis: The protocols, each with routes of its own.
        health: Liveness and readiness.
        exchanges: Begins and ends requests for log and metrics.
        metrics: Where metrics are to be had, and what is to be had there: from what the asker
            accepts to a text and its type.
        spoken: The protocols with their routes and services, to tell programs.
        offered: The routes that settings turn on, for the OpenAPI document.
        guard: Says who may do what; it is asked before Flask is.
        encrypted: Whether callers come over TLS.
    """

    repository: Repository
    apis: Sequence[Api]
    health: Health
    exchanges: Exchanges
    metrics: Mapping[str, Callable[[str], tuple[bytes, str]]]
    spoken: Mapping[str, Any] = field(default_factory=dict)
    offered: Offered = field(default_factory=Offered)
    guard: Guard = field(default_factory=Guard)
    encrypted: bool = False


def create_app(parts: Parts) -> flask.Flask:
    """Make the application."""
    app = flask.Flask(page.__name__, static_folder=None)  # its folder has the templates
    _add_recording(app, parts)
    add_pages(app, parts)
    _add_operations(app, parts)
    app.register_error_handler(Exception, _answer_error)
    return app


def _add_recording(app: flask.Flask, parts: Parts) -> None:
    @app.before_request
    def begin() -> flask.Response | None:
        request = flask.request
        exchange = request.environ.get("asgi.scope", {}).get(EXCHANGE)
        if exchange is None:  # nobody stands before Flask
            exchange = parts.exchanges.begin(
                request.method,
                raw_path(),
                request.remote_addr or "",
                request.headers.get(REQUEST_ID_HEADER),
                {name.lower(): it for name, it in request.headers},
                observed=is_observed(request.headers.get(OBSERVE)),
            )
        keep_exchange(exchange)
        # A protocol's routes are its own: any method, any path below, its own errors.
        api = find_api(parts.apis, exchange.path)
        return None if api is None else to_flask(api.answer(to_request(exchange.path), exchange))

    @app.after_request
    def end(response: flask.Response) -> flask.Response:
        exchange = current_exchange()
        response.headers[REQUEST_ID_HEADER] = exchange.request_id
        if exchange.trace is not None:
            response.headers[TRACE_HEADER] = exchange.trace.context
        response.headers.update(browser_headers(exchange.path, encrypted=parts.encrypted))
        parts.exchanges.end(exchange, response.status_code)
        return response


def _add_operations(app: flask.Flask, parts: Parts) -> None:
    @app.get("/livez")
    def livez() -> flask.Response:
        # The process answers: that is all that liveness says.
        current_exchange().route = "livez"
        return to_flask(Response(200, json_body.encode({"live": True})))

    @app.get("/readyz")
    def readyz() -> flask.Response:
        current_exchange().route = "readyz"
        problem = parts.health.problem()
        if not problem:
            return to_flask(Response(200, json_body.encode(_ready(parts))))
        current_exchange().outcome = NotReady.__name__
        current_exchange().error = problem
        return to_flask(Response(503, json_body.encode({"ready": False, "reason": problem})))

    for path, published in parts.metrics.items():
        app.add_url_rule(path, f"metrics {path}", partial(_metrics, published))


def _ready(parts: Parts) -> dict[str, object]:
    """What is told by a worker that is ready: what is amiss all the same."""
    told: dict[str, object] = {"ready": True}
    if problems := parts.repository.problems():
        told["problems"] = problems
    if crashing := parts.health.crashing():
        told["crashing"] = crashing
    return told


def _metrics(published: Callable[[str], tuple[bytes, str]]) -> flask.Response:
    current_exchange().route = "metrics"
    text, content_type = published(flask.request.headers.get("Accept", ""))
    return to_flask(Response(200, text, content_type))


def _answer_error(error: Exception) -> flask.Response:
    exchange = current_exchange()
    if isinstance(error, HTTPException):
        exchange.outcome = type(error).__name__
        exchange.error = f"{exchange.method} {exchange.path}: {error.name}"
        response = cast("flask.Response", error.get_response())
        response.data = json_body.encode({"error": exchange.error})
        response.content_type = "application/json"
        return response
    status, body = encode_error(exchange.failed(error))
    return to_flask(Response(status, body))
