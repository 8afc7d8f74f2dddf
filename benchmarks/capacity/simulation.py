"""Requests, workers and pods, event by event, in SimPy."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import simpy

from benchmarks.capacity.scaling import Autoscaler

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from benchmarks.capacity.arrivals import Times
    from benchmarks.capacity.scaling import Policy

    # A process of SimPy: it yields what it waits for.
    Process = Generator[simpy.Event, Any, None]

SECOND: Final = 1.0


@dataclass(frozen=True)
class Workers:
    """What answers.

    Attributes:
        count: Workers that take from one line.
        places: Requests of a worker that may be waiting or under way; more is shed.
    """

    count: int = 1
    places: float = float("inf")


@dataclass(frozen=True)
class Outcome:
    """What became of requests.

    Attributes:
        latency_s: Of those that were answered, from coming to answer: ``[n]``.
        ended_s: When each of them was answered: ``[n]``.
        shed: How many were refused.
    """

    latency_s: NDArray[np.float64]
    ended_s: NDArray[np.float64]
    shed: int

    @property
    def shed_share(self) -> float:
        """Of all requests."""
        return self.shed / max(1, self.shed + len(self.latency_s))

    def percentile_ms(self, point: float) -> float:
        """Of the latency."""
        return float(np.percentile(self.latency_s, point) * 1000)

    def rate(self, seconds: float) -> float:
        """Answers a second within this time."""
        return float(np.count_nonzero(self.ended_s <= seconds) / seconds)


def simulate(times_s: Times, service: Callable[[], float], workers: Workers) -> Outcome:
    """Have requests come, wait in one line, and be answered.

    Args:
        times_s: When they come, ascending.
        service: Draws what the next one takes, in seconds.
        workers: What answers them.
    """
    line = _Line(service, workers)
    line.env.process(line.come(times_s))
    line.env.run()
    return line.outcome()


class _Line:
    """Requests in one line, and who takes from it."""

    def __init__(self, service: Callable[[], float], workers: Workers) -> None:
        self.env = simpy.Environment()
        self._service, self._places = service, workers.places
        self.workers = workers.count
        self.waiting: list[float] = []  # from the next request on, when each came
        self._next = self._busy = self.shed = 0
        self.worked_s = 0.0
        self._latency_s: list[float] = []
        self._ended_s: list[float] = []

    def outcome(self) -> Outcome:
        return Outcome(np.array(self._latency_s), np.array(self._ended_s), self.shed)

    @property
    def answered(self) -> int:
        return len(self._ended_s)

    def come(self, times_s: Times) -> Process:
        before_s = 0.0
        for time_s in times_s:
            yield self.env.timeout(time_s - before_s)
            before_s = time_s
            if len(self.waiting) - self._next + self._busy >= self._places * self.workers:
                self.shed += 1
            else:
                self.waiting.append(self.env.now)
                self.take()

    def take(self) -> None:
        """Have idle workers take what waits."""
        while self._busy < self.workers and self._next < len(self.waiting):
            came_s = self.waiting[self._next]
            self._next += 1
            self._busy += 1
            self.env.process(self._answer(came_s))

    def _answer(self, came_s: float) -> Process:
        takes_s = self._service()
        yield self.env.timeout(takes_s)
        self.worked_s += takes_s
        self._busy -= 1
        self._latency_s.append(self.env.now - came_s)
        self._ended_s.append(self.env.now)
        self.take()


class Second(NamedTuple):
    """A second of a fleet.

    Attributes:
        offered: Requests that came.
        answered: Requests that were answered.
        shed: Requests that were refused.
        pods: Those that were ready.
    """

    offered: float
    answered: float
    shed: float
    pods: int


def fleet(
    times_s: Times, seconds: int, service: Callable[[], float], pod: Workers, scaling: Policy
) -> list[Second]:
    """Have a fleet of pods follow a load, event by event.

    Args:
        times_s: When requests come, ascending.
        seconds: How long to look.
        service: Draws what the next one takes, in seconds.
        pod: A pod's workers, and the places of each.
        scaling: How pods follow; as many as there must be are ready at the begin.
    """
    scaler = Autoscaler(scaling, scaling.least)
    line = _Line(service, Workers(scaler.ready * pod.count, pod.places))
    line.env.process(line.come(times_s))
    line.env.process(_scale(line, scaler, pod.count, scaling.sync_s))
    counted: list[tuple[int, int, int]] = []
    line.env.process(_count(line, scaler, counted))
    line.env.run(until=seconds + SECOND / 2)
    offered, _ = np.histogram(times_s, bins=np.arange(seconds + 1))
    return [
        Second(float(came), after[0] - before[0], after[1] - before[1], after[2])
        for came, (before, after) in zip(offered, pairwise([(0, 0, 0), *counted]), strict=True)
    ]


def _scale(line: _Line, scaler: Autoscaler, workers: int, sync_s: float) -> Process:
    worked_s, capacity_s, looked_s = 0.0, 0.0, 0.0
    while True:
        yield line.env.timeout(SECOND)
        capacity_s += line.workers * SECOND
        scaler.advance(line.env.now)
        if line.env.now - looked_s >= sync_s:
            busy = min(1.0, (line.worked_s - worked_s) / capacity_s)
            scaler.look(line.env.now, busy)
            worked_s, capacity_s, looked_s = line.worked_s, 0.0, line.env.now
        line.workers = scaler.ready * workers
        line.take()


def _count(line: _Line, scaler: Autoscaler, counted: list[tuple[int, int, int]]) -> Process:
    while True:
        yield line.env.timeout(SECOND)
        counted.append((line.answered, line.shed, scaler.ready))
