"""Categories and missing values as callers write them, and the numbers that they become."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import Contract, Distribution, Feature, Lineage, Target, graph_names
from service.errors import InvalidRequest
from service.inference.columns import Columns
from service.inference.examples import to_batch
from service.messages import example_pb2
from service.repository.version import _bounds, _ColumnBounds

SPREAD = Distribution(0, 10, 5, 1, 5, (0,) * 11)
NAN = float("nan")


def contract(*features: Feature) -> Contract:
    return Contract(
        model="flats",
        features=features,
        target=Target("rent", "rent", "EUR", SPREAD),
        tolerance=0.01,
        metrics={},
        recipe={},
        lineage=Lineage("", "", "", "", {}),
        files={},
    )


AREA = Feature("area", "area", "m²", 0, 500, SPREAD)
FLOOR = Feature("floor no.", "floor", "", -1, 50, SPREAD, missing="the median 2")
TOWN = Feature("town", "town", "", 0, 2, SPREAD, kind="category", categories=("Ulm", "Bonn"))
HEAT = Feature(
    "heat", "heat", "", 0, 2, SPREAD,
    kind="category", categories=("1", "2"), missing="a category of its own",
)  # fmt: skip
COLUMNS = Columns(contract(AREA, FLOOR, TOWN, HEAT))
FLAT = {"area": 50, "floor no.": 2, "town": "Bonn", "heat": "1"}


def rows(*given: object) -> list:
    read = COLUMNS.rows(list(given), "instances")
    return [[None if math.isnan(it) else it for it in row] for row in read]


def test_ordinary_contract_has_plain_names():
    assert type(Columns.of(contract(AREA))) is tuple
    assert isinstance(Columns.of(contract(AREA, FLOOR)), Columns)
    assert not isinstance(_bounds(contract(AREA)), _ColumnBounds)


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ({}, [50, 2, 1, 0]),
        ({"town": "Ulm", "floor no.": None}, [50, None, 0, 0]),
        ({"town": " Bonn "}, [50, 2, 1, 0]),
        ({"town": "Kiel"}, [50, 2, 2, 0]),
        ({"heat": None}, [50, 2, 1, None]),
        ({"heat": ""}, [50, 2, 1, None]),
        # Categories that are written as numbers: 2 is the second by name, not by place.
        ({"heat": 2}, [50, 2, 1, 1]),
        ({"heat": 2.0}, [50, 2, 1, 1]),
        ({"heat": 0}, [50, 2, 1, 2]),
    ],
)
def test_row_by_names_becomes_numbers(changes, row):
    assert rows(FLAT | changes) == [row]


def test_row_without_names_has_texts_or_the_numbers_of_a_batch():
    assert rows([50, 2, "Bonn", "1"], [50, None, 1, 0]) == [[50, 2, 1, 0], [50, None, 1, 0]]


def test_optional_value_may_be_left_out():
    assert rows({"area": 50, "town": "Ulm"}) == [[50, None, 0, None]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"area": None}, "instances[0].area is missing (null), which it may not be"),
        ({"area": NAN}, "instances[0].area is missing (nan), which it may not be"),
        ({"town": ""}, "instances[0].town is missing (''), which it may not be"),
        ({"area": "50"}, "instances[0].area is '50', not a number"),
        ({"area": True}, "instances[0].area is True, not a number"),
        ({"town": {}}, "instances[0].town is {}, not a category"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(changes, said):
    with pytest.raises(InvalidRequest) as refused:
        rows(FLAT | changes)

    assert refused.value.message == said


def test_what_is_no_row_of_these_columns_is_left_for_others_to_refuse():
    assert COLUMNS.rows("x", "instances") == "x"
    assert COLUMNS.rows([{"door": 1}, [1, 2], 3], "instances") == [{"door": 1}, [1, 2], 3]


def test_columns_by_name_are_stacked():
    batch = COLUMNS.stacked({"area": [50, "60"], "town": ["Ulm", "?"]}, "rows")

    np.testing.assert_array_equal(batch, [[50, NAN, 0, NAN], [60, NAN, 2, NAN]])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"area": [1]}, "missing columns: town; needed: area, floor no., town, heat"),
        ({"area": [1], "town": []}, "the columns differ in number of rows: {'area': 1, 'town': 0}"),
    ],
)
def test_columns_that_do_not_fit_are_named(given, said):
    with pytest.raises(InvalidRequest) as refused:
        COLUMNS.stacked(given, "rows")

    assert refused.value.message == said


def test_inputs_by_graph_names_become_the_batch():
    inputs = {
        "area": np.array([50], np.float32),
        "floor_no": np.array([NAN], np.float32),
        "town": np.array([b"Bonn"], object),
        "heat": np.array([b""], object),
    }

    np.testing.assert_array_equal(COLUMNS.batch(inputs), [[50, NAN, 1, NAN]])


def test_examples_hold_categories_as_bytes():
    example = example_pb2.Example()
    example.features.feature["area"].float_list.value.append(50)
    example.features.feature["town"].bytes_list.value.append(b"Bonn")

    batch = to_batch([example.SerializeToString()], COLUMNS)

    np.testing.assert_array_equal(batch, [[50, NAN, 1, NAN]])
    example.features.feature["town"].float_list.value.append(1)
    with pytest.raises(InvalidRequest, match="Data type: float but expected type: string"):
        to_batch([example.SerializeToString()], COLUMNS)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([NAN, 2, 0, 0], "instances[0].area is not a finite number (nan)"),
        ([50, 2, NAN, 0], "instances[0].town is not a finite number (nan)"),
        ([50, 2, 0.5, 0], "instances[0].town is 0.5"),
        ([50, 2, 3, 0], "instances[0].town is 3, outside [0, 2]"),
        ([50, 99, 0, 0], "instances[0].floor no. is 99, outside [-1, 50]"),
    ],
)
@pytest.mark.parametrize("count", [1, 100])
def test_batch_beyond_its_limits_is_refused(row, said, count):
    bounds = _bounds(contract(AREA, FLOOR, TOWN, HEAT))
    batch = np.array([row] * count, np.float32)

    assert not bounds.hold_few(batch)
    with pytest.raises(InvalidRequest) as refused:
        bounds.check({"features": batch})
    assert said in refused.value.message


def test_batch_with_missing_values_and_other_categories_is_taken():
    bounds = _bounds(contract(AREA, FLOOR, TOWN, HEAT))
    batch = np.array([[50, NAN, 2, NAN], [50, 2, 1, 2]], np.float32)

    assert bounds.hold_few(batch)
    bounds.check({"features": batch})


def test_number_by_name_takes_no_short_way_where_it_may_be_a_category():
    assert _bounds(contract(AREA, HEAT)).plain_names == ()
    assert _bounds(contract(AREA, FLOOR)).plain_names == ("area", "floor no.")


def test_graph_names_are_letters_and_differ():
    names = ["Culmen Length (mm)", "a b", "a_b", "a-b", "数", "RM"]

    assert graph_names(names) == ("Culmen_Length_mm", "a_b_2", "a_b", "a_b_3", "feature", "RM")


@given(st.lists(st.text(max_size=6), max_size=8, unique=True))
def test_graph_names_are_always_names_and_never_the_same(names):
    made = graph_names(names)

    assert len(set(made)) == len(names)
    assert all(it.isascii() and it.replace("_", "a").isalnum() for it in made)


VALUES = st.none() | st.floats() | st.text() | st.lists(st.integers())


@given(st.dictionaries(st.sampled_from(list(FLAT)), VALUES))
def test_any_row_is_read_or_refused_by_name(row):
    found, said = [[0.0]], "instances[0]."
    try:
        found = COLUMNS.rows([row], "instances")
    except InvalidRequest as error:
        said = error.message

    assert said.startswith("instances[0].")
    assert all(isinstance(it, float) for it in found[0])
