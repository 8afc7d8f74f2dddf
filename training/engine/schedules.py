"""Learning-rate schedules: the share of the learning rate that each step has.

Each is one of ``keras.optimizers.schedules``, run down over the whole training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable

Shares = NDArray[np.float64]

# What is left of the rate at the end of an exponential decay.
EXPONENTIAL_END: Final = 0.01

# From the share of the training that is done, ``[steps]``, to the share of the rate.
SCHEDULES: Final[dict[str, Callable[[Shares], Shares]]] = {
    "constant": np.ones_like,
    "linear": lambda done: 1 - done,
    "cosine": lambda done: 0.5 * (1 + np.cos(np.pi * done)),
    "exponential": lambda done: EXPONENTIAL_END**done,
}


def shares(schedule: str, steps: int) -> Shares:
    """The share of the learning rate that each step has.

    Args:
        schedule: One of ``SCHEDULES``.
        steps: How many there will be.

    Returns:
        ``[steps]``; the first is 1.
    """
    return SCHEDULES[schedule](np.arange(steps) / steps)
