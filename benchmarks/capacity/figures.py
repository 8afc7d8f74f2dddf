"""What was measured and simulated, as it is kept beside the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from benchmarks.report.results import write_beside

if TYPE_CHECKING:
    from pathlib import Path


class Cost(msgspec.Struct, frozen=True):
    """Requests of one protocol.

    Attributes:
        protocol: Its name.
        one_us: CPU microseconds of the workers for a request of one row.
        many_us: The same for a request of ``rows`` rows.
        rows: How many those are.
    """

    protocol: str
    one_us: float
    many_us: float
    rows: int

    @property
    def row_us(self) -> float:
        """A row's part."""
        return (self.many_us - self.one_us) / (self.rows - 1)

    @property
    def request_us(self) -> float:
        """What is left of a request without its rows."""
        return self.one_us - self.row_us


class Memory(msgspec.Struct, frozen=True):
    """MiB, shared pages by share.

    Attributes:
        master: The first process.
        worker: A worker with one model, the housing network.
        model: A further model of that size, a worker.
    """

    master: float
    worker: float
    model: float


class Compared(msgspec.Struct, frozen=True):
    """A load, as it was measured and as it was simulated.

    Attributes:
        kind: What was asked.
        share: Of the rate at which one worker has all to do.
        rate: Requests due a second.
        p50_ms: Median latency: measured, simulated.
        p99_ms: 99th percentile.
        answered: Answers a second.
        shed: Share that was refused.
    """

    kind: str
    share: float
    rate: float
    p50_ms: tuple[float, float]
    p99_ms: tuple[float, float]
    answered: tuple[float, float]
    shed: tuple[float, float]


class Fleet(msgspec.Struct, frozen=True):
    """A load that pods follow.

    Attributes:
        load: What comes.
        start_s: Seconds until a new pod is ready.
        peak: Requests in the busiest second.
        pods: Least and most that were ready.
        shed: Share of all requests that was refused.
        shedding_s: Seconds in which any was.
        events: The share that was refused where each request was an event; -1 if none was.
    """

    load: str
    start_s: float
    peak: float
    pods: tuple[int, int]
    shed: float
    shedding_s: int
    events: float = -1.0


class Day(msgspec.Struct, frozen=True):
    """A day of a fleet, a value a minute.

    Attributes:
        offered: Requests a second.
        pods: Ready ones.
    """

    offered: tuple[float, ...]
    pods: tuple[int, ...]


class Figures(msgspec.Struct, frozen=True):
    """All of them.

    Attributes:
        machine: Where it was measured, and when.
        busy: The load average before.
        seconds: Of each load.
    """

    machine: str
    busy: float
    seconds: float
    costs: tuple[Cost, ...]
    memory: Memory
    compared: tuple[Compared, ...]
    fleets: tuple[Fleet, ...] = ()
    day: Day = Day((), ())


def read(path: Path) -> Figures:
    """Read what was kept."""
    return msgspec.json.decode(path.read_bytes(), type=Figures)


def write(figures: Figures, path: Path) -> None:
    """Keep it."""
    write_beside(path, msgspec.json.format(msgspec.json.encode(figures), indent=1) + b"\n")
