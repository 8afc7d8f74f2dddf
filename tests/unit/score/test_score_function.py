"""One chunk of a table: what it costs, and what is wrong in it."""

from __future__ import annotations

import decimal
import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import Distribution, Feature
from service.errors import InvalidRequest
from service.inference.columns import Columns
from service.score import Scorer, TableError
from service.score.features import Category, Number
from tests.unit.score.conftest import adding_version
from tests.unit.service import fakes

SPREAD = Distribution(0, 10, 5, 1, 5, (0,) * 11)
TOWN = Feature("town", "town", "", 0, 2, SPREAD, kind="category", categories=("Ulm", "Bonn"))
FLOORS = Feature(
    "floors", "floors", "", 0, 3, SPREAD,
    kind="category", categories=("1", "2", "true"), missing="a category of its own",
)  # fmt: skip
AREA = Feature("area", "area", "m²", 0, 500, SPREAD)
YEAR = Feature("year", "year", "", 1000, 2100, SPREAD, missing="the median")


def batch(**columns: object) -> pa.RecordBatch:
    """A chunk with the adder's columns, as many rows as are given."""
    rows = max((len(it) for it in columns.values()), default=1)
    whole = {name: [1.0] * rows for name in ("RM", "AGE", "LSTAT")}
    return pa.RecordBatch.from_pydict(whole | columns)


def scorer(level: float | None = None, **columns: str) -> Scorer:
    return Scorer(adding_version(), level, columns)


def numbers(feature: Feature, values: pa.Array) -> list[float | None]:
    """What a reader makes of a column; None for NaN."""
    columns = Columns(replace_features(feature))
    reader = Category(feature, columns) if feature.is_category else Number(feature)
    found = reader.read(values).numbers.tolist()
    return [None if math.isnan(it) else it for it in found]


def problems(feature: Feature, values: pa.Array) -> list[tuple[int, str | None, str]]:
    columns = Columns(replace_features(feature))
    reader = Category(feature, columns) if feature.is_category else Number(feature)
    return [
        (int(row), text, problem.reason)
        for problem in reader.read(values).problems
        for row, text in zip(problem.rows, problem.texts.to_pylist(), strict=True)
    ]


def replace_features(*features: Feature):
    return fakes.contract(features=features)


def test_each_row_gets_its_price():
    found = scorer().score(batch(RM=[4.0, 6.5], AGE=[10.0, 20.0], LSTAT=[0.5, 0.25]))

    assert found.outputs["price"].tolist() == [14.5, 26.75]
    assert not found.bad.any()
    assert found.reasons.num_rows == 0


def test_level_gives_bounds():
    found = scorer(0.8).score(batch(RM=[10.0], AGE=[20.0], LSTAT=[30.0]))

    assert {name: it.tolist() for name, it in found.outputs.items()} == {
        "price": [60.0],
        "lower": [-20.0],
        "upper": [140.0],
    }


def test_columns_may_be_called_otherwise_and_stand_in_any_order():
    chunk = pa.RecordBatch.from_pydict({"LSTAT": [3.0], "rooms": [1.0], "AGE": [2.0], "x": ["?"]})

    assert scorer(RM="rooms").score(chunk).outputs["price"].tolist() == [6.0]


def test_bad_row_has_no_price_and_says_why_and_the_others_have_theirs():
    found = scorer().score(batch(RM=[1.0, 51.0, 2.0], AGE=[0.0, -1.0, 0.0]))

    assert found.bad.tolist() == [False, True, False]
    assert found.arrays()[0].to_pylist() == [2.0, None, 3.0]
    assert found.reasons.to_pylist() == [
        {"row": 1, "column": "RM", "value": "51", "reason": "outside [0, 50] rooms"},
        {"row": 1, "column": "AGE", "value": "-1", "reason": "outside [0, 100] %"},
    ]
    assert found.texts() == [
        None,
        "RM is 51, outside [0, 50] rooms; AGE is -1, outside [0, 100] %",
        None,
    ]


def test_table_of_bad_rows_alone_has_no_prices():
    found = scorer(0.9).score(batch(RM=[51.0, None]))

    assert [it.to_pylist() for it in found.arrays()] == [[None, None]] * 3


def test_chunk_without_rows_is_nothing():
    empty = batch(RM=pa.array([], pa.float64()), AGE=[], LSTAT=[])

    assert scorer().score(empty).outputs["price"].tolist() == []


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2], pa.int8()),
        pa.array([1, 2], pa.uint64()),
        pa.array([1.0, 2.0], pa.float32()),
        pa.array(np.array([1, 2], np.float16)),
        pa.array([decimal.Decimal("1.0"), decimal.Decimal("2.0")]),
        pa.array(["1", "2.0"]),
        pa.array([" 1", "2e0 "], pa.large_string()),
        pa.array(["1", "2"], pa.string_view()),
        pa.array(["1", "2"]).dictionary_encode(),
    ],
    ids=lambda it: str(it.type),
)
def test_numbers_of_any_type_are_numbers(values):
    found = scorer().score(batch(RM=values))

    assert found.outputs["price"].tolist() == [3.0, 4.0]


