"""How often each version has answered over Open Inference Protocol, and how long it took."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


class Durations(msgspec.Struct, frozen=True, gc=False):
    """Nanoseconds of one answer.

    Attributes:
        whole: From the request's last byte to its answer.
        to_inputs: Until the inputs were arrays that the model takes.
        inference: In the model.
        to_answer: From the outputs to the answer.
    """

    whole: int
    to_inputs: int
    inference: int
    to_answer: int


@dataclass(slots=True)
class _Counts:
    """Rows, answers and failures, and the nanoseconds that they took."""

    rows: int = 0
    last_ms: int = 0
    answers: int = 0
    answers_ns: int = 0
    failures: int = 0
    failures_ns: int = 0
    to_inputs_ns: int = 0
    inference_ns: int = 0
    to_answer_ns: int = 0


class Statistics:
    """The counts of one worker since it started; any thread may add to them.

    Args:
        clock: Seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, int], _Counts] = {}

    def answered(self, model: str, version: int, rows: int, durations: Durations) -> None:
        """A version has answered."""
        with self._lock:
            counts = self._of(model, version)
            counts.rows += rows
            counts.last_ms = int(self._clock() * 1000)
            counts.answers += 1
            counts.answers_ns += durations.whole
            counts.to_inputs_ns += durations.to_inputs
            counts.inference_ns += durations.inference
            counts.to_answer_ns += durations.to_answer

    def failed(self, model: str, version: int, whole_ns: int) -> None:
        """A request for a version was refused, or the model failed."""
        with self._lock:
            counts = self._of(model, version)
            counts.failures += 1
            counts.failures_ns += whole_ns

    def shown(self, served: Mapping[str, Iterable[int]]) -> list[dict[str, Any]]:
        """The counts of versions, those that have not been asked included.

        Args:
            served: Numbers of versions by model.
        """
        with self._lock:
            return [
                _shown(model, number, self._counts.get((model, number), _Counts()))
                for model, numbers in sorted(served.items())
                for number in sorted(numbers)
            ]

    def _of(self, model: str, version: int) -> _Counts:
        counts = self._counts.get((model, version))
        if counts is None:
            counts = self._counts[model, version] = _Counts()
        return counts


def _shown(model: str, number: int, counts: _Counts) -> dict[str, Any]:
    none = _sum(0, 0)
    return {
        "name": model,
        "version": str(number),
        "last_inference": counts.last_ms,
        "inference_count": counts.rows,
        "execution_count": counts.answers,
        "inference_stats": {
            "success": _sum(counts.answers, counts.answers_ns),
            "fail": _sum(counts.failures, counts.failures_ns),
            "queue": none,
            "compute_input": _sum(counts.answers, counts.to_inputs_ns),
            "compute_infer": _sum(counts.answers, counts.inference_ns),
            "compute_output": _sum(counts.answers, counts.to_answer_ns),
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": [],
        "memory_usage": [],
    }


def _sum(count: int, ns: int) -> dict[str, int]:
    return {"count": count, "ns": ns}
