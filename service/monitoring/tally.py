"""Observations counted in plain numbers, one tally a thread, until they are handed on.

Counting in prometheus_client's memory-mapped files costs microseconds a number; here a
request costs a look-up and a few numbers put down, which are sorted into buckets many at a time.
A tally is written by its own thread alone, so nothing is locked; whoever hands on reads how far
it has come since.
"""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Labels: TypeAlias = tuple[str, ...]
    # Of each bucket how many, then the sum of all.
    Numbers: TypeAlias = list[float]
    Bounds: TypeAlias = tuple[float, ...]

# What a request goes through, in this order; see ``Exchange``.
STAGES: Final = ("decode", "wait", "run", "encode")
# Numbers on a sheet: of some thousand requests.
_SHEET: Final = 4096 * len(STAGES)


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
    """The numbers of some labels, and how far they had come when they were last handed on.

    What went through all stages is put down as it is, four numbers each: the whole, and the first
    three stages. The thread that counts writes into the last sheet, and begins another when it is
    full; whoever hands on reads on from where it was.
    """

    __slots__ = ("_before", "_read", "_sheets", "rows", "sheet", "whole")

    def __init__(self, bounds: int) -> None:
        self.rows = 0
        self.whole: Numbers = [0] * (bounds + 2)
        self.sheet: array[float] = array("d")
        self._sheets = deque([self.sheet])
        self._read = 0
        self._before: tuple[int, Numbers] = (0, self.whole.copy())

    def turn_over(self) -> None:
        """Begin a new sheet; for the thread that counts."""
        self.sheet = array("d")
        self._sheets.append(self.sheet)

    def growth(self, labels: Labels, bounds: Bounds, stage_bounds: Bounds) -> Growth:
        (rows_before, whole_before), staged = self._before, self._staged()
        self._before = (self.rows, self.whole.copy())
        rows, whole_now = self._before
        *buckets, total = (new - old for new, old in zip(whole_now, whole_before, strict=True))
        whole, *stages = staged.T
        spread = _spread(whole, bounds)
        added = [float(one + other) for one, other in zip(buckets, spread.buckets, strict=True)]
        all_stages = (*stages, whole - sum(stages))
        return Growth(
            labels,
            rows - rows_before,
            Spread(total + spread.sum, added),
            tuple(_spread(it, stage_bounds) for it in all_stages),
        )

    def _staged(self) -> NDArray[np.float64]:
        """What has been put down since this was last asked, ``[n, 4]``, seconds."""
        found = []
        while True:
            sheet, is_last = self._sheets[0], len(self._sheets) == 1
            found.append(sheet[self._read :])
            if is_last:
                self._read += len(found[-1])
                return np.frombuffer(b"".join(found)).reshape(-1, len(STAGES))
            self._sheets.popleft()
            self._read = 0


def _spread(values: NDArray[np.float64], bounds: Bounds) -> Spread:
    places = np.searchsorted(bounds, values)
    return Spread(float(values.sum()), np.bincount(places, minlength=len(bounds) + 1).tolist())


@dataclass(slots=True)
class _Tally:
    """What one thread counts.

    Attributes:
        thread: The thread.
        counts: What it counts in, by label.
        leaving: What was idle at the last look: nothing new finds it, but what the thread was just
            putting down may be in it still.
    """

    thread: threading.Thread
    counts: dict[Labels, _Counts] = field(default_factory=dict)
    leaving: dict[Labels, _Counts] = field(default_factory=dict)


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
        counts.rows += rows
        if stages is None:
            numbers = counts.whole
            numbers[bisect_left(self._bounds, value)] += 1
            numbers[-1] += value
            return
        counts.sheet.extend((value, *stages))
        if len(counts.sheet) >= _SHEET:
            counts.turn_over()

    def growth(self) -> Iterator[Growth]:
        """What has been counted since this was last asked."""
        with self._lock:
            tallies = [(it, it.thread.is_alive()) for it in self._tallies]
            for tally, _ in tallies:
                yield from self._grown(tally)
            # What a thread that has ended counted has been handed on for good.
            self._tallies = [tally for tally, alive in tallies if alive]

    def _grown(self, tally: _Tally) -> Iterator[Growth]:
        """What has grown in one tally; what has not is let go, as of versions that are gone."""
        while tally.leaving:
            yield from self._observed(*tally.leaving.popitem())
        for labels, counts in list(tally.counts.items()):
            grown = self._observed(labels, counts)
            if not grown:
                tally.leaving[labels] = tally.counts.pop(labels)
            yield from grown

    def _observed(self, labels: Labels, counts: _Counts) -> list[Growth]:
        grown = counts.growth(labels, self._bounds, self._stage_bounds)
        return [grown] if grown.whole.observed else []

    def _begin(self, labels: Labels) -> _Counts:
        if not hasattr(self._own, "counts"):
            tally = _Tally(threading.current_thread())
            self._own.counts = tally.counts
            with self._lock:
                self._tallies.append(tally)
        counts = _Counts(len(self._bounds))
        self._own.counts[labels] = counts
        return counts
