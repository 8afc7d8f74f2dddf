"""Cross-validation of a recipe: every fold under every seed, as few stacks as may be."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.model_selection import KFold

from training.engine import initial, stack
from training.fingerprint import hash_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from training.recipe import Recipe
    from training.split import Rows


@dataclass(frozen=True)
class Plan:
    """How often a recipe is tried.

    Attributes:
        seeds: First weights and orders of rows, each with all folds.
        folds: Parts that the rows are cut into; each is held out once a seed.
        epochs: Passes over the rows.
    """

    seeds: int = 5
    folds: int = 5
    epochs: int = 100


class Outcome(NamedTuple):
    """What became of one network.

    Attributes:
        seed: Its seed.
        fold: The fold that it was measured on, and had not seen.
        mae: There, thousand USD; None if it diverged.
        mean_mae: What predicting the mean of its training rows gives there.
        epochs: How many it was trained for.
    """

    seed: int
    fold: int
    mae: float | None
    mean_mae: float
    epochs: int

    @property
    def failed(self) -> bool:
        """Whether it diverged, or is no better than predicting the mean."""
        return self.mae is None or self.mae >= self.mean_mae


@dataclass(frozen=True)
class Result:
    """What became of a recipe.

    Attributes:
        outcomes: One a seed and fold.
        curve: Mean over its networks of the MAE on the held-out fold after each epoch, as
            long as none had diverged.
    """

    outcomes: tuple[Outcome, ...]
    curve: tuple[float, ...]

    @property
    def maes(self) -> NDArray[np.float64]:
        """The MAE of each network that did not diverge."""
        return np.array([it.mae for it in self.outcomes if it.mae is not None])

    @property
    def mae(self) -> float:
        """Their mean; infinite if all diverged."""
        return float(self.maes.mean()) if len(self.maes) else float("inf")

    @property
    def spread(self) -> float:
        """Their standard deviation, over seeds and folds."""
        return float(self.maes.std()) if len(self.maes) else 0.0

    @property
    def failed(self) -> int:
        """How many diverged or are no better than predicting the mean."""
        return sum(it.failed for it in self.outcomes)

    @property
    def diverged(self) -> int:
        """How many diverged."""
        return sum(it.mae is None for it in self.outcomes)

    def stored(self) -> dict[str, Any]:
        """As a store keeps it."""
        return {"outcomes": [list(it) for it in self.outcomes], "curve": list(self.curve)}

    @staticmethod
    def read(stored: dict[str, Any]) -> Result:
        """As it was before it was stored."""
        return Result(tuple(Outcome(*it) for it in stored["outcomes"]), tuple(stored["curve"]))


def evaluate(recipe: Recipe, rows: Rows, plan: Plan) -> Result:
    """Cross-validate a recipe.

    Args:
        recipe: Features, widths, optimiser and learning rate; its seeds, split and
            epochs do not count here.
        rows: What is cut into folds; the recipe's features are read from it.
        plan: How often.
    """
    stacks = defaultdict(list)
    for network in _networks(recipe, rows, plan):
        stacks[len(network.start.train.truth)].append(network)
    method = stack.Method(
        epochs=plan.epochs,
        batch_size=recipe.batch_size,
        loss=recipe.loss,
        optimizer=recipe.optimizer,
        momentum=recipe.momentum,
        schedule=recipe.schedule,
    )
    outcomes, curves = [], []
    for some in stacks.values():
        trained = stack.train(method, [it.start for it in some])
        for network, became in zip(some, trained, strict=True):
            outcomes.append(_outcome(network, became))
            curves.append(became.history["val_mae"])
    shortest = min(map(len, curves))
    mean = np.mean([it[:shortest] for it in curves], axis=0)
    return Result(
        tuple(sorted(outcomes)), tuple(float(round(it, 4)) for it in mean if np.isfinite(it))
    )


def identity(recipe: Recipe, data: bytes, plan: Plan) -> str:
    """A short name of all that results depend on besides the setting: they may be kept by it.

    Args:
        recipe: What every setting starts from.
        data: The table's bytes.
        plan: How often a recipe is tried.
    """
    described = json.dumps([asdict(recipe), asdict(plan)]).encode()
    code = [(path.name, path.read_bytes()) for path in _code()]
    return hash_files([("data", data), ("described", described), *code])[:12]


class _Network(NamedTuple):
    seed: int
    fold: int
    start: stack.Network


def _networks(recipe: Recipe, rows: Rows, plan: Plan) -> Iterator[_Network]:
    batch = rows.frame[list(recipe.features)].to_numpy(np.float64)
    truth = rows.prices.astype(np.float32)
    sizes = [len(recipe.features), *recipe.widths, 1]
    for fold, (train, held) in enumerate(folds(len(batch), plan.folds)):
        normalised = normalise(batch, train)
        for seed in range(plan.seeds):
            number = seed * plan.folds + fold
            start = stack.Network(
                initial.draw(sizes, np.random.default_rng(number)),
                stack.Sample(normalised[train], truth[train]),
                stack.Sample(normalised[held], truth[held]),
                number,
                recipe.learning_rate,
                recipe.weight_decay,
            )
            yield _Network(seed, fold, start)


def folds(rows: int, count: int, seed: int = 0) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Cut rows into parts.

    Args:
        rows: How many there are.
        count: How many parts.
        seed: Of the shuffle before.

    Returns:
        For each part, the numbers of all other rows, and its own.
    """
    return list(KFold(count, shuffle=True, random_state=seed).split(np.empty(rows)))


def normalise(batch: NDArray[np.float64], train: NDArray[np.intp]) -> NDArray[np.float32]:
    """Bring every column to mean 0 and variance 1 of the training rows, as the network does."""
    seen = batch[train]
    scale = seen.std(axis=0)
    normalised: NDArray[np.float32] = (
        (batch - seen.mean(axis=0)) / np.where(scale > 0, scale, 1)
    ).astype(np.float32)
    return normalised


def _outcome(network: _Network, trained: stack.Trained) -> Outcome:
    start, history = network.start, trained.history
    mean = np.abs(start.watched.truth - start.train.truth.mean()).mean()
    mae = None if trained.diverged else history["val_mae"][-1]
    return Outcome(network.seed, network.fold, mae, float(mean), len(history["val_mae"]))


def _code() -> Iterator[Path]:
    yield Path(__file__)
    yield from Path(stack.__file__).parent.glob("*.py")
