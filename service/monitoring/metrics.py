"""The metrics: what the workers count, and their text for Prometheus.

Several workers share one folder of memory-mapped files, so that any of them answers a
scrape for all, and counters outlive a worker that ends. Requests are counted in plain
numbers first, and handed on a few times a second and before a scrape.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.errors import Overloaded
from service.monitoring import exposition
from service.monitoring.allocation import allocate_numbers
from service.monitoring.exposition import FOREIGN, Exemplars
from service.monitoring.levels import ModelLevels, WorkerLevels
from service.monitoring.tally import STAGES, Tallies
from service.shared import METRICS_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from service.exchange import Exchange
    from service.monitoring.levels import ModelState
    from service.monitoring.tally import Growth, Spread
    from service.monitoring.tensorflow_serving import ServingMetrics
    from service.repository.version import ModelVersion

# Seconds: from 10 µs, where LiteRT's answers lie, to where a caller has given up.
LATENCY_BUCKETS_S: Final = (
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
# A stage of such an answer takes a few microseconds.
STAGE_BUCKETS_S: Final = (1e-6, 2.5e-6, 5e-6, *LATENCY_BUCKETS_S)
_LOAD_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BATCH_BUCKETS: Final = tuple(2**it for it in range(15))
_WAIT_BUCKETS_S: Final = LATENCY_BUCKETS_S
_SECONDS: Final = "hearth_request_seconds"
# Not those that come faster than their caller may: that is no load of ours.
_OVERLOADED: Final = Overloaded.__name__
_log: Final = logging.getLogger("hearth.metrics")


def forget_worker(pid: int) -> None:
    """Take a worker that ended out of the gauges that count only live ones."""
    exposition.forget_worker(Path(os.environ[METRICS_VARIABLE]), pid)


def observe(histogram: Histogram, spread: Spread) -> None:
    """Add observations that are sorted into the histogram's own buckets already."""
    # The library's public way takes one observation at a time.
    for bucket, count in zip(histogram._buckets, spread.buckets, strict=True):  # noqa: SLF001
        if count:
            bucket.inc(count)
    histogram._sum.inc(spread.sum)  # noqa: SLF001


class _Batches:
    """The batches of one version; called by its own threads."""

    def __init__(
        self,
        labels: tuple[str, str],
        sizes: Tallies,
        waits: Tallies,
        serving: ServingMetrics | None,
    ) -> None:
        self._labels = labels
        self._sizes = sizes
        self._waits = waits
        self._serving = serving

    def taken(self, rows: int, size: int, waited_s: Sequence[float]) -> None:
        """A batch is about to be run; see ``BatchObserver``."""
        self._sizes.count(self._labels, rows)
        for seconds in waited_s:
            self._waits.count(self._labels, seconds)
        if self._serving is not None:
            self._serving.batch(self._labels[0], rows, size, waited_s)


