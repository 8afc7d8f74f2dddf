"""The metrics, and their text for Prometheus.

Several workers share one folder of memory-mapped files, so that any of them answers a
scrape for all, and counters outlive a worker that ends. Requests are counted in plain
numbers first, and handed on a few times a second and before a scrape.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)
from prometheus_client.registry import Collector

from service.monitoring.tally import Tallies
from service.shared import METRICS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

    from service.exchange import Exchange
    from service.monitoring.tally import Growth
    from service.repository.version import ModelVersion

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Seconds: from 10 µs, where LiteRT's answers lie, to where a caller has given up.
LATENCY_BUCKETS_S: Final = (
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
_LOAD_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def forget_worker(pid: int) -> None:
    """Take a worker that ended out of the gauges that count only live ones."""
    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class _Workers(Collector):
    """The numbers of all workers, merged from their files.

    Not prometheus_client's own collector: a worker that is beginning makes its file first
    and fills it then, and in between, or after a kill just there, that one cannot read any.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        merge = multiprocess.MultiProcessCollector.merge
        return merge(list(self._files()), accumulate=True)  # type: ignore[no-any-return, no-untyped-call]

    def _files(self) -> Iterator[str]:
        for path in self._folder.glob("*.db"):
            with contextlib.suppress(FileNotFoundError):  # of a worker that has just ended
                if path.stat().st_size:
                    yield str(path)


def _observe(histogram: Histogram, grown: Growth) -> None:
    """Add durations that are sorted into the histogram's own buckets already."""
    # The library's public way takes one duration at a time.
    for bucket, count in zip(histogram._buckets, grown.buckets, strict=True):  # noqa: SLF001
        if count:
            bucket.inc(count)
    histogram._sum.inc(grown.seconds)  # noqa: SLF001


class Metrics:
    """The numbers of one worker.

    Args:
        registry: Where they are registered; a new one by default.

    Attributes:
        worked_out: Where those are registered that are worked out when they are asked for.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.worked_out = CollectorRegistry()
        self._registry = registry if registry is not None else CollectorRegistry()
        self._requests = Counter(
            "hearth_requests",
            "Requests answered, by what came of them: ok or the class of the error.",
            ("protocol", "route", "model", "version", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "hearth_request_seconds",
            "Seconds from a request's last byte to its answer.",
            ("protocol", "route"),
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._rows = Counter(
            "hearth_rows",
            "Rows predicted.",
            ("model", "version"),
            registry=self._registry,
        )
        self._serving = Gauge(
            "hearth_model_version_workers",
            "Workers that serve a version; 0 once it is unloaded.",
            ("model", "version"),
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._loads = Counter(
            "hearth_model_loads",
            "Loads of a version, by what came of them: ok or the class of the error.",
            ("model", "outcome"),
            registry=self._registry,
        )
        self._load_seconds = Histogram(
            "hearth_model_load_seconds",
            "Seconds that a load took, checks included.",
            ("model",),
            buckets=_LOAD_BUCKETS_S,
            registry=self._registry,
        )
        self._workers = Gauge(
            "hearth_workers",
            "Workers that are up.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )

        self._unobserved = Counter(
            "hearth_unobserved_rows",
            "Rows predicted but not looked at for drift, request log or feedback: too many came.",
            ("model", "version"),
            registry=self._registry,
        )
        self._logged = Counter(
            "hearth_request_log_requests",
            "Requests to be logged, by what came of them: written, dropped or failed.",
            ("model", "outcome"),
            registry=self._registry,
        )
        self._kept = Counter(
            "hearth_feedback_predictions",
            "Predictions for which a true price may come: kept, dropped or failed.",
            ("model", "outcome"),
            registry=self._registry,
        )
        self._truths = Counter(
            "hearth_feedback_truths",
            "True prices, by whether their prediction was found: matched or unmatched.",
            ("model", "outcome"),
            registry=self._registry,
        )
        self._tallies = Tallies(LATENCY_BUCKETS_S)

    def worker_started(self) -> None:
        """Count this worker among those that are up."""
        self._workers.set(1)

    def answered(self, exchange: Exchange, seconds: float) -> None:
        """Count a request that has its answer."""
        outcome = exchange.outcome
        labels = (
            exchange.protocol, exchange.route, exchange.model, exchange.version, outcome,
        )  # fmt: skip
        self._tallies.count(labels, seconds, exchange.rows if outcome == "ok" else 0)

    def hand_on(self) -> None:
        """Give prometheus_client what has been counted since the last time."""
        for grown in self._tallies.growth():
            protocol, route, model, version, _ = grown.labels
            self._requests.labels(*grown.labels).inc(grown.requests)
            _observe(self._seconds.labels(protocol, route), grown)
            if grown.rows:
                self._rows.labels(model, version).inc(grown.rows)

    def unobserved(self, model: str, version: str, rows: int) -> None:
        """So many rows were predicted without being looked at."""
        self._unobserved.labels(model, version).inc(rows)

    def logged(self, model: str, outcome: str, requests: int) -> None:
        """So many requests that were to be logged came to this."""
        self._logged.labels(model, outcome).inc(requests)

    def kept(self, model: str, outcome: str, rows: int) -> None:
        """So many predictions that may get a true price came to this."""
        self._kept.labels(model, outcome).inc(rows)

    def joined(self, model: str, outcome: str, rows: int) -> None:
        """So many true prices did or did not find their predictions."""
        self._truths.labels(model, outcome).inc(rows)

    def loaded(self, version: ModelVersion, seconds: float) -> None:
        """A version is served from now on, after so long a load."""
        self._loads.labels(version.model, "ok").inc()
        self._load_seconds.labels(version.model).observe(seconds)
        self._serving.labels(version.model, str(version.number)).set(1)

    def refused(self, model: str, error: Exception) -> None:
        """A version could not be loaded."""
        self._loads.labels(model, type(error).__name__).inc()

    def unloaded(self, model: str, number: int) -> None:
        """A version is no longer served."""
        self._serving.labels(model, str(number)).set(0)

    def exposition(self) -> bytes:
        """The numbers of all workers in Prometheus's text format."""
        self.hand_on()
        folder = os.environ.get(METRICS_VARIABLE)
        counted = self._registry
        if folder is not None:
            counted = CollectorRegistry()
            counted.register(_Workers(Path(folder)))
        return generate_latest(counted) + generate_latest(self.worked_out)
