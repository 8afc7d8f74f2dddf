"""The page: tables of what was measured, each with the command that measures it again."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.report.results import (
        Asked,
        Conditions,
        OpenLoop,
        Outcome,
        Paced,
        Results,
        Served,
        Throughput,
    )  # fmt: skip

_HEAD: Final = """\
# Benchmarks

Hearth beside other ways to serve the same SavedModel, each set up as its own documentation
recommends, on one machine in one run. `make bench` measures all of this and writes this page;
the raw results of every round are in [benchmarks/results.json](benchmarks/results.json).

| command | what it does |
|---|---|
| `make bench` | measures everything; `PEERS="flask"` some peers, `QUICK=1` prints a short form |
| `python -m benchmarks throughput` | throughput, start and memory of all |
| `python -m benchmarks open-loop` | latency at fixed rates |
| `python -m benchmarks targets --only NAME` | one target |
| `python -m benchmarks url URL --body FILE` | loads any server that runs |
| `python -m benchmarks report` | writes this page anew from the raw results |

## How it is measured

- All serve the same model version: three features in, one price out, a network of 64 and 64
  units. The peers get its SavedModel.
- Every answer to every golden row is compared with what Keras gave, alone and all together,
  before and after a load. A load in which one request fails counts for nothing.
- In every round every server is started anew and is alone on the machine; the rounds go
  through all servers by turns. Shown is the median of the rounds, and least and greatest in
  brackets. Targets compare servers that run side by side, asked by turns within a round.
- Load comes from `wrk` (HTTP/1.1, kept-alive connections, one request under way on each) and
  for gRPC from `h2load` with a prepared frame, one call under way on each connection.
- Fixed rates come from a sender of our own (`benchmarks/load/paced.py`): a request is due at
  its time whether or not the earlier ones are answered, and its latency counts from then. A
  server that stalls cannot hide it by being asked less (coordinated omission).
- Servers and load are kept on different cores where there are two or more, with `taskset`: all
  servers get the same half. `--share_cores` lets all have all.
- Memory is PSS: shared pages count by share. Start is from the process's start to its first
  right answer.
"""


def page(results: Results) -> str:
    """The whole page."""
    parts = [_HEAD]
    if results.throughput:
        parts.append(_throughput(results.throughput))
    if results.open_loop:
        parts.append(_open_loop(results.open_loop))
    if results.targets:
        parts.append(targets(results.targets))
    return "\n".join(parts)


def tables(results: Results) -> str:
    """All tables, for a terminal."""
    found, paced = results.throughput, results.open_loop
    return "\n\n".join([
        *([throughput(found), costs(found)] if found else []),
        *([open_loop(paced)] if paced else []),
        *([targets(results.targets)] if results.targets else []),
    ])  # fmt: skip


def targets(outcomes: Sequence[Outcome]) -> str:
    """The table of targets."""
    rows = [
        [f"`{it.name}`", it.what, _bound(it), _measured(it), _verdict(it), it.detail]
        for it in outcomes
    ]
    return _section(
        "Targets",
        "One worker and kept-alive connections where nothing else is said. The command of each is\n"
        "`python -m benchmarks targets --only NAME`.",
        _table(["name", "what", "bound", "measured", "", "figures"], rows),
        _left_out((it.name, it.left_out) for it in outcomes),
        _conditions(replace(outcomes[0].conditions, command="python -m benchmarks targets")),
    )


def throughput(found: Throughput) -> str:
    """The table of servers, the fastest first."""
    rows = [_row(it, asked) for it in found.measured for asked in it.asked]
    ordered = sorted(rows, key=lambda row: -row[0])
    head = ["server", "asked in", "connections: answers/s", "p50 ms", "p99 ms"]
    return _table(head, [cells for _, cells in ordered])


def open_loop(found: OpenLoop) -> str:
    """The table of latencies by rate."""
    rows = [cells for it in found.servers for cells in _paces(it)]
    head = ["server", "asked/s", "answered/s", "p50 ms", "p99 ms", "p99.9 ms"]
    return _table(head, rows)


def costs(found: Throughput) -> str:
    """The table of start and memory, the least memory first."""
    rows = sorted((statistics.median(map(sum, it.memory_mib)), _cost(it)) for it in found.measured)
    return _table(["server", "start s", "memory MiB", "processes"], [cells for _, cells in rows])


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median, and least and greatest in brackets where there are several."""
    median = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def _throughput(found: Throughput) -> str:
    return "\n".join([
        _section(
            "Throughput",
            "One row a request, each server at whichever number of connections it answers most.",
            "![Answers a second, by server](benchmarks/throughput.svg)",
            throughput(found),
            _left_out((it.title, it.left_out) for it in found.servers),
            _conditions(found.conditions),
        ),
        _section(
            "Start and memory",
            "Of the same run; memory after the load.",
            "![Seconds to the first right answer](benchmarks/start.svg)",
            "![Memory, by server](benchmarks/memory.svg)",
            costs(found),
            _conditions(found.conditions),
        ),
        _section("How each is set up", _setups(found)),
    ])  # fmt: skip


