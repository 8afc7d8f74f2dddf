from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import table
from training.columns import FEATURES, TARGET
from training.errors import TableError

DATA = Path(__file__).parents[3] / "data" / "boston_housing.csv"
LINES = DATA.read_text().splitlines()[:31]
NAMES = LINES[0].split(",")


def made(*changes: tuple[int, str, str], lines: list[str] = LINES) -> bytes:
    """The first 30 tracts with some values changed, each given as line, column and text."""
    cells = [line.split(",") for line in lines]
    for line, column, text in changes:
        cells[line - 1][NAMES.index(column)] = text
    return "\n".join(",".join(row) for row in cells).encode()


def without(column: str) -> bytes:
    place = NAMES.index(column)
    rows = [line.split(",") for line in LINES]
    return "\n".join(",".join(row[:place] + row[place + 1 :]) for row in rows).encode()


def problems(content: bytes) -> tuple[str, ...]:
    with pytest.raises(TableError) as refused:
        table.read(content, "t.csv")
    return refused.value.problems


def test_all_506_tracts_pass():
    read = table.read(DATA.read_bytes(), DATA.name)

    assert read.shape == (506, 14)
    assert list(read.columns) == NAMES
    assert read.loc[2].tolist() == [float(text) for text in LINES[1].split(",")]
    # Known of the data set: the mean price, and how many tracts stand at the cap.
    assert read["MEDV"].mean() == pytest.approx(22.5328, abs=1e-4)
    assert (read["MEDV"] == 50).sum() == 16


def test_columns_may_come_in_any_order():
    turned = "\n".join(",".join(reversed(line.split(","))) for line in LINES).encode()

    assert table.read(turned, "t.csv").equals(table.read(made(), "t.csv"))


def test_empty_lines_are_passed_over_and_counted():
    lines = [*LINES[:5], "", *LINES[5:], ""]
    content = "\n".join(lines).encode().replace(b"6.012", b"51")

    assert problems(content) == ("line 9: RM is 51, outside [0, 50] rooms",)


def test_byte_order_mark_and_windows_lines_are_read():
    content = b"\xef\xbb\xbf" + made().replace(b"\n", b"\r\n")

    assert len(table.read(content, "t.csv")) == 30


def test_every_problem_is_named_with_its_line_and_column():
    content = made((9, "LSTAT", "n/a"), (7, "RM", "51"), (12, "AGE", ""), (7, "MEDV", "0"))

    assert problems(content) == (
        "line 7: RM is 51, outside [0, 50] rooms",
        "line 7: MEDV is 0, outside (0, 50] thousand USD",
        "line 9: LSTAT is 'n/a', not a number",
        "line 12: AGE is missing",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("NaN", "is 'NaN', not a number"),
        ("inf", "is inf, outside [0, 50] rooms"),
        ("-0.001", "is -0.001, outside [0, 50] rooms"),
        ("1e999", "is 1e999, outside [0, 50] rooms"),
        ("6_1", "is '6_1', not a number"),
        ("six", "is 'six', not a number"),
        ("   ", "is missing"),
        ("x" * 50, f"is '{'x' * 40}…', not a number"),
    ],
)
def test_what_is_no_number_of_rooms_is_refused(text, problem):
    assert problems(made((3, "RM", text))) == (f"line 3: RM {problem}",)


def test_missing_column_is_named():
    assert problems(without("LSTAT")) == ("line 1: column LSTAT is missing",)


def test_extra_column_is_named():
    content = b"\n".join(line + b",1" for line in made().splitlines()).replace(
        b"MEDV,1", b"MEDV,ID"
    )

    (problem,) = problems(content)
    assert problem.startswith("line 1: column 'ID' is not one of CRIM, ZN, INDUS,")


def test_column_that_is_there_twice_is_named():
    content = b"\n".join(line + b",1" for line in made().splitlines()).replace(
        b"MEDV,1", b"MEDV,RM"
    )

    assert problems(content) == ("line 1: column RM is there 2 times, once is right",)


def test_wrong_column_does_not_hide_wrong_values():
    content = without("LSTAT").replace(b"6.575", b"657.5")

    assert problems(content) == (
        "line 1: column LSTAT is missing",
        "line 2: RM is 657.5, outside [0, 50] rooms",
    )


def test_short_row_lacks_its_last_values():
    content = made().replace(LINES[4].encode(), b"0.1,2,3")

    assert problems(content)[0] == "line 5: CHAS is missing"
    assert len(problems(content)) == 11


def test_long_row_is_named():
    content = made().replace(LINES[4].encode(), LINES[4].encode() + b",9")

    assert problems(content) == ("it is not CSV in UTF-8: Expected 14 fields in line 5, saw 15",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b"\xff\xfe\x00", "it is not CSV in UTF-8: 'utf-8' codec can't decode byte 0xff"),
        (b'a,"b\n1,2', "it is not CSV in UTF-8: EOF inside string"),
        (LINES[0].encode(), "it has 0 rows, at least 20 are needed"),
        (made(lines=LINES[:20]), "it has 19 rows, at least 20 are needed"),
    ],
    ids=["empty", "binary", "open quote", "header alone", "few rows"],
)
def test_what_is_no_table_is_refused(content, problem):
    (found,) = problems(content)
    assert found.startswith(problem)


def test_price_that_never_changes_is_refused():
    same = made(*((line, "MEDV", "20") for line in range(2, 32)))

    assert problems(same) == ("MEDV is 20 in every row: nothing to learn",)


def test_only_the_first_problems_are_shown_and_the_rest_counted():
    content = made(*((line, "RM", "x") for line in range(2, 32)))

    with pytest.raises(TableError) as refused:
        table.read(content, "t.csv")

    shown = str(refused.value).splitlines()
    assert len(refused.value.problems) == 30
    assert shown[0] == "t.csv cannot be used:"
    assert shown[20] == "  line 21: RM is 'x', not a number"
    assert shown[21:] == ["  and 10 more"]


@settings(max_examples=40)
@given(
    line=st.integers(2, 31),
    column=st.sampled_from([*FEATURES.values(), TARGET]),
    value=st.floats(-10, 10_000) | st.sampled_from([0.0, 50.0, 100.0, 396.9]),
)
def test_value_is_read_exactly_or_refused_by_name(line, column, value):
    content = made((line, column.name, repr(value)))
    above = value > column.minimum or (value == column.minimum and not column.above_minimum)

    if above and value <= column.maximum:
        assert table.read(content, "t.csv").loc[line, column.name] == value
    else:
        (problem,) = problems(content)
        assert problem.startswith(f"line {line}: {column.name} is {value!r}, outside ")


@settings(max_examples=40)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters=',"\r\n'), max_size=12))
def test_any_text_is_a_number_of_rooms_or_refused_by_name(text):
    content = made((5, "RM", text))
    try:
        value = table.read(content, "t.csv").loc[5, "RM"]
    except TableError as error:
        found = error.problems
    else:
        found = ("line 5: RM is ",) if math.isfinite(value) and 0 <= value <= 50 else ()

    assert [problem[:14] for problem in found] == ["line 5: RM is "]


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_table_error(content):
    with pytest.raises(TableError):
        table.read(content, "t.csv")
