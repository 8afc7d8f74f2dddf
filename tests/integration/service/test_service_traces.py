"""Traces of a real service, as a collector receives them."""

from __future__ import annotations

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from service.messages import prediction_service_pb2_grpc
from tests.integration.rpc.calling import ROW, price_of
from tests.integration.service.wire import BODY, PREDICT, connect, post, read_answer
from tests.servers import running_service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLER = "00f067aa0ba902b7"
STAGES = ["decode", "wait", "run", "encode"]


class Collector:
    """An OTLP collector that remembers its spans."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[Any] = []

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            self.resources.append(resource.resource)
            for scope in resource.scope_spans:
                self.spans += scope.spans

    def of(self, trace: str) -> list[Any]:
        """The spans of a trace, in order of their beginnings."""
        found = [it for it in self.spans if it.trace_id.hex() == trace]
        return sorted(found, key=lambda it: (it.start_time_unix_nano, -it.end_time_unix_nano))

    def request(self, trace: str) -> Any:
        """The one span of a trace that is a request, once it is there."""

        def found() -> list[Any]:
            return [it for it in self.of(trace) if it.parent_span_id.hex() == CALLER]

        wait_until(found, f"the request of trace {trace}")
        (request,) = found()
        return request


@contextmanager
def collecting() -> Iterator[tuple[Collector, str]]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.take(ExportTraceServiceRequest.FromString(body))
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector, f"http://127.0.0.1:{server.server_port}/v1/traces"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def traced(housing_models):
    with collecting() as (collector, endpoint), pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")  # ms; 5000 by default
        with running_service(
            housing_models, trace_endpoint=endpoint, trace_sampling=0, access_log="all"
        ) as service:
            yield service, collector
        # What was not sent before the end is sent at the end.
        assert "e" * 32 in {it.trace_id.hex() for it in collector.spans}


def context(trace: str, flags: str = "01") -> str:
    return f"00-{trace}-{CALLER}-{flags}"


def asked(service, *headers: str, body: bytes = BODY, path: str = PREDICT):
    with connect(service.url) as connection:
        connection.sendall(post(body, *headers, path=path))
        return read_answer(connection)


def attributes(span: Any) -> dict[str, Any]:
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in span.attributes}


def test_a_request_over_rest_continues_its_callers_trace(traced):
    service, collector = traced
    trace = "a" * 32
    answer = asked(service, f"traceparent: {context(trace)}")

    span = collector.request(trace)
    assert answer.headers["traceresponse"] == f"00-{trace}-{span.span_id.hex()}-01"
    assert span.name == "POST predict"
    known = attributes(span)
    assert known["http.response.status_code"] == 200
    assert known["hearth.model"] == "housing"
    assert known["hearth.rows"] == 1
    assert known["hearth.request_id"] == answer.headers["X-Request-Id"]
    assert trace in service.output()


def test_a_requests_stages_lie_within_it_one_after_the_other(traced):
    service, collector = traced
    trace = "b" * 32
    asked(service, f"traceparent: {context(trace)}", body=BODY[:-1] + b" " * 20_000 + b"}")

    span = collector.request(trace)
    wait_until(lambda: len(collector.of(trace)) == 5, "the stages")
    stages = [it for it in collector.of(trace) if it.parent_span_id == span.span_id]
    assert [it.name for it in stages] == STAGES  # it waited: such a body goes to a thread
    moments = [
        it for stage in stages for it in (stage.start_time_unix_nano, stage.end_time_unix_nano)
    ]
    assert moments == sorted(moments)
    assert span.start_time_unix_nano == moments[0]
    assert moments[-1] == pytest.approx(span.end_time_unix_nano, abs=10)


def test_a_call_over_grpc_continues_its_callers_trace(traced):
    service, collector = traced
    trace = "c" * 32
    with grpc.insecure_channel(service.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        _, call = stub.Predict.with_call(
            price_of(ROW), metadata=(("traceparent", context(trace)),), timeout=20
        )

    span = collector.request(trace)
    assert dict(call.trailing_metadata())["traceresponse"].split("-")[2] == span.span_id.hex()
    assert attributes(span)["rpc.method"] == "tensorflow.serving.PredictionService/Predict"
    assert attributes(span)["rpc.response.status_code"] == "OK"


def test_a_request_that_fails_says_so(traced):
    service, collector = traced
    trace = "d" * 32
    asked(service, f"traceparent: {context(trace)}", path="/v1/models/nobody:predict")

    span = collector.request(trace)
    assert attributes(span)["error.type"] == "ModelNotFound"
    assert attributes(span)["http.response.status_code"] == 404
    assert span.status.code == 0  # the caller's fault is no error of the server's span


def test_flasks_routes_are_traced_too_and_exemplars_lead_to_traces(traced):
    import urllib.request

    service, collector = traced
    trace = "e" * 32
    asked(service, f"traceparent: {context(trace)}")
    header = {"traceparent": context("f" * 32), "Accept": "application/openmetrics-text"}
    url = service.url + "/metrics"
    with urllib.request.urlopen(urllib.request.Request(url, headers=header)) as answer:
        assert f'# {{trace_id="{trace}"}}' in answer.read().decode()
        assert answer.headers["traceresponse"].startswith("00-" + "f" * 32)
    assert collector.request("f" * 32).name == "GET metrics"


def test_a_request_is_not_traced_unless_somebody_asks(traced):
    service, collector = traced
    unsampled = asked(service, f"traceparent: {context('9' * 32, '00')}")
    plain = asked(service)

    assert "traceresponse" not in unsampled.headers
    assert "traceresponse" not in plain.headers
    asked(service, f"traceparent: {context('8' * 32)}")
    collector.request("8" * 32)
    assert collector.of("9" * 32) == []
    (name,) = {
        it.value.string_value
        for resource in collector.resources
        for it in resource.attributes
        if it.key == "service.name"
    }
    assert name == "hearth"
