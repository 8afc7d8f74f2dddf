"""Trials: networks of a recipe, trained on some rows of a table and asked for others.

No Keras: first weights are drawn and networks trained by the engine, all trials with as
many rows to learn from in one stack.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from training.engine import initial, stack
from training.errors import DivergedError
from training.experiments.crossvalidation import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from training.encoding import Encoding
    from training.preparation import Preparation
    from training.recipe import Recipe
    from training.split import Rows

# Networks in one stack: more are no faster, and find the processor's caches too small.
_MOST: Final = 64


class Trial(NamedTuple):
    """One network, or one average of networks.

    Attributes:
        train: Numbers of the rows that it learns from, and is normalised by: ``[n]``.
        asked: Numbers of the rows that it is then asked for: ``[m]``.
        seed: Added to the recipe's.
    """

    train: NDArray[np.intp]
    asked: NDArray[np.intp]
    seed: int = 0


def predict(
    recipe: Recipe, rows: Rows, trials: Sequence[Trial], how: Preparation
) -> list[NDArray[np.float64]]:
    """Train the networks of some trials, and ask each for its rows.

    Args:
        recipe: How; of its members each trial has as many.
        rows: The table.
        trials: What to train on, and what to ask.
        how: What the rows and the target need.

    Returns:
        For each trial ``[m]``, in the target's unit.

    Raises:
        DivergedError: A loss was no longer a number.
    """
    stacks = defaultdict(list)
    for number, trial in enumerate(trials):
        stacks[len(trial.train)].append(number)
    answers: dict[int, NDArray[np.float64]] = {}
    for numbers in stacks.values():
        for some in _pieces(numbers, max(1, _MOST // recipe.members)):
            predicted = _predict(recipe, rows, [trials[it] for it in some], how)
            answers |= zip(some, predicted, strict=True)
    return [answers[number] for number in range(len(trials))]


def _pieces(numbers: list[int], length: int) -> Iterator[list[int]]:
    return (numbers[start : start + length] for start in range(0, len(numbers), length))


def _predict(
    recipe: Recipe, rows: Rows, trials: Sequence[Trial], how: Preparation
) -> Iterator[NDArray[np.float64]]:
    truth = how.learned(rows.prices).astype(np.float32)
    read = [_read(recipe, rows, it, how.encoding) for it in trials]
    starts = [
        _start(
            replace(recipe, seed=(recipe.seed + trial.seed) % 2**32),
            stack.Sample(batch[trial.train], truth[trial.train]),
            member,
        )
        for trial, batch in zip(trials, read, strict=True)
        for member in range(recipe.members)
    ]
    trained = stack.train(method(recipe), starts)
    if any(it.diverged for it in trained):
        raise DivergedError(
            f"{sum(it.diverged for it in trained)} of {len(trained)} networks trained on parts of "
            f"the rows diverged at --learning_rate {recipe.learning_rate:g}"
        )
    for number, (trial, batch) in enumerate(zip(trials, read, strict=True)):
        members = trained[number * recipe.members : (number + 1) * recipe.members]
        said = [stack.predict(it.weights, batch[trial.asked], recipe.loss) for it in members]
        yield np.asarray(np.mean(said, axis=0, dtype=np.float64) * how.unit + how.offset)


def method(recipe: Recipe) -> stack.Method:
    """What of a recipe is the same for all networks of a stack."""
    return stack.Method(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        loss=recipe.loss,
        optimizer=recipe.optimizer,
        momentum=recipe.momentum,
        schedule=recipe.schedule,
        patience=recipe.patience,
    )


def _read(
    recipe: Recipe, rows: Rows, trial: Trial, encoding: Encoding | None
) -> NDArray[np.float32]:
    """All rows as the layers of a trial's networks read them."""
    batch = rows.batch if encoding is None else encoding.expand(rows.batch)
    if recipe.raw:
        return batch
    normalised = normalise(batch.astype(np.float64), trial.train)
    if encoding is not None:  # ones and zeros keep their distance, as in the network
        coded = encoding.keeps == 0
        normalised[:, coded] = (batch - batch[trial.train].mean(axis=0))[:, coded]
    return normalised


def _start(recipe: Recipe, sample: stack.Sample, member: int) -> stack.Network:
    # What stops a training early is held out of its own rows, as for the network that is served.
    # Where nothing is, the last row is watched and has no say.
    share = int(len(sample.truth) * recipe.validation_share)
    held = max(1, share) if recipe.validation_share else 0
    sizes = [sample.batch.shape[1], *recipe.widths, 1]
    first = len(sample.truth) - held
    watched = first if held else first - 1
    return stack.Network(
        initial.draw(sizes, np.random.default_rng([recipe.seed, member])),
        stack.Sample(sample.batch[:first], sample.truth[:first]),
        stack.Sample(sample.batch[watched:], sample.truth[watched:]),
        recipe.seed + member,
        recipe.learning_rate,
        recipe.weight_decay,
    )
