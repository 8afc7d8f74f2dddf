"""Losses, descent and the chain rule come to what they come to by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lessons import back_propagation, forward_propagation, gradient_descent, loss


def test_squared_error_by_hand():
    found = loss.mean_squared_error(np.array([1.0, 3.0, 5.0]), np.array([1.0, 2.0, 7.0]))

    assert found == pytest.approx(5 / 3)


def test_cross_entropy_of_who_knows_nothing_is_the_logarithm_of_two():
    found = loss.binary_cross_entropy(np.array([0.0, 1.0]), np.array([0.5, 0.5]))

    assert found == pytest.approx(math.log(2))


def test_forward_propagation_by_hand():
    found = forward_propagation.forward(np.array([[1.0, 2.0]]), forward_propagation.layers())

    assert found.tolist() == [[9.0, 0.0]]


@pytest.mark.parametrize("weight", [-3.0, 0.5, 2.0, 7.0])
def test_cost_and_slope_are_the_parabola_of_the_page(weight):
    assert gradient_descent.cost(weight) == pytest.approx(14 / 3 * (weight - 2) ** 2)
    assert gradient_descent.slope(weight) == pytest.approx(28 / 3 * (weight - 2))


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.22])
def test_each_step_multiplies_the_distance_by_the_same(rate):
    path = gradient_descent.descend(-1.0, rate, 10)

    by_hand = [2 - 3 * (1 - 28 / 3 * rate) ** step for step in range(11)]
    assert path == pytest.approx(by_hand)


def test_too_small_a_rate_is_late_and_too_large_a_one_overshoots_further_each_step():
    small, right, large = (
        np.array(gradient_descent.descend(-1.0, rate, 10)) - 2 for rate in (0.01, 0.1, 0.22)
    )

    assert abs(right[-1]) < 1e-9
    assert abs(small[-1]) > 1
    assert (large[1:] * large[:-1] < 0).all()
    assert (np.diff(abs(large)) > 0).all()


@pytest.mark.parametrize("w", [2.0, 0.7, -2.0])
def test_product_of_local_derivatives_is_the_quotient_of_small_differences(w):
    def cost(weight: float) -> float:
        return (2 * max(weight * 2 - 1, 0.0) - 1 - 2) ** 2

    local = back_propagation.local_derivatives(x=2, w=w, b=-1, v=2, c=-1, truth=2)

    by_difference = (cost(w + 1e-6) - cost(w - 1e-6)) / 2e-6
    assert math.prod(local.values()) == pytest.approx(by_difference, abs=1e-6)


def test_gradients_are_the_quotients_of_small_differences():
    draw = np.random.default_rng(3)
    layers = [
        (draw.normal(size=(3, 5)), draw.normal(size=5)),
        (draw.normal(size=(5, 2)), np.ones(2)),
    ]
    batch, truth = draw.normal(size=(4, 3)), draw.normal(size=(4, 2))

    found = back_propagation.gradients(batch, truth, layers)

    for array, ours in zip([it for layer in layers for it in layer], found, strict=True):
        assert ours == pytest.approx(differences(array, batch, truth, layers), abs=1e-5)


def differences(array, batch, truth, layers):
    """The derivative of the loss by each number of an array, which is moved a little."""
    quotients = np.empty_like(array)
    for place in np.ndindex(*array.shape):
        kept, costs = array[place], []
        for moved in (kept + 1e-6, kept - 1e-6):
            array[place] = moved
            costs.append(np.mean((forward_propagation.forward(batch, layers) - truth) ** 2))
        array[place] = kept
        quotients[place] = (costs[0] - costs[1]) / 2e-6
    return quotients
