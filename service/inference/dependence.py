"""How prices depend on one feature while the others stay as they are: partial dependence.

References:
    Friedman 2001, Greedy function approximation. Goldstein et al. 2015, Peeking inside the
    black box (the lines of single rows).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from service.inference.explaining import Model


@dataclass(frozen=True)
class Dependence:
    """How prices depend on one feature.

    Attributes:
        price: Mean price of the background rows with each of the feature's values, ``[g]``.
        lines: The prices of some of them alone, ``[l, g]``.
    """

    price: NDArray[np.float64]
    lines: NDArray[np.float64]


def depend(
    model: Model,
    background: NDArray[np.float32],
    column: int,
    grid: Sequence[float],
    lines: Sequence[int],
) -> Dependence:
    """Run background rows with each of some values in one feature.

    Args:
        model: From rows, float32 ``[n, features]``, to their prices ``[n]``.
        background: The rows, float32 ``[m, features]``.
        column: Which feature.
        grid: Its values, ``g`` of them.
        lines: The background rows to give the prices of.
    """
    rows = np.repeat(background[:, None, :], len(grid), axis=1)
    rows[:, :, column] = grid
    prices = np.asarray(model(rows.reshape(-1, background.shape[1])), np.float64)
    prices = prices.reshape(len(background), len(grid))
    return Dependence(prices.mean(axis=0), prices[list(lines)])
