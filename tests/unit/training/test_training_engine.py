"""The engine alone: its formulas by hand, and that no network knows who it is stacked with."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from training.engine import stack
from training.engine.losses import LOSSES, sigmoid
from training.engine.optimizers import OPTIMIZERS
from training.engine.schedules import SCHEDULES, shares
from training.engine.stack import Method, Network, Sample

SIZES = (3, 8, 5, 1)


def sample(seed: int, rows: int, kind: type = np.float32) -> Sample:
    generator = np.random.default_rng(seed)
    batch = generator.normal(size=(rows, SIZES[0])).astype(kind)
    return Sample(batch, (np.sin(batch[:, 0]) + batch[:, 1]).astype(kind))


def first_weights(seed: int, kind: type = np.float32) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    shapes = [it for a, b in itertools.pairwise(SIZES) for it in ((a, b), (b,))]
    return [generator.normal(0, 0.4, shape).astype(kind) for shape in shapes]


def network(seed: int, **others) -> Network:
    known = {"learning_rate": 0.01} | others
    return Network(first_weights(seed), sample(seed, 70), sample(seed + 100, 20), seed, **known)


def bytes_of(trained: stack.Trained) -> list[bytes]:
    return [it.tobytes() for it in trained.weights]


@pytest.mark.parametrize("name", LOSSES)
def test_slope_is_the_change_of_the_loss(name):
    said = np.array([-3.0, -0.4, 0.2, 0.9, 4.0])
    truth = np.array([0.0, 1.0, 0.3, 1.0, 0.0])
    loss, little = LOSSES[name], 1e-6

    measured = (loss.value(truth, said + little) - loss.value(truth, said - little)) / (2 * little)

    np.testing.assert_allclose(loss.slope(truth, said), measured, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", [4.0, 0.25]),
        ("mae", [2.0, 0.5]),
        ("huber", [1.5, 0.125]),
        ("binary_crossentropy", [-math.log(1 / (1 + math.e)), math.log(1 + math.exp(-1.5))]),
    ],
)
def test_losses_worked_out_by_hand(name, expected):
    truth = np.array([-1.0, 1.0]) if name != "binary_crossentropy" else np.array([0.0, 1.0])
    said = np.array([1.0, 1.5])

    np.testing.assert_allclose(LOSSES[name].value(truth, said), expected)


def test_sigmoid_never_overflows():
    with np.errstate(all="raise"):
        np.testing.assert_allclose(sigmoid(np.array([-1e4, 0.0, 1e4])), [0, 0.5, 1])


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        # Two steps down a slope of 2 at rate 0.1. Adam and AdamW go by the sign alone;
        # SGD 0.2, then 0.9 of that and 0.2 more; RMSprop 0.2 over the root of 0.1 * 4,
        # then of 0.9 * 0.4 + 0.4.
        ("adam", 0.1 + 0.1),
        ("adamw", 0.1 + 0.1),
        ("sgd", 0.2 + 0.38),
        ("rmsprop", 0.2 / math.sqrt(0.4) + 0.2 / math.sqrt(0.76)),
    ],
)
def test_two_steps_of_each_optimizer_by_hand(name, moved):
    weights, slope, rate = np.zeros((1, 1)), np.full((1, 1), 2.0), np.full((1, 1), 0.1)
    optimizer = OPTIMIZERS[name](weights, 0.9)

    for number in (1, 2):
        optimizer.step(weights, slope, rate, number)

    assert weights[0, 0] == pytest.approx(-moved, rel=1e-5)


def test_schedules_at_start_half_way_and_end():
    at = [0, 50, 99]
    assert shares("constant", 100)[at].tolist() == [1, 1, 1]
    np.testing.assert_allclose(shares("linear", 100)[at], [1, 0.5, 0.01])
    np.testing.assert_allclose(shares("cosine", 100)[at], [1, 0.5, 0.00024672], atol=1e-8)
    np.testing.assert_allclose(shares("exponential", 100)[at], [1, 0.1, 0.0104713], atol=1e-6)
    assert all(shares(name, 7)[0] == 1 for name in SCHEDULES)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_network_ends_with_the_same_bytes_alone_and_in_any_company(optimizer):
    method = Method(epochs=6, optimizer=optimizer, momentum=0.9, schedule="cosine")
    networks = [network(seed, weight_decay=0.01 * seed) for seed in range(5)]

    together = stack.train(method, networks)
    turned = stack.train(method, networks[::-1])[::-1]
    alone = [stack.train(method, [it])[0] for it in networks]

    for one, other, third in zip(together, turned, alone, strict=True):
        assert bytes_of(one) == bytes_of(other) == bytes_of(third)
        assert one.history == other.history == third.history


def test_diverged_network_leaves_and_troubles_no_other():
    method = Method(epochs=8, optimizer="sgd")
    good = [network(seed) for seed in (1, 2)]
    wild = replace(network(3), learning_rate=1e6)
    broken = replace(network(4), weights=[it * np.nan for it in first_weights(4)])

    first, diverged, bad, second = stack.train(method, [good[0], wild, broken, good[1]])

    assert (diverged.diverged, bad.diverged) == (True, True)
    assert len(bad.history["loss"]) == 1
    assert len(diverged.history["loss"]) < 8
    for one, alone in zip((first, second), good, strict=True):
        assert not one.diverged
        assert bytes_of(one) == bytes_of(stack.train(method, [alone])[0])


def test_network_that_gets_no_better_goes_back_to_its_best():
    """The watched rows are noise: what is learned of the others makes them worse before long."""
    generator = np.random.default_rng(0)
    noise = Sample(generator.normal(size=(20, 3)), generator.normal(size=20))
    one = replace(network(0, learning_rate=0.03), watched=noise)

    (stopped,) = stack.train(Method(epochs=200, patience=4), [one])

    watched = stopped.history["val_loss"]
    assert len(watched) < 200
    assert stopped.best_epoch == int(np.argmin(watched)) + 1
    assert len(watched) - stopped.best_epoch == 4
    error = stack.predict(stopped.weights, noise.batch) - noise.truth
    assert np.mean(error**2) == pytest.approx(min(watched), rel=1e-5)


def test_those_that_stop_early_do_not_change_those_that_go_on():
    method = Method(epochs=60, patience=3)
    networks = [network(seed, learning_rate=0.03) for seed in range(6)]

    together = stack.train(method, networks)

    assert len({len(it.history["loss"]) for it in together}) > 1
    for one, alone in zip(together, networks, strict=True):
        assert bytes_of(one) == bytes_of(stack.train(method, [alone])[0])


def test_network_without_hidden_layers_finds_the_line():
    """y = x1 + 2 x2 - 1, as one linear unit must learn it."""
    batch = np.random.default_rng(0).normal(size=(64, 2))
    rows = Sample(batch, batch @ [1.0, 2.0] - 1)
    line = Network([np.zeros((2, 1)), np.zeros(1)], rows, rows, 0, 0.1)

    (trained,) = stack.train(Method(epochs=60, optimizer="sgd"), [line])

    np.testing.assert_allclose(trained.weights[0][:, 0], [1, 2], atol=1e-6)
    np.testing.assert_allclose(trained.weights[1], [-1], atol=1e-6)


def test_weight_decay_alone_shrinks_weights_by_its_share():
    """Truth is what the network says: no gradient, so each step takes 0.1 * 0.5 of the weights."""
    zero = Sample(np.zeros((4, 2)), np.full(4, 0.0))
    start = Network([np.ones((2, 1)), np.zeros(1)], zero, zero, 0, 0.1, 0.5)

    (trained,) = stack.train(Method(epochs=3, optimizer="sgd"), [start])

    np.testing.assert_allclose(trained.weights[0], np.full((2, 1), 0.95**3))


def test_order_is_new_each_epoch_and_the_same_each_time():
    one, other = stack.orders(5, 30), stack.orders(5, 30)
    epochs = [(next(one).tolist(), next(other).tolist()) for _ in range(3)]

    assert all(a == b and sorted(a) == list(range(30)) for a, b in epochs)
    assert epochs[0] != epochs[1]


def test_networks_of_two_shapes_are_no_stack():
    other = replace(network(1), train=sample(1, 71))

    with pytest.raises(ValueError, match="networks of 2 shapes, expected one"):
        stack.train(Method(epochs=1), [network(1), other])


def test_watch_is_told_of_every_epoch():
    told = []

    trained = stack.train(
        Method(epochs=3),
        [network(1), network(2)],
        lambda epoch, measured: told.append((epoch, measured)),
    )

    assert [epoch for epoch, _ in told] == [1, 2, 3]
    for name in ("loss", "mae", "val_loss", "val_mae"):
        for place, one in enumerate(trained):
            assert one.history[name] == [measured[name][place] for _, measured in told]
