"""Lesson 7: gradient descent. ``W <- W - a dJ/dW``.

The bias is held at -1 and the weight is looked for, so that the loss is a curve:
``J(w) = 14/3 (w - 2)^2`` on the three points of lesson 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def points() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Inputs and truth of lesson 1, ``[3]`` each."""
    return np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 5.0])


def cost(weight: float) -> float:
    """The mean squared error J of ``y = weight x - 1``."""
    x, truth = points()
    return float(np.mean((weight * x - 1 - truth) ** 2))


def slope(weight: float) -> float:
    """The derivative dJ/dw of the cost."""
    x, truth = points()
    return float(np.mean(2 * (weight * x - 1 - truth) * x))


def descend(weight: float, rate: float, steps: int) -> list[float]:
    """Walk down the slope.

    Args:
        weight: Where to start.
        rate: The learning rate a.
        steps: How many.

    Returns:
        The weight at the start and after each step, ``steps + 1`` of them.
    """
    path = [weight]
    for _ in range(steps):
        path.append(path[-1] - rate * slope(path[-1]))
    return path
