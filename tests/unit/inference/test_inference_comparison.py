"""What two executors may differ in, and what they are asked."""

from __future__ import annotations

import numpy as np
import pytest

from service.inference.comparison import difference, other_form, same_numbers, synthesise
from tests.unit.service.fakes import signature, spec


def column(*values: float, dtype: str = "float32") -> dict[str, np.ndarray]:
    return {"y": np.array(values, dtype)}


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (column(1.0, 2.0), column(1.0, 2.0)),
        (column(1.0), column(1.0 + 5e-5)),
        (column(1e6, 1e-3), column(1e6 + 30, 1e-3)),
        (column(np.nan, np.inf, -np.inf), column(np.nan, np.inf, -np.inf)),
        (column(1.0, dtype="float16"), column(1.004, dtype="float16")),
        (column(1, 2, dtype="int64"), column(1, 2, dtype="int64")),
        (column(), column()),
    ],
)
def test_rounding_is_no_difference(expected, actual):
    assert difference(expected, actual) == ""


@pytest.mark.parametrize(
    ("expected", "actual", "said"),
    [
        (column(1.0, 2.0), column(1.0, 2.001), "y [1] is 2.00"),
        (column(0.0), column(1e-5), "y [0] is "),
        (column(1.0), column(np.nan), "y [0] is nan, expected 1.0"),
        (column(np.inf), column(-np.inf), "y [0] is -inf, expected inf"),
        (column(1.0, dtype="float16"), column(1.02, dtype="float16"), "y [0] is 1.0"),
        (column(7, dtype="int64"), column(8, dtype="int64"), "y [0] is 8, expected 7"),
        (column(1, dtype="int64"), column(1, dtype="int32"), "y has type int32, expected int64"),
        (column(1.0), column(1.0, 1.0), "y has shape [2], expected [1]"),
        (column(1.0), {"z": np.ones(1)}, "the outputs are ['z'], expected ['y']"),
    ],
)
def test_a_difference_is_said_with_its_place(expected, actual, said):
    assert difference(expected, actual).startswith(said)


def test_batches_have_several_sizes_and_magnitudes_and_are_always_the_same():
    taken = signature({"x": spec("float32", -1, 3), "k": spec("int32", -1), "f": spec("bool", -1)})
    first, second = list(synthesise(taken)), list(synthesise(taken))

    assert {len(batch["x"]) for batch in first} == {1, 2, 7}
    assert all(len({len(array) for array in batch.values()}) == 1 for batch in first)
    assert min(np.abs(batch["x"]).max() for batch in first) == 0.0
    assert max(np.abs(batch["x"]).max() for batch in first) > 100.0
    assert min(batch["k"].min() for batch in first) < 0
    assert all(
        batch[name].dtype == np.dtype(taken.inputs[name].numpy_dtype)
        for batch in first
        for name in batch
    )
    assert all(
        np.array_equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a
    )


def test_fixed_sizes_are_kept():
    batches = synthesise(signature({"x": spec("float32", 4, -1), "s": spec("float32")}))

    assert {(it["x"].shape, it["s"].shape) for it in batches} == {((4, 3), ())}


def test_a_column_has_another_form_and_a_table_has_none():
    assert other_form({"x": np.ones((5, 1))})["x"].shape == (5,)
    assert other_form({"a": np.ones(5), "b": np.ones(5)})["b"].shape == (5, 1)
    assert other_form({"x": np.ones((5, 2))}) is None
    assert other_form({"a": np.ones(5), "b": np.ones((5, 1))}) is None
    assert other_form({}) is None


def test_numbers_are_the_same_whatever_their_shape():
    assert same_numbers({"y": np.ones((3, 1))}, {"y": np.ones(3)})
    assert not same_numbers({"y": np.ones((3, 1))}, {"y": np.ones((3, 3))})
    assert not same_numbers({"y": np.ones((3, 1))}, {"y": np.zeros(3)})
