"""The pictures: bars of throughput, start and memory, and lines of latency against rate."""

from __future__ import annotations

import io
import statistics
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

from benchmarks.peers import HEARTH, LIMITS
from benchmarks.report.results import write_beside

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.report.results import OpenLoop, Results, Served, Throughput

_HEARTH: Final = "#c2410c"
_PEER: Final = "#64748b"
_LIMIT: Final = "#cbd5e1"
# Lines of the peers; none is near Hearth's.
_LINES: Final = (
    "#1f77b4", "#2ca02c", "#9467bd", "#17becf", "#bcbd22", "#7f7f7f", "#e377c2", "#0f766e",
    "#1e3a8a",
)  # fmt: skip
_WIDTH_IN: Final = 8.0
# The same picture from the same figures, byte by byte.
_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "hearth",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=_LINES),
    "axes.axisbelow": True,
    "grid.color": "#e2e8f0",
    "figure.facecolor": "white",
    "figure.constrained_layout.use": True,
}


def write(results: Results, folder: Path) -> None:
    """Write the pictures of all parts that were measured."""
    if results.throughput and results.throughput.measured:
        _save(throughput(results.throughput), folder / "throughput.svg")
        _save(start(results.throughput), folder / "start.svg")
        _save(memory(results.throughput), folder / "memory.svg")
    if results.open_loop:
        _save(latency(results.open_loop), folder / "latency.svg")


def throughput(found: Throughput) -> Figure:
    """Answers a second over REST, each at its best."""
    rates = {it: statistics.median(best.rates) for it in found.measured if (best := it.best())}
    label = "answers a second over REST, one row a request, one worker"
    return _bars(dict(sorted(rates.items(), key=lambda it: -it[1])), label, "{:,.0f}")


def start(found: Throughput) -> Figure:
    """Seconds to the first right answer."""
    seconds = {it: statistics.median(it.start_s) for it in _models(found)}
    return _bars(_rising(seconds), "seconds from process start to first right answer", "{:.2f}")


def memory(found: Throughput) -> Figure:
    """Memory of all processes."""
    mib = {it: statistics.median(map(sum, it.memory_mib)) for it in _models(found)}
    return _bars(_rising(mib), "memory after load, MiB (PSS, all processes)", "{:,.0f}")


def latency(found: OpenLoop) -> Figure:
    """p50 and p99 against the rate asked for; both axes are logarithmic."""
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH_IN, 5.0))
        axes = figure.subplots(1, 2, sharey=True)
        for it in found.servers:
            if not it.paces:
                continue
            rates = [pace.rate for pace in it.paces]
            for ax, values in zip(
                axes, ([p.p50_ms for p in it.paces], [p.p99_ms for p in it.paces]), strict=True
            ):
                medians = [statistics.median(value) for value in values]
                ax.plot(rates, medians, marker="o", markersize=4, label=it.title, **_line(it.key))
        for ax, title in zip(axes, ("p50", "p99"), strict=True):
            ax.set(xscale="log", yscale="log", title=title, xlabel="requests due a second")
            ax.xaxis.set_major_formatter("{x:,.0f}")
            ax.yaxis.set_major_formatter("{x:g}")
        axes[0].set_ylabel("latency from when due, ms")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return figure


def _bars(values: Mapping[Served, float], label: str, form: str) -> Figure:
    """Horizontal bars, the first on top, each with its figure."""
    ordered = list(values)[::-1]
    with mpl.rc_context(_STYLE):
        figure = Figure((_WIDTH_IN, 0.8 + 0.36 * len(ordered)))
        ax = figure.subplots()
        heights = [values[it] for it in ordered]
        bars = ax.barh([it.title for it in ordered], heights, color=[_colour(it) for it in ordered])
        ax.bar_label(bars, [form.format(it) for it in heights], padding=4)
        ax.set_xlabel(label)
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.grid(axis="y", visible=False)
        ax.margins(x=0.12)
        return figure


def _rising(values: Mapping[Served, float]) -> dict[Served, float]:
    return dict(sorted(values.items(), key=lambda it: it[1]))


def _models(found: Throughput) -> Sequence[Served]:
    return [it for it in found.measured if it.key not in LIMITS]


def _colour(server: Served) -> str:
    return {HEARTH: _HEARTH, **dict.fromkeys(LIMITS, _LIMIT)}.get(server.key, _PEER)


def _line(key: str) -> dict[str, Any]:
    if key == HEARTH:
        return {"color": _HEARTH, "linewidth": 2.5, "zorder": 3}
    return {"color": _LIMIT, "linestyle": "--"} if key in LIMITS else {}


def _save(figure: Figure, path: Path) -> None:
    content = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(content, format="svg", metadata={"Date": None})
    write_beside(path, content.getvalue())
