"""Lesson 1: one input, one output. ``y = 2 x - 1``."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


def network() -> Any:
    """A single unit with weight 2 and bias -1: ``[n, 1]`` to ``[n, 1]``."""
    made = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    made.set_weights([np.array([[2.0]]), np.array([-1.0])])
    return made
