"""Lesson 6: how wrong an answer is, as one number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean_squared_error(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """The loss of regression: the mean of the squared differences, in the unit's square.

    Args:
        truth: ``[n]``.
        predicted: ``[n]``.
    """
    return float(np.mean((predicted - truth) ** 2))


def binary_cross_entropy(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    """The loss of yes or no: the mean of ``-log`` of the probability given to what is true.

    Args:
        truth: ``[n]``, each 0 or 1.
        predicted: ``[n]``, the probability of 1, between 0 and 1 and neither of them.
    """
    of_truth = np.where(truth == 1, predicted, 1 - predicted)
    return float(np.mean(-np.log(of_truth)))
