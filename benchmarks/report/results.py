"""The raw results, as they are kept in JSON: every round's figure, nothing averaged."""

from __future__ import annotations

import os
import platform
import statistics
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

RESULTS: Final = "results.json"

Sense: TypeAlias = Literal["at least", "at most"]
AT_LEAST: Final = "at least"
AT_MOST: Final = "at most"


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured."""

    processor: str
    architecture: str
    cores: int
    system: str
    python: str


class Conditions(msgspec.Struct, frozen=True):
    """How a part was measured.

    Attributes:
        date: When, ISO 8601.
        command: What measures it again.
        machine: Where.
        cores: Which cores servers and load had.
        busy: The machine's load average over a minute, before the run.
        rounds: Turns.
        seconds: Length of one load.
    """

    date: str
    command: str
    machine: Machine
    cores: str
    busy: float
    rounds: int
    seconds: float


class Level(msgspec.Struct, frozen=True):
    """Closed-loop load over some connections, one value a round: answers/s and latencies in ms."""

    connections: int
    rates: tuple[float, ...]
    p50_ms: tuple[float, ...]
    p99_ms: tuple[float, ...]


class Asked(msgspec.Struct, frozen=True):
    """A server, asked in one protocol, over gRPC or else REST."""

    form: str
    grpc: bool
    levels: tuple[Level, ...]

    @property
    def best(self) -> Level:
        """The connections at which it answered most."""
        return max(self.levels, key=lambda level: statistics.median(level.rates))


class Served(msgspec.Struct, frozen=True):
    """What was measured of one server.

    Attributes:
        key: Its key among the peers.
        title: Its name.
        version: Of its package; empty where there is none.
        setup: How it is set up.
        asked: Its throughput, by protocol.
        start_s: Seconds from process start to first right answer, one a round.
        memory_mib: PSS of each of its processes after the load, one row a round.
        left_out: Why it was not measured; empty if it was.
    """

    key: str
    title: str
    version: str
    setup: str
    asked: tuple[Asked, ...] = ()
    start_s: tuple[float, ...] = ()
    memory_mib: tuple[tuple[float, ...], ...] = ()
    left_out: str = ""

    def best(self, *, grpc: bool = False) -> Level | None:
        """Where it answered most over REST, or over gRPC; None if it was not asked so."""
        levels = [it.best for it in self.asked if it.grpc is grpc]
        return max(levels, key=lambda it: statistics.median(it.rates), default=None)


class Throughput(msgspec.Struct, frozen=True):
    """Servers beside each other, one row a request."""

    conditions: Conditions
    servers: tuple[Served, ...]

    @property
    def measured(self) -> list[Served]:
        """Those that were measured."""
        return [it for it in self.servers if not it.left_out]


class Pace(msgspec.Struct, frozen=True):
    """Open-loop load at one rate, one value a round.

    Attributes:
        rate: Requests due a second.
        answered: Answers a second within the time of the load.
        p50_ms: Median latency from when a request was due.
        p99_ms: 99th percentile.
        p999_ms: 99.9th percentile.
    """

    rate: float
    answered: tuple[float, ...]
    p50_ms: tuple[float, ...]
    p99_ms: tuple[float, ...]
    p999_ms: tuple[float, ...]


class Paced(msgspec.Struct, frozen=True):
    """One server under open-loop load."""

    key: str
    title: str
    paces: tuple[Pace, ...] = ()
    left_out: str = ""


class OpenLoop(msgspec.Struct, frozen=True):
    """Latency at fixed rates."""

    conditions: Conditions
    connections: int
    servers: tuple[Paced, ...]


class Outcome(msgspec.Struct, frozen=True):
    """What was measured for one target.

    Attributes:
        name: The target's name.
        what: What is compared with what.
        bound: The least or greatest value that meets it.
        sense: Which of them the bound is.
        unit: Of the values: empty, ``times``, ``s`` or ``MB``.
        values: One a round.
        detail: The figures behind them.
        conditions: How it was measured.
        left_out: Why it was not measured; empty if it was.
    """

    name: str
    what: str
    bound: float
    sense: Sense
    unit: str
    conditions: Conditions
    values: tuple[float, ...] = ()
    detail: str = ""
    left_out: str = ""

    @property
    def value(self) -> float:
        """Median of the rounds."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        """The median is within the bound."""
        if self.left_out:
            return False
        return self.value >= self.bound if self.sense == AT_LEAST else self.value <= self.bound


class Results(msgspec.Struct, frozen=True):
    """All parts, each as it was last measured."""

    throughput: Throughput | None = None
    open_loop: OpenLoop | None = None
    targets: tuple[Outcome, ...] = ()

    def with_targets(self, targets: tuple[Outcome, ...]) -> Results:
        """The same with these targets in place of the former ones of their names."""
        new = {it.name: it for it in targets}
        known = {it.name for it in self.targets}
        kept = tuple(new.get(it.name, it) for it in self.targets)
        added = tuple(it for it in targets if it.name not in known)
        return msgspec.structs.replace(self, targets=kept + added)


def this_machine() -> Machine:
    """The machine that this runs on."""
    return Machine(
        processor=_processor(),
        architecture=platform.machine(),
        cores=os.cpu_count() or 1,
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
    )


def read(folder: Path) -> Results:
    """Read the results kept in a folder; none are none.

    Raises:
        msgspec.DecodeError: The file is malformed.
    """
    path = folder / RESULTS
    return msgspec.json.decode(path.read_bytes(), type=Results) if path.exists() else Results()


def write(results: Results, folder: Path) -> None:
    """Keep results in a folder."""
    content = msgspec.json.format(msgspec.json.encode(results), indent=1)
    write_beside(folder / RESULTS, content + b"\n")


def write_beside(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".tmp")
    beside.write_bytes(content)
    beside.replace(path)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