def _open_loop(found: OpenLoop) -> str:
    return _section(
        "Latency at fixed rates",
        f"One row a request over {found.connections} connections, up to the first rate that a "
        "server does not keep up with.",
        "![p50 and p99 latency against rate](benchmarks/latency.svg)",
        open_loop(found),
        _left_out((it.title, it.left_out) for it in found.servers),
        _conditions(found.conditions),
    )


def _row(server: Served, asked: Asked) -> tuple[float, list[str]]:
    best = asked.best
    levels = "; ".join(
        f"{it.connections}: {'**' if it is best else ''}{spread(it.rates)}"
        f"{'**' if it is best else ''}"
        for it in asked.levels
    )
    latencies = [f"{statistics.median(it):.2f}" for it in (best.p50_ms, best.p99_ms)]
    return statistics.median(best.rates), [server.title, asked.form, levels, *latencies]


def _cost(server: Served) -> list[str]:
    totals = [sum(it) for it in server.memory_mib]
    return [
        server.title, spread(server.start_s, 2), spread(totals), str(len(server.memory_mib[0])),
    ]  # fmt: skip


def _paces(server: Paced) -> list[list[str]]:
    return [
        [
            server.title,
            f"{it.rate:,.0f}",
            spread(it.answered),
            *(spread(values, 2) for values in (it.p50_ms, it.p99_ms, it.p999_ms)),
        ]
        for it in server.paces
    ]


def _setups(found: Throughput) -> str:
    rows = [[it.title, it.version, it.setup] for it in found.servers]
    return _table(["server", "version", "set up with"], rows)


def _bound(it: Outcome) -> str:
    return f"{it.sense} {it.bound:g} {it.unit}".strip()


def _measured(it: Outcome) -> str:
    if it.left_out:
        return "not measured"
    return spread(it.values, 0 if it.unit in {"failed", "MB"} else 2)


def _verdict(it: Outcome) -> str:
    if it.left_out:
        return ""
    return "met" if it.met else "**not met**"


def _conditions(it: Conditions) -> str:
    machine = it.machine
    rounds = f"{it.rounds} round{'s' * (it.rounds > 1)} of {it.seconds:g} s"
    return (
        f"`{it.command}`, {it.date[:10]}: {rounds}; {it.cores}; load average before {it.busy:.1f}; "
        f"{machine.processor}, {machine.cores} cores, {machine.system}, Python {machine.python}."
    )


def _left_out(reasons: Iterable[tuple[str, str]]) -> str:
    named = [f"- {name}: {_one_line(reason)}" for name, reason in reasons if reason]
    return "Not measured:\n\n" + "\n".join(named) if named else ""


def _one_line(reason: str) -> str:
    """The end of a reason, which may be a whole log, without what Markdown would read."""
    return " ".join(reason.replace("`", "'").split())[-300:]


def _section(title: str, *parts: str) -> str:
    return "\n\n".join([f"## {title}", *filter(None, parts)]) + "\n"


def _table(head: list[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
