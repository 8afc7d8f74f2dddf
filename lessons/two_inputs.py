"""Lesson 2: two inputs, one output. ``y = x1 + 2 x2 - 1``."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def network() -> Any:
    """A single unit with weights 1 and 2 and bias -1: ``[n, 2]`` to ``[n, 1]``."""
    made = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    made.set_weights([np.array([[1.0], [2.0]]), np.array([-1.0])])
    return made
