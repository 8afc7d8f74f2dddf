"""Files of tables: found, told apart, cut into units, read again whole."""

from __future__ import annotations

import csv
import errno
import gzip
import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from service.score import TableError
from service.score.places import Place
from service.score.tables import ARROW, CSV, PARQUET, Limits, Table, open_table

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits(rows=5, bytes=20, batch_rows=2)
COLUMN = pa.table({"a": list(range(12)), "b": [str(it) for it in range(12)]})


def opened(path: object) -> Table:
    return open_table(Place.of(str(path)))


def read(table: Table, *wanted: str, limits: Limits = LIMITS) -> list[dict[str, object]]:
    """All rows, unit by unit."""
    return [
        row
        for unit in table.units(limits)
        for batch in unit.file.read(unit.start, unit.stop, wanted, limits.batch_rows)
        for row in batch.to_pylist()
    ]


def write_arrow(path: Path, table: pa.Table, batch_rows: int) -> None:
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table, batch_rows)


def test_parquet_is_cut_at_row_groups(tmp_path):
    parquet.write_table(COLUMN, tmp_path / "t", row_group_size=2)

    table = opened(tmp_path / "t")

    assert (table.format, table.rows, table.size) == (PARQUET, 12, 12)
    assert [(it.start, it.stop, it.size) for it in table.units(LIMITS)] == [
        (0, 2, 4), (2, 4, 4), (4, 6, 4),
    ]  # fmt: skip
    assert read(table, "b", "a") == COLUMN.select(["a", "b"]).to_pylist()


def test_row_group_larger_than_a_unit_is_one_and_is_read_in_batches(tmp_path):
    parquet.write_table(COLUMN, tmp_path / "t")

    (unit,) = opened(tmp_path / "t").units(LIMITS)

    batches = unit.file.read(unit.start, unit.stop, ["a"], 5)
    assert [it.num_rows for it in batches] == [5, 5, 2]


def test_arrow_is_cut_at_batches(tmp_path):
    write_arrow(tmp_path / "t", COLUMN, 3)

    table = opened(tmp_path / "t")

    assert (table.format, table.rows) == (ARROW, 12)
    assert [(it.start, it.stop, it.size) for it in table.units(LIMITS)] == [
        (0, 1, 3), (1, 2, 3), (2, 3, 3), (3, 4, 3),
    ]  # fmt: skip
    assert read(table, "b") == COLUMN.select(["b"]).to_pylist()


def test_csv_is_cut_where_records_end(tmp_path):
    text = 'a,b\n1,x\n2,"two\nlines, and a ""quote"""\n\n3,z\n'
    (tmp_path / "t").write_text(text)

    table = opened(tmp_path / "t")

    assert (table.format, table.rows, table.size) == (CSV, None, len(text) - 4)
    units = list(table.units(Limits(1, 1, 10)))
    assert [text[it.start : it.stop] for it in units] == [
        "1,x\n", '2,"two\nlines, and a ""quote"""\n', "\n3,z\n",
    ]  # fmt: skip
    assert read(table, "a", "b", limits=Limits(1, 1, 10)) == [
        {"a": "1", "b": "x"},
        {"a": "2", "b": 'two\nlines, and a "quote"'},
        {"a": "3", "b": "z"},
    ]


@given(
    st.lists(st.tuples(st.text(max_size=5), st.text(min_size=1, max_size=5)), max_size=20),
    st.integers(1, 50),
)
def test_any_csv_is_read_as_python_reads_it(tmp_path_factory, records, unit_bytes):
    records = [tuple(it.replace("\0", "").replace("\r", "") for it in row) for row in records]
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b"), *records])
    path = tmp_path_factory.mktemp("csv") / "t"
    path.write_bytes(text.getvalue().encode(errors="replace"))

    with path.open(newline="") as file:
        expected = list(csv.DictReader(file))
    assert read(opened(path), "a", "b", limits=Limits(1, unit_bytes, 3)) == expected


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_of_any_usual_form_is_read(tmp_path, mark, delimiter, end):
    lines = (("a", " b "), ("1", "2"), ("3", "4"))
    text = mark + end.join(delimiter.join(it) for it in lines)  # without an end of the last
    (tmp_path / "t").write_text(text, newline="")

    assert read(opened(tmp_path / "t"), "b") == [{"b": "2"}, {"b": "4"}]


def test_csv_record_of_another_width_is_kept(tmp_path):
    (tmp_path / "t").write_text("a,b\n1\n2,3,4\n5,6\n")

    assert read(opened(tmp_path / "t"), "a", "b", limits=Limits(1, 100, 10)) == [
        {"a": "1", "b": ""},
        {"a": "2", "b": "3"},
        {"a": "5", "b": "6"},
    ]


