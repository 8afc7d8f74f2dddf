"""What sends requests, each in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What one run of closed-loop load showed: each connection asks again once it is answered.

    Attributes:
        rate: Right answers a second.
        p50_ms: Median latency.
        p99_ms: 99th percentile of latency.
    """

    rate: float
    p50_ms: float
    p99_ms: float


class LoadError(RuntimeError):
    """Requests failed; such a run measures nothing."""
