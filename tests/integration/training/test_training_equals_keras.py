"""The engine's curves and weights beside those of Keras's own ``fit``.

Keras is given the engine's order of rows, batch by batch. In float64 nothing but rounding
is left to differ: that of Adam's constants, which Keras keeps in float32 (0.999 to 1e-8, so
1 - 0.999 to 1e-5). In float32 a ReLU that rounding switches sends two runs apart, sooner or
later; the default recipe does not come to that.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from service import contract
from training import network
from training.engine import stack
from training.engine.schedules import EXPONENTIAL_END, shares
from training.fit import fit
from training.recipe import Recipe
from training.split import split

if TYPE_CHECKING:
    from collections.abc import Iterator

DATA = Path(__file__).parents[3] / "data" / "boston_housing.csv"
CURVES = ("loss", "mae", "val_loss", "val_mae")


def batches(batch, truth, seed: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for order in stack.orders(seed, len(truth)):
        for start in range(0, len(truth), size):
            rows = order[start : start + size]
            yield batch[rows], truth[rows]


def keras_fit(model, train, watched, *, seed: int, epochs: int, size: int, callbacks=()):
    """Keras's own loop over the engine's batches."""
    return model.fit(
        batches(*train, seed, size),
        steps_per_epoch=-(-len(train[1]) // size),
        epochs=epochs,
        validation_data=watched,
        callbacks=list(callbacks),
        shuffle=False,
        verbose=0,
    ).history


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(DATA)


@pytest.fixture
def double():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def made_up(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    batch = generator.normal(size=(rows, 3))
    return batch, 1 / (1 + np.exp(-batch[:, 0] - generator.normal(size=rows)))


def double_network(optimizer, loss: str):
    ends_in = "sigmoid" if loss == "binary_crossentropy" else None
    layers = [keras.Input((3,)), *(keras.layers.Dense(it, activation="relu") for it in (16, 8))]
    model = keras.Sequential([*layers, keras.layers.Dense(1, activation=ends_in)])
    model.compile(optimizer, loss, metrics=["mae"])
    return model


def compare(model, rate: float, method: stack.Method, decay: float = 0.0, callbacks=()) -> None:
    """Train the same network here and there."""
    train, watched = made_up(100, 1), made_up(30, 2)
    first = [it.numpy() for it in model.trainable_variables]
    assert {it.dtype.name for it in first} == {"float64"}
    start = stack.Network(first, stack.Sample(*train), stack.Sample(*watched), 7, rate, decay)

    (ours,) = stack.train(method, [start])
    theirs = keras_fit(
        model,
        train,
        watched,
        seed=7,
        epochs=method.epochs,
        size=method.batch_size,
        callbacks=callbacks,
    )

    for name in CURVES:
        np.testing.assert_allclose(ours.history[name], theirs[name], rtol=2e-5, err_msg=name)
    for one, other in zip(ours.weights, model.trainable_variables, strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "binary_crossentropy"])
def test_every_loss_is_keras(double, loss):
    keras.utils.set_random_seed(3)
    compare(double_network(keras.optimizers.Adam(0.01), loss), 0.01, stack.Method(8, 32, loss))


@pytest.mark.parametrize(
    ("name", "make", "decay"),
    [
        ("adam", lambda: keras.optimizers.Adam(0.01), 0.0),
        ("adamw", lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1), 0.1),
        ("sgd", lambda: keras.optimizers.SGD(0.01, momentum=0.9), 0.0),
        ("sgd", lambda: keras.optimizers.SGD(0.01, momentum=0.9, weight_decay=0.2), 0.2),
        ("rmsprop", lambda: keras.optimizers.RMSprop(0.01), 0.0),
    ],
)
def test_every_optimizer_is_keras(double, name, make, decay):
    keras.utils.set_random_seed(3)
    method = stack.Method(8, 16, optimizer=name, momentum=0.9)
    compare(double_network(make(), "mse"), 0.01, method, decay)


def test_early_stopping_is_keras(double):
    keras.utils.set_random_seed(3)
    model = double_network(keras.optimizers.Adam(0.03), "mse")
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True)

    compare(model, 0.03, stack.Method(60, 32, patience=3), callbacks=[stopping])

    assert 0 < stopping.stopped_epoch < 59


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("linear", lambda: keras.optimizers.schedules.PolynomialDecay(0.5, 40, 0.0)),
        ("cosine", lambda: keras.optimizers.schedules.CosineDecay(0.5, 40)),
        (
            "exponential",
            lambda: keras.optimizers.schedules.ExponentialDecay(0.5, 40, EXPONENTIAL_END),
        ),
    ],
)
def test_every_schedule_is_keras(name, schedule):
    theirs = [float(schedule()(step)) for step in range(40)]

    np.testing.assert_allclose(0.5 * shares(name, 40), theirs, rtol=1e-4, atol=1e-7)


RECIPES = [
    Recipe(epochs=8),
    Recipe(epochs=8, raw=True, widths=(16,)),
    Recipe(epochs=8, optimizer="adamw", weight_decay=0.01, schedule="cosine"),
    Recipe(epochs=8, loss="binary_crossentropy", learning_rate=0.01),
    Recipe(epochs=8, loss="huber", optimizer="rmsprop", schedule="linear", batch_size=50),
    Recipe(epochs=8, loss="mae", optimizer="sgd", schedule="exponential"),
]


def both_ways(table: pd.DataFrame, recipe: Recipe, tolerance: float) -> None:
    """Have the network that ``training.network`` compiles fitted by Keras and by us."""
    rows = split(table, recipe.features, recipe.split_seed, recipe.train_share)
    fitted, ours = fit(recipe, rows, lambda *_: None)
    keras.utils.set_random_seed(recipe.seed)
    model = network.build(recipe, rows.train.batch)
    train, test = ((it.batch, it.prices) for it in (rows.train, rows.test))

    theirs = keras_fit(
        model,
        train,
        test,
        seed=recipe.seed,
        epochs=recipe.epochs,
        size=recipe.batch_size,
    )

    for name in CURVES:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=tolerance, err_msg=name)
    answers = [np.asarray(it.predict(rows.test.batch, verbose=0)) for it in (fitted, model)]
    np.testing.assert_allclose(answers[0], answers[1], rtol=0, atol=50 * tolerance)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda it: f"{it.loss}-{it.optimizer}")
def test_every_recipe_gives_what_keras_gives_for_the_same_order(double, table, recipe):
    both_ways(table, recipe, 1e-4)


def test_the_default_recipe_gives_what_keras_gives_in_float32_too(table):
    both_ways(table, Recipe(), 1e-3)


def test_default_command_makes_of_the_boston_table_what_the_engine_alone_does(
    table, housing_models
):
    """Keras's own split and three layers, rows normalised by hand, and no preparation."""
    order = np.arange(506)
    np.random.RandomState(113).shuffle(order)
    batch = table[["RM", "AGE", "LSTAT"]].to_numpy(np.float64)[order]
    prices = table["MEDV"].to_numpy(np.float32)[order]
    mean, deviation = batch[:404].mean(axis=0), batch[:404].std(axis=0)
    rows = ((batch - mean) / deviation).astype(np.float32)
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((3,)), dense(64, "relu"), dense(64, "relu"), dense(1)])
    samples = stack.Sample(rows[:404], prices[:404]), stack.Sample(rows[404:], prices[404:])
    first = stack.Network([it.numpy() for it in model.trainable_variables], *samples, 0, 0.001)

    (trained,) = stack.train(stack.Method(100, 32), [first])

    golden = contract.read_golden(housing_models / "housing" / "1")
    read = (np.array(golden.instances) - mean) / deviation
    np.testing.assert_allclose(forward(trained.weights, read), golden.predictions, atol=0.02)


