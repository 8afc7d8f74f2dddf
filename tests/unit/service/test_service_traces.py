"""Which requests are traced, and where they stand in their callers' traces."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from service.exchange import Exchanges
from service.http.fast_lane import framed
from service.http.messages import Response
from service.monitoring.metrics import Metrics
from service.monitoring.traces import Traces
from tests.servers import ROOT
from tests.unit.service.test_service_monitoring import Log, Sink, exchange

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
BROKEN = {"traceparent": "00-nonsense-01"}


@pytest.fixture
def tracing():
    """Makes traces; nothing is sent, since no span is ended."""
    made = []

    def make(share: float) -> Traces:
        # A port that nobody listens on.
        made.append(Traces("http://127.0.0.1:9/v1/traces", share))
        return made[-1]

    yield make
    for it in made:
        it.stop()


@pytest.mark.parametrize(
    ("carrier", "share", "traced"),
    [
        (SAMPLED, 0.0, True),
        (NOT_SAMPLED, 1.0, False),
        (BROKEN, 0.0, False),
        (BROKEN, 1.0, True),
        ({}, 0.0, False),
        ({}, 1.0, True),
    ],
)
def test_the_caller_decides_and_of_the_others_a_share_is_traced(tracing, carrier, share, traced):
    assert (tracing(share).begin(carrier) is not None) == traced


def test_a_request_has_a_place_of_its_own_in_its_callers_trace(tracing):
    own = tracing(0.0).begin(SAMPLED)

    assert own.id == TRACE
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", own.context)
    assert CALLER not in own.context


def test_a_request_of_nobody_begins_a_trace(tracing):
    first, second = (tracing(1.0).begin({}) for _ in range(2))

    assert first.id != second.id
    assert re.fullmatch("[0-9a-f]{32}", first.id)


def test_without_traces_no_request_has_one():
    exchanges = Exchanges(Sink())

    assert not exchanges.traces
    assert exchanges.begin("GET", "/", "", None, SAMPLED).trace is None


def test_without_traces_nothing_of_opentelemetry_is_imported():
    look = "import sys, service.process; print(*(it for it in sys.modules if 'telemetry' in it))"
    done = subprocess.run(
        [sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == []


def test_the_answer_says_where_it_stands(tracing):
    begun = Exchanges(Sink(), tracing(0.0)).begin("POST", "/", "", "id-1", SAMPLED)
    sent = framed(Response(200, b"{}"), begun.request_id, begun.trace)

    head, _, body = sent.partition(b"\r\n\r\n")
    assert f"\r\ntraceresponse: {begun.trace.context}".encode() in head
    assert body == b"{}"
    assert b"traceresponse" not in framed(Response(200, b"{}"), "id-1")


def test_the_log_has_the_traces_id(tracing):
    log = Log("all")
    log.log.write(exchange(trace=tracing(0.0).begin(SAMPLED)), 200, 0.1)

    assert log.lines()[0]["trace_id"] == TRACE


def exemplars(metrics: Metrics) -> dict[str, tuple[str, float]]:
    """Trace and seconds by the upper bound of the bucket."""
    text, kind = metrics.published("application/openmetrics-text")
    assert kind.startswith("application/openmetrics-text")
    return {
        sample.labels["le"]: (sample.exemplar.labels["trace_id"], sample.exemplar.value)
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.exemplar is not None
    }


def answer(metrics, traces, seconds, carrier=SAMPLED) -> None:
    traced = exchange(protocol="rest", route="predict", trace=traces.begin(carrier))
    metrics.answered(traced, seconds)


def test_a_bucket_has_its_latest_trace(tracing):
    metrics, traces = Metrics(CollectorRegistry()), tracing(0.0)
    other = {"traceparent": f"00-{'a' * 32}-{CALLER}-01"}
    answer(metrics, traces, 0.0004, other)
    answer(metrics, traces, 0.0003)
    answer(metrics, traces, 100.0, other)
    metrics.answered(exchange(protocol="rest", route="predict"), 0.002)  # not traced

    assert exemplars(metrics) == {"0.0005": (TRACE, 0.0003), "+Inf": ("a" * 32, 100.0)}
    assert b"trace_id" not in metrics.exposition()  # which Prometheus's own form cannot carry


def test_a_worker_shows_what_the_others_traced(tracing, tmp_path):
    metrics = Metrics(CollectorRegistry())
    answer(metrics, tracing(0.0), 0.0003)
    metrics.hand_on()
    metrics._exemplars.hand_on(tmp_path)
    (written,) = json.loads((next(tmp_path.glob("exemplars_*.json"))).read_bytes())
    newer = {**written, "trace_id": "b" * 32, "at_s": written["at_s"] + 1}
    (tmp_path / "exemplars_1.json").write_text(json.dumps([newer]))

    collected = metrics._exemplars.add(metrics._registry.collect(), tmp_path)
    found = {
        sample.exemplar.labels["trace_id"]
        for family in collected
        for sample in family.samples
        if sample.exemplar is not None
    }
    assert found == {"b" * 32}
