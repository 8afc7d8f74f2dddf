"""Requests counted in plain numbers, one tally a thread, until they are handed on.

Counting in prometheus_client's memory-mapped files costs microseconds a number; here a
request costs a look-up and three additions. A tally is written by its own thread alone,
so nothing is locked; whoever hands on reads how far each number has come since.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    # Protocol, route, model, version and outcome.
    Labels: TypeAlias = tuple[str, str, str, str, str]


class Growth(NamedTuple):
    """What has been added to the counts of some labels.

    Attributes:
        labels: Protocol, route, model, version and outcome.
        seconds: Sum of the requests' durations.
        rows: Rows predicted.
        buckets: Requests by the first bound that holds their duration; the last are over all.
    """

    labels: Labels
    seconds: float
    rows: int
    buckets: Sequence[int]

    @property
    def requests(self) -> int:
        """How many requests."""
        return sum(self.buckets)


@dataclass(slots=True)
class _Counts:
    """The numbers of some labels, and how far they had come when they were last handed on."""

    buckets: list[int]
    seconds: float = 0.0
    rows: int = 0
    handed_on: Growth | None = None

    def growth(self, labels: Labels) -> Growth:
        now = Growth(labels, self.seconds, self.rows, tuple(self.buckets))
        before, self.handed_on = self.handed_on, now
        if before is None:
            return now
        buckets = [new - old for new, old in zip(now.buckets, before.buckets, strict=True)]
        return Growth(labels, now.seconds - before.seconds, now.rows - before.rows, buckets)


@dataclass(slots=True)
class _Tally:
    thread: threading.Thread
    counts: dict[Labels, _Counts] = field(default_factory=dict)


class Tallies:
    """The requests of one process.

    Args:
        bounds: Upper bounds of the durations' buckets, seconds, increasing.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._own = threading.local()
        self._tallies: list[_Tally] = []
        self._lock = threading.Lock()

    def count(self, labels: Labels, seconds: float, rows: int) -> None:
        """Count one request in this thread."""
        try:
            counts = self._own.counts[labels]
        except (AttributeError, KeyError):
            counts = self._begin(labels)
        counts.buckets[bisect_left(self._bounds, seconds)] += 1
        counts.seconds += seconds
        counts.rows += rows

    def growth(self) -> Iterator[Growth]:
        """What has been counted since this was last asked."""
        with self._lock:
            tallies = [(it, it.thread.is_alive()) for it in self._tallies]
            for tally, _ in tallies:
                for labels, counts in list(tally.counts.items()):
                    grown = counts.growth(labels)
                    if grown.requests:
                        yield grown
            # What a thread that has ended counted has been handed on for good.
            self._tallies = [tally for tally, alive in tallies if alive]

    def _begin(self, labels: Labels) -> _Counts:
        if not hasattr(self._own, "counts"):
            tally = _Tally(threading.current_thread())
            self._own.counts = tally.counts
            with self._lock:
                self._tallies.append(tally)
        counts = _Counts([0] * (len(self._bounds) + 1))
        self._own.counts[labels] = counts
        return counts
