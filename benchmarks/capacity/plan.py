"""From a load and a latency to cores, workers, pods and memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from benchmarks.capacity.queueing import busiest

# Beyond this a worker has no room for what a mean does not show: bursts, a pod that is gone.
MOST_BUSY: Final = 0.6


@dataclass(frozen=True)
class Cost:
    """What requests of one kind cost a worker.

    Attributes:
        protocol: How they are asked.
        request_us: CPU microseconds of a request without rows.
        row_us: CPU microseconds of a row.
    """

    protocol: str
    request_us: float
    row_us: float

    def service_s(self, rows: int) -> float:
        """Seconds of a core for a request of so many rows."""
        return (self.request_us + self.row_us * rows) / 1e6


@dataclass(frozen=True)
class Memory:
    """What a pod takes, MiB: shared pages by share.

    Attributes:
        master: The first process.
        worker: Each worker, with one model.
    """

    master: float
    worker: float


@dataclass(frozen=True)
class Load:
    """What is asked for.

    Attributes:
        requests_per_second: At the peak.
        p99_ms: Within which 99 of 100 are answered, the network left out.
        rows: Of a request.
    """

    requests_per_second: float
    p99_ms: float
    rows: int = 1


@dataclass(frozen=True)
class Plan:
    """What it takes.

    Attributes:
        busy: How busy a worker may be, 0 to 1.
        workers: One a core, in all pods.
        cores: Theirs.
        pods: One more than those workers need: one may be gone.
        memory_mib: Of all pods.
    """

    busy: float
    workers: int
    cores: int
    pods: int
    memory_mib: float


def plan(load: Load, cost: Cost, memory: Memory, workers_per_pod: int) -> Plan:
    """Find what a load takes.

    Args:
        load: What is asked for.
        cost: Of its requests.
        memory: Of a pod.
        workers_per_pod: One a core.

    Raises:
        ValueError: A request alone takes longer than it may.
    """
    service_s = cost.service_s(load.rows)
    busy = min(MOST_BUSY, busiest(service_s, load.p99_ms / 1000))
    if not busy:
        raise ValueError(
            f"--p99_ms is {load.p99_ms:g}, and a request of {load.rows} rows takes "
            f"{service_s * 1000:.3g} ms of a core"
        )
    pods = math.ceil(load.requests_per_second * service_s / busy / workers_per_pod) + 1
    workers = pods * workers_per_pod
    return Plan(busy, workers, workers, pods, pods * memory.master + workers * memory.worker)
