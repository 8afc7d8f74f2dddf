"""The access log and the metrics, as an operator reads them."""

from __future__ import annotations

import errno
import io
import json
import os
import random
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.mmap_dict import MmapedDict, mmap_key
from prometheus_client.parser import text_string_to_metric_families

from service.errors import InvalidRequest, NotPossibleNow, NotReady, PayloadTooLarge
from service.exchange import Exchange, Exchanges, is_observed
from service.monitoring.access_log import AccessLog, LogPolicy, parse_access_log
from service.monitoring.metrics import LATENCY_BUCKETS_S, Metrics
from service.security.audit import AuditLog
from service.shared import METRICS_VARIABLE
from tests.unit.service.fakes import Broken, version


def exchange(**noted) -> Exchange:
    made = Exchange("id-1", "POST", "/v1/models/housing:predict", "10.0.0.7", 0.0)
    for name, value in noted.items():
        setattr(made, name, value)
    return made


class Log:
    """An access log whose lines can be read."""

    def __init__(self, policy: str, slow_s: float = 1.0) -> None:
        self.stream = io.StringIO()
        self.log = AccessLog(parse_access_log(policy), slow_s, self.stream)

    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("off", LogPolicy(errors=False, share=0)),
        ("errors", LogPolicy(errors=True, share=0)),
        ("all", LogPolicy(errors=True, share=1)),
        ("sampled:0.25", LogPolicy(errors=True, share=0.25)),
        ("sampled:0", LogPolicy(errors=True, share=0)),
        ("sampled:1", LogPolicy(errors=True, share=1)),
    ],
)
def test_a_policy_is_read(text, policy):
    assert parse_access_log(text) == policy


@pytest.mark.parametrize(
    "text", ["", "some", "ALL", "sampled", "sampled:", "sampled:x", "sampled:-1", "sampled:nan"]
)
def test_another_policy_is_refused(text):
    with pytest.raises(ValueError, match="not off, errors, all or sampled:RATE"):
        parse_access_log(text)


