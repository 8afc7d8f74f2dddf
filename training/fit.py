"""Fitting the network: seeded, deterministic, watched, and stopped when it diverges."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from training import network
from training.errors import DivergedError

if TYPE_CHECKING:
    from training.progress import Watcher
    from training.recipe import Recipe
    from training.split import Split

History = dict[str, list[float]]


def fit(recipe: Recipe, split: Split, watcher: Watcher) -> tuple[Any, History]:
    """Train the network.

    Args:
        recipe: How.
        split: The rows; those that test give the validation curve and teach nothing.
        watcher: Is told of every epoch.

    Returns:
        The trained ``keras.Model``, and for each of ``loss``, ``mae``, ``val_loss`` and
        ``val_mae`` its value after each epoch.

    Raises:
        DivergedError: A loss was no longer a number.
    """
    keras.utils.set_random_seed(recipe.seed)
    tf.config.experimental.enable_op_determinism()
    model = network.build(recipe, split.train.batch)
    history = model.fit(
        split.train.batch,
        split.train.prices,
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        validation_data=(split.test.batch, split.test.prices),
        verbose=0,
        callbacks=[_each_epoch(recipe, watcher)],
    )
    return model, {name: [float(one) for one in values] for name, values in history.history.items()}


def _each_epoch(recipe: Recipe, watcher: Watcher) -> Any:
    def saw(epoch: int, logs: dict[str, float]) -> None:
        _require_finite(epoch + 1, logs, recipe)
        watcher(epoch + 1, logs)

    return keras.callbacks.LambdaCallback(on_epoch_end=saw)


def _require_finite(epoch: int, logs: dict[str, float], recipe: Recipe) -> None:
    for name in ("loss", "val_loss"):
        if not math.isfinite(logs[name]):
            raise DivergedError(
                f"{name} is {logs[name]} in epoch {epoch}: training diverged at "
                f"--learning_rate {recipe.learning_rate:g}; a smaller one may not"
            )
