"""Tables of one's own: what is found out about them, and what is refused."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from training import inference, own
from training.errors import TableError
from training.feed import Sample
from training.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = Recipe(features=(), target="price")
TOWNS = ("North", "South", "Old Town")


def rows(count: int = 40) -> list[list[str]]:
    """Houses: area, rooms (some missing), town (one missing), price."""
    made = [["area", "rooms", "town", "price"]]
    for n in range(count):
        rooms = "" if n % 10 == 3 else str(1 + n % 5)
        town = "NA" if n == 7 else TOWNS[n % 3]
        made.append([f"{30 + n}.5", rooms, town, str(100 + 7 * n)])
    return made


def write(path: Path, cells: list[list[str]], delimiter: str = ",") -> Path:
    path.write_text("\n".join(delimiter.join(row) for row in cells) + "\n")
    return path


def changed(*changes: tuple[int, int, str]) -> list[list[str]]:
    """The houses with some cells changed, each given as line, column and text."""
    cells = rows()
    for line, column, text in changes:
        cells[line - 1][column] = text
    return cells


@pytest.fixture
def csv(tmp_path) -> Path:
    return write(tmp_path / "houses.csv", rows())


def problems(path: Path, recipe: Recipe = RECIPE, described: str = "") -> tuple[str, ...]:
    with pytest.raises(TableError) as refused:
        own.read(own.Place(path, described.encode()), recipe)
    return refused.value.problems


def test_kinds_categories_and_missing_values_are_found(csv):
    table, found = own.read(own.Place(csv), RECIPE)
    area, rooms, town = table.schema.features.values()

    assert (area.kind, area.optional, area.missing) == ("number", False, "refused")
    assert (rooms.kind, rooms.optional) == ("number", True)
    assert (town.kind, sorted(town.categories), town.optional) == ("category", sorted(TOWNS), True)
    assert found.survey.looks["rooms"].missing == 4
    assert table.rows == 40


def test_limits_are_the_range_and_as_much_again_but_not_below_zero(csv):
    table, _ = own.read(own.Place(csv), RECIPE)
    area = table.schema.features["area"]

    # Seen: 30.5 to 69.5, 39 apart.
    assert (area.minimum, area.maximum) == (0, 108.5)


def test_median_and_categories_are_those_of_the_training_rows(csv):
    table, _ = own.read(own.Place(csv), RECIPE)
    order = np.arange(40)
    np.random.RandomState(113).shuffle(order)
    train = pd.read_csv(csv).iloc[order[:32]]
    counts = train["town"].value_counts()

    assert table.schema.features["rooms"].fill == train["rooms"].median()
    names = table.schema.features["town"].categories
    assert [counts[name] for name in names] == sorted(counts, reverse=True)


def test_batch_has_numbers_of_categories_and_nan_for_missing(csv):
    table, _ = own.read(own.Place(csv), RECIPE)
    train = table.split.train
    line = 9  # the eighth house, whose town is missing: 37.5, 3 rooms, 149
    side = train if line in train.frame.index else table.split.test
    place = list(side.frame.index).index(line)

    assert side.batch[place, :2].tolist() == [37.5, 3]
    assert np.isnan(side.batch[place, 2])
    assert side.prices[place] == 149


def test_rare_categories_are_one_number(csv):
    table, _ = own.read(own.Place(csv), Recipe(features=(), target="price", categories=2))
    town = table.schema.features["town"]
    codes = table.split.train.frame["town"]

    assert len(town.categories) == 2
    assert set(codes.dropna()) == {0, 1, 2}


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_are_recognised(tmp_path, csv, delimiter):
    other = write(tmp_path / "other.csv", rows(), delimiter)

    read = [own.read(own.Place(path), RECIPE)[0].split.train.frame for path in (csv, other)]

    assert read[0].equals(read[1])


def test_compressed_and_parquet_tables_are_the_same(tmp_path, csv):
    packed = tmp_path / "houses.csv.gz"
    packed.write_bytes(gzip.compress(csv.read_bytes()))
    parquet = tmp_path / "houses.parquet"
    pd.read_csv(csv).to_parquet(parquet, row_group_size=13)

    frames = [
        own.read(own.Place(path), RECIPE)[0].split.train.frame.reset_index(drop=True)
        for path in (csv, packed, parquet)
    ]

    assert frames[0].equals(frames[1])
    assert frames[0].equals(frames[2])


def test_rows_without_a_target_are_left_out(tmp_path):
    path = write(tmp_path / "t.csv", changed((5, 3, ""), (9, 3, "NA")))

    table, found = own.read(own.Place(path), RECIPE)

    assert (table.rows, found.survey.dropped) == (38, 2)


def test_numbers_with_mistakes_are_named_with_line_column_and_value(tmp_path):
    path = write(tmp_path / "t.csv", changed((7, 0, "12 m"), (9, 3, "inf"), (8, 3, "dear")))

    assert problems(path) == (
        "line 7: area is '12 m', not a number",
        "line 8: price is 'dear', not a number",
        "line 9: price is inf, not a finite number",
    )


def test_lines_are_counted_through_empty_lines_and_line_ends_in_quotes(tmp_path):
    cells = changed((4, 2, '"Old\nTown"'), (9, 0, "x"))
    path = write(tmp_path / "t.csv", [*cells[:2], [], *cells[2:]])

    # One empty line and one line end in quotes come before.
    assert problems(path) == ("line 11: area is 'x', not a number",)


def test_parquet_rows_are_named_by_row(tmp_path):
    frame = pd.DataFrame({"area": ["x", *map(str, range(29))], "price": np.arange(30.0)})
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)

    assert problems(path) == ("row 1: area is 'x', not a number",)


def test_target_of_texts_is_refused_as_out_of_scope(csv):
    (problem,) = problems(csv, Recipe(features=(), target="town"))

    assert problem.startswith("the target town holds texts, such as 'North', 'Old Town', 'South':")
    assert "to tell classes apart is not done" in problem


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        (
            Recipe(features=("area", "size"), target="price"),
            "column size is missing; there are area, rooms, town, price",
        ),
        (
            Recipe(features=(), target="cost"),
            "column cost is missing; there are area, rooms, town, price",
        ),
    ],
)
def test_missing_column_is_named(csv, recipe, problem):
    assert problems(csv, recipe) == (problem,)


def test_column_that_is_there_twice_is_named(tmp_path):
    cells = rows()
    cells[0][1] = "area"

    assert problems(write(tmp_path / "t.csv", cells)) == (
        "column area is there 2 times, once is right",
    )


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b"a,price\n\xff\xfe,1\n", "it is not CSV in UTF-8: 'utf-8' codec can't decode"),
        (b"a,price\n1,2,3\n1,2\n", "it is not CSV in UTF-8: Expected 2 fields in line 2, saw 3"),
        (b"PAR1nothing", "it is not Parquet"),
        (b"a,price\n1,2\n", "it has 1 rows with price, at least 20 are needed"),
        (b"a,price\n" + b"1,2\n" * 30, "the target price: it is 2 in every row"),
        (b"a,price\n" + b"1,2\n1,3\n" * 30, "no column but the target is of use"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, problem):
    path = tmp_path / "t.csv"
    path.write_bytes(content)

    assert problems(path)[0].startswith(problem)


def test_useless_column_is_left_out_and_refused_where_it_is_asked_for(tmp_path):
    cells = [[*row, "id" if n == 0 else f"house {n}"] for n, row in enumerate(rows())]
    path = write(tmp_path / "t.csv", cells)

    _, found = own.read(own.Place(path), RECIPE)

    why = "it has 40 different texts in 40 rows: no categories"
    assert found.unused == {"id": why}
    assert found.features == ("area", "rooms", "town")
    asked = Recipe(features=("area", "id"), target="price")
    assert problems(path, asked) == (f"id: {why}; leave it out of --features",)


def test_description_says_unit_limits_kind_and_whether_values_may_be_missing(csv):
    described = """
        [area]
        meaning = "living area"
        unit = "m²"
        maximum = 300
        [rooms]
        kind = "category"
        [price]
        unit = "USD"
    """

    table, _ = own.read(own.Place(csv, described.encode()), RECIPE)
    area, rooms, _ = table.schema.features.values()

    assert (area.meaning, area.unit, area.minimum, area.maximum) == ("living area", "m²", 0, 300)
    assert sorted(rooms.categories) == ["1", "2", "3", "4", "5"]
    assert table.schema.unit == "USD"


def test_values_beyond_a_description_are_named(csv):
    described = '[area]\nunit = "m²"\nmaximum = 68\n[town]\nmissing = "refused"\n'

    assert problems(csv, described=described) == (
        "line 9: town is missing",
        "line 40: area is 68.5, outside [-inf, 68] m²",
        "line 41: area is 69.5, outside [-inf, 68] m²",
    )


@pytest.mark.parametrize(
    ("described", "problem"),
    [
        ("[size]", "column size is not one of area, rooms, town, price"),
        ("[area]\ncolour = 1", "area: Object contains unknown field `colour`"),
        ('[area]\nkind = "text"', "area: kind is 'text', not one of number, category"),
        ("[area]\nminimum = 2\nmaximum = 1", "area: minimum is 2, not below the maximum 1"),
        ("[area", "it is not TOML: "),
    ],
)
def test_wrong_description_is_refused(csv, described, problem):
    (found,) = problems(csv, described=described)
    assert found.startswith(problem)


def test_many_problems_are_counted(tmp_path):
    cells = [["area", "price"], *([f"{n}", "1"] for n in range(2900))]
    for n in range(1, 131):
        cells[n][0] = "?"
    path = write(tmp_path / "t.csv", cells)

    with pytest.raises(TableError) as refused:
        own.read(own.Place(path), Recipe(features=(), target="area"))

    assert len(refused.value.problems) == 101
    assert refused.value.problems[-1] == "and 30 more of area: not a number"


def test_what_was_found_is_shown(csv):
    table, found = own.read(own.Place(csv), RECIPE)
    text = io.StringIO()

    inference.show(found, table, Console(file=text, width=120))

    shown = text.getvalue()
    assert "30.5 to 69.5" in shown
    assert "a category of its own" in shown
    assert "and a sign that it is missing" in shown
    assert "100 to 373" in shown


def test_stream_reads_what_memory_does(tmp_path, csv):
    table, _ = own.stream(own.Place(csv), RECIPE, tmp_path)
    frame = pd.read_csv(csv).set_index(pd.RangeIndex(2, 42))
    assert table.feed is not None

    read = [table.feed.block(number) for number in range(len(table.feed.lengths))]
    seen = sorted(price for _, prices in read for price in prices)

    train, test = table.split.train, table.split.test
    assert seen == sorted(train.prices)
    assert sorted([*train.prices, *test.prices]) == frame["price"].tolist()
    for line, row in train.frame.iterrows():
        assert row["area"] == frame.loc[line, "area"]


def test_validation_rows_of_a_stream_are_no_training_rows(tmp_path, csv):
    recipe = Recipe(features=(), target="price", validation_share=0.3)

    table, _ = own.stream(own.Place(csv), recipe, tmp_path)

    assert table.feed is not None
    sides = [table.split.train.prices, table.feed.watched.prices, table.split.test.prices]
    assert len(set(np.concatenate(sides))) == 40
    assert all(len(side) for side in sides)


def test_sample_takes_each_row_as_likely():
    """Of 100 rows 20 are kept; the mean of many samples' means is the rows' own, 49.5."""
    random = np.random.default_rng(1)
    means = []
    for _ in range(300):
        sample = Sample(20)
        for start in range(0, 100, 25):
            sample.add(pd.DataFrame({"n": np.arange(start, start + 25)}), random.random(25))
        assert len(sample.rows) == 20
        means.append(sample.rows["n"].mean())

    assert np.mean(means) == pytest.approx(49.5, abs=1.5)
