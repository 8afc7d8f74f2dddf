"""How often each version has answered over Open Inference Protocol, and how long it took."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Durations:
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
class _Sum:
    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns

    def shown(self) -> dict[str, int]:
        return {"count": self.count, "ns": self.ns}


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    last_ms: int = 0
    success: _Sum = field(default_factory=_Sum)
    fail: _Sum = field(default_factory=_Sum)
    to_inputs: _Sum = field(default_factory=_Sum)
    inference: _Sum = field(default_factory=_Sum)
    to_answer: _Sum = field(default_factory=_Sum)


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
            counts.success.add(durations.whole)
            counts.to_inputs.add(durations.to_inputs)
            counts.inference.add(durations.inference)
            counts.to_answer.add(durations.to_answer)

    def failed(self, model: str, version: int, whole_ns: int) -> None:
        """A request for a version was refused, or the model failed."""
        with self._lock:
            self._of(model, version).fail.add(whole_ns)

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
        return self._counts.setdefault((model, version), _Counts())


def _shown(model: str, number: int, counts: _Counts) -> dict[str, Any]:
    none = _Sum().shown()
    return {
        "name": model,
        "version": str(number),
        "last_inference": counts.last_ms,
        "inference_count": counts.rows,
        "execution_count": counts.success.count,
        "inference_stats": {
            "success": counts.success.shown(),
            "fail": counts.fail.shown(),
            "queue": none,
            "compute_input": counts.to_inputs.shown(),
            "compute_infer": counts.inference.shown(),
            "compute_output": counts.to_answer.shown(),
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": [],
        "memory_usage": [],
    }
