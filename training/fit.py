"""Fitting the network: seeded, deterministic, watched, and stopped when it diverges.

``network.fit`` of Keras would do the same: with the same order of rows it gives the same
curves, which a test shows. The engine takes the first weights from the Keras network and
gives the last back, and spends no time between epochs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from training import network
from training.engine import stack
from training.errors import DivergedError
from training.split import Split, hold_out
from training.trials import method

if TYPE_CHECKING:
    from training.engine.stack import Numbers
    from training.progress import Watcher
    from training.recipe import Recipe
    from training.split import Rows

History = dict[str, list[float]]


def fit(recipe: Recipe, split: Split, watcher: Watcher) -> tuple[Any, History]:
    """Train the network.

    Args:
        recipe: How.
        split: The rows; those that test teach nothing, and give the validation curve
            unless the recipe holds out training rows for that.
        watcher: Is told of every epoch.

    Returns:
        The trained ``keras.Model``, and for each of ``loss``, ``mae``, ``val_loss`` and
        ``val_mae`` its value after each epoch; of several members, their mean.

    Raises:
        DivergedError: A loss was no longer a number.
    """
    if recipe.validation_share:
        split = hold_out(split.train, recipe.validation_share)
    members = [_member(recipe, number, split) for number in range(recipe.members)]
    starts = [start(recipe, it, split, number) for number, it in enumerate(members)]
    trained = stack.train(method(recipe), starts, _watch(recipe, watcher))
    for member, became in zip(members, trained, strict=True):
        for variable, values in zip(member.trainable_variables, became.weights, strict=True):
            variable.assign(values)
    model = members[0] if len(members) == 1 else network.average(members)
    return model, _in_thousand_usd(recipe, _mean([it.history for it in trained]))


def _member(recipe: Recipe, number: int, split: Split) -> Any:
    """One network of the ensemble, with first weights of its own."""
    keras.utils.set_random_seed((recipe.seed + number) % 2**32)
    return network.build(recipe, split.train.batch)


def _mean(histories: list[History]) -> History:
    """The mean of the members' curves, as far as all of them went."""
    return {
        name: [float(np.mean(it)) for it in zip(*(one[name] for one in histories), strict=False)]
        for name in histories[0]
    }


def start(recipe: Recipe, model: Any, split: Split, number: int = 0) -> stack.Network:
    """What of a recipe is a network's own, with the first weights of a Keras model.

    Args:
        recipe: How it will be trained.
        model: As ``network.build`` gives it.
        split: The rows to train on, and as ``test`` those to watch.
        number: Of the member; each has an order of rows of its own.
    """
    return stack.Network(
        weights=[variable.numpy() for variable in model.trainable_variables],
        train=_sample(recipe, model, split.train),
        watched=_sample(recipe, model, split.test),
        seed=recipe.seed + number,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )


def _sample(recipe: Recipe, model: Any, rows: Rows) -> stack.Sample:
    batch = rows.batch if recipe.raw else np.asarray(model.layers[0](rows.batch))
    return stack.Sample(batch, (rows.prices / network.unit(recipe)).astype(batch.dtype))


def _watch(recipe: Recipe, watcher: Watcher) -> stack.Watch:
    def saw(epoch: int, measured: dict[str, Numbers]) -> None:
        mean = {name: [float(np.mean(values))] for name, values in measured.items()}
        logs = {name: it[0] for name, it in _in_thousand_usd(recipe, mean).items()}
        _require_finite(epoch, logs, recipe)
        watcher(epoch, logs)

    return saw


def _in_thousand_usd(recipe: Recipe, history: History) -> History:
    unit = network.unit(recipe)
    return {
        name: [one * unit for one in values] if name.endswith("mae") else values
        for name, values in history.items()
    }


def _require_finite(epoch: int, logs: dict[str, float], recipe: Recipe) -> None:
    for name in ("loss", "val_loss"):
        if not math.isfinite(logs[name]):
            raise DivergedError(
                f"{name} is {logs[name]} in epoch {epoch}: training diverged at "
                f"--learning_rate {recipe.learning_rate:g}; a smaller one may not"
            )
