"""Which of two networks is better, and how sure that is."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from service.contract import Estimate, Gate, Lineage
from tests.unit.service.fakes import contract
from training import comparison, data_card, gate, measures, split
from training.comparison import Version
from training.errors import CompareError, TableError

TABLE = pd.DataFrame({"x": np.arange(100.0), "y": np.arange(100.0)})


def version(name: str, data: str = "d", *, seed: int = 113, target: str = "y") -> Version:
    """A version that nobody asks for a price."""
    described = contract(
        recipe={"split_seed": seed, "train_share": 0.8},
        lineage=Lineage("2026", "t.csv", data, "c", {}),
    )
    named = msgspec.structs.replace(described.target, name=target)
    return Version(name, Path("nowhere"), msgspec.structs.replace(described, target=named))


def test_versions_of_one_split_are_compared_on_its_test_rows():
    rows = comparison.held_out(TABLE, "d", [version("1"), version("2")])

    assert list(rows["x"]) == list(split.order(100, 113)[80:])


def test_versions_of_two_splits_are_compared_on_what_both_held_out():
    table = pd.concat([TABLE] * 4, ignore_index=True).assign(x=np.arange(400.0))
    rows = comparison.held_out(table, "d", [version("1", seed=1), version("2", seed=10)])

    tests = [set(split.order(400, seed)[320:]) for seed in (1, 10)]
    assert set(rows["x"]) == tests[0] & tests[1]
    assert len(rows) >= comparison.LEAST_ROWS


def test_version_of_another_table_leaves_the_others_test_rows():
    rows = comparison.held_out(TABLE, "d", [version("1"), version("2", "other", seed=5)])

    assert list(rows["x"]) == list(split.order(100, 113)[80:])


def test_versions_of_another_table_are_compared_on_all_rows():
    rows = comparison.held_out(TABLE, "new", [version("1"), version("2")])

    assert len(rows) == 100


def test_too_few_common_rows_end_the_comparison():
    with pytest.raises(CompareError, match=r"\d rows taught neither version, at least 8"):
        comparison.held_out(TABLE[:30], "d", [version("1"), version("2", seed=3)])


def test_versions_of_other_targets_are_not_compared():
    with pytest.raises(CompareError, match="2 predicts z, the other y"):
        comparison.held_out(TABLE, "d", [version("1"), version("2", target="z")])
    with pytest.raises(CompareError, match="1 predicts z, which the table lacks"):
        comparison.held_out(TABLE, "d", [version("1", target="z")])


def test_recipe_without_a_split_is_named():
    old = version("1")
    bare = Version("version 1", Path(), msgspec.structs.replace(old.described, recipe={}))

    with pytest.raises(CompareError, match="version 1 does not say how its rows were split"):
        comparison.held_out(TABLE, "d", [bare])


def test_p_value_is_the_share_of_sign_changes_that_gain_as_much():
    """Ten rows: all 1024 ways to swap a row's errors, counted by hand."""
    random = np.random.default_rng(3)
    truth = random.normal(20, 5, 10)
    one, other = truth + random.normal(0, 1, 10), truth + random.normal(0, 1.6, 10)
    lost = np.abs(one - truth) - np.abs(other - truth)
    swapped = [np.mean(lost * signs) for signs in product((1, -1), repeat=10)]
    expected = np.mean(np.array(swapped) <= lost.mean() + 1e-12)

    paired = comparison.pair(truth, one, other)

    assert 0.01 < expected < 0.5
    assert paired.p_value == pytest.approx(expected, abs=0.02)
    assert paired.difference.value == pytest.approx(lost.mean())
    assert (paired.rows, paired.mae) == (10, pytest.approx(np.abs(one - truth).mean()))


def test_the_same_prices_are_not_better():
    truth = np.arange(20.0)

    paired = comparison.pair(truth, truth + 1, truth + 1)

    assert (paired.p_value, paired.difference) == (1.0, Estimate(0.0))


def test_clearly_better_network_has_a_small_p_value_and_a_worse_one_a_large():
    random = np.random.default_rng(0)
    truth = random.normal(20, 5, 100)
    near, far = truth + random.normal(0, 1, 100), truth + random.normal(0, 3, 100)

    assert comparison.pair(truth, near, far).p_value < 0.001
    assert comparison.pair(truth, far, near).p_value > 0.99


def test_by_chance_no_more_pass_than_alpha_says():
    """A hundred pairs of equally good networks; at 0.05 about five pass."""
    random = np.random.default_rng(8)
    errors = random.normal(0, 1, (100, 2, 30))

    passed = sum(comparison.pair(np.zeros(30), *it).p_value <= 0.05 for it in errors)

    assert 1 <= passed <= 11