def test_csv_field_of_any_length_is_read(tmp_path):
    long = "x" * 200_000
    (tmp_path / "t").write_text(f"a,{long}\n1\n2,{long}\n")

    assert read(opened(tmp_path / "t"), "a", long, limits=Limits(1, 10, 10)) == [
        {"a": "1", long: ""},
        {"a": "2", long: long},
    ]


def test_csv_bytes_that_are_no_text_are_replaced(tmp_path):
    (tmp_path / "t").write_bytes(b"a,b\n1,\xff\n")

    assert read(opened(tmp_path / "t"), "a", "b") == [{"a": "1", "b": "�"}]


def test_csv_without_records_has_no_units(tmp_path):
    (tmp_path / "t").write_text("a,b\n")

    assert list(opened(tmp_path / "t").units(LIMITS)) == []


def test_folder_is_all_its_files_in_the_order_of_their_names(tmp_path):
    for name, value in (("b/2.csv", 3), ("b/1.csv", 2), ("a.csv", 1), ("_x.csv", 9), ("b/.x", 9)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"a\n{value}\n")
    (tmp_path / "README.md").write_text("Not a table.")

    assert [it["a"] for it in read(opened(tmp_path), "a")] == ["1", "2", "3"]
    assert [it["a"] for it in read(opened(tmp_path / "b/*.csv"), "a")] == ["2", "3"]


def test_files_whose_names_say_nothing_are_known_by_their_content(tmp_path):
    for part in range(2):
        parquet.write_table(COLUMN, tmp_path / f"part-{part}")

    assert opened(tmp_path).rows == 24


def test_object_store_is_read_by_its_url():
    import fsspec

    system = fsspec.filesystem("memory")
    with system.open("/score-tables/x/t.parquet", "wb") as file:
        parquet.write_table(COLUMN, file, row_group_size=5)
    with pa.ipc.new_file(sink := pa.BufferOutputStream(), COLUMN.schema) as file:
        file.write_table(COLUMN, 5)
    system.pipe_file("/score-tables/t.arrow", sink.getvalue().to_pybytes())
    system.pipe_file("/score-tables/t.csv", b"a,b\n" + b"1,2\n" * 9)

    assert read(opened("memory://score-tables/x"), "a") == COLUMN.select(["a"]).to_pylist()
    assert read(opened("memory://score-tables/t.arrow"), "a") == COLUMN.select(["a"]).to_pylist()
    assert read(opened("memory://score-tables/t.csv"), "b") == [{"b": "2"}] * 9


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"\x89PNG\r\n\x1a\n\0\0", "is neither Parquet nor Arrow nor CSV in UTF-8"),
        ("t.csv", b"a,b\r1,2\r", "is no CSV: its first line has a carriage return"),
        ("t.csv", gzip.compress(b"a\n1\n", mtime=0), "is packed: unpack it first"),
        ("t.parquet", b"PAR1 and no more", "is not Parquet"),
        ("t.arrow", b"ARROW1 and no more", "is not an Arrow file"),
        ("t.arrow", b"\xff\xff\xff\xff\0\0\0\0", "is an Arrow stream"),
    ],
)
def test_what_is_no_table_is_said(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(TableError, match=f"{name} {said}"):
        opened(tmp_path / name)


def test_several_formats_in_one_folder_are_refused(tmp_path):
    parquet.write_table(COLUMN, tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("a\n1\n")

    with pytest.raises(TableError, match=r"several formats: csv \(.*b.csv\) and parquet"):
        opened(tmp_path)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("/nowhere/t.csv", "/nowhere/t.csv is not there"),
        ("memory://score-none", "memory:///score-none is not there"),
        ("gopher://x/t.csv", "gopher://x/t.csv: Protocol not known: gopher"),
    ],
)
def test_what_is_not_there_is_said(url, said):
    with pytest.raises(TableError, match=said):
        opened(url)


def test_disk_that_is_full_is_told_with_the_file_that_it_does_not_hold(tmp_path):
    place, drafts = (Place.of(f"{tmp_path}/{it}") for it in ("o.csv", "drafts"))

    with pytest.raises(OSError, match=r"device: '.*o\.csv'"), place.replacing(drafts):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list((tmp_path / "drafts").iterdir()) == []


def test_folder_without_files_holds_no_table(tmp_path):
    with pytest.raises(TableError, match="holds no table"):
        opened(tmp_path)