def test_truth_values_are_one_and_zero():
    assert numbers(AREA, pa.array([True, False])) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([1.0, float("nan")]), [(1, "nan", "missing, which it may not be")]),
        (pa.array([None, 1.0]), [(0, None, "missing, which it may not be")]),
        (pa.array([None, 7]), [(0, None, "missing, which it may not be")]),
        (pa.nulls(1), [(0, None, "missing, which it may not be")]),
        (pa.array(["7", " NA "]), [(1, " NA ", "missing, which it may not be")]),
        (pa.array(["7", "big", ""]), [
            (1, "big", "not a number"), (2, "", "missing, which it may not be"),
        ]),
        (pa.array([float("inf")]), [(0, "inf", "not a finite number")]),
        (pa.array([1e300]), [(0, "1e+300", "not a finite number")]),
        (pa.array([500.5, 1]), [(0, "500.5", "outside [0, 500] m²")]),
        (pa.array(["501", "x"]), [(1, "x", "not a number"), (0, "501", "outside [0, 500] m²")]),
    ],
)  # fmt: skip
def test_what_is_no_area_is_told_of(values, said):
    assert problems(AREA, values) == said


def test_optional_number_may_be_missing_but_not_wrong():
    texts = pa.array(["1950", "", "NA", None, " 1960 "])

    assert numbers(YEAR, texts) == [1950.0, None, None, None, 1960.0]
    assert problems(YEAR, texts) == []
    assert numbers(YEAR, pa.array([1950.0, None, float("nan")])) == [1950.0, None, None]
    assert problems(YEAR, pa.array(["new", "900"])) == [
        (0, "new", "not a number"),
        (1, "900", "outside [1000, 2100]"),
    ]


def test_category_is_the_number_of_its_place_and_any_other_the_one_after_the_last():
    assert numbers(TOWN, pa.array(["Bonn", "Ulm", " Ulm ", "Köln"])) == [1.0, 0.0, 0.0, 2.0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, 2, None]), [0.0, 1.0, None]),
        (pa.array([1.0, 2.0, float("nan")]), [0.0, 1.0, None]),
        (pa.array([True, False]), [2.0, 3.0]),
        (pa.array(["1", "NA", "", None]), [0.0, None, None, None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_category_may_be_written_as_a_number_and_be_missing_where_it_may(values, expected):
    assert numbers(FLOORS, values) == expected
    assert problems(FLOORS, values) == []


def test_missing_category_is_told_of_where_it_may_not_be():
    assert problems(TOWN, pa.array(["Ulm", "", None])) == [
        (1, "", "missing, which it may not be"),
        (2, None, "missing, which it may not be"),
    ]


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        (AREA, pa.array([[1.0]])),
        (AREA, pa.array([0], pa.timestamp("s"))),
        (TOWN, pa.array([["Ulm"]])),
    ],
)
def test_column_that_can_be_no_feature_is_refused_as_a_whole(feature, values):
    with pytest.raises(TableError, match=f"column {feature.name} holds "):
        numbers(feature, values)


@given(st.lists(st.text(max_size=6), min_size=1, max_size=20))
def test_any_texts_are_read_as_the_service_reads_them(texts):
    """Value by value the same number, or refused by both."""
    columns = Columns(replace_features(YEAR))
    reader = Number(YEAR)
    wrong = {row for row, _, _ in problems(YEAR, pa.array(texts))}
    found = reader.read(pa.array(texts)).numbers

    for row, text in enumerate(texts):
        if row in wrong:
            continue
        try:
            (expected,) = columns.column("year", [text], "rows")
        except InvalidRequest:
            expected = np.nan  # a text that a table may have for no value, and a request may not
        np.testing.assert_equal(found[row], expected)


def test_pandas_table_is_scored_as_any():
    frame = pd.DataFrame(
        {"RM": [1.0, 2.0, None], "AGE": [1, 2, 3], "LSTAT": ["1", "oops", 3.5]}, index=[7, 8, 9]
    )

    found = scorer().score_frame(frame)

    assert found.outputs["price"].tolist()[0] == 3.0
    assert found.texts()[1:] == [
        "LSTAT is oops, not a number",
        "RM is missing, which it may not be",
    ]


def test_lacking_column_is_named_with_those_that_are_there():
    with pytest.raises(TableError, match="no column RM, AGE: the columns are LSTAT"):
        scorer().score_frame(pd.DataFrame({"LSTAT": [1.0]}))
    with pytest.raises(TableError, match="no column RM: the columns are LSTAT"):
        scorer().score(pa.RecordBatch.from_pydict({"LSTAT": [1.0]}))


def test_unknown_level_feature_and_version_without_contract_are_refused():
    with pytest.raises(TableError, match=r"level is 0\.7, known: 0\.8, 0\.9, 0\.95"):
        scorer(0.7)
    with pytest.raises(TableError, match="HEIGHT is no feature: they are RM, AGE, LSTAT"):
        scorer(HEIGHT="height")
    with pytest.raises(TableError, match="version 1 of housing has no contract"):
        Scorer(fakes.version(described=False))
    with pytest.raises(TableError, match="the version has no intervals"):
        Scorer(fakes.version(), 0.9)


def test_more_rows_than_the_network_runs_at_once_keep_their_order():
    rooms = np.linspace(0, 50, 10_000).astype(np.float32)
    rooms[[17, 5_000]] = 99

    found = scorer().score(batch(RM=rooms, AGE=np.zeros(10_000), LSTAT=np.zeros(10_000)))

    expected = np.where(rooms == 99, np.nan, rooms)
    np.testing.assert_array_equal(found.outputs["price"], expected)
