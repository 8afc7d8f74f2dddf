"""What a target's measurement finds: a value a round, and the figures behind it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.run import in_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Finding:
    """One value a round, and in words what stands behind."""

    values: tuple[float, ...]
    detail: str


def ratio(rounds: int, unit: str, measures: Mapping[str, Callable[[], float]]) -> Finding:
    """Measure two things by turns: the first divided by the second.

    Args:
        rounds: How many; one more goes before, uncounted.
        unit: Of both figures.
        measures: The two, by their names.
    """
    in_turns(1, measures)
    found = in_turns(rounds, measures)
    first, second = measures
    figures = {name: statistics.median(it[name] for it in found) for name in measures}
    return Finding(
        tuple(it[first] / it[second] for it in found),
        ", ".join(f"{name} {readable(it)} {unit}" for name, it in figures.items()),
    )


def readable(value: float) -> str:
    """A figure with three digits that matter at least."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
