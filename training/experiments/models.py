"""Which model predicts best: networks of this family beside what else there is.

All learn from the same rows in repeated 10-fold cross-validation, and read all features but
B. The networks' setting is chosen anew for each held-out fold, by cross-validation of the
other rows alone: no fold has a say in what is measured on it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from training.columns import OPEN
from training.engine import initial, stack
from training.experiments.crossvalidation import Outcome, Plan, Result, folds, normalise
from training.recipe import NAMED, Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from training.split import Rows

FOLDS: Final = 10
REPEATS: Final = 3
NETWORKS: Final = "networks of this family"
ALONE: Final = "one network of this family"
CANDIDATE: Final = "candidate"  # before layers and learning rate

_INNER_FOLDS: Final = 4
_INNER_SEEDS: Final = 3
_CANDIDATE_MEMBERS: Final = 5
CANDIDATES: Final = tuple(
    replace(NAMED["best"], widths=(64,) * depth, learning_rate=rate)
    for depth, rate in product((2, 3), (0.03, 0.05))
)

# Training batch, prices and the batch to predict for, to the predicted prices.
Predict = Callable[[Any, Any, Any], Any]


@dataclass(frozen=True)
class ModelQuestion:
    """The question of the best model; has what a ``Question`` has.

    Attributes:
        name: Of its study.
        asks: The question.
        repeats: How often all rows are cut into folds anew.
    """

    name: str
    asks: str
    repeats: int = REPEATS

    def wanted(self, _: Mapping[str, Result]) -> list[dict[str, Any]]:
        """Every model in every repeat, and the candidates once."""
        repeated = [
            {"model": name, "repeat": number}
            for number in range(self.repeats)
            for name in (*RIVALS, ALONE, NETWORKS)
        ]
        return repeated + [{"model": candidate(it), "repeat": 0} for it in CANDIDATES]

    def evaluate(self, setting: dict[str, Any], rows: Rows, plan: Plan) -> Result:
        """Cross-validate a model once; of the plan only the epochs count, as their most."""
        return evaluate(setting["model"], setting["repeat"], rows, plan.epochs / Plan.epochs)


def candidate(recipe: Recipe) -> str:
    """What a setting calls a candidate."""
    return f"{CANDIDATE}: {len(recipe.widths)} layers, {recipe.learning_rate:g}"


def evaluate(model: str, repeat: int, rows: Rows, share: float = 1.0) -> Result:
    """Cross-validate a model.

    Args:
        model: One of ``RIVALS``, ``ALONE``, ``NETWORKS`` or a ``candidate``.
        repeat: Seeds the folds, and what the model draws.
        rows: What is cut into folds.
        share: Of the networks' epochs.
    """
    batch = rows.frame[list(OPEN)].to_numpy(np.float64)
    predict = _predictor(model, repeat, share)
    outcomes = []
    for fold, (train, held) in enumerate(folds(len(batch), FOLDS, repeat)):
        with threadpool_limits(1), warnings.catch_warnings():
            # A Gaussian process says so when a feature does not matter to it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            predicted = predict(batch[train], rows.prices[train], batch[held])
        mae = float(np.abs(predicted - rows.prices[held]).mean())
        mean = float(np.abs(rows.prices[held] - rows.prices[train].mean()).mean())
        outcomes.append(Outcome(repeat, fold, mae, mean, 0))
    return Result(tuple(outcomes), ())


def _predictor(model: str, repeat: int, share: float) -> Predict:
    if model in RIVALS:
        return lambda batch, prices, asked: RIVALS[model](repeat).fit(batch, prices).predict(asked)
    shortened = [replace(it, epochs=max(1, round(it.epochs * share))) for it in CANDIDATES]
    if model == NETWORKS:
        return lambda *data: _chosen(shortened, repeat, *data)
    named = {candidate(it): replace(it, members=_CANDIDATE_MEMBERS) for it in shortened}
    best = replace(NAMED["best"], epochs=max(1, round(NAMED["best"].epochs * share)), members=1)
    recipe = best if model == ALONE else named[model]
    return lambda *data: predict(recipe, repeat, *data)


def _chosen(candidates: Sequence[Recipe], repeat: int, batch: Any, prices: Any, asked: Any) -> Any:
    """Predict with the candidate that does best in cross-validation of these rows alone."""
    inner = folds(len(batch), _INNER_FOLDS, repeat)

    def error(recipe: Recipe) -> float:
        tried = replace(recipe, members=_INNER_SEEDS)
        parts = [
            predict(tried, repeat, batch[train], prices[train], batch[held]) - prices[held]
            for train, held in inner
        ]
        return float(np.abs(np.concatenate(parts)).mean())

    return predict(min(candidates, key=error), repeat, batch, prices, asked)


def predict(recipe: Recipe, seed: int, batch: Any, prices: Any, asked: Any) -> NDArray[np.float64]:
    """Train an ensemble and ask it.

    Args:
        recipe: How; its members count, its features and split do not.
        seed: Of the first weights and orders of rows.
        batch: ``[n, features]`` to learn from.
        prices: ``[n]``, thousand USD.
        asked: ``[m, features]``.

    Returns:
        ``[m]``, thousand USD.
    """
    both = normalise(np.vstack([batch, asked]), np.arange(len(batch)))
    train = stack.Sample(both[: len(batch)], prices.astype(np.float32))
    last = stack.Sample(train.batch[-1:], train.truth[-1:])  # something to watch
    sizes = [batch.shape[1], *recipe.widths, 1]
    networks = [
        stack.Network(
            initial.draw(sizes, np.random.default_rng([seed, member])),
            train,
            last,
            1000 * seed + member,
            recipe.learning_rate,
            recipe.weight_decay,
        )
        for member in range(recipe.members)
    ]
    method = stack.Method(
        recipe.epochs, recipe.batch_size, recipe.loss, recipe.optimizer, schedule=recipe.schedule
    )
    answers = [
        stack.predict(it.weights, both[len(batch) :]) for it in stack.train(method, networks)
    ]
    mean: NDArray[np.float64] = np.mean(answers, axis=0, dtype=np.float64)
    return mean


def _scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


def _gaussian_process(smooth: Any) -> Any:
    kernel = ConstantKernel() * smooth + WhiteKernel(0.1)
    return _scaled(GaussianProcessRegressor(kernel, normalize_y=True))


_LENGTHS: Final = np.full(len(OPEN), 3.0)  # one a feature, to start the search from

# From a seed to a model that has not learned yet.
RIVALS: Final[dict[str, Callable[[int], Any]]] = {
    "predict the mean": lambda _: DummyRegressor(),
    "linear regression": lambda _: LinearRegression(),
    "ridge regression": lambda _: _scaled(RidgeCV(np.logspace(-3, 3, 13))),
    "random forest": lambda seed: RandomForestRegressor(300, max_features=0.4, random_state=seed),
    "extra trees": lambda seed: ExtraTreesRegressor(300, random_state=seed),
    "gradient boosting": lambda seed: GradientBoostingRegressor(
        n_estimators=500, learning_rate=0.05, max_depth=4, subsample=0.7, random_state=seed
    ),
    "scikit-learn's MLP": lambda seed: _scaled(
        MLPRegressor(
            hidden_layer_sizes=(64, 64),
            learning_rate_init=0.005,
            early_stopping=False,
            max_iter=1000,
            random_state=seed,
        )
    ),
    "Gaussian process, RBF": lambda _: _gaussian_process(RBF(_LENGTHS)),
    "Gaussian process, Matern 3/2": lambda _: _gaussian_process(Matern(_LENGTHS, nu=1.5)),
}

MODEL_QUESTION: Final = ModelQuestion("models", "Which model predicts best?")
