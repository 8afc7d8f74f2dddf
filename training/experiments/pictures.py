"""The pictures of the answers, as SVG, each drawn for light and for dark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from training import plots
from training.columns import OPEN
from training.experiments import answers, models, questions
from training.experiments.questions import (
    DEPTHS,
    DESCENTS,
    RATES,
    SOURCE,
    WIDTHS,
    descent,
    key,
    size,
    subset,
)
from training.plots import SVG
from training.report import Picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from training.experiments.crossvalidation import Result
    from training.experiments.questions import Results
    from training.plots import Theme

    Draw = Callable[[Axes, Theme], None]

_MAE: Final = "MAE, thousand USD"
_SHOWN_RATES: Final = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def draw(name: str, results: Results) -> list[Picture]:
    """Draw what belongs to a question.

    Args:
        name: The question's.
        results: All of its results.
    """
    return _PICTURES[name](results)


def _features(results: Results) -> list[Picture]:
    return [
        _picture(
            "features",
            "MAE of each feature alone, of the source's three, and of all but B; lines show "
            "one standard deviation over seeds and folds",
            lambda axes, theme: _bars(axes, theme, results),
        ),
        _picture(
            "features-path",
            "MAE as the feature that helps most is added, step by step",
            lambda axes, theme: _path(axes, theme, results),
        ),
    ]


def _network(results: Results) -> list[Picture]:
    return [
        _picture(
            "network",
            "MAE by units a hidden layer and number of hidden layers; darker is better",
            lambda axes, theme: _map(axes, theme, results),
        )
    ]


def _learning_rate(results: Results) -> list[Picture]:
    return [
        _picture(
            "learning-rate",
            "MAE by learning rate; a cross above marks rates at which networks end in no number "
            "or learn no more than the mean, with their number",
            lambda axes, theme: _rates(axes, theme, results),
        ),
        _picture(
            "learning-rate-curves",
            "MAE on the held-out fold after each epoch under Adam, mean of the networks",
            lambda axes, theme: _curves(axes, theme, results),
        ),
    ]


def _models(results: Results) -> list[Picture]:
    return [
        _picture(
            "models",
            "MAE of each model in repeated 10-fold cross-validation; lines show one standard "
            "deviation over folds and repeats",
            lambda axes, theme: _model_bars(axes, theme, results),
        )
    ]


_PICTURES: Final = {
    "features": _features,
    "network": _network,
    "learning-rate": _learning_rate,
    "models": _models,
}


def _picture(name: str, says: str, draw_axes: Draw) -> Picture:
    def drawn(theme: Theme) -> bytes:
        def on(figure: Figure) -> None:
            draw_axes(figure.add_subplot(), theme)

        return plots.image(on, (5.4, 3.8), theme, SVG)

    return Picture(name, says, drawn(plots.LIGHT), drawn(plots.DARK), "svg+xml")


def _bars(axes: Axes, theme: Theme, results: Results) -> None:
    alone = sorted(((name,) for name in OPEN), key=lambda it: -results[key(subset(*it))].mae)
    rows = [*alone, SOURCE, OPEN]
    labels = [*(it[0] for it in alone), "+".join(SOURCE), f"all {len(OPEN)} but B"]
    found = [results[key(subset(*it))] for it in rows]
    colours = [theme.first] * len(alone) + [theme.second] * 2
    _bar_chart(axes, theme, labels, found, colours)


def _model_bars(axes: Axes, theme: Theme, results: Results) -> None:
    found = sorted(answers.repeated(results).items(), key=lambda it: -it[1].mae)
    ours = (models.NETWORKS, models.ALONE)
    colours = [theme.second if name in ours else theme.first for name, _ in found]
    _bar_chart(axes, theme, [name for name, _ in found], [it for _, it in found], colours)


def _bar_chart(
    axes: Axes, theme: Theme, labels: list[str], found: list[Result], colours: list[str]
) -> None:
    maes, spreads = [it.mae for it in found], [it.spread for it in found]
    axes.barh(labels, maes, color=colours, height=0.7)
    axes.errorbar(maes, range(len(found)), xerr=spreads, fmt="none", ecolor=theme.ink, elinewidth=1)
    axes.set(xlabel=_MAE)
    axes.grid(visible=False, axis="y")


def _path(axes: Axes, theme: Theme, results: Results) -> None:
    taken = questions.path(results)
    found = [results[key(subset(*names))] for names in taken]
    labels = [f"+ {names[-1]}" for names in taken]
    _line(axes, range(len(found)), found, theme.first, "step by step")
    every = results[key(subset(*OPEN))].mae
    axes.axhline(every, color=theme.second, linewidth=1.2, label=f"all {len(OPEN)} but B")
    axes.set_xticks(range(len(found)), labels, rotation=40)
    axes.set(ylabel=_MAE, ylim=(0, None))
    axes.legend()


def _map(axes: Axes, theme: Theme, results: Results) -> None:
    maes = np.array([[results[key(size(w, d))].mae for w in WIDTHS] for d in DEPTHS])
    axes.imshow(maes, cmap="Blues_r", aspect="auto", vmax=float(np.quantile(maes, 0.9)))
    middle = (maes.min() + np.quantile(maes, 0.9)) / 2
    for (row, column), mae in np.ndenumerate(maes):
        colour = "white" if mae < middle else "black"
        axes.text(column, row, f"{mae:.2f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(WIDTHS)), [str(it) for it in WIDTHS])
    axes.set_yticks(range(len(DEPTHS)), [str(it) for it in DEPTHS])
    axes.set(xlabel="units a hidden layer", ylabel="hidden layers")
    axes.grid(visible=False)
    axes.title.set_color(theme.ink)


def _rates(axes: Axes, theme: Theme, results: Results) -> None:
    for optimizer, colour in zip(DESCENTS, (theme.first, theme.second), strict=True):
        tried = {rate: results[key(descent(optimizer, rate))] for rate in RATES}
        whole = {rate: it for rate, it in tried.items() if len(it.maes)}
        _line(axes, whole, list(whole.values()), colour, optimizer)
        top = 24.0 if optimizer == "adam" else 22.6
        for rate, it in tried.items():
            if it.failed:
                axes.plot([rate], [top], marker="x", color=colour, linestyle="none")
                axes.annotate(
                    f"{it.failed}", (rate, top), (4, 3), textcoords="offset points", fontsize=7
                )
    axes.set(xscale="log", xlabel="learning rate", ylabel=_MAE, ylim=(0, 25.5))
    axes.legend(loc="center right")


def _curves(axes: Axes, theme: Theme, results: Results) -> None:
    tried = {rate: results[key(descent("adam", rate))].curve for rate in _SHOWN_RATES}
    for place, (rate, curve) in enumerate(tried.items()):
        mixed = _mix(theme.first, theme.second, place / (len(tried) - 1))
        axes.plot(range(1, len(curve) + 1), curve, color=mixed, label=f"{rate:g}", linewidth=1.4)
    axes.set(xlabel="epoch", ylabel=_MAE, ylim=(0, 24))
    axes.legend(title="learning rate", ncols=2, loc="center right")


def _line(axes: Axes, places: Any, found: list[Result], colour: str, label: str) -> None:
    maes = np.array([it.mae for it in found])
    spreads = np.array([it.spread for it in found])
    axes.plot(list(places), maes, color=colour, marker="o", markersize=3.5, label=label)
    axes.fill_between(
        list(places), maes - spreads, maes + spreads, color=colour, alpha=0.18, linewidth=0
    )


def _mix(one: str, other: str, share: float) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb  # noqa: PLC0415

    return tuple((1 - share) * np.array(to_rgb(one)) + share * np.array(to_rgb(other)))