class Disk(io.StringIO):
    """A file on a disk that may be full."""

    full = True

    def flush(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_log_that_cannot_be_written_is_told_of_once_a_time_and_fails_nobody(caplog):
    disk = Disk()
    access, audit = AccessLog(LogPolicy(errors=True, share=1), 1.0, disk), AuditLog(stream=disk)
    for full in (True, True, False, True):
        disk.full = full
        access.write(*GOOD)
        audit.write(exchange(), 200)

    said = "the {} log cannot be written: No space left on device"
    assert caplog.messages == [said.format("access"), said.format("audit")] * 2


GOOD = (exchange(), 200, 0.001)
SLOW = (exchange(), 200, 1.0)
FAILED = (exchange(outcome="InvalidRequest", error="no"), 400, 0.001)


@pytest.mark.parametrize(
    ("policy", "logged"),
    [
        ("off", []),
        ("errors", [SLOW, FAILED]),
        ("all", [GOOD, SLOW, FAILED]),
        ("sampled:0", [SLOW, FAILED]),
    ],
)
def test_the_policy_says_which_requests_are_logged(policy, logged):
    log = Log(policy)
    for request in (GOOD, SLOW, FAILED):
        log.log.write(*request)

    assert [(it["status"], it["duration_ms"]) for it in log.lines()] == [
        (status, seconds * 1000) for _, status, seconds in logged
    ]


def test_a_sample_is_about_its_share():
    random.seed(7)
    log = Log("sampled:0.1")
    for _ in range(2000):
        log.log.write(*GOOD)

    # 200 expected; the binomial's standard deviation is 13.4.
    assert 140 < len(log.lines()) < 260


def test_a_line_says_all_that_is_known_of_the_request():
    log = Log("all")
    noted = exchange(model="housing", version="3", rows=2, outcome="ok")
    log.log.write(noted, 200, 0.0123456)

    (line,) = log.lines()
    time = line.pop("time")
    assert datetime.fromisoformat(time).utcoffset() is not None
    assert line == {
        "request_id": "id-1",
        "trace_id": "",
        "client": "10.0.0.7",
        "caller": "",
        "method": "POST",
        "path": "/v1/models/housing:predict",
        "status": 200,
        "outcome": "ok",
        "model": "housing",
        "version": "3",
        "rows": 2,
        "duration_ms": 12.346,
        "error": "",
    }


def test_no_request_can_write_a_line_of_its_own():
    log = Log("all")
    log.log.write(exchange(path="/\n{}", error='"\n'), 404, 0.0)

    assert len(log.lines()) == 1


def test_half_a_surrogate_pair_can_be_logged():
    log = Log("all")
    failed = exchange()
    failed.failed(NotReady("\ud800"))
    log.log.write(failed, 503, 0.0)

    assert log.lines()[0]["error"] == "?"


def samples(metrics: Metrics) -> dict[tuple, float]:
    """Every sample by its name and its labels' values, in the order of the labels' names."""
    return {
        (sample.name, *(sample.labels[key] for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(metrics.exposition().decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics():
    return Metrics(CollectorRegistry())


def test_requests_are_counted_by_what_came_of_them(metrics):
    good = exchange(protocol="rest", route="predict", model="housing", version="1", rows=3)
    bad = exchange(protocol="rest", route="predict", outcome="InvalidRequest")
    for request in (good, good, bad):
        metrics.answered(request, 0.00002)

    seen = samples(metrics)
    # Labels sorted by name: model, outcome, protocol, route, version.
    assert seen["hearth_requests_total", "housing", "ok", "rest", "predict", "1"] == 2
    assert seen["hearth_requests_total", "", "InvalidRequest", "rest", "predict", ""] == 1
    assert seen["hearth_rows_total", "housing", "1"] == 6


def test_a_failed_request_predicts_no_rows(metrics):
    metrics.answered(exchange(model="housing", version="1", rows=3, outcome="InternalError"), 1)

    assert "hearth_rows_total" not in {name for name, *_ in samples(metrics)}


def test_latency_is_told_apart_from_ten_microseconds_up(metrics):
    assert LATENCY_BUCKETS_S[0] == 1e-5
    assert list(LATENCY_BUCKETS_S) == sorted(LATENCY_BUCKETS_S)
    for seconds in (0.000009, 0.00002, 100):
        metrics.answered(exchange(protocol="rest", route="predict"), seconds)

    seen = samples(metrics)
    bucket = "hearth_request_seconds_bucket"
    assert seen[bucket, "1e-05", "", "rest", "predict"] == 1
    assert seen[bucket, "2.5e-05", "", "rest", "predict"] == 2
    assert seen[bucket, "+Inf", "", "rest", "predict"] == 3
    assert seen["hearth_request_seconds_sum", "", "rest", "predict"] == pytest.approx(100.000029)


def test_loads_and_refusals_and_what_is_served_are_told(metrics):
    metrics.loaded(version(1), 0.02)
    metrics.loaded(version(2), 0.02)
    metrics.refused("housing", Path("/models/housing/3"), InvalidRequest("no"))
    metrics.unloaded("housing", 1)

    seen = samples(metrics)
    assert seen["hearth_model_loads_total", "housing", "ok"] == 2
    assert seen["hearth_model_loads_total", "housing", "InvalidRequest"] == 1
    assert seen["hearth_model_version_workers", "housing", "1"] == 0
    assert seen["hearth_model_version_workers", "housing", "2"] == 1
    assert seen["hearth_model_load_seconds_count", "housing"] == 2


def test_every_metric_has_a_help_text_and_the_projects_prefix(metrics):
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        assert family.name.startswith("hearth_")
        assert family.documentation.endswith(".")


def test_a_worker_that_has_made_its_file_but_not_filled_it_does_not_spoil_the_scrape(
    metrics, tmp_path, monkeypatch
):
    monkeypatch.setenv(METRICS_VARIABLE, str(tmp_path))
    for pid, count in ((1, 3.0), (2, 4.0)):
        key = mmap_key("hearth_things", "hearth_things_total", (), (), "Things.")
        shared = MmapedDict(str(tmp_path / f"counter_{pid}.db"))
        shared.write_value(key, count, 0.0)
        shared.close()
    (tmp_path / "counter_3.db").touch()

    assert samples(metrics) == {("hearth_things_total",): 7}


class Sink:
    def __init__(self) -> None:
        self.finished_with: list[tuple[str, int, float]] = []

    def finished(self, exchange: Exchange, status: int, seconds: float) -> None:
        self.finished_with.append((exchange.request_id, status, seconds))


@pytest.mark.parametrize("given", ["a", "A-Z_0.9:x"[:3], "req-1.2:3", "x" * 128])
def test_a_plain_request_id_is_kept(given):
    assert Exchanges(Sink()).begin("GET", "/", "", given).request_id == given


@pytest.mark.parametrize("given", [None, "", "a b", "a\r\nb", "é", "x" * 129, "<script>"])
def test_any_other_request_id_is_replaced_by_a_new_one(given):
    exchanges = Exchanges(Sink())
    made = [exchanges.begin("GET", "/", "", given).request_id for _ in range(3)]

    assert given not in made
    assert len(set(made)) == 3
    assert all(it.isascii() and it.isprintable() for it in made)


@pytest.mark.parametrize(
    ("told", "observed"),
    [(None, True), ("no", False), (" No ", False), ("", True), ("yes", True), ("nobody", True)],
)
def test_a_request_is_a_real_case_unless_its_caller_says_no(told, observed):
    assert is_observed(told) is observed
    begun = Exchanges(Sink()).begin("POST", "/", "", None, observed=is_observed(told))
    assert begun.observed is observed


def test_workers_do_not_share_request_ids():
    made = [Exchanges(Sink()).begin("GET", "/", "", None).request_id for _ in range(10)]

    assert len(set(made)) == 10


def test_the_end_of_an_exchange_is_told_once_with_its_seconds():
    sink = Sink()
    exchanges = Exchanges(sink)
    exchanges.end(exchanges.begin("GET", "/", "", "a"), 204)

    ((request_id, status, seconds),) = sink.finished_with
    assert (request_id, status) == ("a", 204)
    assert seconds >= 0


def test_what_nobody_foresaw_is_shown_as_its_request_id_alone(caplog):
    made = exchange()
    try:
        Broken().run("named", {})
    except ZeroDivisionError as error:
        shown = made.failed(error)

    assert shown.message == "internal error, request id id-1"
    assert made.outcome == "InternalError"
    assert made.error.startswith("ZeroDivisionError in run (fakes.py:")
    assert f"request id-1 failed: {made.error} < " in caplog.text
    for text in (caplog.text, made.error):
        assert "the wires are crossed" not in text  # it might quote the request
        assert "Traceback" not in text
        assert "/tests/" not in text


@pytest.mark.parametrize("kind", [InvalidRequest, NotPossibleNow, PayloadTooLarge])
def test_the_log_repeats_nothing_of_a_wrong_request(kind):
    log = Log("all")
    failed = exchange()
    failed.failed(kind("instances[3].RM is 51 rooms, outside [0, 50]"))
    log.log.write(failed, 400, 0.0)

    (line,) = log.lines()
    assert (line["outcome"], line["error"]) == (kind.__name__, "")
