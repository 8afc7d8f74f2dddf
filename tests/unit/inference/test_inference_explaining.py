"""Shapley values: by hand, by their definition and by their axioms."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from service.inference.dependence import depend
from service.inference.explaining import EXACT_FEATURES, Shapley

NUMBERS = st.floats(-8, 8, width=32)


def network(features: int, seed: int = 3):
    """A small network with a hidden layer: every feature goes along with every other."""
    random = np.random.default_rng(seed)
    hidden, out = random.normal(size=(features, 16)), random.normal(size=16)
    return lambda rows: np.maximum(rows @ hidden + 0.5, 0) @ out


def rows(count: int, features: int, seed: int = 5):
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def by_definition(model, background, row):
    """The mean, over all orders, of what a feature's step changes in the mean price."""
    features = len(row)
    orders = list(permutations(range(features)))
    total = np.zeros(features)
    for order in orders:
        mixed = background.copy()
        before = model(mixed).mean()
        for feature in order:
            mixed[:, feature] = row[feature]
            after = model(mixed).mean()
            total[feature] += after - before
            before = after
    return total / len(orders)


class Counted:
    """A model that remembers what it was asked."""

    def __init__(self, model) -> None:
        self.model = model
        self.asked = []

    def __call__(self, batch):
        self.asked.append(batch.copy())
        return self.model(batch)


def test_each_feature_of_a_linear_model_adds_its_weight_times_its_distance_from_the_mean():
    weights = np.array([2.0, -3.0, 0.5])
    background = np.array([[1, 2, 3], [3, 0, 5]], np.float32)

    (shares,) = Shapley(lambda it: it @ weights + 7, background).explain(
        np.array([[4, 2, -2]], np.float32)
    )

    # The mean row is (2, 1, 4).
    assert shares.contributions == pytest.approx([2 * 2, -3 * 1, 0.5 * -6])
    assert shares.price == 2 * 4 - 3 * 2 + 0.5 * -2 + 7
    assert not shares.errors.any()


def test_a_product_is_shared_by_its_factors():
    """By hand: against (0, 0) both get half of 3 x 4; against (1, 1) 4 + 3 = 12 - 1 - 4."""
    background = np.array([[0, 0], [1, 1]], np.float32)

    (shares,) = Shapley(lambda it: it[:, 0] * it[:, 1], background).explain(
        np.array([[3, 4]], np.float32)
    )

    # Against (1, 1): 3 alone gives 3, 4 alone 4, both 12: (2 + 8) / 2 and (3 + 9) / 2.
    assert shares.contributions == pytest.approx([(6 + 5) / 2, (6 + 6) / 2])


@pytest.mark.parametrize("features", [1, 2, 3, 5])
def test_the_values_are_those_of_the_definition(features):
    model, background = network(features), rows(6, features)
    batch = rows(3, features, seed=8)
    batch[1, 0] = background[2, 0]  # a value that is in the background too

    explained = Shapley(model, background).explain(batch)

    for row, shares in zip(batch, explained, strict=True):
        assert shares.contributions == pytest.approx(by_definition(model, background, row))


def test_features_of_the_same_value_as_a_background_row_are_left_out_and_nothing_changes():
    """With eight features and a hundred rows, equal values are not tried."""
    model, background = network(8), np.abs(rows(100, 8).round(0))
    row = background[:1].copy()
    row[0, :3] += 0.25
    counted = Counted(model)
    shapley = Shapley(counted, background)
    counted.asked.clear()

    (shares,) = shapley.explain(row)

    players = (background != row).sum(axis=1)
    (expected,) = Shapley(model, background + np.float32(1e-6)).explain(row)  # nowhere equal
    assert sum(map(len, counted.asked)) == (2**players - 2).sum() + 1 < shapley.rows / 2
    assert shares.contributions == pytest.approx(expected.contributions, abs=1e-3)


def test_a_missing_value_equals_a_missing_value():
    background = rows(200, 4)
    background[:, 1] = np.nan
    model = Counted(lambda it: it[:, 0] * it[:, 2] + np.isnan(it[:, 1]))

    (shares,) = Shapley(model, background).explain(background[:1])

    assert shares.contributions[1] == 0
    assert max(len(np.unique(it[:, 1])) for it in model.asked) == 1


def test_a_missing_value_is_a_value_like_any_other():
    """Where it stands for something, that is what it adds."""
    background = np.array([[0, 1], [0, 3]], np.float32)

    (shares,) = Shapley(lambda it: np.where(np.isnan(it[:, 1]), 9, it[:, 1]), background).explain(
        np.array([[0, np.nan]], np.float32)
    )

    assert shares.contributions.tolist() == [0, 9 - 2]


def test_equal_instances_are_computed_once():
    model = Counted(network(3))
    shapley = Shapley(model, rows(10, 3))
    model.asked.clear()

    explained = shapley.explain(np.repeat(rows(2, 3), 4, axis=0))

    assert sum(map(len, model.asked)) == 2 * shapley.rows
    assert explained[0] is explained[3]
    assert explained[0].price != explained[4].price


def test_the_rows_that_are_run_are_those_that_were_announced():
    for features in (1, 2, 7, EXACT_FEATURES + 2):
        model = Counted(network(features))
        shapley = Shapley(model, rows(5, features))
        model.asked.clear()

        shapley.explain(rows(1, features, seed=9))

        assert sum(map(len, model.asked)) == shapley.rows


def test_no_call_has_more_rows_than_a_few_thousand():
    model = Counted(network(EXACT_FEATURES))

    Shapley(model, rows(3, EXACT_FEATURES)).explain(rows(1, EXACT_FEATURES, seed=9))

    assert max(map(len, model.asked)) <= 4096


