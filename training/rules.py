"""When a new network may be published beside a stable version. Knows no heavy library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """What a new network must show.

    Attributes:
        alpha: The p value up to which it counts as better.
        forced: It may be published whatever comes of the comparison.
    """

    alpha: float = 0.05
    forced: bool = False
