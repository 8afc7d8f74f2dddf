"""Observations counted in plain numbers, one tally a thread, until they are handed on.

Counting in prometheus_client's memory-mapped files costs microseconds a number; here a
request costs a look-up and some additions. A tally is written by its own thread alone, so
nothing is locked; whoever hands on reads how far each number has come since.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Labels: TypeAlias = tuple[str, ...]
    # Of each bucket how many, then the sum of all.
    Numbers: TypeAlias = list[float]

# What a request goes through, in this order; see ``Exchange``.
STAGES: Final = ("decode", "wait", "run", "encode")


class Spread(NamedTuple):
    """Observations, as a histogram holds them.

    Attributes:
        sum: Their sum.
        buckets: How many by the first bound that holds them; the last are over all bounds.
    """

    sum: float
    buckets: Sequence[float]

    @property
    def observed(self) -> int:
        """How many they are."""
        return int(sum(self.buckets))


class Growth(NamedTuple):
    """What has been added to the counts of some labels.

    Attributes:
        labels: The labels' values.
        rows: Rows predicted.
        whole: The observations.
        stages: The same ones by stage, of those that went through all; in the order of ``STAGES``.
    """

    labels: Labels
    rows: int
    whole: Spread
    stages: tuple[Spread, ...]


class _Counts:
    """The numbers of some labels, and how far they had come when they were last handed on."""

    __slots__ = ("_before", "decode", "encode", "rows", "run", "wait", "whole")

    def __init__(self, bounds: int, stage_bounds: int) -> None:
        self.rows = 0
        self.whole: Numbers = [0] * (bounds + 2)
        self.decode, self.wait, self.run, self.encode = ([0.0] * (stage_bounds + 2) for _ in STAGES)
        self._before = self._now()

    def growth(self, labels: Labels) -> Growth:
        before, self._before = self._before, self._now()
        rows, *spreads = self._before
        rows_before, *spreads_before = before
        whole, *stages = map(_grown, spreads, spreads_before)
        return Growth(labels, rows - rows_before, whole, tuple(stages))

    def _now(self) -> tuple[int, Numbers, Numbers, Numbers, Numbers, Numbers]:
        copies = (it.copy() for it in (self.whole, self.decode, self.wait, self.run, self.encode))
        return (self.rows, *copies)  # type: ignore[return-value]  # there are five


def _grown(now: Numbers, before: Numbers) -> Spread:
    *buckets, total = (new - old for new, old in zip(now, before, strict=True))
    return Spread(total, buckets)


@dataclass(slots=True)
class _Tally:
    thread: threading.Thread
    counts: dict[Labels, _Counts] = field(default_factory=dict)


class Tallies:
    """The observations of one process, of one kind.

    Args:
        bounds: Upper bounds of the buckets, increasing.
        stage_bounds: The same of the stages' buckets, seconds.
    """

    def __init__(self, bounds: Sequence[float], stage_bounds: Sequence[float] = ()) -> None:
        self._bounds = tuple(bounds)
        self._stage_bounds = tuple(stage_bounds)
        self._own = threading.local()
        self._tallies: list[_Tally] = []
        self._lock = threading.Lock()

    def count(
        self,
        labels: Labels,
        value: float,
        rows: int = 0,
        stages: tuple[float, float, float] | None = None,
    ) -> None:
        """Count one observation in this thread.

        Args:
            labels: The labels' values.
            value: What was observed; of a request its seconds.
            rows: Rows predicted.
            stages: Seconds of a request's first three stages; the last took what is left.
        """
        try:
            counts = self._own.counts[labels]
        except (AttributeError, KeyError):
            counts = self._begin(labels)
        numbers = counts.whole
        numbers[bisect_left(self._bounds, value)] += 1
        numbers[-1] += value
        counts.rows += rows
        if stages is None:
            return
        # Written out: a function or a loop would cost as much as the counting.
        decode, wait, run = stages
        encode = value - decode - wait - run
        bounds = self._stage_bounds
        numbers = counts.decode
        numbers[bisect_left(bounds, decode)] += 1
        numbers[-1] += decode
        numbers = counts.run
        numbers[bisect_left(bounds, run)] += 1
        numbers[-1] += run
        numbers = counts.encode
        numbers[bisect_left(bounds, encode)] += 1
        numbers[-1] += encode
        numbers = counts.wait
        if wait:
            numbers[bisect_left(bounds, wait)] += 1
            numbers[-1] += wait
        else:
            numbers[0] += 1

    def growth(self) -> Iterator[Growth]:
        """What has been counted since this was last asked."""
        with self._lock:
            tallies = [(it, it.thread.is_alive()) for it in self._tallies]
            for tally, _ in tallies:
                for labels, counts in list(tally.counts.items()):
                    grown = counts.growth(labels)
                    if grown.whole.observed:
                        yield grown
            # What a thread that has ended counted has been handed on for good.
            self._tallies = [tally for tally, alive in tallies if alive]

    def _begin(self, labels: Labels) -> _Counts:
        if not hasattr(self._own, "counts"):
            tally = _Tally(threading.current_thread())
            self._own.counts = tally.counts
            with self._lock:
                self._tallies.append(tally)
        counts = _Counts(len(self._bounds), len(self._stage_bounds))
        self._own.counts[labels] = counts
        return counts
