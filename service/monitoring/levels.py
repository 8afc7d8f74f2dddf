"""What stands at some height now: versions, labels, queues, workers. Looked at on a timer."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client import Counter, Gauge

from service import VERSION
from service.inference.batching import Batching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prometheus_client import CollectorRegistry

    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

_STATM: Final = Path("/proc/self/statm")  # Linux alone has it
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Waiting(NamedTuple):
    """The queue of a version whose requests are joined.

    Attributes:
        rows: Rows that wait.
        most_rows: Rows that may wait.
    """

    rows: int
    most_rows: int


class ModelState(NamedTuple):
    """Where a model stands in one worker.

    Attributes:
        served: Numbers of the versions served, and what runs each.
        labels: Which version each label stands for.
        refused: How many of its versions could not be loaded.
        waiting: The queues of the versions that have one.
    """

    served: Mapping[int, str]
    labels: Mapping[str, int]
    refused: int
    waiting: Mapping[int, Waiting]


def states(repository: Repository) -> dict[str, ModelState]:
    """Where the models stand."""
    refused = repository.refused()
    served: dict[str, list[ModelVersion]] = {model: [] for model in repository.names()}
    for version in repository.versions():
        served.setdefault(version.model, []).append(version)
    return {
        model: ModelState(
            served={it.number: it.executor.name for it in versions},
            labels=repository.labels(model),
            refused=len(refused.get(model, ())),
            waiting={
                it.number: Waiting(it.executor.waiting_rows, it.executor.most_waiting_rows)
                for it in versions
                if isinstance(it.executor, Batching)
            },
        )
        for model, versions in served.items()
    }


class _Level:
    """A gauge whose labels come and go: those that are gone are 0 from then on.

    prometheus_client cannot take labels away where several processes write.
    """

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge
        self._told: dict[tuple[str, ...], float] = {}

    def tell(self, levels: Mapping[tuple[str, ...], float]) -> None:
        """These are the levels now."""
        now = {**dict.fromkeys(self._told, 0.0), **levels}
        for labels, level in now.items():
            if self._told.get(labels) != level:
                self._gauge.labels(*labels).set(level)
        self._told = now


class ModelLevels:
    """The models of one worker.

    Args:
        registry: Where the gauges are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def level(name: str, meaning: str, *labels: str) -> _Level:
            mode = "livemax" if labels == ("model",) else "livesum"
            return _Level(
                Gauge(name, meaning, labels, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]
            )

        self._newest = level(
            "hearth_model_newest_version", "Number of the newest version served; 0 for none.",
            "model",
        )  # fmt: skip
        self._labels = level(
            "hearth_model_label_workers", "Workers in which a label stands for a version.",
            "model", "label", "version",
        )  # fmt: skip
        self._runs = level(
            "hearth_model_version_info", "Workers that serve a version, and what runs it there.",
            "model", "version", "executor",
        )  # fmt: skip
        self._refused = level(
            "hearth_model_versions_refused", "Versions whose last load failed.", "model"
        )
        self._rows = level("hearth_queue_rows", "Rows that wait to be joined.", "model", "version")
        self._most_rows = level(
            "hearth_queue_limit_rows", "Rows that may wait; more is shed.", "model", "version"
        )
        self._swaps = Counter(
            "hearth_model_swaps",
            "Changes of the newest version served from one to another, in each worker.",
            ("model",),
            registry=registry,
        )
        self._before: dict[str, int] = {}

    def look(self, states: Mapping[str, ModelState]) -> None:
        """Tell where the models stand now."""
        newest = {model: max(it.served, default=0) for model, it in states.items()}
        self._newest.tell({(model,): number for model, number in newest.items()})
        self._refused.tell({(model,): it.refused for model, it in states.items()})
        self._labels.tell(
            {
                (model, label, str(number)): 1
                for model, it in states.items()
                for label, number in it.labels.items()
                if number in it.served
            }
        )
        self._runs.tell(
            {
                (model, str(number), executor): 1
                for model, it in states.items()
                for number, executor in it.served.items()
            }
        )
        queues = {
            (model, str(number)): queue
            for model, it in states.items()
            for number, queue in it.waiting.items()
        }
        self._rows.tell({labels: it.rows for labels, it in queues.items()})
        self._most_rows.tell({labels: it.most_rows for labels, it in queues.items()})
        self._count_swaps(newest)

    def _count_swaps(self, newest: Mapping[str, int]) -> None:
        for model, number in newest.items():
            # From 0 on, since Prometheus cannot see a counter grow that begins with 1.
            self._swaps.labels(model)
            if number and self._before.get(model, number) != number:
                self._swaps.labels(model).inc()
            if number:
                self._before[model] = number


class WorkerLevels:
    """What is known of this worker's process.

    Args:
        registry: Where the gauges are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, meaning: str, *labels: str) -> Gauge:
            mode = "livemax" if "worker" in labels else "livesum"
            return Gauge(name, meaning, labels, registry=registry, multiprocess_mode=mode)  # type: ignore[arg-type]

        self._workers = gauge("hearth_workers", "Workers that are up.")
        self._wanted = Gauge(
            "hearth_workers_wanted",
            "Workers that there should be.",
            registry=registry,
            multiprocess_mode="max",
        )
        self._heartbeat = gauge(
            "hearth_worker_heartbeat_timestamp_seconds",
            "When a worker's event loop last had its turn, seconds since 1970.", "worker",
        )  # fmt: skip
        self._lag = gauge(
            "hearth_worker_loop_lag_seconds",
            "How late a worker's event loop came to its last quarter of a second.", "worker",
        )  # fmt: skip
        self._memory = gauge(
            "hearth_worker_resident_memory_bytes", "Memory that a worker holds.", "worker"
        )
        self._started = gauge(
            "hearth_worker_start_time_seconds", "When a worker began, seconds since 1970.", "worker"
        )
        self._pending = gauge(
            "hearth_requests_pending",
            "Requests that wait for a thread, for a batch or for their network.", "transport",
        )  # fmt: skip
        self._build = Gauge(
            "hearth_build_info",
            "1, and what is served with.",
            ("version", "python", "litert", "grpc"),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._cpu = Counter(
            "hearth_cpu_seconds",
            "Seconds that the workers' threads have computed.",
            registry=registry,
        )
        self._cpu_s = 0.0

    def started(self, wanted: int) -> None:
        """This worker is up, one of so many."""
        self._workers.set(1)
        self._wanted.set(wanted)
        self._started.labels(_pid()).set(time.time())
        litert, grpc = installed("ai-edge-litert"), installed("grpcio")
        self._build.labels(VERSION, platform.python_version(), litert, grpc).set(1)

    def beat(self, lag_s: float, pending: Mapping[str, int]) -> None:
        """The event loop has its turn.

        Args:
            lag_s: Seconds that it came late.
            pending: Requests that wait, by transport.
        """
        worker = _pid()
        self._heartbeat.labels(worker).set(time.time())
        self._lag.labels(worker).set(lag_s)
        self._memory.labels(worker).set(_resident_bytes())
        for transport, requests in pending.items():
            self._pending.labels(transport).set(requests)
        before_s, self._cpu_s = self._cpu_s, time.process_time()
        self._cpu.inc(self._cpu_s - before_s)


def _pid() -> str:
    """What a worker goes by; prometheus_client keeps the label ``pid`` to itself."""
    return str(os.getpid())


def _resident_bytes() -> int:
    """What the kernel says; 0 where it does not say so here."""
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except FileNotFoundError:
        return 0
