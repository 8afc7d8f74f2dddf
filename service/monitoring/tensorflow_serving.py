"""The numbers under TensorFlow Serving's names, for dashboards and alerts made for it.

Names, labels and buckets are its own, slashes written as colons. They are counted only where a
monitoring config asks for them, and published on its path alone. What it counts of the inside
of TensorFlow is not there.

References:
    tensorflow_serving/util/prometheus_exporter.cc, servables/tensorflow/util.cc,
    servables/tensorflow/saved_model_warmup_util.cc and batching/batching_session.cc, and
    tensorflow/cc/saved_model/loader.cc.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from service.monitoring.exposition import FOREIGN
from service.monitoring.tally import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from prometheus_client import Metric
    from prometheus_client.samples import Sample

    from service.exchange import Exchange
    from service.monitoring.tally import Spread
    from service.repository.version import ModelVersion

    Observe = Callable[[Histogram, Spread], None]

CONTENT_TYPE: Final = "text/plain"
_MICROS: Final = 1_000_000
_REQUEST_COUNT: Final = ":tensorflow:serving:request_count"
_REQUESTS: Final = "hearth_requests"
_REST: Final = frozenset({"tensorflow_serving", "kserve_v1"})
_GRPC: Final = "tensorflow_serving_grpc"
# Its gRPC calls that are counted, and what their API is called.
_CALLS: Final = {"predict": "Predict", "classify": "Classify", "regress": "Regress"}


def exponential(scale: float, growth: float, count: int) -> tuple[float, ...]:
    """Bounds as TensorFlow makes them: each so many times the one before it.

    Args:
        scale: The first.
        growth: How many times.
        count: How many.
    """
    return tuple(float(f"{scale * growth**it:.10g}") for it in range(count))


_MICROS_BUCKETS: Final = exponential(10, 1.8, 33)
_QUEUE_BUCKETS: Final = exponential(100, 1.2, 52)
_SIZE_BUCKETS: Final = exponential(1, 2, 14)


class _Spread:
    """A histogram, counted in plain numbers first."""

    def __init__(
        self,
        registry: CollectorRegistry,
        name: str,
        labels: tuple[str, ...],
        bounds: Sequence[float],
    ) -> None:
        self._histogram = Histogram(
            f":tensorflow:serving:{name}",
            f"TensorFlow Serving's {name}.",
            labels,
            buckets=bounds,
            registry=registry,
        )
        self._labelled = bool(labels)
        self._tallies = Tallies(bounds)

    def count(self, labels: tuple[str, ...], value: float) -> None:
        self._tallies.count(labels, value)

    def hand_on(self, observe: Observe) -> None:
        for grown in self._tallies.growth():
            histogram = self._histogram.labels(*grown.labels) if self._labelled else self._histogram
            observe(histogram, grown.whole)


class ServingMetrics:
    """TensorFlow Serving's numbers of one worker.

    Args:
        statuses: The name of gRPC's code for each class of errors.
    """

    def __init__(self, statuses: Mapping[str, str]) -> None:
        self._statuses = statuses
        self._registry = CollectorRegistry()

        def spread(name: str, bounds: Sequence[float], *labels: str) -> _Spread:
            return _Spread(self._registry, name, labels, bounds)

        self._request_latency = spread(
            "request_latency", _MICROS_BUCKETS, "model_name", "API", "entrypoint"
        )
        self._runtime_latency = spread(
            "runtime_latency", _MICROS_BUCKETS, "model_name", "API", "runtime"
        )
        self._warm_up = spread("model_warmup_latency", _MICROS_BUCKETS, "model_path", "status")
        self._queuing = spread(
            "batching_session:queuing_latency", _QUEUE_BUCKETS, "thread_pool_name"
        )
        self._input_size = spread("batching_session:input_batch_size", _SIZE_BUCKETS)
        self._processed_size = spread("batching_session:processed_batch_size", _SIZE_BUCKETS)
        self._padding = spread(
            "batching_session:padding_size", _SIZE_BUCKETS, "execution_batch_size"
        )
        self._spreads = (
            self._request_latency, self._runtime_latency, self._warm_up, self._queuing,
            self._input_size, self._processed_size, self._padding,
        )  # fmt: skip
        self._wrapped_runs = self._counter(":tensorflow:serving:batching_session:wrapped_run_count")
        self._warm_up_records = self._counter(
            ":tensorflow:serving:model_warmup_records_read", "model_path", "status"
        )
        self._load_attempts = self._counter(
            ":tensorflow:cc:saved_model:load_attempt_count", "model_path", "status"
        )
        self._load_latency = self._counter(":tensorflow:cc:saved_model:load_latency", "model_path")

    def answered(self, exchange: Exchange, seconds: float) -> None:
        """Count a request that has its answer; requests are counted by ``hearth_requests``."""
        if exchange.outcome != "ok":
            return
        api, entrypoint = _api(exchange.protocol, exchange.route)
        if not entrypoint:
            return
        self._request_latency.count((exchange.model, api, entrypoint), seconds * _MICROS)
        if exchange.stages is not None:
            _, _, run_s = exchange.stages
            labels = (exchange.model, api.capitalize(), "TF1")
            self._runtime_latency.count(labels, run_s * _MICROS)

    def batch(self, model: str, rows: int, size: int, waited_s: Sequence[float]) -> None:
        """A batch is about to be run; see ``BatchObserver``."""
        for seconds in waited_s:
            self._queuing.count((model,), seconds * _MICROS)
        self._input_size.count((), rows)
        self._processed_size.count((), size)
        self._padding.count((str(size),), size - rows)
        self._wrapped_runs.inc()

    def loaded(self, version: ModelVersion, seconds: float) -> None:
        """A version is served from now on, after so long a load."""
        path = str(version.path)
        self._load_attempts.labels(path, "success").inc()
        self._load_latency.labels(path).inc(int(seconds * _MICROS))
        if version.warm_up.records:
            self._warm_up_records.labels(path, "OK").inc(version.warm_up.records)
            self._warm_up.count((path, "OK"), version.warm_up.seconds * _MICROS)

    def refused(self, path: Path) -> None:
        """A version could not be loaded."""
        self._load_attempts.labels(str(path), "fail").inc()

    def hand_on(self, observe: Observe) -> None:
        """Give prometheus_client what has been counted since the last time."""
        for spread in self._spreads:
            spread.hand_on(observe)

    def collect(self) -> Iterable[Metric]:
        """What this worker has counted, where it is the only one."""
        return self._registry.collect()

    def published(self, metrics: Sequence[Metric]) -> tuple[bytes, str]:
        """The text in TensorFlow Serving's form, and its type.

        Args:
            metrics: All families of all workers, ours too.
        """
        lines = self._request_count(metrics)
        for metric in metrics:
            if metric.name.startswith(FOREIGN):
                lines += [f"# TYPE {metric.name} {metric.type}", *map(_line, metric.samples)]
        return ("\n".join(lines) + "\n").encode(), CONTENT_TYPE

    def _request_count(self, metrics: Iterable[Metric]) -> list[str]:
        counts: dict[tuple[str, str], float] = defaultdict(float)
        for metric in metrics:
            for sample in metric.samples if metric.name == _REQUESTS else ():
                labels = sample.labels
                _, entrypoint = _api(labels["protocol"], labels["route"])
                if entrypoint and sample.name.endswith("_total"):
                    counts[labels["model"], self._status(labels["outcome"])] += sample.value
        names = ("model_name", "status")
        return [
            f"# TYPE {_REQUEST_COUNT} counter",
            *(
                f"{_REQUEST_COUNT}{_labels(dict(zip(names, labels, strict=True)))} {count:.17g}"
                for labels, count in sorted(counts.items())
            ),
        ]

    def _status(self, outcome: str) -> str:
        return "OK" if outcome == "ok" else self._statuses.get(outcome, "UNKNOWN")

    def _counter(self, name: str, *labels: str) -> Counter:
        what = name.rpartition(":")[2]
        return Counter(name, f"TensorFlow Serving's {what}.", labels, registry=self._registry)


def _api(protocol: str, route: str) -> tuple[str, str]:
    """What TensorFlow Serving calls a route, and by where it came; empty if it counts no such."""
    if protocol in _REST:
        return (route if route in _CALLS else "", "REST")
    if protocol == _GRPC and route in _CALLS:
        return _CALLS[route], "GRPC"
    return "", ""


def _line(sample: Sample) -> str:
    name = sample.name.removesuffix("_total")  # prometheus_client's, not TensorFlow's
    return f"{name}{_labels(sample.labels)} {sample.value:.17g}"


def _labels(labels: Mapping[str, str]) -> str:
    """Labels in braces, which stand there even if there are none."""
    return "{" + ",".join(f'{name}="{_value(name, it)}"' for name, it in labels.items()) + "}"


def _value(name: str, value: str) -> str:
    if name == "le" and value != "+Inf":
        return f"{float(value):.6g}"
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
