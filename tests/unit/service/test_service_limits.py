"""What a contract lets through to the network."""

from __future__ import annotations

import numpy as np
import pytest

from service.errors import InvalidRequest, SignatureNotFound
from tests.unit.service.fakes import version

GOOD = [6.0, 50.0, 10.0]


def price(rows, *, described=True):
    batch = np.array(rows, np.float32)
    return version(described=described).predict("serving_default", {"features": batch})["price"]


def by_name(**columns):
    inputs = {name: np.array(values, np.float32) for name, values in columns.items()}
    return version().predict("named", inputs)["price"]


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(InvalidRequest) as refused:
        call(*args, **kwargs)
    return refused.value.message


def test_what_is_inside_its_limits_is_computed():
    np.testing.assert_allclose(price([GOOD, [0, 0, 0], [50, 100, 100]]), [66, 0, 250])
    np.testing.assert_allclose(by_name(RM=[6], AGE=[50], LSTAT=[10]), [66])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([51, 50, 10], "instances[3].RM is 51 rooms, outside [0, 50]"),
        ([-0.5, 50, 10], "instances[3].RM is -0.5 rooms, outside [0, 50]"),
        ([6, 100.5, 10], "instances[3].AGE is 100.5 %, outside [0, 100]"),
        ([6, 50, np.nan], "instances[3].LSTAT is not a finite number (nan)"),
        ([6, -np.inf, 10], "instances[3].AGE is not a finite number (-inf)"),
        ([np.inf, np.nan, 999], "instances[3].RM is not a finite number (inf)"),
    ],
)
def test_the_first_value_outside_is_named_with_place_unit_and_limit(row, message):
    assert refusal(price, [GOOD, GOOD, GOOD, row, [999, 999, 999]]) == message
    columns = np.array([GOOD, GOOD, GOOD, row]).T
    assert refusal(by_name, RM=columns[0], AGE=columns[1], LSTAT=columns[2]) == message


def test_a_value_just_outside_is_not_shown_as_the_limit():
    just_over = np.nextafter(np.float32(50), np.float32(60))

    assert "is 50 rooms" not in refusal(price, [[just_over, 50, 10]])


@pytest.mark.parametrize(
    ("rows", "shape"),
    [([[6, 50]], "[1, 2]"), ([GOOD + GOOD], "[1, 6]"), (GOOD, "[3]"), (6.0, "[]"), ([], "[0]")],
)
def test_a_batch_of_another_shape_is_refused_with_both(rows, shape):
    assert refusal(price, rows) == (f"features has shape {shape}, expected [n, 3] (RM, AGE, LSTAT)")


def test_named_columns_of_different_lengths_are_refused():
    assert refusal(by_name, RM=[6, 6], AGE=[50], LSTAT=[10]) == (
        "the inputs differ in number of rows: {'RM': 2, 'AGE': 1, 'LSTAT': 1}"
    )


@pytest.mark.parametrize(("values", "shape"), [(6.0, "[]"), ([[6.0]], "[1, 1]")])
def test_a_named_column_that_is_none_is_refused(values, shape):
    assert refusal(by_name, RM=values, AGE=[50], LSTAT=[10]) == (
        f"RM has shape {shape}, expected [n]"
    )


def test_without_a_contract_anything_goes_that_the_network_takes():
    np.testing.assert_allclose(price([[999, 0, 0]], described=False), [999])


def test_a_scalar_that_the_contract_does_not_know_is_left_to_the_network():
    columns = {name: np.ones(2, np.float32) for name in ("RM", "AGE", "LSTAT")}

    made = version().predict("named", {**columns, "more": np.array(1.0, np.float32)})
    np.testing.assert_allclose(made["price"], [4, 4])


def test_an_unknown_signature_is_named_in_tensorflow_servings_words():
    with pytest.raises(SignatureNotFound) as refused:
        version().signature("x")

    assert refused.value.message == 'Serving signature name: "x" not found in signature def'


def test_features_have_names_only_where_they_are_the_batchs_columns():
    made = version()

    assert made.feature_names(made.signature("serving_default")) == ("RM", "AGE", "LSTAT")
    assert made.feature_names(made.signature("named")) == ()
    assert version(described=False).feature_names(made.signature("serving_default")) == ()
