"""The numbers of all workers as text, in the form that the asker takes.

prometheus_client keeps no exemplars where several processes count, so that each worker
writes its own latest ones into a file beside its numbers, and whoever answers a scrape adds
them to the buckets that they belong to.
"""

from __future__ import annotations

import contextlib
import os
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

import msgspec
from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from prometheus_client import Metric
    from prometheus_client.samples import Sample

    # Of a histogram's labels and the upper bound of a bucket.
    Place = tuple[tuple[str, ...], float]

# Names of TensorFlow Serving's begin with it; they have a path of their own.
FOREIGN: Final = ":"
_EXEMPLARS: Final = "exemplars_{}.json"


def forget_worker(folder: Path, pid: int) -> None:
    """Take a worker that ended out of what counts only live ones."""
    multiprocess.mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    (folder / _EXEMPLARS.format(pid)).unlink(missing_ok=True)


def merge(folder: Path) -> list[Metric]:
    """The numbers of all workers.

    Not prometheus_client's own collector: a worker that is beginning makes its file first
    and fills it then, and in between, or after a kill just there, that one cannot read any.
    """
    merged = multiprocess.MultiProcessCollector.merge
    return list(merged(list(_files(folder)), accumulate=True))  # type: ignore[no-untyped-call]


def _files(folder: Path) -> Iterator[str]:
    for path in folder.glob("*.db"):
        with contextlib.suppress(FileNotFoundError):  # of a worker that has just ended
            if path.stat().st_size:
                yield str(path)


def write(metrics: Iterable[Metric], accept: str) -> tuple[bytes, str]:
    """The text of metrics, and its type.

    Args:
        metrics: Families.
        accept: What the asker takes: OpenMetrics, which has exemplars, or Prometheus's text.
    """
    registry = CollectorRegistry()
    registry.register(_Collected(metrics))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _Collected(Collector):
    """Families that have been collected already."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class _Noted(msgspec.Struct, frozen=True):
    """One exemplar.

    Attributes:
        labels: Values of the histogram's labels.
        bound: The upper bound of its bucket.
        trace_id: The trace that the request was part of.
        value: What was observed.
        at_s: When, seconds since 1970.
    """

    labels: tuple[str, ...]
    bound: float
    trace_id: str
    value: float
    at_s: float

    @property
    def place(self) -> Place:
        """Where it belongs."""
        return self.labels, self.bound


class Exemplars:
    """The latest traced request of each bucket of a histogram.

    Args:
        histogram: The histogram's name.
        labels: Names of its labels.
        bounds: Upper bounds of its buckets, increasing.
    """

    def __init__(self, histogram: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._histogram = histogram
        self._labels = tuple(labels)
        # The last bucket is written down as the largest number: JSON knows no infinity.
        self._bounds = (*bounds, _LARGEST)
        self._latest: dict[Place, _Noted] = {}
        self._written: dict[Place, _Noted] = {}

    def note(self, labels: tuple[str, ...], value: float, trace_id: str) -> None:
        """A traced request was observed."""
        bound = self._bounds[bisect_left(self._bounds, value)]
        noted = _Noted(labels, bound, trace_id, value, time.time())
        self._latest[noted.place] = noted

    def hand_on(self, folder: Path) -> None:
        """Let other workers see them."""
        latest = dict(self._latest)
        if latest == self._written:
            return
        path = folder / _EXEMPLARS.format(os.getpid())
        beside = path.with_suffix(".new")
        beside.write_bytes(msgspec.json.encode(list(latest.values())))
        beside.replace(path)
        self._written = latest

    def add(self, metrics: Iterable[Metric], folder: Path | None) -> list[Metric]:
        """Add all workers' exemplars to the buckets.

        Args:
            metrics: Families; the histogram is among them if anything was counted.
            folder: What the workers share; None for this worker's own alone.
        """
        known = dict(self._latest) if folder is None else _read(folder)
        metrics = list(metrics)
        for metric in metrics if known else ():
            if metric.name == self._histogram:
                metric.samples = [self._with(known, it) for it in metric.samples]
        return metrics

    def _with(self, known: dict[Place, _Noted], sample: Sample) -> Sample:
        if "le" not in sample.labels:
            return sample
        bound = min(float(sample.labels["le"]), _LARGEST)
        noted = known.get((tuple(sample.labels[it] for it in self._labels), bound))
        if noted is None:
            return sample
        exemplar = Exemplar({"trace_id": noted.trace_id}, noted.value, noted.at_s)
        return sample._replace(exemplar=exemplar)


_LARGEST: Final = 1.7976931348623157e308


def _read(folder: Path) -> dict[Place, _Noted]:
    """The latest exemplars of all workers."""
    found: dict[Place, _Noted] = {}
    for path in folder.glob(_EXEMPLARS.format("*")):
        with contextlib.suppress(FileNotFoundError):  # of a worker that has just ended
            for noted in msgspec.json.decode(path.read_bytes(), type=list[_Noted]):
                before: Any = found.get(noted.place)
                if before is None or before.at_s < noted.at_s:
                    found[noted.place] = noted
    return found
