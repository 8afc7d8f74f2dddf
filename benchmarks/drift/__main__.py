"""``python -m benchmarks.drift``: false alarms, delays and costs, as JSON, a picture and a page."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from matplotlib.figure import Figure

from benchmarks.drift import cost, simulation
from service.monitoring.drift import LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.drift.cost import Cost
    from benchmarks.drift.simulation import Delay, FalseAlarms

_Found = TypeVar("_Found")

_COMMAND: Final = "python -m benchmarks.drift"


def main(arguments: Sequence[str]) -> int:
    """Measure, and write what was found beside each other."""
    options = _parse(arguments)
    costs = cost.measure(options.model_base_path.absolute(), options.rounds)
    if options.costs_alone:
        alarms, delays = _measured_before(options.output)
    else:
        alarms = _told(simulation.false_alarms(options.runs))
        delays = _told(simulation.delays(max(1, options.runs // 10)))
    figures = {
        "alarms": [asdict(it) for it in alarms],
        "delays": [asdict(it) for it in delays],
        "costs": [asdict(it) for it in costs],
    }
    text = json.dumps(figures, indent=1)
    options.output.with_suffix(".json").write_text(text + "\n")
    _picture(delays).savefig(options.output.with_suffix(".svg"), metadata={"Date": None})
    page = "\n".join(_page(alarms, delays, costs, options)) + "\n"
    options.output.write_text(page)
    return 0


def _measured_before(page: Path) -> tuple[list[FalseAlarms], list[Delay]]:
    """What stands beside the page."""
    figures = json.loads(page.with_suffix(".json").read_text())
    alarms = [simulation.FalseAlarms(**it) for it in figures["alarms"]]
    return alarms, [simulation.Delay(**it) for it in figures["delays"]]


def _told(found: Iterator[_Found]) -> list[_Found]:
    """All of them; each is shown when it is there."""
    several = []
    for it in found:
        print(it, flush=True)
        several.append(it)
    return several


def _page(
    alarms: Sequence[FalseAlarms],
    delays: Sequence[Delay],
    costs: Sequence[Cost],
    options: argparse.Namespace,
) -> Iterator[str]:
    yield from (
        "# Drift, measured",
        "",
        f"Written by `{_COMMAND}`; [drift.md](drift.md) says what is measured. Training",
        "rows (404) and requests are drawn from one population: the housing table's rows, each",
        "moved by a fifth of a standard deviation. Columns: RM, AGE, LSTAT, and the price by a",
        "fitted line. The table's other rows are the 102 of 506 that were not drawn for training.",
        "",
        "## False alarms",
        "",
        "Windows in which nothing has changed, and any column is called drifted:",
        f"{LEVEL * 100:g} % are meant to be. The share stands with its 95 % interval (Wilson); of",
        "the last column 5 % are meant. Where the training rows themselves are asked for again,",
        "both are fewer: that training is a sample too is allowed for, and there it is not one.",
        "",
        "| requests | rows in a window | windows | alarms | share, % | columns over `psi_95`, % |",
        "|---|---|---|---|---|---|",
    )
    for it in alarms:
        low, high = _wilson(it.alarms, it.windows)
        share = f"{it.alarms / it.windows:.2%} ({low:.2%} to {high:.2%})".replace("%", "")
        over = f"{it.over_psi_95 * 100:.1f}"
        yield f"| {it.traffic} | {it.rows:,} | {it.windows:,} | {it.alarms} | {share} | {over} |"
    yield from (
        "",
        "## How soon a change is seen",
        "",
        "After a window of ordinary requests one column changes. Rows until it is called drifted,",
        "while the window moves on by a twelfth at a time; a change that is not seen within three",
        "windows is given up.",
        "",
        f"![Rows until a change is seen]({options.output.with_suffix('.svg').name})",
        "",
        "| change | rows in a window | runs | seen, % | rows, median | rows, nine of ten |",
        "|---|---|---|---|---|---|",
    )
    for delay in delays:
        seen = f"{delay.seen / delay.runs * 100:.0f}"
        rows = f"{_rows(delay.median)} | {_rows(delay.late)}"
        yield f"| {delay.change} | {delay.rows:,} | {delay.runs} | {seen} | {rows} |"
    yield from (
        "",
        "## What it costs",
        "",
        "One row of the housing model through the fast lane, in process and without a socket, in",
        "turns.",
        "",
        "| requests | microseconds, best of many rounds | more than the first |",
        "|---|---|---|",
    )
    for one in costs:
        yield f"| {one.way} | {one.best_us:.2f} | {one.more_us:.2f} |"


def _rows(number: int | None) -> str:
    return "not seen" if number is None else f"{number:,}"


def _wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 95 % confidence interval of a share."""
    z = 1.96
    share, weight = hits / tries, 1 + z**2 / tries
    middle = (share + z**2 / (2 * tries)) / weight
    half = z / weight * math.sqrt(share * (1 - share) / tries + z**2 / (4 * tries**2))
    return max(0.0, middle - half), middle + half


def _picture(delays: Sequence[Delay]) -> Figure:
    """A line a change: rows in a window across, rows until it is seen upwards."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for change in dict.fromkeys(it.change for it in delays):
        seen = [it for it in delays if it.change == change and it.median is not None]
        medians = [float(it.median or 0) for it in seen]
        axes.plot([it.rows for it in seen], medians, marker="o", label=change)
    axes.set(xscale="log", yscale="log")
    axes.set(xlabel="rows in a window", ylabel="rows until seen, median")
    axes.grid(visible=True, color="#e2e8f0")
    axes.legend(fontsize="small")
    return figure


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=_COMMAND, description=__doc__)
    parser.add_argument("--runs", type=int, default=2000, help="windows without a change")
    parser.add_argument("--rounds", type=int, default=300, help="rounds of the costs")
    parser.add_argument(
        "--costs_alone", action="store_true", help="keep the other figures that the page has"
    )
    parser.add_argument("--model_base_path", type=Path, default=Path("models/housing"))
    parser.add_argument("--output", type=Path, default=Path("docs/drift-measured.md"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
