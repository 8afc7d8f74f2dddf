"""Lesson 5: m inputs, n outputs."""

from __future__ import annotations

from typing import Any

import keras


def network(inputs: int = 1000, hidden: tuple[int, ...] = (500, 100), outputs: int = 10) -> Any:
    """Dense layers of any widths, first weights drawn by a fixed seed.

    Args:
        inputs: Numbers in a row of the batch.
        hidden: Units of each ReLU layer.
        outputs: Numbers in a row of the answer.

    Returns:
        The ``keras.Model``: ``[n, inputs]`` to ``[n, outputs]``.
    """
    keras.utils.set_random_seed(0)
    inner = [keras.layers.Dense(units, activation="relu") for units in hidden]
    return keras.Sequential([keras.Input((inputs,)), *inner, keras.layers.Dense(outputs)])
