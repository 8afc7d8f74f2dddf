"""The intervals: quantiles and spreads by hand, scores that no network saw, MAPIE's widths."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import KFold

from tests.unit.training.tracts import QUICK, tracts
from training import conformal, coverage
from training.conformal import HeldOut, Intervals, Spread, hold_out, quantile
from training.errors import DivergedError
from training.preparation import Preparation
from training.split import Rows
from training.trials import Trial, predict


def calibrate(recipe, rows, sets, unit, minimum):
    """From rows to the intervals of each set."""
    return [
        conformal.calibrate(it, minimum)
        for it in hold_out(recipe, rows, sets, Preparation(unit=unit))
    ]


def intervals(factors, minimum=None):
    """A spread of 1 at a price of 10, of 3 at 20."""
    return Intervals(Spread((10.0, 20.0), (1.0, 3.0)), factors, minimum, 99, 10, 1)


@given(st.integers(1, 2000), st.sampled_from([80, 90, 95]))
def test_rank_is_the_ceiling_of_the_exact_product(count, percent):
    assert conformal.rank(count, percent / 100) == math.ceil(Fraction((count + 1) * percent, 100))


def test_quantile_is_the_score_of_its_rank():
    scored = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 9.0, 7.0, 8.0, 6.0])

    # Of 9 scores: ceil(10 * 0.8) is the 8th, ceil(10 * 0.9) the 9th, ceil(9.5) is none of them.
    assert quantile(scored, 0.8) == 8.0
    assert quantile(scored, 0.9) == 9.0
    assert quantile(scored, 0.95) is None


@given(st.integers(20, 400), st.sampled_from(conformal.LEVELS))
def test_a_new_score_is_within_at_least_as_often_as_the_level_says(count, level):
    """The share within, given the scores, is a beta variable: its mean is between these two."""
    place = conformal.rank(count, level)
    mean = beta(place, count + 1 - place).mean()

    assert level - 1e-12 <= mean < level + 1 / (count + 1)


def test_spread_is_the_mean_error_of_groups_of_like_price():
    predicted = np.arange(10.0)[::-1]
    errors = np.array([9.0, 7.0, 6.0, 4.0, 3.0, 3.0, 2.0, 0.0, 1.0, 3.0])

    found = Spread.of(predicted, errors)

    # Five groups of two: prices 0 and 1 with the errors 3 and 1, and so on.
    assert found == Spread((0.5, 2.5, 4.5, 6.5, 8.5), (2.0, 1.0, 3.0, 5.0, 8.0))
    np.testing.assert_allclose(found.at(np.array([-9, 0.5, 1.5, 8.5, 99])), [2, 2, 1.5, 8, 8])


def test_spread_of_one_price_is_one_number_and_never_nothing():
    assert Spread.of(np.full(7, 20.1), np.arange(7.0)) == Spread((float(np.float32(20.1)),), (3.0,))
    assert Spread.of(np.arange(4.0), np.zeros(4)).errors == (1.0,) * 4
    # A group that errs by nothing counts as if it erred by a tenth of the mean, 2.
    assert Spread.of(np.arange(5.0), np.array([0.0, 4, 2, 2, 2])).errors == (0.2, 4.0, 2, 2, 2)


def test_bounds_reach_so_many_spreads_to_either_side():
    lower, upper = intervals({0.9: 2.0}).bounds(np.array([10.0, 15.0, 20.0]), 0.9)

    assert lower.tolist() == [8.0, 11.0, 14.0]
    assert upper.tolist() == [12.0, 19.0, 26.0]


def test_no_lower_bound_is_below_the_minimum_nor_above_its_price():
    found = intervals({0.9: 3.0}, minimum=0.0)

    lower, upper = found.bounds(np.array([-2.0, 0.0, 2.0, 4.0]), 0.9)

    assert lower.tolist() == [-2.0, 0.0, 0.0, 1.0]
    assert upper.tolist() == [1.0, 3.0, 5.0, 7.0]


def test_signatures_are_those_of_the_levels_and_the_usual_one():
    assert intervals({0.8: 1.0, 0.9: 2.0, 0.95: 3.0}).signatures == {
        "interval_80": 0.8,
        "interval_90": 0.9,
        "interval_95": 0.95,
        "interval": 0.9,
    }
    assert intervals({0.8: 1.0}).signatures == {"interval_80": 0.8}


def test_score_is_measured_by_the_other_parts_alone():
    parts = [(np.array([0, 1]), np.array([2])), (np.array([1, 2]), np.array([0]))]
    parts.append((np.array([0, 2]), np.array([1])))

    scored = conformal.scores(np.zeros(3), np.array([1.0, 2.0, 6.0]), parts, Spread.of)

    assert scored.tolist() == [1 / 4, 2 / 3.5, 6 / 1.5]


def test_constant_intervals_are_as_wide_as_the_errors_rank_says():
    """Nine errors of 1 to 9: the factor of 90 % is the 9th, of 80 % the 8th."""
    rows = np.arange(9)
    parts = [(np.delete(rows, place), rows[place : place + 1]) for place in rows]
    held = HeldOut(np.zeros(9), np.array([4.0, -9, 1, 7, -2, 5, 8, -3, 6]), parts, 1)

    found = conformal.calibrate(held, None, Spread.constant)

    assert found.factors == {0.8: 8.0, 0.9: 9.0}
    assert found.bounds(np.array([50.0]), 0.8) == (42.0, 58.0)


def test_no_network_is_asked_for_a_row_that_it_learned_from(monkeypatch):
    seen = []

    def remembered(recipe, rows, trials, unit):
        seen.extend(trials)
        return [np.zeros(len(it.asked)) for it in trials]

    monkeypatch.setattr(conformal, "predict", remembered)
    numbers = np.array([*range(100, 140), *range(20)])
    calibrate(QUICK, tracts(140), [numbers], 1.0, None)

    assert len(seen) == conformal.FOLDS
    for trial in seen:
        assert set(trial.train) | set(trial.asked) == set(numbers)
        assert not set(trial.train) & set(trial.asked)
    assert sorted(np.concatenate([it.asked for it in seen])) == sorted(numbers)


@pytest.mark.parametrize(
    ("count", "levels"), [(3, ()), (4, (0.8,)), (18, (0.8, 0.9)), (19, (0.8, 0.9, 0.95))]
)
def test_a_level_for_which_rows_are_too_few_is_not_given(count, levels):
    """Of n rows the level a needs the rank ceil((n + 1) a), at most n."""
    (found,) = calibrate(QUICK, tracts(count), [np.arange(count)], 1.0, None)

    assert tuple(found.factors) == levels


def test_the_same_rows_give_the_same_intervals_alone_and_among_others():
    rows = tracts(90)
    sets = [np.arange(60), np.arange(30, 90)]

    both = calibrate(QUICK, rows, sets, 1.0, 0.0)

    assert both[0] == calibrate(QUICK, rows, sets[:1], 1.0, 0.0)[0]


def test_of_an_average_fewer_members_are_trained_for_each_part():
    (found,) = calibrate(replace(QUICK, members=7), tracts(30), [np.arange(30)], 1.0, None)

    assert found.members == conformal.MEMBERS == 4


@pytest.mark.parametrize(
    "knobs",
    [
        {"loss": "binary_crossentropy"},
        {"raw": True, "learning_rate": 0.001},
        {"validation_share": 0.2, "patience": 2},
    ],
)
def test_errors_are_in_the_unit_of_the_price_whatever_the_recipe(knobs):
    rows = tracts(60)
    unit = 50.0 if "loss" in knobs else 1.0

    (found,) = calibrate(replace(QUICK, **knobs), rows, [np.arange(60)], unit, 0.0)

    assert 0.5 < np.mean(found.spread.errors) < 50


def test_networks_that_diverge_end_the_search():
    recipe = replace(QUICK, optimizer="sgd", learning_rate=10.0, epochs=20, raw=True)

    with pytest.raises(DivergedError, match=r"10 of 10 networks .* --learning_rate 10"):
        calibrate(recipe, tracts(40), [np.arange(40)], 1.0, None)


class Network(RegressorMixin, BaseEstimator):
    """A network of the recipe as scikit-learn has its estimators."""

    def fit(self, batch, prices):
        self.batch_, self.prices_ = batch, prices
        return self

    def predict(self, batch):
        both = np.vstack([self.batch_, batch])
        frame = pd.DataFrame(both, columns=["RM", "LSTAT"])
        frame["MEDV"] = [*self.prices_, *np.zeros(len(batch))]
        trial = Trial(np.arange(len(self.batch_)), np.arange(len(self.batch_), len(both)))
        return predict(QUICK, Rows(frame, QUICK.features), [trial], Preparation())[0]


def test_constant_widths_are_those_of_mapie():
    """MAPIE 1: cross-conformal prediction by pooled scores, around the network of all rows."""
    from mapie.regression import CrossConformalRegressor

    rows, asked = tracts(60), tracts(5, seed=1)
    peer = CrossConformalRegressor(
        Network(),
        confidence_level=list(conformal.LEVELS),
        method="base",
        cv=KFold(conformal.FOLDS, shuffle=True, random_state=0),
    )
    peer.fit_conformalize(rows.batch, rows.prices)
    prices, bounds = peer.predict_interval(asked.batch)

    (held,) = hold_out(QUICK, rows, [np.arange(60)], Preparation())
    ours = conformal.calibrate(held, None, Spread.constant)
    for place, level in enumerate(conformal.LEVELS):
        lower, upper = ours.bounds(prices, level)
        np.testing.assert_allclose(bounds[:, 0, place], lower, rtol=1e-6)
        np.testing.assert_allclose(bounds[:, 1, place], upper, rtol=1e-6)


def test_share_of_rows_comes_with_its_binomial_interval():
    """8 of 10 inside; Clopper and Pearson's bounds are quantiles of beta variables."""
    truth = np.array([*np.full(8, 11.0), 14.0, 7.0])
    seen = coverage.Seen(np.full(10, 10.0), truth, np.full(10, 8.0), np.full(10, 12.0))

    found = coverage.of_rows(seen)

    assert (found.share, found.width, found.rows, found.splits) == (0.8, 4.0, 10, 0)
    assert found.low == pytest.approx(beta.ppf(0.025, 8, 3))
    assert found.high == pytest.approx(beta.ppf(0.975, 9, 2))


