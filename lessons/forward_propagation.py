"""Lesson 4: forward propagation through 2, 4, 4 and 2 units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Layers = Sequence[tuple[Array, Array]]


def layers() -> Layers:
    """Weights ``[inputs, outputs]`` and bias ``[outputs]`` of each layer, set by hand."""
    return [
        (np.array([[1.0, 0, -1, 2], [0, 1, 1, -1]]), np.array([0.0, 0, 1, -1])),
        (
            np.array([[1.0, 0, 0, 1], [0, 1, 0, -1], [1, 0, 1, 0], [0, -1, 1, 1]]),
            np.array([0.0, 1, 0, -1]),
        ),
        (np.array([[1.0, -1], [2, 0], [0, 1], [-1, 2]]), np.array([0.0, 1])),
    ]


def relu(values: Array) -> Array:
    """What is above 0 as it is, and 0 for the rest."""
    return np.maximum(values, 0)


def forward(batch: Array, layers: Layers) -> Array:
    """Pass a batch through all layers: ReLU after each but the last.

    Args:
        batch: ``[n, inputs]``.
        layers: Weights and bias of each.

    Returns:
        ``[n, outputs]``.
    """
    *hidden, (weights, bias) = layers
    for inner_weights, inner_bias in hidden:
        batch = relu(batch @ inner_weights + inner_bias)
    return batch @ weights + bias


def network() -> Any:
    """The same layers in Keras: ``[n, 2]`` to ``[n, 2]``."""
    import keras  # noqa: PLC0415 - the rest of the lesson needs NumPy alone

    made = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(4, activation="relu"),
            keras.layers.Dense(4, activation="relu"),
            keras.layers.Dense(2),
        ]
    )
    made.set_weights([array for layer in layers() for array in layer])
    return made
