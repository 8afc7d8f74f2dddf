"""How often drift is seen where there is none, and how soon where there is.

The service's own columns count and compare; only the traffic is made up. Its population is the
housing table's rows, each moved a little by chance, so that as many can be drawn as are needed;
training rows and requests are drawn from it afresh for every run, and a line fitted to the
table by least squares stands for the network.
"""

from __future__ import annotations

import csv
import statistics
from collections import deque
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from service.monitoring.drift import DRIFTED, PARTS, Column, judged
from training.describe import distribution

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    # Training rows, and what is asked afterwards.
    Drawn = tuple[NDArray[np.float32], NDArray[np.float32]]
    Change = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_DATA: Final = Path("data/boston_housing.csv")
_NAMES: Final = ("RM", "AGE", "LSTAT")
_TRAINING_ROWS: Final = 404
# Of each column's standard deviation: how far a row is moved.
_MOVED: Final = 0.2
_LIMITS: Final = (np.zeros(3), np.array([50.0, 100.0, 100.0]))
_WINDOWS: Final = (100, 300, 1000, 10_000)
# Windows after which a change that was not seen is given up.
_PATIENCE: Final = 3


class Population:
    """Houses to draw from.

    Args:
        seed: Of the draws.
    """

    def __init__(self, seed: int) -> None:
        with _DATA.open() as file:
            table = list(csv.DictReader(file))
        self.rows = np.array([[float(row[it]) for it in _NAMES] for row in table], np.float32)
        self.prices = np.array([float(row["MEDV"]) for row in table], np.float32)
        self.mean, self.std = self.rows.mean(axis=0), self.rows.std(axis=0)
        self._random = np.random.default_rng(seed)

    def draw(self, count: int) -> NDArray[np.float32]:
        """So many houses, ``[count, features]``."""
        rows = self.rows[self._random.integers(0, len(self.rows), count)]
        moved = rows + self._random.normal(0, _MOVED, rows.shape) * self.std
        drawn: NDArray[np.float32] = np.clip(moved, *_LIMITS).astype(np.float32)
        return drawn

    def again(self, rows: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """So many of some rows, each as often as chance has it."""
        return rows[self._random.integers(0, len(rows), count)]

    def split(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The table's own rows, some for training and the others."""
        order = self._random.permutation(len(self.rows))
        return self.rows[order[:_TRAINING_ROWS]], self.rows[order[_TRAINING_ROWS:]]


class Watch:
    """What a service would make of requests.

    Args:
        population: Whose prices the line is fitted to.
        training: The training rows.
    """

    def __init__(self, population: Population, training: NDArray[np.float32]) -> None:
        ones = np.ones((len(population.rows), 1), np.float32)
        design = np.hstack([population.rows, ones])
        self._line, *_ = np.linalg.lstsq(design, population.prices, rcond=None)
        self._columns = [
            Column(name, distribution(it))
            for name, it in zip((*_NAMES, "price"), self._values(training), strict=True)
        ]

    def count(self, rows: NDArray[np.float32]) -> list[NDArray[np.int64]]:
        """Count requests, by column."""
        values = self._values(rows)
        return [column.count(it) for column, it in zip(self._columns, values, strict=True)]

    def drifted(self, counts: Sequence[NDArray[np.int64]]) -> list[str]:
        """The columns that are called drifted."""
        compared = [it.compare(one) for it, one in zip(self._columns, counts, strict=True)]
        return [it.column for it in judged(compared) if it.verdict == DRIFTED]

    def over_psi_95(self, counts: Sequence[NDArray[np.int64]]) -> list[bool]:
        """Of each column, whether its index is over what 95 of 100 stay below."""
        compared = [it.compare(one) for it, one in zip(self._columns, counts, strict=True)]
        return [(it.psi or 0.0) > (it.psi_95 or 0.0) for it in compared]

    def _values(self, rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        prices = rows @ self._line[:-1] + self._line[-1]
        return [*rows.T, prices.astype(np.float32)]


@dataclass(frozen=True)
class FalseAlarms:
    """How often drift was seen where there is none.

    Attributes:
        traffic: What the requests were.
        rows: Requests in a window.
        windows: How many windows.
        alarms: In how many any column was called drifted.
        over_psi_95: Share of columns whose index was over what 95 of 100 stay below.
    """

    traffic: str
    rows: int
    windows: int
    alarms: int
    over_psi_95: float


@dataclass(frozen=True)
class Delay:
    """How soon a change was seen.

    Attributes:
        change: The change.
        rows: Requests in a window.
        runs: How often it was tried.
        seen: How often it was seen within three windows.
        median: Requests after the change until it was seen, in the median of all runs; None if
            most were not seen.
        late: The same, in nine of ten runs no more.
    """

    change: str
    rows: int
    runs: int
    seen: int
    median: int | None
    late: int | None


def false_alarms(runs: int) -> Iterator[FalseAlarms]:
    """Windows without any change, of several sizes and origins."""
    population = Population(1)
    for rows in _WINDOWS:
        windows = runs if rows <= 1000 else max(1, runs // 5)
        yield _alarms("fresh from the population", windows, partial(_fresh, population, rows))
    for rows in _WINDOWS[:3]:
        yield _alarms("the training rows again", runs, partial(_again, population, rows))
    yield _alarms("the table's other rows", runs, population.split)


def _fresh(population: Population, rows: int) -> Drawn:
    return population.draw(_TRAINING_ROWS), population.draw(rows)


def _again(population: Population, rows: int) -> Drawn:
    training = population.draw(_TRAINING_ROWS)
    return training, population.again(training, rows)


def _alarms(traffic: str, windows: int, draw: Callable[[], Drawn]) -> FalseAlarms:
    population = Population(0)
    alarms, rows = 0, 0
    over: list[bool] = []
    for _ in range(windows):
        training, asked = draw()
        rows = len(asked)
        watch = Watch(population, training)
        counts = watch.count(asked)
        alarms += bool(watch.drifted(counts))
        over += watch.over_psi_95(counts)
    return FalseAlarms(traffic, rows, windows, alarms, statistics.fmean(over))


def changes(population: Population) -> dict[str, tuple[str, Change]]:
    """What may happen to requests, and in which column it is to be seen."""

    def moved(column: int, by: float) -> Change:
        def change(rows: NDArray[np.float32]) -> NDArray[np.float32]:
            rows = rows.copy()
            rows[:, column] += np.float32(by * population.std[column])
            return rows

        return change

    def wider(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        rows = rows.copy()
        rows[:, 0] = population.mean[0] + 1.5 * (rows[:, 0] - population.mean[0])
        return rows

    def stuck(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return rows * np.array([1, 0, 1], np.float32)

    return {
        "RM greater by 0.25 standard deviations": ("RM", moved(0, 0.25)),
        "RM greater by 0.5": ("RM", moved(0, 0.5)),
        "RM greater by 1": ("RM", moved(0, 1.0)),
        "RM spread 1.5 times as wide": ("RM", wider),
        "AGE always 0": ("AGE", stuck),
    }


def delays(runs: int) -> Iterator[Delay]:
    """Changes after a window of ordinary requests, looked for as the window moves on."""
    population = Population(2)
    for name, (column, change) in changes(population).items():
        for rows in _WINDOWS[1:]:
            times = runs if rows <= 1000 else max(1, runs // 4)
            found = [_delay(population, change, column, rows) for _ in range(times)]
            seen = sorted(it for it in found if it is not None)
            yield Delay(name, rows, times, len(seen), _at(seen, times, 0.5), _at(seen, times, 0.9))


def _delay(population: Population, change: Change, column: str, rows: int) -> int | None:
    """Requests until a change is seen; None if it is not within ``_PATIENCE`` windows."""
    watch = Watch(population, population.draw(_TRAINING_ROWS))
    part = rows // PARTS
    window = deque((watch.count(population.draw(part)) for _ in range(PARTS)), maxlen=PARTS)
    for step in range(1, _PATIENCE * PARTS + 1):
        window.append(watch.count(change(population.draw(part))))
        total = [np.sum(several, axis=0) for several in zip(*window, strict=True)]
        if column in watch.drifted(total):
            return step * part
    return None


def _at(seen: Sequence[int], runs: int, share: float) -> int | None:
    place = int(np.ceil(share * runs)) - 1
    return seen[place] if place < len(seen) else None
