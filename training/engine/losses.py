"""Losses: what a row costs, and how that changes with what the last layer says.

Each is Keras's of the same name. ``said`` is the last layer's sum before any activation;
under ``binary_crossentropy`` the network ends in a sigmoid, under the others in nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Numbers = NDArray[np.floating]

_DELTA: Final = 1.0  # where Huber's parabola turns into a line; Keras's default


class Loss(NamedTuple):
    """One loss, row by row.

    Attributes:
        value: From truth and ``said``, of one shape, to the cost of each row.
        slope: The derivative of that cost by ``said``.
        output: From ``said`` to what the network answers.
    """

    value: Callable[[Numbers, Numbers], Numbers]
    slope: Callable[[Numbers, Numbers], Numbers]
    output: Callable[[Numbers], Numbers]


def sigmoid(said: Numbers) -> Numbers:
    """1 / (1 + exp(-said)), in a form that never overflows."""
    share: Numbers = 0.5 * (1 + np.tanh(0.5 * said))
    return share


def _same(said: Numbers) -> Numbers:
    return said


def _squared(truth: Numbers, said: Numbers) -> Numbers:
    return np.square(said - truth)


def _squared_slope(truth: Numbers, said: Numbers) -> Numbers:
    return 2 * (said - truth)


def _absolute(truth: Numbers, said: Numbers) -> Numbers:
    return np.abs(said - truth)


def _absolute_slope(truth: Numbers, said: Numbers) -> Numbers:
    return np.sign(said - truth)


def _huber(truth: Numbers, said: Numbers) -> Numbers:
    error = np.abs(said - truth)
    return np.where(error <= _DELTA, 0.5 * np.square(error), _DELTA * (error - 0.5 * _DELTA))


def _huber_slope(truth: Numbers, said: Numbers) -> Numbers:
    return np.clip(said - truth, -_DELTA, _DELTA)


def _crossentropy(truth: Numbers, said: Numbers) -> Numbers:
    return np.maximum(said, 0) - said * truth + np.log1p(np.exp(-np.abs(said)))


def _crossentropy_slope(truth: Numbers, said: Numbers) -> Numbers:
    return sigmoid(said) - truth


LOSSES: Final = {
    "mse": Loss(_squared, _squared_slope, _same),
    "mae": Loss(_absolute, _absolute_slope, _same),
    "huber": Loss(_huber, _huber_slope, _same),
    "binary_crossentropy": Loss(_crossentropy, _crossentropy_slope, sigmoid),
}
