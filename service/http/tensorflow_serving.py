"""TensorFlow Serving's REST routes and Hearth's additions: a request in, a response out.

It knows no web framework: Flask and the event loop call the same functions.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from service.errors import InvalidRequest, ModelNotFound, RouteNotFound, SignatureNotFound
from service.http.encoding import plain_body
from service.http.messages import JSON, Api, Prediction, Response, refusal, version_header
from service.inference.signature import DEFAULT_SIGNATURE
from service.monitoring.feedback import parse_feedback
from service.protocols import explanations, json_body, kserve_v1, levels, tensorflow_serving
from service.protocols.examples import from_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from service.contract import Contract
    from service.exchange import Exchange
    from service.http.messages import Request, Shortcut
    from service.inference.executor import Tensors
    from service.monitoring.drift import Report
    from service.monitoring.feedback import Feedback
    from service.protocols.tensorflow_serving import Route
    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

_PATHS: Final = re.compile(r"/v1/", re.IGNORECASE)
# What computes much or reads files, however small the request.
_LONG: Final = re.compile(r".*(:explain|:feedback|/partial_dependence|/drift)", re.IGNORECASE)
_PROTOCOL: Final = "tensorflow_serving"
_KSERVE: Final = "kserve_v1"
_VARIES: Final = (("Vary", "User-Agent"),)
_CORS: Final = (
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Allow-Methods", "POST, GET"),
    ("Access-Control-Allow-Headers", "Content-Type"),
)
_RESULTS: Final[Mapping[str, Callable[[Tensors, int], bytes]]] = {
    "classify": tensorflow_serving.encode_classify,
    "regress": tensorflow_serving.encode_regress,
}


@dataclass(frozen=True)
class Monitors:
    """What is known of requests that were answered before.

    Attributes:
        drift: How those for a version compare with its training; None where nobody looks.
        feedback: Joins true prices to them; None where they are not kept.
    """

    drift: Callable[[ModelVersion], Report] | None = None
    feedback: Feedback | None = None


class TensorFlowServing(Api):
    """Answers what stands below ``/v1``.

    Args:
        repository: The models.
        limit_bytes: The most that a body may have, inflated.
        monitors: What is known of earlier requests.
        cors: Whether pages of other origins may ask.
    """

    def __init__(
        self,
        repository: Repository,
        limit_bytes: int,
        monitors: Monitors = Monitors(),
        *,
        cors: bool = False,
    ) -> None:
        self._repository = repository
        self._monitors = monitors
        self._limit_bytes = limit_bytes
        self._headers = _CORS if cors else ()
        self._begins: Mapping[str, Callable[[Exchange, Route, bytes], Response | Prediction]] = {
            "predict": self._predict,
            "explain": self._explain,
            "classify": self._run_examples,
            "regress": self._run_examples,
            "models": self._models,
            "status": self._status,
            "metadata": self._metadata,
            "contract": self._contract,
            "partial_dependence": self._partial_dependence,
            "drift": self._drift,
            "feedback": self._feedback,
        }

    def owns(self, path: str) -> bool:
        """Whether a path is below ``/v1``."""
        return _PATHS.match(path) is not None

    def is_light(self, _method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether it asks for little, and is as small as it looks."""
        return not headers.get("content-encoding") and _LONG.fullmatch(path) is None

    def shortcut(self, head: Request) -> Shortcut | None:
        """The short way of a few rows of numbers; see ``Api.shortcut``."""
        try:
            route = tensorflow_serving.parse_route(head.method, head.path, head.query)
        except InvalidRequest:
            return None
        if route.verb != "predict":
            return None
        find, place = self._repository.find, (route.model, route.version, route.label)
        clock = time.perf_counter

        def answer(body: bytes, exchange: Exchange) -> Response | None:
            try:
                version = find(*place)
                direct = version.direct.get(DEFAULT_SIGNATURE)
                if direct is None:
                    return None
                batch = tensorflow_serving.parse_rows(body, direct.feature_names)
                decoded_s = clock()
                outputs = None if batch is None else direct.run(batch)
                ran_s = clock()
                text = None if outputs is None else tensorflow_serving.encode_rows(outputs)
            except Exception:  # noqa: BLE001 - the ordinary way says what is wrong
                return None
            if batch is None or outputs is None or text is None:
                return None
            exchange.protocol, exchange.route = _PROTOCOL, route.verb
            direct.note(exchange, version, batch, outputs)
            exchange.stages = (decoded_s - exchange.started_s, 0.0, ran_s - decoded_s)
            return self._of(version, text)

        return answer

    def begin(self, request: Request, exchange: Exchange) -> Response | Prediction:
        """Begin one request; see ``Api.begin``."""
        exchange.protocol = _PROTOCOL
        if request.method == "OPTIONS":
            return _preflight(request, exchange, self._headers)
        route = tensorflow_serving.parse_route(request.method, request.path, request.query)
        exchange.route = route.verb
        if route.verb == "status" and _asks_for_readiness(request, route):
            return self._readiness(exchange, route)
        body = plain_body(request.headers, request.body, self._limit_bytes)
        return self._begins[route.verb](exchange, route, body)

    def fail(self, error: Exception, _request: Request, exchange: Exchange) -> Response:
        """The answer to a request that went wrong."""
        refused = refusal(*tensorflow_serving.encode_error(exchange.failed(error)))
        if not self._headers:
            return refused
        return msgspec.structs.replace(refused, headers=refused.headers + self._headers)

    def _predict(self, exchange: Exchange, route: Route, body: bytes) -> Prediction:
        request = tensorflow_serving.parse_inference(body)
        version = self._find(route)
        exchange.answers(version)
        name = levels.signature_name(version, request.signature_name, request.level)
        signature = version.signature(name)
        inputs = tensorflow_serving.to_inputs(request, signature, version.feature_names(signature))

        def encode(outputs: Tensors) -> Response:
            exchange.rows = _rows(outputs)
            answer = tensorflow_serving.encode_predict(outputs, by_row=request.by_row)
            return self._of(version, answer)

        exchange.decoded()
        return Prediction(version, name, inputs, encode, exchange)

    def _explain(self, exchange: Exchange, route: Route, body: bytes) -> Response:
        request = tensorflow_serving.parse_inference(body)
        version = self._find(route)
        exchange.answers(version)
        name = request.signature_name
        signature = version.signature(name)
        names = version.feature_names(signature)
        inputs = tensorflow_serving.to_inputs(request, signature, names)
        explained = version.explain(
            name, inputs, lambda *place: tensorflow_serving.written(request, names, *place)
        )
        exchange.rows = len(explained)
        return self._of(version, explanations.encode_explanations(explained))

    def _run_examples(self, exchange: Exchange, route: Route, body: bytes) -> Prediction:
        request = tensorflow_serving.parse_inference(body)
        version = self._find(route)
        exchange.answers(version)
        try:
            name = version.example_signature(request.signature_name, route.verb)
        except SignatureNotFound as error:
            raise InvalidRequest(f"No signature was found with the name: {error.name}") from error
        examples = from_json(request.document, route.verb)
        exchange.rows = len(examples)
        write = _RESULTS[route.verb]

        def encode(outputs: Tensors) -> Response:
            return self._of(version, write(outputs, len(examples)))

        exchange.decoded()
        return Prediction(version, name, examples, encode, exchange)

    def _models(self, _exchange: Exchange, _route: Route, _body: bytes) -> Response:
        return self._answer(json_body.encode({"models": self._repository.names()}))

    def _status(self, exchange: Exchange, route: Route, _body: bytes) -> Response:
        # TensorFlow Serving pays no heed to a label here.
        statuses = tensorflow_serving.find_statuses(self._repository, route.model, route.version)
        exchange.model = route.model
        return self._answer(tensorflow_serving.encode_status(statuses), _VARIES)

    def _readiness(self, exchange: Exchange, route: Route) -> Response:
        exchange.protocol = _KSERVE
        if route.model not in self._repository.names():
            raise ModelNotFound(f"Could not find any versions of model {route.model}")
        exchange.model = route.model
        ready = route.model not in self._repository.problems()
        status, keys = kserve_v1.readiness(route.model, ready=ready)
        statuses = self._repository.statuses(route.model) if ready else []
        body = tensorflow_serving.encode_status(statuses, keys)
        return Response(status, body, headers=_VARIES + self._headers)

    def _metadata(self, exchange: Exchange, route: Route, _body: bytes) -> Response:
        version = self._find(route)
        exchange.answers(version)
        answer = tensorflow_serving.encode_metadata(
            version.model, version.number, version.signatures
        )
        return self._of(version, answer)

    def _contract(self, exchange: Exchange, route: Route, _body: bytes) -> Response:
        version = self._find(route)
        exchange.answers(version)
        return self._of(version, msgspec.json.encode(_described(version)))

    def _partial_dependence(self, exchange: Exchange, route: Route, _body: bytes) -> Response:
        version = self._find(route)
        exchange.answers(version)
        explainer = version.explainer(DEFAULT_SIGNATURE)
        return self._of(version, explanations.encode_dependence(explainer, _described(version)))

    def _drift(self, exchange: Exchange, route: Route, _body: bytes) -> Response:
        if self._monitors.drift is None:
            raise RouteNotFound("drift is not looked for here: --drift_window_s is 0")
        version = self._find(route)
        exchange.answers(version)
        return self._of(version, msgspec.json.encode(self._monitors.drift(version)))

    def _feedback(self, exchange: Exchange, route: Route, body: bytes) -> Response:
        feedback = self._monitors.feedback
        if feedback is None:
            raise RouteNotFound("no predictions are kept here: --feedback_folder is not given")
        if route.version is not None or route.label is not None:
            raise InvalidRequest(
                "feedback is given to a model, not to a version: "
                "the request's id says which one predicted"
            )
        given = parse_feedback(json_body.parse(body))
        if route.model not in self._repository.names():
            raise ModelNotFound(f"Could not find any versions of model {route.model}")
        exchange.model = route.model
        joined = feedback.join(
            route.model, given, lambda number: self._repository.find(route.model, number)
        )
        return self._answer(msgspec.json.encode(joined))

    def _answer(self, body: bytes, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        return Response(200, body, JSON, headers + self._headers)

    def _of(self, version: ModelVersion, body: bytes) -> Response:
        return self._answer(body, version_header(version.number))

    def _find(self, route: Route) -> ModelVersion:
        return tensorflow_serving.find_version(
            self._repository, route.model, route.version, route.label
        )


def _described(version: ModelVersion) -> Contract:
    if version.contract is None:
        raise ModelNotFound(f"version {version.number} of {version.model} has no contract")
    return version.contract


def _asks_for_readiness(request: Request, route: Route) -> bool:
    if route.verb != "status" or route.version is not None or route.label is not None:
        return False
    return kserve_v1.is_client(request.headers.get("user-agent", ""))


def _preflight(
    request: Request, exchange: Exchange, headers: tuple[tuple[str, str], ...]
) -> Response:
    """Answer a browser that asks whether it may ask; to anybody else that makes no sense."""
    exchange.route = "preflight"
    if request.headers.get("origin", "").startswith(("http://", "https://")):
        return Response(200, b"", headers=headers)
    exchange.outcome = InvalidRequest.__name__
    return Response(400, b"", headers=headers)


def _rows(outputs: Mapping[str, object]) -> int:
    first = next(iter(outputs.values()), None)
    shape = getattr(first, "shape", ())
    return shape[0] if shape else 1
