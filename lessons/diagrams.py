"""Drawings of a network's units and of the chain rule."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from matplotlib.patches import Circle, FancyBboxPatch

from lessons import back_propagation, forward_propagation
from training.plots import LIGHT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Point = tuple[float, float]

_COLUMN: Final = 3.0  # from one layer, or one step, to the next
_RADIUS: Final = 0.3
_BOX: Final = (1.75, 1.05)
_FILL: Final = "#e8f1fb"
_LINE: Final = "#b8c4d1"
_GIVEN: Final = {"x": 2.0, "w": 2.0, "b": -1.0, "v": 2.0, "c": -1.0, "truth": 2.0}
_FORMULAS: Final = ("$x$", r"$z = w\,x + b$", "$h = relu(z)$", r"$y = v\,h + c$", "$J = (y - t)^2$")
_ENTERING: Final = {1: ("w", "b"), 3: ("v", "c"), 4: ("truth",)}


def network(figure: Figure) -> None:
    """The units of lesson 4 with every weight a line, and the shapes of weights and bias."""
    axes = _bare(figure)
    layers = forward_propagation.layers()
    widths = [layers[0][0].shape[0], *(bias.size for _, bias in layers)]
    columns = [_units(place, width) for place, width in enumerate(widths)]
    for place, (weights, bias) in enumerate(layers, start=1):
        _connect(axes, columns[place - 1], columns[place])
        shapes = f"$W_{place}$ {weights.shape}\n$b_{place}$ ({bias.size},)"
        _write(axes, ((place - 0.5) * _COLUMN, -2.3), shapes, color=LIGHT.first)
    for units, letter in zip(columns, ("x", "", "", "y"), strict=True):
        _draw_units(axes, units, letter)
    for units, title in zip(columns, ("inputs", *["hidden, ReLU"] * 2, "outputs"), strict=True):
        _write(axes, (units[0][0], 2.3), title, color=LIGHT.quiet)
    axes.set(xlim=(-1.2, 3 * _COLUMN + 1.2), ylim=(-2.7, 2.6))


def chain(figure: Figure) -> None:
    """The chain of lesson 8: values forward above, local derivatives backward below."""
    axes = _bare(figure)
    for place, (formula, value) in enumerate(zip(_FORMULAS, _values(), strict=True)):
        _draw_step(axes, place * _COLUMN, formula, f"{value:g}")
    for place, names in _ENTERING.items():
        given = (f"${name[0]} = {_GIVEN[name]:g}$" for name in names)
        _enter(axes, place * _COLUMN, ",  ".join(given))
    local = back_propagation.local_derivatives(**_GIVEN)
    for place, (name, slope) in enumerate(reversed(local.items())):
        _go_back(axes, place * _COLUMN, f"${_fraction(name)} = {slope:g}$")
    _write(axes, (2 * _COLUMN, -1.95), _product(local), color=LIGHT.second, fontsize=14)
    axes.set(xlim=(-1.1, 4 * _COLUMN + 1.1), ylim=(-2.5, 2.2))


def _values() -> list[float]:
    """What each step of the chain comes to."""
    z = _GIVEN["w"] * _GIVEN["x"] + _GIVEN["b"]
    h = max(z, 0.0)
    y = _GIVEN["v"] * h + _GIVEN["c"]
    return [_GIVEN["x"], z, h, y, (y - _GIVEN["truth"]) ** 2]


def _bare(figure: Figure) -> Axes:
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_aspect("equal")
    return axes


def _write(axes: Axes, place: Point, text: str, **how: Any) -> None:
    axes.text(*place, text, ha="center", va="center", **how)


def _units(place: int, width: int) -> list[Point]:
    return [(place * _COLUMN, (width - 1) / 2 - row) for row in range(width)]


def _connect(axes: Axes, left: list[Point], right: list[Point]) -> None:
    for start in left:
        for end in right:
            axes.plot(*zip(start, end, strict=True), color=_LINE, linewidth=1, zorder=1)


def _draw_units(axes: Axes, units: list[Point], letter: str) -> None:
    for row, centre in enumerate(units, start=1):
        axes.add_patch(Circle(centre, _RADIUS, facecolor=_FILL, edgecolor=LIGHT.first, zorder=2))
        if letter:
            _write(axes, centre, f"${letter}_{row}$", zorder=3)


def _draw_step(axes: Axes, x: float, formula: str, value: str) -> None:
    wide, high = _BOX
    box = FancyBboxPatch(
        (x - wide / 2, -high / 2), wide, high, boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=_FILL, edgecolor=LIGHT.first,
    )  # fmt: skip
    axes.add_patch(box)
    _write(axes, (x, 0.2), formula)
    _write(axes, (x, -0.24), value, color=LIGHT.first, fontweight="bold")
    if x:
        _arrow(
            axes, (x - _COLUMN + wide / 2 + 0.08, 0.15), (x - wide / 2 - 0.08, 0.15), LIGHT.first
        )


def _enter(axes: Axes, x: float, formula: str) -> None:
    _write(axes, (x, 1.9), formula, color=LIGHT.first)
    _arrow(axes, (x - 0.15, 1.6), (x - 0.15, 0.6), LIGHT.first)


def _go_back(axes: Axes, x: float, derivative: str) -> None:
    """The arrow from the next step to this one; the first leads from z up to w."""
    if not x:
        _arrow(axes, (_COLUMN + 0.15, 0.6), (_COLUMN + 0.15, 1.6), LIGHT.second)
        _write(axes, (_COLUMN + 0.95, 1.1), derivative, color=LIGHT.second)
        return
    reach = (_COLUMN - _BOX[0]) / 2 - 0.08
    middle = x + _COLUMN / 2
    _arrow(axes, (middle + reach, -0.15), (middle - reach, -0.15), LIGHT.second)
    _write(axes, (middle, -0.85), derivative, color=LIGHT.second)


def _arrow(axes: Axes, start: Point, end: Point, color: str) -> None:
    style = {"arrowstyle": "-|>", "color": color, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.4}
    axes.annotate("", end, start, arrowprops=style)


def _fraction(name: str) -> str:
    above, below = name.split("/")
    return rf"\dfrac{{{above}}}{{{below}}}"


def _product(local: dict[str, float]) -> str:
    names = r"\ ".join(map(_fraction, local))
    values = r" \cdot ".join(f"{value:g}" for value in local.values())
    return rf"${_fraction('dJ/dw')} = {names} = {values} = {math.prod(local.values()):g}$"