def test_truth_on_a_bound_is_inside():
    seen = coverage.Seen(*(np.array(it) for it in ([1.0, 1], [0.0, 2], [0.0, 0], [2.0, 2])))

    assert seen.inside.tolist() == [True, True]


def test_splits_are_told_by_their_mean_and_extremes():
    def seen(inside: int, width: float) -> coverage.Seen:
        truth = np.array([*np.zeros(inside), *np.full(10 - inside, 99.0)])
        return coverage.Seen(np.zeros(10), truth, np.full(10, -width / 2), np.full(10, width / 2))

    found = coverage.of_splits([seen(9, 4.0), seen(7, 2.0), seen(8, 3.0)])

    assert found.share == pytest.approx(0.8)
    assert (found.low, found.high, found.width) == (0.7, 0.9, 3.0)
    assert (found.rows, found.splits) == (30, 3)


def test_every_split_is_cut_and_trained_anew():
    rows = tracts(100)

    splits = coverage.split_anew(QUICK, rows, 3, Preparation())

    assert len({tuple(it.test) for it in splits}) == 3
    for it in splits:
        assert len(it.test) == 20
        assert sorted([*it.held.truth, *rows.prices[it.test]]) == sorted(rows.prices)
        np.testing.assert_array_equal(it.see()[0.8].truth, rows.prices[it.test])
    assert len({tuple(it.see()[0.8].widths) for it in splits}) == 3
