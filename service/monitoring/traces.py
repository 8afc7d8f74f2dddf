"""Requests as spans of OpenTelemetry, sent to a collector over OTLP.

A request that belongs to a caller's trace follows the caller's decision; of the others a share
is traced. Nothing of OpenTelemetry is imported unless traces are asked for, and a request that
is not traced costs no more than that decision.

References:
    https://www.w3.org/TR/trace-context/ (``traceparent``), and its second level's draft for
    ``traceresponse``; OpenTelemetry's semantic conventions for HTTP and RPC spans.
"""

from __future__ import annotations

import os
import random
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from service import VERSION
from service.errors import InvalidRequest
from service.monitoring.tally import STAGES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.trace import Span

    from service.exchange import Exchange

_NS: Final = 1_000_000_000
# Seconds that the collector may take; at the end of a worker it is waited for.
_EXPORT_S: Final = 2.0
_SAMPLED: Final = 1
# Codes that are the server's fault, as the conventions have them.
_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)


def check_installed() -> None:
    """Make sure that OpenTelemetry can be imported.

    Raises:
        InvalidRequest: It cannot.
    """
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter  # noqa: PLC0415
        import opentelemetry.sdk.trace  # noqa: F401, PLC0415
    except ImportError as error:
        raise InvalidRequest(
            f"--trace_endpoint needs the packages of requirements/traces.txt: {error}"
        ) from error


class _Traced:
    """A request's span; see ``exchange.Trace``."""

    __slots__ = ("context", "id", "span", "started_ns")

    def __init__(self, span: Span, started_ns: int) -> None:
        own = span.get_span_context()
        self.id = f"{own.trace_id:032x}"
        self.context = f"00-{self.id}-{own.span_id:016x}-{own.trace_flags:02x}"
        self.span = span
        self.started_ns = started_ns


class Traces:
    """Begins and ends the spans of one worker's requests.

    Args:
        endpoint: Where spans are sent, by OTLP over HTTP.
        share: Of the requests that belong to no trace, this share in [0, 1] begins one.
    """

    def __init__(self, endpoint: str, share: float) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - only where traces are asked for
        from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider, sampling  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

        self._share = share
        self._api = trace
        self._propagator = tracecontext.TraceContextTextMapPropagator()
        name = os.environ.get("OTEL_SERVICE_NAME", "hearth")
        resource = Resource.create({"service.name": name, "service.version": VERSION})
        # Whether a request is traced has been decided before its span begins.
        self._provider = TracerProvider(sampling.ALWAYS_ON, resource)
        exporter = trace_exporter.OTLPSpanExporter(endpoint, timeout=_EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("hearth", VERSION)

    def begin(self, carrier: Mapping[str, str]) -> _Traced | None:
        """A request has come.

        Args:
            carrier: Its headers, or what stands for them, by lower-case name.

        Returns:
            Its part of a trace; None if it is not traced.
        """
        context = None
        if "traceparent" in carrier:
            context = self._propagator.extract(carrier)
            caller = self._api.get_current_span(context).get_span_context()
            if not caller.is_valid:
                context = None
            elif not caller.trace_flags & _SAMPLED:
                return None
        if context is None and random.random() >= self._share:  # noqa: S311 - a sample
            return None
        started_ns = time.time_ns()
        kind = self._api.SpanKind.SERVER
        span = self._tracer.start_span("request", context, kind, start_time=started_ns)
        return _Traced(span, started_ns)

    def finished(self, exchange: Exchange, status: int | str, seconds: float) -> None:
        """A traced request has its answer."""
        traced: Any = exchange.trace
        span: Span = traced.span
        span.update_name(f"{exchange.method} {exchange.route}")
        span.set_attributes(_attributes(exchange, status))
        if _is_fault(status):
            span.set_status(self._api.StatusCode.ERROR, exchange.outcome)
        context = self._api.set_span_in_context(span)
        for stage, began_s, ended_s in _stages(exchange, seconds):
            began_ns = traced.started_ns + int(began_s * _NS)
            child = self._tracer.start_span(stage, context, start_time=began_ns)
            child.end(traced.started_ns + int(ended_s * _NS))
        span.end(traced.started_ns + int(seconds * _NS))

    def stop(self) -> None:
        """Send what has not been sent."""
        self._provider.shutdown()


def _stages(exchange: Exchange, seconds: float) -> Iterator[tuple[str, float, float]]:
    """The stages with their beginnings and ends, seconds from the request's own.

    What a request waited is one span, before its network's, although some of it may lie elsewhere.
    """
    if exchange.stages is None:
        return
    began_s = 0.0
    for stage, took_s in zip(
        STAGES, (*exchange.stages, seconds - sum(exchange.stages)), strict=True
    ):
        if took_s:
            yield stage, began_s, began_s + took_s
        began_s += took_s


def _attributes(exchange: Exchange, status: int | str) -> dict[str, str | int]:
    known: dict[str, str | int] = {
        "hearth.request_id": exchange.request_id,
        "hearth.protocol": exchange.protocol,
        "hearth.model": exchange.model,
        "hearth.version": exchange.version,
        "hearth.rows": exchange.rows,
        "client.address": exchange.client,
    }
    if exchange.outcome != "ok":
        known |= {"error.type": exchange.outcome, "error.message": exchange.error}
    if isinstance(status, int):
        return {
            **known,
            "http.request.method": exchange.method,
            "url.path": exchange.path,
            "http.response.status_code": status,
        }
    return {
        **known,
        "rpc.system.name": "grpc",
        "rpc.method": exchange.path.removeprefix("/"),
        "rpc.response.status_code": status,
    }


def _is_fault(status: int | str) -> bool:
    if isinstance(status, int):
        return status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return status in _FAULTS
