"""The network: normalisation, ReLU layers, and one unit for the price.

Keras defines it, draws its first weights and exports it. It comes compiled, so that
``network.fit`` would train it; ``training.fit`` computes the same in less time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np

from training.engine.schedules import EXPONENTIAL_END
from training.preparation import Preparation, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.encoding import Encoding
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


class Encode(keras.layers.Layer):  # type: ignore[misc]
    """``Encoding.expand`` as a layer: ``[n, features]`` to ``[n, k]``."""

    def __init__(self, encoding: Encoding, **settings: Any) -> None:
        super().__init__(trainable=False, **settings)
        self._encoding = encoding

    def call(self, batch: Any) -> Any:  # noqa: D102 - Keras's name, and the class says it
        how, ops = self._encoding, keras.ops
        seen = ops.take(batch, how.sources, axis=1)
        missing = ops.isnan(seen)
        return (
            how.keeps * ops.where(missing, how.fills, seen)
            + how.signs * ops.cast(missing, "float32")
            + ops.cast(ops.equal(seen, how.codes), "float32")
            + how.shares * ops.cast(ops.equal(seen, how.others), "float32")
        )


def build(
    recipe: Recipe, training: NDArray[np.float32], prepared: Preparation | None = None
) -> Any:
    """Build and compile the network, with its first weights drawn.

    The normalisation is a layer of the network, so that whoever serves it gives each
    feature in its own unit and cannot normalise it otherwise. So is what becomes of
    categories and missing values.

    Args:
        recipe: Features, widths, normalisation, loss and optimiser.
        training: The training rows, and no other, ``[n, features]``: what the
            normalisation learns mean and variance from.
        prepared: What the rows and the target need; None for a plain table, and a price in
            thousand USD.

    Returns:
        The ``keras.Model``: ``[n, features]`` to ``[n, 1]``, in the target's unit.
    """
    how = prepared or plain(recipe)
    layers = [keras.Input((training.shape[1],), name="features")]
    if how.encoding is not None:
        layers.append(Encode(how.encoding))
    if not recipe.raw:
        layers.append(_normalization(training, how.encoding))
    layers += [keras.layers.Dense(width, activation="relu") for width in recipe.widths]
    network = keras.Sequential([*layers, *_last(recipe, how)])
    network.compile(_optimizer(recipe, len(training)), _loss(recipe, how), metrics=["mae"])
    return network


def entry(network: Any, batch: NDArray[np.float32]) -> Any:
    """What the first dense layer of a network reads of a batch: ``[n, k]``."""
    for layer in network.layers:
        if isinstance(layer, keras.layers.Dense):
            break
        batch = layer(batch)
    return batch


def average(members: list[Any]) -> Any:
    """Join networks into one that answers the mean of their prices.

    Args:
        members: As ``build`` gives them, all with the same encoding and normalisation or none.

    Returns:
        A ``keras.Model`` like each of them; it shares their layers.
    """
    shared = [it for it in members[0].layers if isinstance(it, _SHARED)]
    batch = read = keras.Input(members[0].input_shape[1:], name="features")
    for layer in shared:
        read = layer(read)
    prices = []
    for member in members:
        price = read
        for layer in member.layers[len(shared) :]:
            price = layer(price)
        prices.append(price)
    return keras.Model(batch, keras.layers.Average()(prices))


def _last(recipe: Recipe, how: Preparation) -> list[Any]:
    if recipe.loss == "binary_crossentropy":
        share = keras.layers.Dense(1, activation="sigmoid")
        return [share, keras.layers.Rescaling(how.unit)]
    if (how.unit, how.offset) == (1.0, 0.0):
        return [keras.layers.Dense(1)]
    return [keras.layers.Dense(1), keras.layers.Rescaling(how.unit, how.offset)]


def _loss(recipe: Recipe, how: Preparation) -> Any:
    if (how.unit, how.offset) == (1.0, 0.0):
        return recipe.loss
    loss = keras.losses.get(recipe.loss)
    return lambda price, predicted: loss(how.learned(price), how.learned(predicted))


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


def _normalization(training: NDArray[np.float32], encoding: Encoding | None) -> Any:
    layer = keras.layers.Normalization()
    if encoding is None:
        layer.adapt(training)
        return layer
    layer.adapt(encoding.expand(training))
    # Ones and zeros keep their distance: the one of a rare category would be made huge.
    variance = np.where(encoding.keeps > 0, layer.adapt_variance.numpy(), 1)
    layer.adapt_variance.assign(variance)
    layer.finalize_state()
    return layer


# What all members of an average have alike.
_SHARED: Final = (Encode, keras.layers.Normalization)
