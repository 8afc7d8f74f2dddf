"""Optimisers: how a gradient moves the weights, with Keras's formulas and defaults.

All numbers of a network are one row, so that one step of a whole stack is a few operations
on ``[networks, numbers]``, done in place: at this size, time goes into passes over memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Numbers = NDArray[np.floating]


class Optimizer(Protocol):
    """Moves the weights of a stack, and remembers what it needs of earlier steps.

    Attributes:
        memory: That, each ``[networks, numbers]``; may be written to.
    """

    @property
    def memory(self) -> Sequence[Numbers]: ...  # noqa: D102 - above

    def step(self, weights: Numbers, gradient: Numbers, rate: Numbers, number: int) -> None:
        """Move the weights in place.

        Args:
            weights: ``[networks, numbers]``.
            gradient: The loss's gradient there, of the same shape.
            rate: The learning rate of each network, ``[networks, 1]``.
            number: Of the step, from 1.
        """

    def keep(self, kept: NDArray[np.intp]) -> None:
        """Forget all networks but these, given by their places."""


class _Adam:
    # Kingma and Ba, Adam: a method for stochastic optimization, 2015, with the bias
    # corrections in the rate, as Keras has it.
    _first: Final = 0.9
    _second: Final = 0.999
    _epsilon: Final = 1e-7

    def __init__(self, weights: Numbers) -> None:
        self._mean, self._square = np.zeros_like(weights), np.zeros_like(weights)
        self._scratch = np.empty_like(weights)

    @property
    def memory(self) -> Sequence[Numbers]:
        return self._mean, self._square

    def step(self, weights: Numbers, gradient: Numbers, rate: Numbers, number: int) -> None:
        scratch = self._scratch
        np.subtract(gradient, self._mean, out=scratch)
        scratch *= 1 - self._first
        self._mean += scratch
        np.square(gradient, out=scratch)
        scratch -= self._square
        scratch *= 1 - self._second
        self._square += scratch
        np.sqrt(self._square, out=scratch)
        scratch += self._epsilon
        np.divide(self._mean, scratch, out=scratch)
        scratch *= self._corrected(rate, number)
        weights -= scratch

    def _corrected(self, rate: Numbers, number: int) -> Numbers:
        kind = rate.dtype.type
        first, second = kind(self._first) ** number, kind(self._second) ** number
        corrected: Numbers = rate * np.sqrt(1 - second) / (1 - first)
        return corrected

    def keep(self, kept: NDArray[np.intp]) -> None:
        self._mean, self._square = self._mean[kept], self._square[kept]
        self._scratch = self._scratch[kept]


class _Sgd:
    def __init__(self, weights: Numbers, momentum: float) -> None:
        self._momentum = momentum
        self._velocity = np.zeros_like(weights)
        self._scratch = np.empty_like(weights)

    @property
    def memory(self) -> Sequence[Numbers]:
        return (self._velocity,)

    def step(self, weights: Numbers, gradient: Numbers, rate: Numbers, number: int) -> None:  # noqa: ARG002 - Adam's
        np.multiply(gradient, rate, out=self._scratch)
        self._velocity *= self._momentum
        self._velocity -= self._scratch
        weights += self._velocity

    def keep(self, kept: NDArray[np.intp]) -> None:
        self._velocity, self._scratch = self._velocity[kept], self._scratch[kept]


class _RmsProp:
    _share: Final = 0.9
    _epsilon: Final = 1e-7

    def __init__(self, weights: Numbers) -> None:
        self._square, self._scratch = np.zeros_like(weights), np.empty_like(weights)

    @property
    def memory(self) -> Sequence[Numbers]:
        return (self._square,)

    def step(self, weights: Numbers, gradient: Numbers, rate: Numbers, number: int) -> None:  # noqa: ARG002 - Adam's
        scratch = self._scratch
        np.square(gradient, out=scratch)
        scratch *= 1 - self._share
        self._square *= self._share
        self._square += scratch
        np.add(self._square, self._epsilon, out=scratch)
        np.sqrt(scratch, out=scratch)
        np.divide(gradient, scratch, out=scratch)
        scratch *= rate
        weights -= scratch

    def keep(self, kept: NDArray[np.intp]) -> None:
        self._square, self._scratch = self._square[kept], self._scratch[kept]


# From first weights and momentum. AdamW is Adam with weight decay, which a stack applies
# before any optimiser's step, as Keras does.
OPTIMIZERS: Final[dict[str, Callable[[Numbers, float], Optimizer]]] = {
    "adam": lambda weights, _: _Adam(weights),
    "adamw": lambda weights, _: _Adam(weights),
    "sgd": _Sgd,
    "rmsprop": lambda weights, _: _RmsProp(weights),
}
