"""The tutorial's pictures, as SVG: the same bytes from the same lessons."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from lessons import diagrams, gradient_descent
from lessons.files import write_beside
from training.plots import LIGHT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matplotlib.axes import Axes

_STYLE: Final[dict[Any, Any]] = {
    "svg.hashsalt": "hearth",
    "figure.facecolor": LIGHT.paper,
    "axes.edgecolor": LIGHT.quiet,
    "axes.labelcolor": LIGHT.quiet,
    "axes.titlecolor": LIGHT.ink,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "font.size": 10,
    "grid.color": LIGHT.grid,
    "legend.frameon": False,
    "text.color": LIGHT.ink,
    "xtick.color": LIGHT.quiet,
    "ytick.color": LIGHT.quiet,
}
_START: Final = -1.0  # the weight that gradient descent sets out from
_STEPS: Final = 10
_RATES: Final = {0.01: "too small", 0.1: "right", 0.22: "too large"}


def line(figure: Figure) -> None:
    """Lesson 1: three points and the line that the unit draws."""
    axes = figure.add_subplot()
    x, y = gradient_descent.points()
    reach = np.array([0.0, 4.0])
    axes.plot(reach, 2 * reach - 1, color=LIGHT.first, label="$y = 2x - 1$")
    axes.scatter(x, y, color=LIGHT.second, zorder=3, label="(1, 1), (2, 3), (3, 5)")
    axes.set(xlabel="$x$", ylabel="$y$", xticks=range(5))
    axes.legend()


def losses(figure: Figure) -> None:
    """Lesson 6: what each loss says of one answer, from right to wrong."""
    left, right = figure.subplots(1, 2)
    error = np.linspace(-3, 3, 121)
    left.plot(error, error**2, color=LIGHT.first)
    left.set(title="mean squared error", xlabel="prediction less truth", ylabel="loss", ylim=(0, 9))
    given = np.linspace(0.01, 0.99, 99)
    right.plot(given, -np.log(given), color=LIGHT.first, label="truth 1")
    right.plot(given, -np.log(1 - given), color=LIGHT.second, label="truth 0")
    right.set(title="binary cross-entropy", xlabel="predicted probability of 1", ylim=(0, 5))
    right.legend(loc="upper center")


def learning_rates(figure: Figure) -> None:
    """Lesson 7: ten steps down the same curve at three learning rates."""
    for axes, (rate, title) in zip(figure.subplots(1, 3, sharey=True), _RATES.items(), strict=True):
        _descent(axes, rate)
        axes.set(title=f"{title}: $a = {rate:g}$", xlabel="weight $w$")
    figure.axes[0].set_ylabel("loss $J(w)$")


def _descent(axes: Axes, rate: float) -> None:
    weights = np.linspace(-4, 8, 121)
    axes.plot(weights, [gradient_descent.cost(it) for it in weights], color=LIGHT.first)
    path = gradient_descent.descend(_START, rate, _STEPS)
    heights = [gradient_descent.cost(it) for it in path]
    axes.plot(path, heights, color=LIGHT.second, linewidth=1, marker="o", markersize=4)
    axes.plot(path[0], heights[0], color=LIGHT.ink, marker="o", markersize=6)
    axes.annotate("start", (path[0], heights[0]), (-6, -12), textcoords="offset points", ha="right")
    axes.set(xlim=(-4, 8), ylim=(-5, 150), xticks=range(-4, 9, 2))


PICTURES: Final[dict[str, tuple[Callable[[Figure], None], tuple[float, float]]]] = {
    "line": (line, (4.6, 3.4)),
    "network": (diagrams.network, (7.6, 3.6)),
    "losses": (losses, (7.6, 3.2)),
    "learning-rates": (learning_rates, (8.6, 3.2)),
    "chain-rule": (diagrams.chain, (9.0, 3.3)),
}


def write(folder: Path) -> Iterator[Path]:
    """Draw all pictures.

    Args:
        folder: Gets an SVG each.

    Yields:
        Each picture's file.
    """
    for name in PICTURES:
        path = folder / f"{name}.svg"
        write_beside(path, svg(name))
        yield path


def svg(name: str) -> bytes:
    """Draw one picture.

    Args:
        name: One of ``PICTURES``.
    """
    draw, size = PICTURES[name]
    content = io.BytesIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
