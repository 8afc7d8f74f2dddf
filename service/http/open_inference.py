"""Open Inference Protocol v2 over REST: a request in, a response out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from service.errors import HearthError, NotReady
from service.http.encoding import pack, plain_body
from service.http.messages import JSON, Api, Response, refusal, version_header
from service.inference.signature import DEFAULT_SIGNATURE
from service.protocols import json_body, open_inference
from service.protocols import open_inference_rest as wire

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from service.exchange import Exchange
    from service.http.messages import Request, Shortcut
    from service.inference.executor import Tensors
    from service.protocols.inference import Inference
    from service.protocols.open_inference import Route
    from service.protocols.open_inference_dataplane import Dataplane
    from service.protocols.open_inference_rest import InferBody
    from service.repository.version import ModelVersion

    Begin = Callable[[Route, Request, Exchange], Response | Inference[Response]]

PROTOCOL: Final = "open_inference"
JSON_LENGTH_HEADER: Final = "Inference-Header-Content-Length"
_BINARY: Final = "application/octet-stream"
# The others wait for every worker, or write much.
_LIGHT: Final = frozenset({"infer", "live", "ready", "server", "models", "model_ready", "metadata"})


class OpenInference(Api):
    """Answers what stands below ``/v2``.

    Args:
        dataplane: Answers over the models.
    """

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane
        self._begins: Mapping[str, Begin] = {
            "infer": self._infer,
            "live": self._live,
            "ready": self._ready,
            "server": self._server,
            "models": self._models,
            "model_ready": self._model_ready,
            "metadata": self._metadata,
            "config": self._config,
            "statistics": self._statistics,
            "index": self._index,
            "load": self._load,
            "unload": self._unload,
        }

    def owns(self, path: str) -> bool:
        """Whether a path is below ``/v2``."""
        return path == "/v2" or path.startswith("/v2/")

    def is_light(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether it asks for little, and is as small as it looks."""
        try:
            verb = open_inference.parse_route(method, path).verb
        except HearthError:
            return True
        return verb in _LIGHT and "content-encoding" not in headers

    def shortcut(self, head: Request) -> Shortcut | None:
        """The short way of a few rows of numbers; see ``Api.shortcut``."""
        try:
            route = open_inference.parse_route(head.method, head.path)
        except HearthError:
            return None
        if route.verb != "infer":
            return None
        length = head.headers.get(JSON_LENGTH_HEADER.lower())
        if length is not None and not length.isdecimal():
            return None
        json_bytes = None if length is None else int(length)

        def answer(body: bytes, exchange: Exchange) -> Response | None:
            try:
                return self._infer_short(route, head, exchange, body, json_bytes)
            except Exception:  # noqa: BLE001 - the ordinary way says what is wrong
                return None

        return answer

    def _infer_short(
        self, route: Route, head: Request, exchange: Exchange, body: bytes, json_bytes: int | None
    ) -> Response | None:
        version = self._dataplane.find(route.model, route.version)
        direct = version.direct.get(DEFAULT_SIGNATURE)
        short = None if direct is None else wire.parse_short(body, json_bytes, direct)
        if direct is None or short is None:
            return None
        batch, wanted = short
        prepared_s = time.perf_counter()
        output = direct.run(batch)
        if output is None:
            return None
        computed_s = time.perf_counter()
        answer = wire.encode_short(version, direct.output, output, wanted)
        exchange.protocol, exchange.route = PROTOCOL, route.verb
        direct.note(exchange, version, batch, output)
        exchange.stages = (prepared_s - exchange.started_s, 0.0, computed_s - prepared_s)
        self._dataplane.answered(version, exchange, prepared_s, computed_s)
        return _packed(answer, head, version.number)

    def begin(self, request: Request, exchange: Exchange) -> Response | Inference[Response]:
        """Begin one request; see ``Api.begin``."""
        exchange.protocol = PROTOCOL
        route = open_inference.parse_route(request.method, request.path)
        exchange.route = route.verb
        return self._begins[route.verb](route, request, exchange)

    def fail(self, error: Exception, _request: Request, exchange: Exchange) -> Response:
        """The answer to a request that went wrong."""
        return refusal(*open_inference.encode_error(exchange.failed(error)))

    def _infer(self, route: Route, request: Request, exchange: Exchange) -> Inference[Response]:
        body = self._body(request)
        length = wire.parse_json_length(request.headers.get(JSON_LENGTH_HEADER.lower()), body)
        asked, wanted = wire.parse_infer(route.model, route.version, body, length)

        def encode(version: ModelVersion, outputs: Tensors) -> Response:
            return _packed(wire.encode_infer(version, outputs, wanted), request, version.number)

        return self._dataplane.prepare(asked, exchange, encode)

    def _live(self, _route: Route, _request: Request, _exchange: Exchange) -> Response:
        return _json({"live": True})

    def _ready(self, _route: Route, _request: Request, exchange: Exchange) -> Response:
        # The protocol's text and its servers differ on the name: both are there.
        return _readiness({"live": True}, self._dataplane.server_problem(), exchange)

    def _server(self, _route: Route, _request: Request, _exchange: Exchange) -> Response:
        return _json(open_inference.server_metadata())

    def _models(self, _route: Route, _request: Request, _exchange: Exchange) -> Response:
        # KServe's addition to the protocol.
        return _json({"models": self._dataplane.names()})

    def _model_ready(self, route: Route, _request: Request, exchange: Exchange) -> Response:
        problem = self._dataplane.model_problem(route.model, route.version)
        return _readiness({"name": route.model}, problem, exchange)

    def _metadata(self, route: Route, _request: Request, exchange: Exchange) -> Response:
        return _json(self._dataplane.metadata(route.model, route.version, exchange))

    def _config(self, route: Route, _request: Request, exchange: Exchange) -> Response:
        return _json(self._dataplane.config(route.model, route.version, exchange))

    def _statistics(self, route: Route, _request: Request, exchange: Exchange) -> Response:
        return _json(self._dataplane.statistics(route.model, route.version, exchange))

    def _index(self, _route: Route, request: Request, _exchange: Exchange) -> Response:
        ready = wire.parse_index(self._body(request))
        return _json(self._dataplane.index(ready=ready))

    def _load(self, route: Route, _request: Request, exchange: Exchange) -> Response:
        exchange.concerns = route.model
        self._dataplane.load(route.model)
        exchange.model = route.model
        return _json({"name": route.model, "load": True})

    def _unload(self, route: Route, _request: Request, exchange: Exchange) -> Response:
        exchange.concerns = route.model
        self._dataplane.unload(route.model)
        exchange.model = route.model
        return _json({"name": route.model, "unload": True})

    def _body(self, request: Request) -> bytes:
        return plain_body(request.headers, request.body, self._dataplane.limit_bytes)


def _readiness(document: Mapping[str, Any], problem: str, exchange: Exchange) -> Response:
    if not problem:
        return _json({**document, "ready": True})
    exchange.outcome = NotReady.__name__
    exchange.error = problem
    return Response(503, json_body.encode({**document, "ready": False, "error": problem}))


def _packed(answer: InferBody, request: Request, number: int) -> Response:
    """An answer with tensors, compressed where its caller takes that."""
    headers = version_header(number)
    if answer.json_bytes is not None:
        headers += ((JSON_LENGTH_HEADER, str(answer.json_bytes)),)
    accepted = request.headers.get("accept-encoding", "")
    body, encoding = pack(answer.body, accepted) if accepted else (answer.body, "")
    if encoding:
        headers += (("Content-Encoding", encoding),)
    return Response(200, body, JSON if answer.json_bytes is None else _BINARY, headers)


def _json(document: Any) -> Response:
    return Response(200, json_body.encode(document))