class Metrics:
    """The numbers of one worker.

    Args:
        registry: Where they are registered; a new one by default.
        serving: Those under TensorFlow Serving's names; None where nobody asks for them.

    Attributes:
        worked_out: Where those are registered that are worked out when they are asked for.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, serving: ServingMetrics | None = None
    ) -> None:
        allocate_numbers()
        self.worked_out = CollectorRegistry()
        self._is_full = False
        self._registry = registry if registry is not None else CollectorRegistry()
        self._serving_metrics = serving
        self._requests = Counter(
            "hearth_requests",
            "Requests answered, by what came of them: ok or the class of the error.",
            ("protocol", "route", "model", "version", "outcome"),
            registry=self._registry,
        )
        self._shed = Counter(
            "hearth_requests_shed",
            "Requests refused because too much was asked at once.",
            ("protocol", "route", "model"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            _SECONDS,
            "Seconds from a request's last byte to its answer.",
            ("protocol", "route", "model"),
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._stage_seconds = Histogram(
            "hearth_request_stage_seconds",
            "Seconds of an answered request for inference by stage: decode, wait, run, encode.",
            ("protocol", "route", "model", "stage"),
            buckets=STAGE_BUCKETS_S,
            registry=self._registry,
        )
        self._rows = Counter(
            "hearth_rows",
            "Rows predicted.",
            ("model", "version"),
            registry=self._registry,
        )
        self._batch_rows = Histogram(
            "hearth_batch_rows",
            "Rows of a call that joins requests.",
            ("model", "version"),
            buckets=_BATCH_BUCKETS,
            registry=self._registry,
        )
        self._batch_wait = Histogram(
            "hearth_batch_wait_seconds",
            "Seconds that a request waited to be joined with others.",
            ("model", "version"),
            buckets=_WAIT_BUCKETS_S,
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
        self._remote_seconds = Histogram(
            "hearth_remote_call_seconds",
            "Seconds of a call to the servers behind, retries included, by gRPC's code.",
            ("model", "code"),
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._cut_off = Gauge(
            "hearth_remote_cut_off_workers",
            "Workers whose circuit breaker is open: they hold back calls to the servers behind.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._models = ModelLevels(self._registry)
        self._worker = WorkerLevels(self._registry)

        self._tallies = Tallies(LATENCY_BUCKETS_S, STAGE_BUCKETS_S)
        self._batch_sizes = Tallies(_BATCH_BUCKETS)
        self._batch_waits = Tallies(_WAIT_BUCKETS_S)
        self._remote_calls = Tallies(LATENCY_BUCKETS_S)
        self._exemplars = Exemplars(_SECONDS, ("protocol", "route", "model"), LATENCY_BUCKETS_S)

    def worker_started(self, wanted: int = 1) -> None:
        """Count this worker among those that are up, and that there should be."""
        self._worker.started(wanted)

    def answered(self, exchange: Exchange, seconds: float) -> None:
        """Count a request that has its answer."""
        outcome = exchange.outcome
        labels = (
            exchange.protocol, exchange.route, exchange.model, exchange.version, outcome,
        )  # fmt: skip
        if outcome == "ok":
            self._tallies.count(labels, seconds, exchange.rows, exchange.stages)
        else:
            self._tallies.count(labels, seconds)
        if exchange.trace is not None:
            self._exemplars.note(labels[:3], seconds, exchange.trace.id)
        if self._serving_metrics is not None:
            self._serving_metrics.answered(exchange, seconds)

    def hand_on(self) -> None:
        """Give prometheus_client what has been counted since the last time.

        What it has no room for, since the disk is full, is lost.
        """
        with self._as_there_is_room():
            self._hand_on()

    @contextlib.contextmanager
    def _as_there_is_room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._is_full:
                _log.error("what is counted cannot be kept: %s", error.strerror)
            self._is_full = True
        else:
            self._is_full = False

    def _hand_on(self) -> None:
        for grown in self._tallies.growth():
            self._hand_on_requests(grown)
        for tallies, histogram in (
            (self._batch_sizes, self._batch_rows),
            (self._batch_waits, self._batch_wait),
            (self._remote_calls, self._remote_seconds),
        ):
            for grown in tallies.growth():
                observe(histogram.labels(*grown.labels), grown.whole)
        if self._serving_metrics is not None:
            self._serving_metrics.hand_on(observe)
        folder = os.environ.get(METRICS_VARIABLE)
        if folder is not None:
            self._exemplars.hand_on(Path(folder))

    def _hand_on_requests(self, grown: Growth) -> None:
        protocol, route, model, version, outcome = grown.labels
        self._requests.labels(*grown.labels).inc(grown.whole.observed)
        observe(self._seconds.labels(protocol, route, model), grown.whole)
        if grown.rows:
            self._rows.labels(model, version).inc(grown.rows)
        if outcome == _OVERLOADED:
            self._shed.labels(protocol, route, model).inc(grown.whole.observed)
        for stage, spread in zip(STAGES, grown.stages, strict=True):
            if spread.observed:
                observe(self._stage_seconds.labels(protocol, route, model, stage), spread)

    def look(
        self, models: Mapping[str, ModelState], lag_s: float, pending: Mapping[str, int]
    ) -> None:
        """Tell how things stand now; on the event loop, a few times a second.

        Args:
            models: Where each model stands.
            lag_s: Seconds that the event loop came late.
            pending: Requests that wait, by transport.
        """
        with self._as_there_is_room():
            self._models.look(models)
            self._worker.beat(lag_s, pending)

    def batches(self, model: str, number: int) -> _Batches:
        """Who is told of the batches of a version."""
        labels = (model, str(number))
        return _Batches(labels, self._batch_sizes, self._batch_waits, self._serving_metrics)

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

    def called(self, model: str, code: str, seconds: float) -> None:
        """A call to the servers behind has ended, or was held back."""
        self._remote_calls.count((model, code), seconds)

    def fleet(self, *, cut_off: bool) -> None:
        """Tell whether calls to the servers behind are held back now."""
        self._cut_off.set(cut_off)

    def loaded(self, version: ModelVersion, seconds: float) -> None:
        """A version is served from now on, after so long a load."""
        self._loads.labels(version.model, "ok").inc()
        self._load_seconds.labels(version.model).observe(seconds)
        self._serving.labels(version.model, version.number_text).set(1)
        if self._serving_metrics is not None:
            self._serving_metrics.loaded(version, seconds)

    def refused(self, model: str, path: Path, error: Exception) -> None:
        """A version could not be loaded."""
        self._loads.labels(model, type(error).__name__).inc()
        if self._serving_metrics is not None:
            self._serving_metrics.refused(path)

    def unloaded(self, model: str, number: int) -> None:
        """A version is no longer served."""
        self._serving.labels(model, str(number)).set(0)

    def exposition(self) -> bytes:
        """The numbers of all workers in Prometheus's text format."""
        text, _ = self.published("")
        return text

    def published(self, accept: str) -> tuple[bytes, str]:
        """The numbers of all workers, and the type of the text.

        Args:
            accept: What the asker takes; see ``exposition.write``.
        """
        counted = (it for it in self._collected() if not it.name.startswith(FOREIGN))
        own = [*counted, *self.worked_out.collect()]
        folder = os.environ.get(METRICS_VARIABLE)
        with_exemplars = self._exemplars.add(own, None if folder is None else Path(folder))
        return exposition.write(with_exemplars, accept)

    def serving_published(self, _accept: str) -> tuple[bytes, str]:
        """The same under TensorFlow Serving's names, and the type of the text.

        Raises:
            RuntimeError: Nobody asked for them at the start.
        """
        if self._serving_metrics is None:
            raise RuntimeError("there are no numbers under TensorFlow Serving's names")
        return self._serving_metrics.published(list(self._collected()))

    def _collected(self) -> Iterable[Metric]:
        self.hand_on()
        folder = os.environ.get(METRICS_VARIABLE)
        if folder is not None:
            return exposition.merge(Path(folder))
        own = list(self._registry.collect())
        return own if self._serving_metrics is None else [*own, *self._serving_metrics.collect()]
