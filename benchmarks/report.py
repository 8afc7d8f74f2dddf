"""What was measured, as a table in Markdown."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Figures:
    """What was measured of one peer.

    Attributes:
        name: The peer.
        rates: Answers a second, by round.
        p50_ms: Median latency, median of the rounds.
        p99_ms: 99th percentile, median of the rounds.
        start_s: Seconds from process start to the first right answer.
        memory_mib: PSS of each process after the load, the first process first.
    """

    name: str
    rates: tuple[float, ...]
    p50_ms: float
    p99_ms: float
    start_s: float
    memory_mib: tuple[float, ...]


def write(figures: Sequence[Figures], output: Path) -> list[str]:
    """Write the page and return its lines.

    The first peer is compared with each of the others round by round; what is shown is
    the median of those ratios.
    """
    lines = [
        "# Benchmarks",
        "",
        "One row a request, 16 kept-alive connections, one worker each, `wrk` as load on the",
        "same machine, rounds taken in turn. Written by `make bench`.",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}.",
        "",
        (
            "| server | answers/s, median (min to max) | p50 ms | p99 ms | start to first answer s "
            "| memory MiB (PSS, by process) |"
        ),
        "|---|---|---|---|---|---|",
        *[_row(it) for it in figures],
        "",
        *[_ratio(figures[0], it) for it in figures[1:]],
    ]
    beside = output.with_suffix(".tmp")
    beside.write_text("\n".join(lines).rstrip() + "\n")
    beside.replace(output)
    return lines


def _row(it: Figures) -> str:
    rates = f"{statistics.median(it.rates):,.0f} ({min(it.rates):,.0f} to {max(it.rates):,.0f})"
    memory = " + ".join(f"{mib:.0f}" for mib in it.memory_mib)
    return (
        f"| {it.name} | {rates} | {it.p50_ms:.2f} | {it.p99_ms:.2f} | {it.start_s:.2f} | {memory} |"
    )


def _ratio(first: Figures, other: Figures) -> str:
    ratios = [a / b for a, b in zip(first.rates, other.rates, strict=True)]
    return (
        f"{first.name} answers {statistics.median(ratios):.1f} times as many requests as "
        f"{other.name} (rounds: {min(ratios):.1f} to {max(ratios):.1f})."
    )
