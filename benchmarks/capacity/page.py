"""``docs/capacity.md`` and its picture, from the figures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks.capacity import plan
from benchmarks.report.results import write_beside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.capacity.figures import Compared, Figures

COMMAND: Final = "python -m benchmarks.capacity"
WORKERS_PER_POD: Final = 4
# The one that the page's command asks for, and those of its table.
_ASKED: Final = plan.Load(1_000_000, 5)
_LOADS: Final = (
    plan.Load(1_000, 50),
    plan.Load(10_000, 5),
    plan.Load(10_000, 50, 100),
    _ASKED,
    plan.Load(5_000_000, 50),
)
_TEMPLATE: Final = Path(__file__).parent / "capacity.md.jinja"
# Of a line: which percentile; and whether it was measured or simulated.
_COLORS: Final = {"p50_ms": "#64748b", "p99_ms": "#c2410c"}
_STYLES: Final = {"measured": "-", "simulated": "--"}


def costs(figures: Figures) -> dict[str, plan.Cost]:
    """What requests cost, by protocol."""
    return {it.protocol: plan.Cost(it.protocol, it.request_us, it.row_us) for it in figures.costs}


def memory(figures: Figures, models: int = 1) -> plan.Memory:
    """What a pod takes."""
    found = figures.memory
    return plan.Memory(found.master, found.worker + found.model * (models - 1))


def telling(found: plan.Plan) -> str:
    """A plan in a line."""
    return (
        f"{found.cores:,} cores, {found.workers:,} workers, {found.pods:,} replicas, "
        f"{found.memory_mib / 1024:,.1f} GiB; workers {found.busy:.0%} busy"
    )


def page(figures: Figures) -> str:
    """The whole page."""
    environment = jinja2.Environment(  # noqa: S701 - Markdown, made of our own figures
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    cost, pod = costs(figures)[figures.costs[0].protocol], memory(figures)
    return environment.from_string(_TEMPLATE.read_text()).render(
        machine=figures.machine,
        busy=figures.busy,
        seconds=f"{figures.seconds:g}",
        costs=figures.costs,
        memory=figures.memory,
        most_busy=plan.MOST_BUSY,
        workers_per_pod=WORKERS_PER_POD,
        said=telling(plan.plan(_ASKED, cost, pod, WORKERS_PER_POD)),
        plans=[(it, plan.plan(it, cost, pod, WORKERS_PER_POD)) for it in _LOADS],
        compared=figures.compared,
        differences=list(_differences(figures.compared)),
        fleets=figures.fleets,
    )


def _differences(compared: Sequence[Compared]) -> Iterator[str]:
    """Say how far they are apart, in numbers."""
    for kind in dict.fromkeys(it.kind for it in compared):
        some = [it for it in compared if it.kind == kind]
        yield (
            f"Measured in times of simulated, {kind}: median {_ratios(some, 'p50_ms')}, "
            f"99th percentile {_ratios(some, 'p99_ms')}, answers a second "
            f"{_ratios(some, 'answered')}."
        )
    apart = max(abs(it.shed[0] - it.shed[1]) for it in compared)
    yield f"The shares that are shed are at most {apart * 100:.1f} percentage points apart."


def _ratios(compared: Sequence[Compared], of: str) -> str:
    ratios = [measured / simulated for measured, simulated in (getattr(it, of) for it in compared)]
    return f"{min(ratios):.2f} to {max(ratios):.2f}"


def draw(figures: Figures, path: Path) -> None:
    """Draw latencies measured and simulated, and pods that follow a day."""
    kinds = list(dict.fromkeys(it.kind for it in figures.compared))
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    *left, right = figure.subplots(1, len(kinds) + 1)
    for axes, kind in zip(left, kinds, strict=True):
        _latencies(axes, [it for it in figures.compared if it.kind == kind])
        axes.set_title(kind, fontsize="small")
    _day(right, figures)
    content = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "hearth"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    write_beside(path, content.getvalue())


def _latencies(axes: Any, compared: Sequence[Compared]) -> None:
    for of, color in _COLORS.items():
        for place, (name, style) in enumerate(_STYLES.items()):
            values = [getattr(it, of)[place] for it in compared]
            shares, label = [it.share for it in compared], f"{of[:3]}, {name}"
            axes.plot(shares, values, style, color=color, marker="o", ms=3, label=label)
    axes.set(yscale="log", xlabel="of the most that a worker answers", ylabel="ms")
    axes.legend(fontsize="x-small")


def _day(axes: Any, figures: Figures) -> None:
    hours = [it / 60 for it in range(len(figures.day.pods))]
    axes.plot(hours, figures.day.pods, color="#c2410c")
    axes.set(xlabel="hour", ylabel="pods (red)", ylim=(0, None))
    axes.set_title("a day of a million requests/s", fontsize="small")
    other = axes.twinx()
    other.plot(hours, [it / 1e6 for it in figures.day.offered], color="#64748b")
    other.set(ylabel="million requests/s (grey)", ylim=(0, None))
