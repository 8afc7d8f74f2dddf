"""The network: normalisation, ReLU layers, and one linear unit for the price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.recipe import Recipe


def build(recipe: Recipe, training: NDArray[np.float32]) -> Any:
    """Build and compile the network, with its first weights drawn.

    The normalisation is a layer of the network, so that whoever serves it gives each
    feature in its own unit and cannot normalise it otherwise.

    Args:
        recipe: Features, widths, normalisation and learning rate.
        training: The training rows, and no other, ``[n, features]``: what the
            normalisation learns mean and variance from.

    Returns:
        The ``keras.Model``: ``[n, features]`` to ``[n, 1]``, thousand USD.
    """
    layers = [keras.Input((len(recipe.features),), name="features")]
    if not recipe.raw:
        layers.append(_normalization(training))
    layers += [keras.layers.Dense(width, activation="relu") for width in recipe.widths]
    network = keras.Sequential([*layers, keras.layers.Dense(1)])
    network.compile(keras.optimizers.Adam(float(recipe.learning_rate)), loss="mse", metrics=["mae"])
    return network


def _normalization(training: NDArray[np.float32]) -> Any:
    layer = keras.layers.Normalization()
    layer.adapt(training)
    return layer