@pytest.mark.parametrize(
    ("difference", "p_value", "passed"),
    [(-0.1, 0.05, True), (-0.1, 0.051, False), (0.1, 0.01, False), (0.0, 0.01, False)],
)
def test_gate_lets_through_what_is_better_and_not_by_chance(difference, p_value, passed):
    gate = Gate(1, 102, 3.0, 3.1, Estimate(difference), p_value, 0.05)

    assert gate.passed is passed


# --- figures with intervals ---


@pytest.mark.parametrize("rows", [400, 2000, 2001, 40_000])
def test_interval_of_a_mean_is_what_the_normal_distribution_says(rows):
    values = np.random.default_rng(5).normal(10, 2, rows)
    margin = 1.96 * values.std(ddof=1) / rows**0.5

    found = measures.mean(values)

    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - margin, abs=0.15 * margin)
    assert found.high == pytest.approx(values.mean() + margin, abs=0.15 * margin)


def test_few_rows_and_equal_values_have_no_interval():
    assert measures.mean(np.array([1.0, 2.0])) == Estimate(1.5)
    assert measures.mean(np.full(50, 3.0)) == Estimate(3.0)


def test_metrics_of_a_slice_are_those_of_the_formulas():
    truth = np.array([10.0, 20, 30, 40, 10, 20, 30, 40])
    errors = np.array([1.0, -1, 2, -2, 3, -3, 4, 0])

    found = measures.measure("all", truth, truth + errors, whole=True)

    assert found.rows == 8
    assert found.metrics["mae"].value == 2.0
    assert found.metrics["bias"].value == 0.5
    assert found.metrics["mse"].value == 44 / 8
    assert found.metrics["r2"].value == pytest.approx(1 - (44 / 8) / 125)


def test_thirds_by_truth_and_groups_are_measured_apart():
    truth = np.arange(9.0)
    frame = pd.DataFrame({"river": [1.0] * 2 + [0.0] * 7})
    groups = [
        data_card.Group("on the river", "river", "==", 1),
        data_card.Group("in the sea", "river", ">", 1),
        data_card.Group("of another table", "sea", ">", 1),
    ]

    kinds = measures.kinds(frame, truth, groups)

    assert {name: int(those.sum()) for name, those in kinds.items()} == {
        "all": 9,
        "truth up to 2.667": 3,
        "truth from 2.667 to 5.333": 3,
        "truth above 5.333": 3,
        "on the river": 2,
    }


# --- what people know of a table ---


def test_table_without_a_description_has_none(tmp_path):
    assert data_card.read(tmp_path / "t.csv") is None


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("title = ", "Invalid value"),
        ("title = 'T'", "missing required field `source`"),
        ("titel = 'T'", "unknown field `titel`"),
    ],
)
def test_wrong_description_is_named(tmp_path, content, problem):
    (tmp_path / "t.card.toml").write_text(content)

    with pytest.raises(TableError, match=rf"(?s)t\.card\.toml cannot be used.*{problem}"):
        data_card.read(tmp_path / "t.csv")


def test_description_of_the_boston_table_is_complete():
    known = data_card.read(Path(__file__).parents[3] / "data" / "boston_housing.csv")

    assert known is not None
    assert known.sensitive == ("B",)
    assert any("encodes race" in it for it in known.harms)
    assert any("lending" in it for it in known.not_for)
    assert {it.column for it in known.groups} == {"MEDV", "CHAS", "LSTAT", "B"}


def test_groups_of_the_boston_table_hold_the_rows_that_are_known():
    """16 tracts stand at the cap and 35 lie on the river; 5 % is 1000 (0.05 - 0.63)^2 = 336.4."""
    path = Path(__file__).parents[3] / "data" / "boston_housing.csv"
    table, known = pd.read_csv(path), data_card.read(path)
    assert known is not None
    counts = {it.name: int(it.holds(table).sum()) for it in known.groups}

    assert counts["price at the cap of 50"] == 16
    assert counts["on the Charles River"] == 35
    for one, other in zip(known.groups[::2], known.groups[1::2], strict=True):
        assert counts[one.name] + counts[other.name] == 506
    assert known.groups[-1].value == pytest.approx(1000 * (0.05 - 0.63) ** 2)


@pytest.mark.parametrize(
    ("unit", "start"),
    [("USD", "MAE 2.000 against 3.000 USD of"), ("", "MAE 2.000 against 3.000 of")],
)
def test_a_target_without_a_unit_leaves_no_gap_in_what_is_said(unit, start):
    outcome = Gate(
        against=1, rows=9, mae=2.0, mae_before=3.0, difference=Estimate(-1.0), p_value=0.01,
        alpha=0.05, forced=False,
    )  # fmt: skip

    assert gate.say(outcome, unit).startswith(f"{start} version 1 on 9 test rows")
