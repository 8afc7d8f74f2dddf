"""Fitting the network: seeded, deterministic, watched, and stopped when it diverges.

``network.fit`` of Keras would do the same: with the same order of rows it gives the same
curves, which a test shows. The engine takes the first weights from the Keras network and
gives the last back, and spends no time between epochs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from training import network
from training.engine import stack
from training.engine.group import ALONE
from training.errors import DivergedError
from training.preparation import plain
from training.split import Split, hold_out
from training.trials import method

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.engine.stack import Numbers
    from training.feed import Feed
    from training.preparation import Preparation
    from training.progress import Watcher
    from training.recipe import Recipe
    from training.split import Rows

History = dict[str, list[float]]


def fit(
    recipe: Recipe,
    split: Split,
    watcher: Watcher,
    prepared: Preparation | None = None,
    feed: Feed | None = None,
) -> tuple[Any, History]:
    """Train the network.

    Args:
        recipe: How.
        split: The rows; those that test teach nothing, and give the validation curve
            unless the recipe holds out training rows for that.
        watcher: Is told of every epoch.
        prepared: What the rows and the target need; None for the census's.
        feed: The training rows, where ``split`` is but a sample of them.

    Returns:
        The trained ``keras.Model``, and for each of ``loss``, ``mae``, ``val_loss`` and
        ``val_mae`` its value after each epoch; of several members, their mean.

    Raises:
        DivergedError: A loss was no longer a number.
    """
    how = prepared or plain(recipe)
    if feed is not None:
        split = Split(split.train, feed.watched)
    elif recipe.validation_share:
        split = hold_out(split.train, recipe.validation_share)
    members = [_member(recipe, number, split, how) for number in range(recipe.members)]
    starts = [start(recipe, it, split, number, how) for number, it in enumerate(members)]
    if feed is not None:
        # The members have the same entry, so that one of them reads for all.
        blocks = _Blocks(feed, how, members[0])
        starts = [replace(it, blocks=blocks) for it in starts]
    group, checkpoints = (ALONE, None) if feed is None else (feed.group, feed.checkpoints)
    watch = _watch(recipe, how, watcher)
    trained = stack.train(method(recipe), starts, watch, group, checkpoints)
    for member, became in zip(members, trained, strict=True):
        for variable, values in zip(member.trainable_variables, became.weights, strict=True):
            variable.assign(values)
    model = members[0] if len(members) == 1 else network.average(members)
    return model, _in_its_unit(how, _mean([it.history for it in trained]))


def _member(recipe: Recipe, number: int, split: Split, how: Preparation) -> Any:
    """One network of the ensemble, with first weights of its own."""
    keras.utils.set_random_seed((recipe.seed + number) % 2**32)
    return network.build(recipe, split.train.batch, how)


def _mean(histories: list[History]) -> History:
    """The mean of the members' curves, as far as all of them went."""
    return {
        name: [float(np.mean(it)) for it in zip(*(one[name] for one in histories), strict=False)]
        for name in histories[0]
    }


def start(
    recipe: Recipe, model: Any, split: Split, number: int = 0, prepared: Preparation | None = None
) -> stack.Network:
    """What of a recipe is a network's own, with the first weights of a Keras model.

    Args:
        recipe: How it will be trained.
        model: As ``network.build`` gives it.
        split: The rows to train on, and as ``test`` those to watch.
        number: Of the member; each has an order of rows of its own.
        prepared: As in ``fit``.
    """
    how = prepared or plain(recipe)
    return stack.Network(
        weights=[variable.numpy() for variable in model.trainable_variables],
        train=_sample(how, model, split.train),
        watched=_sample(how, model, split.test),
        seed=recipe.seed + number,
        learning_rate=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )


class _Blocks:
    """A feed's blocks as the layers read them."""

    def __init__(self, feed: Feed, how: Preparation, model: Any) -> None:
        self._feed, self._how, self._model = feed, how, model
        self.lengths, self.own = feed.lengths, feed.own

    def read(self, number: int) -> stack.Sample:
        batch, prices = self._feed.block(number)
        return _entered(self._how, self._model, batch, prices)


def _entered(
    how: Preparation, model: Any, batch: NDArray[np.float32], prices: NDArray[np.float64]
) -> stack.Sample:
    read = np.asarray(network.entry(model, batch))
    return stack.Sample(read, how.learned(prices).astype(read.dtype))


def _sample(how: Preparation, model: Any, rows: Rows) -> stack.Sample:
    return _entered(how, model, rows.batch, rows.prices)


def _watch(recipe: Recipe, how: Preparation, watcher: Watcher) -> stack.Watch:
    def saw(epoch: int, measured: dict[str, Numbers]) -> None:
        mean = {name: [float(np.mean(values))] for name, values in measured.items()}
        logs = {name: it[0] for name, it in _in_its_unit(how, mean).items()}
        _require_finite(epoch, logs, recipe)
        watcher(epoch, logs)

    return saw


def _in_its_unit(how: Preparation, history: History) -> History:
    """Each MAE in the target's unit; losses stay as they were learned."""
    return {
        name: [one * how.unit for one in values] if name.endswith("mae") else values
        for name, values in history.items()
    }


def _require_finite(epoch: int, logs: dict[str, float], recipe: Recipe) -> None:
    for name in ("loss", "val_loss"):
        if not math.isfinite(logs[name]):
            raise DivergedError(
                f"{name} is {logs[name]} in epoch {epoch}: training diverged at "
                f"--learning_rate {recipe.learning_rate:g}; a smaller one may not"
            )
