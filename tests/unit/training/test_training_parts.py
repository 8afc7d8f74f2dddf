"""Processes that each read a part of a table find what one finds that reads all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from tests.groups import together
from training import chunks, feed, own
from training.errors import TableError
from training.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = Recipe(features=(), target="price", validation_share=0.1)
ROWS = 12_001


def houses() -> pd.DataFrame:
    """Houses: area, rooms (some missing), town (some missing), price (some missing)."""
    random = np.random.default_rng(5)
    area = random.uniform(20, 200, ROWS)
    rooms = random.integers(1, 9, ROWS).astype(float)
    rooms[random.random(ROWS) < 0.05] = np.nan
    towns = np.array(["North", "South", "Old Town", "West", None], object)
    town = towns[random.choice(5, ROWS, p=[0.4, 0.3, 0.2, 0.05, 0.05])]
    price = 3 * area + 10 * np.nan_to_num(rooms) + random.normal(0, 9, ROWS)
    price[random.random(ROWS) < 0.02] = np.nan
    return pd.DataFrame({"area": area, "rooms": rooms, "town": town, "price": price})


@pytest.fixture(scope="module", params=["parquet", "csv"])
def path(request, tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("houses") / f"houses.{request.param}"
    if request.param == "parquet":
        houses().to_parquet(place, row_group_size=3500)
    else:
        houses().to_csv(place, index=False)
    return place


def streamed(path: Path, folder: Path, group=own.ALONE):
    folder.mkdir()
    return own.stream(own.Place(path), RECIPE, folder, group)


@pytest.fixture(scope="module")
def alone(path, tmp_path_factory):
    return streamed(path, tmp_path_factory.mktemp("alone") / "0")


@pytest.fixture(scope="module")
def parts(path, tmp_path_factory):
    """What each of three processes found."""
    folder = tmp_path_factory.mktemp("parts")
    return together(3, lambda member: streamed(path, folder / str(member.index), member))


def rows_of(found) -> np.ndarray:
    """All that is in a feed's file, sorted: features and target."""
    written = np.fromfile(found.path).reshape(found.rows, found.features + 1)
    return written[np.lexsort(written.T[::-1])]


def test_every_row_is_in_one_part(path):
    source = chunks.source(path)
    places = [
        [place for chunk in source.chunks(["area"], chunks.Part(it, 4)) for place in chunk.index]
        for it in range(4)
    ]

    whole = [place for chunk in source.chunks(["area"]) for place in chunk.index]
    assert sorted(place for part in places for place in part) == whole
    assert len(whole) == ROWS


def test_a_part_of_parquet_is_rows_that_follow_each_other_and_as_many_as_of_any_other(tmp_path):
    houses().to_parquet(tmp_path / "t.parquet", row_group_size=1000)
    source = chunks.source(tmp_path / "t.parquet")
    parts = [pd.concat(source.chunks(["area", "town"], chunks.Part(it, 5))) for it in range(5)]

    assert [len(it) for it in parts] == [2400, 2400, 2400, 2400, 2401]
    expected = houses()["area"].to_numpy()
    np.testing.assert_array_equal(np.concatenate([it["area"] for it in parts]), expected)


def test_no_row_group_is_read_that_holds_no_row_of_the_part(tmp_path):
    houses().to_parquet(tmp_path / "t.parquet", row_group_size=3000)
    source = chunks.source(tmp_path / "t.parquet")

    # 12,001 rows: groups begin at 0, 3000, 6000, 9000 and 12,000; the halves at 0 and 6000.
    assert source._groups(0, 6000) == ([0, 1], 0)
    assert source._groups(6000, 12_001) == ([2, 3, 4], 6000)
    assert source._groups(5999, 6001) == ([1, 2], 3000)


def test_all_find_the_columns_of_the_whole_table(alone, parts):
    for table, found in parts:
        assert table.schema == alone[0].schema
        assert table.rows == alone[0].rows
        assert found.survey.dropped == alone[1].survey.dropped
        assert found.survey.looks == alone[1].survey.looks


def test_all_have_the_samples_of_the_whole_table(alone, parts):
    for table, _ in parts:
        for side in ("train", "test"):
            mine, whole = getattr(table.split, side).frame, getattr(alone[0].split, side).frame
            pd.testing.assert_frame_equal(mine, whole)
        pd.testing.assert_frame_equal(table.feed.watched.frame, alone[0].feed.watched.frame)


def test_each_training_row_is_in_one_file(alone, parts):
    feeds = [table.feed for table, _ in parts]
    together = np.concatenate([rows_of(it) for it in feeds])

    assert sum(it.rows for it in feeds) == alone[0].feed.rows
    assert min(it.rows for it in feeds) > 0
    np.testing.assert_array_equal(together[np.lexsort(together.T[::-1])], rows_of(alone[0].feed))


def test_blocks_are_stretches_of_every_file(parts, monkeypatch):
    monkeypatch.setattr(feed, "BLOCK_ROWS", 1000)
    feeds = [table.feed for table, _ in parts]
    lengths = feeds[0].lengths

    assert [it.lengths for it in feeds] == [lengths] * 3
    assert sum(lengths) == sum(it.rows for it in feeds)
    assert max(lengths) - min(lengths) <= 3
    for number, length in enumerate(lengths):
        own_rows = [it.own(number) for it in feeds]
        assert [it.start for it in own_rows] == [0, *(it.stop for it in own_rows[:-1])]
        assert own_rows[-1].stop == length
        for it, mine in zip(feeds, own_rows, strict=True):
            assert len(it.block(number)[1]) == mine.stop - mine.start
    for it in feeds:
        read = np.concatenate([it.block(number)[1] for number in range(len(lengths))])
        written = np.fromfile(it.path).reshape(it.rows, it.features + 1)
        np.testing.assert_array_equal(read, written[:, -1])


def test_all_are_told_every_problem_of_the_table(tmp_path):
    table = houses().astype({"area": object})
    wrong = (3, 6001, 11_999)
    for row in wrong:
        table.loc[row, "area"] = "large"
    table["area"] = table["area"].map(str)
    table.to_parquet(tmp_path / "t.parquet", row_group_size=3500)

    def problems(member) -> tuple[str, ...]:
        with pytest.raises(TableError) as refused:
            streamed(tmp_path / "t.parquet", tmp_path / str(member.index), member)
        return refused.value.problems

    expected = tuple(f"row {row + 1}: area is 'large', not a number" for row in wrong)
    assert together(3, problems) == [expected] * 3
