"""What it costs a request to be looked at, in process, from its bytes to its answer's."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from benchmarks import profile
from service.repository.version import Direct
from service.shared import shared_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from service.exchange import Exchange
    from service.repository.version import ModelVersion

# Requests that are timed at once: few, so that some rounds are over before anything disturbs them.
_REQUESTS: Final = 100
# Requests that are counted at once, as many as the list may well hold; and more than it takes.
_COUNTED: Final = 1000
_MANY: Final = 1100
_NOBODY: Final = "nobody looks"
_ALL: Final = "all are looked at, and counted"
_COUNTING: Final = "counting"


@dataclass(frozen=True)
class Cost:
    """What a request costs.

    Attributes:
        way: How requests are looked at.
        best_us: Microseconds a request in the best round: whatever disturbs it makes it longer.
        more_us: Beyond the best of those that nobody looks at.
    """

    way: str
    best_us: float
    more_us: float


def measure(models: Path, rounds: int) -> list[Cost]:
    """Time requests through the fast lane, looked at and not, in turns.

    Args:
        models: Folder of the housing model's versions.
        rounds: How often each way is timed.
    """
    taken: dict[str, list[float]] = {}
    with shared_folder() as folder:
        process = profile.process(models, folder)
        ask = profile.request(process)
        for _ in range(rounds):
            for name, microseconds in _round(ask, process.hand_on_metrics):
                taken.setdefault(name, []).append(microseconds)
    best = {name: min(several) for name, several in taken.items()}
    best[_ALL] += best.pop(_COUNTING)
    return [Cost(name, it, it - best[_NOBODY]) for name, it in best.items()]


def _round(ask: Callable[[], object], hand_on: Callable[[], None]) -> Iterator[tuple[str, float]]:
    """Microseconds a request, each way once; counting by itself."""
    with patch.object(Direct, "note", _unnoted):
        yield _NOBODY, _us(ask)
    hand_on()
    yield _ALL, _us(ask)
    for _ in range(_COUNTED - _REQUESTS):
        ask()
    started_s = time.perf_counter()
    hand_on()
    yield _COUNTING, (time.perf_counter() - started_s) / _COUNTED * 1e6
    for _ in range(_MANY):
        ask()
    yield "more come than are looked at", _us(ask)
    hand_on()


def _unnoted(
    _direct: Direct, exchange: Exchange, version: ModelVersion, batch: Any, _output: Any
) -> None:
    """What is noted of a request beside what was computed for it."""
    exchange.answers(version)
    exchange.rows = len(batch)


def _us(ask: Callable[[], object]) -> float:
    """Microseconds a request."""
    started_s = time.perf_counter()
    for _ in range(_REQUESTS):
        ask()
    return (time.perf_counter() - started_s) / _REQUESTS * 1e6
