"""The report's pictures, each drawn for light and for dark."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from training.columns import Column, Schema
    from training.coverage import Seen
    from training.fit import History
    from training.split import Rows

PNG: Final = "png"
SVG: Final = "svg"

_SHOWN: Final = 14  # characters of a category
_TICKS: Final = 12  # categories that are named
_DPI: Final = 144  # sharp on a screen of twice the usual density
_DATELESS: Final[dict[str, Any]] = {PNG: {}, SVG: {"Date": None}}  # same picture, same bytes


class Theme(NamedTuple):
    """Colours of one picture."""

    paper: str
    ink: str
    quiet: str
    grid: str
    first: str
    second: str


# Blue and orange differ in lightness too, so that colour-blind readers tell them apart.
LIGHT: Final = Theme("#ffffff", "#1f2933", "#5f6b7a", "#e4e8ed", "#2b6cb0", "#d9730d")
DARK: Final = Theme("#1a1f26", "#e4e8ed", "#9aa5b1", "#2d3540", "#6cb2f5", "#f5a65b")


def scatter(rows: Rows, name: str, schema: Schema, theme: Theme) -> bytes:
    """A feature against the price, with their correlation; of categories, one column each.

    Args:
        rows: What is shown, one point a row; none where the feature is missing.
        name: The feature.
        schema: The columns.
        theme: Colours.

    Returns:
        A PNG.
    """
    column = schema.features[name]
    values = rows.frame[name].to_numpy(np.float64)
    places = values + _spread(len(values)) if column.is_category else values

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.scatter(places, rows.prices, s=10, alpha=0.5, color=theme.first, linewidths=0)
        axes.set_title(f"{name}   {_relation(column, values, rows.prices)}")
        axes.set(xlabel=column.unit, ylabel=_labelled(schema))
        if rows.prices.min() >= 0:
            axes.set_ylim(bottom=0)
        if column.is_category:
            _name_categories(axes, column)

    return image(draw, (3.8, 3.4), theme, PNG)


def curve(history: History, metric: str, label: str, theme: Theme) -> bytes:
    """A metric after each epoch, for the training rows and for validation.

    Args:
        history: As ``fit`` gives it.
        metric: ``loss`` or ``mae``.
        label: Its name and unit.
        theme: Colours.

    Returns:
        A PNG.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        epochs = range(1, len(history[metric]) + 1)
        axes.plot(epochs, history[metric], color=theme.first, label="train")
        axes.plot(epochs, history[f"val_{metric}"], color=theme.second, label="validation")
        axes.set(xlabel="epoch", ylabel=label, ylim=(0, _ceiling(history, metric)))
        axes.legend()

    return image(draw, (5.2, 3.6), theme, PNG)


def truth(
    prices: NDArray[np.floating], predicted: NDArray[np.floating], unit: str, theme: Theme
) -> bytes:
    """Prediction against truth, with the line where both are equal.

    Args:
        prices: ``[n]``.
        predicted: ``[n]``.
        unit: Of both.
        theme: Colours.

    Returns:
        A PNG.
    """

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        end = max(float(prices.max()), float(predicted.max())) * 1.05
        start = min(0.0, float(predicted.min()), float(prices.min()))
        axes.plot([start, end], [start, end], color=theme.quiet, linewidth=1, label="equal")
        axes.scatter(prices, predicted, s=18, alpha=0.7, color=theme.first, linewidths=0)
        axes.set(xlabel=f"truth, {unit}", ylabel=f"prediction, {unit}", aspect="equal")
        axes.set(xlim=(start, end), ylim=(start, end))
        axes.legend()

    return image(draw, (4.6, 4.4), theme, PNG)


def residuals(
    prices: NDArray[np.floating], predicted: NDArray[np.floating], schema: Schema, theme: Theme
) -> bytes:
    """How the errors are distributed: prediction less truth.

    Args:
        prices: ``[n]``, in the target's unit.
        predicted: ``[n]``, in the same unit.
        schema: The columns.
        theme: Colours.

    Returns:
        A PNG.
    """
    errors = predicted - prices

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.hist(errors, bins=24, color=theme.first, edgecolor=theme.paper, linewidth=0.6)
        axes.axvline(0, color=theme.quiet, linewidth=1)
        mean = float(errors.mean())
        axes.axvline(mean, color=theme.second, linewidth=1.5, label=f"mean {mean:+.2f}")
        axes.set(xlabel=f"prediction less truth, {schema.unit}", ylabel=schema.rows)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()

    return image(draw, (4.6, 4.4), theme, PNG)