BATCHES = npst.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(4)), elements=NUMBERS)


@given(BATCHES, npst.arrays(np.float32, (1, 4), elements=NUMBERS))
@settings(max_examples=60)
def test_the_values_add_up_to_the_price_less_the_base(background, batch):
    model = network(4)

    shapley = Shapley(model, background)
    (shares,) = shapley.explain(batch)

    assert shapley.base == pytest.approx(model(background.astype(np.float32)).mean())
    assert shapley.base + shares.contributions.sum() == pytest.approx(shares.price, abs=1e-9)


@given(BATCHES, npst.arrays(np.float32, (1, 4), elements=NUMBERS))
@settings(max_examples=60)
def test_a_feature_that_the_model_does_not_read_adds_nothing(background, batch):
    (shares,) = Shapley(lambda it: it[:, 0] * it[:, 1] + it[:, 3], background).explain(batch)

    assert shares.contributions[2] == pytest.approx(0, abs=1e-9)


@given(BATCHES, npst.arrays(np.float32, (1, 4), elements=NUMBERS))
@settings(max_examples=60)
def test_features_that_play_the_same_part_add_the_same(background, batch):
    """Features 0 and 1 are interchangeable in the model, and alike in all rows."""
    background[:, 1], batch[:, 1] = background[:, 0], batch[:, 0]

    (shares,) = Shapley(
        lambda it: np.maximum(it[:, 0] + it[:, 1], it[:, 2]) * it[:, 3], background
    ).explain(batch)

    assert shares.contributions[0] == pytest.approx(shares.contributions[1], abs=1e-9)


@given(BATCHES, npst.arrays(np.float32, (1, 4), elements=NUMBERS))
@settings(max_examples=30)
def test_the_values_of_a_sum_of_models_are_the_sums_of_their_values(background, batch):
    one, other = network(4, seed=1), network(4, seed=2)

    (both,) = Shapley(lambda it: one(it) + other(it), background).explain(batch)

    (first,), (second,) = (Shapley(it, background).explain(batch) for it in (one, other))
    assert both.contributions == pytest.approx(first.contributions + second.contributions, abs=1e-9)


def additive(features: int):
    """A model whose values are known at any number of features: pairs of neighbours multiplied.

    Returns:
        The model, and the exact values of a row against background rows.
    """
    pairs = [(it, it + 1) for it in range(0, features - 1, 2)]

    def model(batch):
        return sum(batch[:, one] * batch[:, other] for one, other in pairs)

    def values(background, row):
        total = np.zeros(features)
        for one, other in pairs:
            # The mean of what each adds when it comes first and when it comes last.
            own, its = background[:, one].astype(float), background[:, other].astype(float)
            total[one] = ((row[one] - own) * (its + row[other]) / 2).mean()
            total[other] = ((row[other] - its) * (own + row[one]) / 2).mean()
        return total

    return model, values


def test_beyond_the_limit_estimates_add_up_and_are_right_within_their_errors():
    features = EXACT_FEATURES + 8
    model, background = network(features), rows(20, features)
    batch = rows(1, features, seed=8)
    shapley = Shapley(model, background)

    (shares,) = shapley.explain(batch)
    again = Shapley(model, background).explain(batch)[0]

    assert not shapley.is_exact
    assert shapley.base + shares.contributions.sum() == pytest.approx(shares.price, abs=1e-9)
    assert (shares.errors > 0).all()
    assert shares.contributions.tolist() == again.contributions.tolist()


def test_errors_of_estimates_cover_the_truth_as_often_as_they_should():
    """Of normal errors 95 % lie within two standard errors, 99.7 % within three.

    With one multiplied pair in a walk and its reverse, each estimate is exact: pairs of
    neighbours are joined in both orders. So three features are multiplied here.
    """
    features = EXACT_FEATURES + 3
    background, batch = rows(30, features), rows(20, features, seed=8)

    def model(it):
        return sum(it[:, j] * it[:, j + 1] * it[:, j + 2] for j in range(0, features, 3))

    def triple(it):
        return it[:, 0] * it[:, 1] * it[:, 2]

    explained = Shapley(model, background).explain(batch)

    gaps = []
    for row, shares in zip(batch, explained, strict=True):
        for start in range(0, features, 3):
            part = slice(start, start + 3)
            true = by_definition(triple, background[:, part], row[part])
            gaps += ((shares.contributions[part] - true) / shares.errors[part]).tolist()
    beyond = np.abs(gaps)
    assert (beyond < 2).mean() > 0.9
    assert beyond.max() < 5
    assert np.sqrt(np.mean(beyond**2)) == pytest.approx(1, abs=0.25)


def test_a_walk_and_its_reverse_share_a_product_exactly():
    features = EXACT_FEATURES + 2
    model, values = additive(features)
    background, batch = rows(9, features), rows(1, features, seed=8)

    (shares,) = Shapley(model, background).explain(batch)

    assert shares.contributions == pytest.approx(values(background, batch[0]), abs=1e-6)
    assert shares.errors == pytest.approx(np.zeros(features), abs=1e-6)


def test_partial_dependence_is_the_mean_price_with_one_feature_set():
    background = np.array([[1, 2], [3, 4], [5, 9]], np.float32)

    found = depend(lambda it: it[:, 0] * it[:, 1], background, 1, [0.0, 10.0], [0, 2])

    assert found.price.tolist() == [0, 30]
    assert found.lines.tolist() == [[0, 10], [0, 50]]
    assert background[0].tolist() == [1, 2]
