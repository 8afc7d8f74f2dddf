"""The network: normalisation, ReLU layers, and one unit for the price.

Keras defines it, draws its first weights and exports it. It comes compiled, so that
``network.fit`` would train it; ``training.fit`` computes the same in less time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import keras

from training.columns import TARGET
from training.engine.schedules import EXPONENTIAL_END

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from training.recipe import Recipe

_SCHEDULES: Final = {
    "constant": lambda rate, _: float(rate),
    "linear": lambda rate, steps: keras.optimizers.schedules.PolynomialDecay(
        rate, steps, end_learning_rate=0.0
    ),
    "cosine": keras.optimizers.schedules.CosineDecay,
    "exponential": lambda rate, steps: keras.optimizers.schedules.ExponentialDecay(
        rate, steps, EXPONENTIAL_END
    ),
}


def build(recipe: Recipe, training: NDArray[np.float32]) -> Any:
    """Build and compile the network, with its first weights drawn.

    The normalisation is a layer of the network, so that whoever serves it gives each
    feature in its own unit and cannot normalise it otherwise.

    Args:
        recipe: Features, widths, normalisation, loss and optimiser.
        training: The training rows, and no other, ``[n, features]``: what the
            normalisation learns mean and variance from.

    Returns:
        The ``keras.Model``: ``[n, features]`` to ``[n, 1]``, thousand USD.
    """
    layers = [keras.Input((len(recipe.features),), name="features")]
    if not recipe.raw:
        layers.append(_normalization(training))
    layers += [keras.layers.Dense(width, activation="relu") for width in recipe.widths]
    network = keras.Sequential([*layers, *_last(recipe)])
    network.compile(_optimizer(recipe, len(training)), _loss(recipe), metrics=["mae"])
    return network


def average(members: list[Any]) -> Any:
    """Join networks into one that answers the mean of their prices.

    Args:
        members: As ``build`` gives them, all with the same normalisation or none.

    Returns:
        A ``keras.Model`` like each of them; it shares their layers.
    """
    shared = [it for it in members[0].layers if isinstance(it, keras.layers.Normalization)]
    entry = keras.Input(members[0].input_shape[1:], name="features")
    normalised = shared[0](entry) if shared else entry
    prices = []
    for member in members:
        price = normalised
        for layer in member.layers[len(shared) :]:
            price = layer(price)
        prices.append(price)
    return keras.Model(entry, keras.layers.Average()(prices))


def unit(recipe: Recipe) -> float:
    """What the price is measured in while the network learns, in thousand USD.

    Binary cross-entropy takes shares: the price as a share of the greatest there is, which
    the census sets at 50. All other losses take thousand USD.
    """
    return TARGET.maximum if recipe.loss == "binary_crossentropy" else 1.0


def _last(recipe: Recipe) -> list[Any]:
    if recipe.loss == "binary_crossentropy":
        share = keras.layers.Dense(1, activation="sigmoid")
        return [share, keras.layers.Rescaling(unit(recipe))]
    return [keras.layers.Dense(1)]


def _loss(recipe: Recipe) -> Any:
    if recipe.loss != "binary_crossentropy":
        return recipe.loss
    scale = unit(recipe)
    return lambda price, predicted: keras.losses.binary_crossentropy(
        price / scale, predicted / scale
    )


def _optimizer(recipe: Recipe, rows: int) -> Any:
    steps = -(-rows // recipe.batch_size) * recipe.epochs
    rate = _SCHEDULES[recipe.schedule](recipe.learning_rate, steps)
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, recipe.momentum, weight_decay=recipe.weight_decay)
    kind = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "rmsprop": keras.optimizers.RMSprop,
    }[recipe.optimizer]
    return kind(rate, weight_decay=recipe.weight_decay)


def _normalization(training: NDArray[np.float32]) -> Any:
    layer = keras.layers.Normalization()
    layer.adapt(training)
    return layer