def intervals(seen: Seen, schema: Schema, theme: Theme) -> bytes:
    """Each row's interval and its truth, from the least predicted price to the greatest.

    Args:
        seen: The rows with their intervals.
        schema: The columns.
        theme: Colours.

    Returns:
        A PNG.
    """
    rows = np.argsort(seen.predicted, kind="stable")
    inside = seen.inside[rows]
    places = np.arange(len(rows))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.vlines(places, seen.lower[rows], seen.upper[rows], color=theme.first, alpha=0.3)
        axes.plot(places, seen.predicted[rows], color=theme.quiet, linewidth=1, label="prediction")
        for which, colour, label in (
            (inside, theme.first, "truth, within"),
            (~inside, theme.second, "truth, outside"),
        ):
            shown, truths = places[which], seen.truth[rows][which]
            axes.scatter(shown, truths, s=12, color=colour, label=label, linewidths=0, zorder=3)
        axes.set(
            xlabel=f"test {schema.rows}, by prediction", ylabel=f"{schema.price}, {schema.unit}"
        )
        axes.set_ylim(bottom=min(0.0, float(seen.lower.min())))
        axes.legend()

    return image(draw, (7.2, 3.8), theme, PNG)


def widths(by_level: Mapping[float, NDArray[np.floating]], schema: Schema, theme: Theme) -> bytes:
    """How wide the intervals of each level are.

    Args:
        by_level: The widths of each level, ``[n]``.
        schema: The columns.
        theme: Colours.

    Returns:
        A PNG.
    """
    colours = (theme.quiet, theme.first, theme.second)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for (level, wide), colour in zip(by_level.items(), colours, strict=False):
            label = f"{level:.0%}, mean {wide.mean():.1f}"
            axes.hist(wide, bins=16, color=colour, alpha=0.7, label=label)
        axes.set(xlabel=f"width of the interval, {schema.unit}", ylabel=schema.rows, xlim=(0, None))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside upper center", ncols=len(by_level))

    return image(draw, (5.2, 3.8), theme, PNG)


def correlation(first: NDArray[np.floating], second: NDArray[np.floating]) -> float | None:
    """Pearson's correlation of two columns, or None where one never changes.

    Args:
        first: ``[n]``; rows where it is NaN do not count.
        second: ``[n]``.
    """
    there = ~np.isnan(first)
    first, second = first[there], second[there]
    if first.min() == first.max() or second.min() == second.max():
        return None
    return float(np.corrcoef(first, second)[0, 1])


def _relation(column: Column, values: NDArray[np.floating], prices: NDArray[np.floating]) -> str:
    if column.is_category:
        return f"{len(column.categories)} categories"
    related = correlation(values, prices)
    return "constant" if related is None else f"r = {related:+.2f}"


def _labelled(schema: Schema) -> str:
    target = schema.target
    return f"{target.name}, {target.unit}" if target.unit else target.name


def _spread(count: int) -> NDArray[np.float64]:
    """Shifts that keep the points of one category apart, the same at every call."""
    return np.random.default_rng(0).uniform(-0.3, 0.3, count)


def _name_categories(axes: Any, column: Column) -> None:
    names = [*column.categories, "other"]
    shown = [name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…" for name in names]
    every = range(0, len(names), -(-len(names) // _TICKS))
    axes.set_xticks(list(every), [shown[it] for it in every], rotation=30, ha="right")


def _ceiling(history: History, metric: str) -> float:
    """Where to cut a curve, so that its first epochs do not flatten the rest."""
    values = history[metric] + history[f"val_{metric}"]
    return min(max(values), 6 * float(np.median(values))) * 1.05 or 1.0


def image(
    draw: Callable[[Figure], None], size: tuple[float, float], theme: Theme, form: str
) -> bytes:
    """Draw a picture.

    Args:
        draw: Draws on the empty figure.
        size: Width and height, inches.
        theme: Colours.
        form: ``PNG`` or ``SVG``.
    """
    # A Figure of its own, not pyplot's: nothing is kept, so there is nothing to close.
    with mpl.rc_context(_style(theme)):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        drawn = io.BytesIO()
        figure.savefig(drawn, format=form, dpi=_DPI, metadata=_DATELESS[form])
    return drawn.getvalue()


def _style(theme: Theme) -> Any:
    return {
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.grid,
        "axes.labelcolor": theme.quiet,
        "axes.titlecolor": theme.ink,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "font.size": 9,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "svg.hashsalt": "hearth",
        "text.color": theme.ink,
        "xtick.color": theme.quiet,
        "ytick.color": theme.quiet,
    }
