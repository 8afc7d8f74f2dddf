"""What a soak found: how server and answers stood over time, as a table and a picture."""

from __future__ import annotations

import io
import statistics
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import msgspec
from matplotlib.figure import Figure

from benchmarks.report.results import write_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

# Of the time, before which the server is still warming up: buffers fill, interpreters are made.
_WARM: Final = 0.2
_END: Final = 0.8
_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "hearth",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e8f0",
    "figure.constrained_layout.use": True,
}


class Sample(msgspec.Struct, frozen=True):
    """One look.

    Attributes:
        at_s: Seconds since the begin.
        memory_mib: Memory of all processes of the server, shared pages by share (PSS).
        descriptors: Open files and sockets of its workers.
        requests: Answered so far.
        p50_ms: Median latency since the last look.
        p99_ms: Its 99th percentile.
    """

    at_s: float
    memory_mib: float
    descriptors: int
    requests: int
    p50_ms: float
    p99_ms: float


class Soak(msgspec.Struct, frozen=True):
    """A whole soak.

    Attributes:
        samples: The looks, in order.
        requests: All requests.
        refused: Of them, bad ones that were refused.
        lost: Of them, those answered wrongly or not at all.
        told: What happened to the first of these.
        faults: Faults made, by kind.
    """

    samples: tuple[Sample, ...]
    requests: int
    refused: int
    lost: int
    told: tuple[str, ...]
    faults: dict[str, int]

    def ends(self, of: Callable[[Sample], float]) -> tuple[float, float]:
        """Medians of a number early, but warm, and late."""
        last_s = self.samples[-1].at_s
        early = [it for it in self.samples if _WARM * last_s <= it.at_s <= 2 * _WARM * last_s]
        late = [it for it in self.samples if it.at_s >= _END * last_s]
        first, last = (statistics.median(map(of, it)) for it in (early or self.samples, late))
        return first, last


def table(soak: Soak) -> str:
    """What was found, in Markdown."""
    rows = [
        ("memory, MiB", *(f"{it:.1f}" for it in soak.ends(lambda it: it.memory_mib))),
        ("open files and sockets", *(f"{it:.0f}" for it in soak.ends(lambda it: it.descriptors))),
        ("median latency, ms", *(f"{it:.2f}" for it in soak.ends(lambda it: it.p50_ms))),
        ("p99 latency, ms", *(f"{it:.2f}" for it in soak.ends(lambda it: it.p99_ms))),
    ]
    faults = ", ".join(f"{count} x {name}" for name, count in soak.faults.items())
    whole = (
        f"{soak.requests:,} requests in {soak.samples[-1].at_s:.0f} s ({soak.refused:,} bad ones, "
        f"refused), {soak.lost} wrong or unanswered; {faults}."
    )
    lines = [
        whole,
        "",
        "| | second fifth | last fifth |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        *(f"- {it}" for it in soak.told),
    ]
    return "\n".join(lines)


def picture(soak: Soak) -> Figure:
    """Memory and latency over time."""
    with mpl.rc_context(_STYLE):
        figure = Figure((8.0, 5.0))
        memory, latency = figure.subplots(2, 1, sharex=True)
        at_min = [it.at_s / 60 for it in soak.samples]
        memory.plot(at_min, [it.memory_mib for it in soak.samples], color="#c2410c")
        memory.set(ylabel="memory of all processes, MiB", ylim=(0, None))
        _lines(latency, at_min, soak.samples)
        return figure


def write(soak: Soak, folder: Path) -> None:
    """Write table, picture and numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    with mpl.rc_context(_STYLE):
        picture(soak).savefig(content, format="svg", metadata={"Date": None})
    write_beside(folder / "soak.svg", content.getvalue())
    write_beside(folder / "soak.md", table(soak).encode() + b"\n")
    write_beside(folder / "soak.json", msgspec.json.encode(soak))


def _lines(ax: Axes, at_min: Sequence[float], samples: Sequence[Sample]) -> None:
    ax.plot(at_min, [it.p50_ms for it in samples], label="median", color="#c2410c")
    ax.plot(at_min, [it.p99_ms for it in samples], label="p99", color="#64748b")
    ax.set(xlabel="minutes", ylabel="latency, ms", yscale="log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    ax.legend(frameon=False)
