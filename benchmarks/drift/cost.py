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
    from collections.abc import Callable
    from pathlib import Path

    from service.exchange import Exchange
    from service.process import Process
    from service.repository.version import ModelVersion

# Requests between two looks at the list: fewer than it takes, and more.
_FEW: Final = 1000
_MANY: Final = 5000
_NOBODY: Final = "nobody looks"


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
        ways = _ways(profile.process(models, folder))
        for _ in range(rounds):
            for name, way in ways.items():
                taken.setdefault(name, []).append(way())
    return [_cost(name, several, taken[_NOBODY]) for name, several in taken.items()]


def _ways(process: Process) -> dict[str, Callable[[], float]]:
    ask, hand_on = profile.request(process), process.hand_on_metrics

    def nobody_looks() -> float:
        with patch.object(Direct, "note", _unnoted):
            return _us(ask, hand_on, _MANY)

    return {
        _NOBODY: nobody_looks,
        "all are looked at, and counted": lambda: _us(ask, hand_on, _FEW),
        "more come than are looked at": lambda: _us(ask, hand_on, _MANY),
    }


def _unnoted(
    _direct: Direct, exchange: Exchange, version: ModelVersion, batch: Any, _output: Any
) -> None:
    """What is noted of a request beside what was computed for it."""
    exchange.answers(version)
    exchange.rows = len(batch)


def _us(ask: Callable[[], object], hand_on: Callable[[], None], at_once: int) -> float:
    """Microseconds a request, what is done once for so many of them included."""
    started_s = time.perf_counter()
    for _ in range(_MANY // at_once):
        for _ in range(at_once):
            ask()
        hand_on()
    return (time.perf_counter() - started_s) / _MANY * 1e6


def _cost(way: str, several: list[float], nobody: list[float]) -> Cost:
    return Cost(way, min(several), min(several) - min(nobody))