def forward(weights: list[np.ndarray], read: np.ndarray) -> np.ndarray:
    """The three layers, by hand: ``[n]``."""
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        read = np.maximum(read @ kernel + bias, 0)
    return (read @ weights[-2] + weights[-1])[:, 0]


def test_validation_share_is_held_out_of_the_training_rows(table):
    """Rows that are held out teach nothing: their prices can be anything."""
    recipe = Recipe(epochs=3, validation_share=0.25)
    rows = split(table, recipe.features, 113, 0.8)
    model, history = fit(recipe, rows, lambda *_: None)
    rows.train.frame.iloc[303:, rows.train.frame.columns.get_loc("MEDV")] = 1.0
    other, changed = fit(recipe, rows, lambda *_: None)

    assert changed["loss"] == history["loss"]
    assert changed["val_loss"] != history["val_loss"]
    for one, same in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same)


def test_ensemble_is_the_mean_of_networks_trained_apart(table):
    together = Recipe(epochs=4, members=3, seed=5)
    rows = split(table, together.features, 113, 0.8)

    model, history = fit(together, rows, lambda *_: None)

    alone = [fit(Recipe(epochs=4, seed=seed), rows, lambda *_: None) for seed in (5, 6, 7)]
    prices = [np.asarray(it.predict(rows.test.batch, verbose=0)) for it, _ in alone]
    answer = np.asarray(model.predict(rows.test.batch, verbose=0))
    np.testing.assert_allclose(answer, np.mean(prices, axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        history["val_mae"], np.mean([it["val_mae"] for _, it in alone], axis=0)
    )


def test_tensorboard_logs_have_the_curves(table, tmp_path):
    from training import tensorboard

    recipe = Recipe(epochs=4)
    with tensorboard.logs(tmp_path) as watcher:
        _, history = fit(recipe, split(table, recipe.features, 113, 0.8), watcher)

    (run,) = tmp_path.iterdir()
    for side, prefix in (("train", ""), ("validation", "val_")):
        assert logged(run / side) == {
            f"epoch_{name}": dict(enumerate(pytest.approx(it) for it in history[prefix + name]))
            for name in ("loss", "mae")
        }


def logged(folder: Path) -> dict[str, dict[int, float]]:
    """What TensorFlow reads back from a folder of event files: by tag and step."""
    found: dict[str, dict[int, float]] = {}
    for path in folder.iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                number = float(tf.make_ndarray(value.tensor))
                found.setdefault(value.tag, {})[event.step] = number
    return found
