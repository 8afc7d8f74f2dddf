"""A whole table scored: in order, once, and going on where an earlier run was killed."""

from __future__ import annotations

import csv
import json
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from service.score import Options, Progress, Result, TableError, score
from service.score.chatter import hushed
from tests.unit.score.conftest import Adding, Died

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 20
SUMS = [float(it + 3) for it in range(ROWS)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A Parquet file of 20 rows in groups of 4, so of 5 units; row ``i`` costs ``i + 3``."""
    path = tmp_path / "houses.parquet"
    columns = {
        "id": [f"h{it}" for it in range(ROWS)],
        "RM": [float(it) for it in range(ROWS)],
        "AGE": [1] * ROWS,
        "LSTAT": [2.0] * ROWS,
    }
    parquet.write_table(pa.table(columns), path, row_group_size=4)
    return path


def scored(
    table: object, output: object, model: Path, engine: Adding | None = None, **options: Any
) -> Result:
    made = Options(unit_rows=4, **options)
    return score(str(table), str(output), model, made, engine or Adding())


def prices(output: Path) -> list[float | None]:
    return parquet.read_table(output).column("price").to_pylist()


def names(folder: Path) -> list[str]:
    return sorted(it.name for it in folder.iterdir())


def test_file_has_every_row_once_and_in_order(table, model, tmp_path):
    result = scored(table, tmp_path / "priced.parquet", model)

    found = parquet.read_table(tmp_path / "priced.parquet")
    assert found.column_names == ["id", "RM", "AGE", "LSTAT", "price"]
    assert found.column("price").to_pylist() == SUMS
    assert found.drop(["price"]).equals(parquet.read_table(table))
    assert (result.rows, result.bad, result.bad_rows, result.earlier) == (ROWS, 0, None, 0)
    assert names(tmp_path) == ["houses.parquet", "models", "priced.parquet"]


def test_folder_has_a_part_a_unit_in_order(table, model, tmp_path):
    scored(table, tmp_path / "out", model, keep=["id"], level=0.8)

    parts = [f"part-0000000{it}.parquet" for it in range(5)]
    assert names(tmp_path / "out") == ["_scored.json", *parts]
    found = parquet.read_table(tmp_path / "out")
    assert found.column_names == ["id", "price", "lower", "upper"]
    assert found.column("lower").to_pylist() == [it - 80 for it in SUMS]
    assert found.column("upper").to_pylist() == [it + 80 for it in SUMS]


def test_csv_keeps_its_texts_and_has_one_header(model, tmp_path):
    lines = ["id,RM,AGE,LSTAT,note", '01,1.50,1,0,"a, b"', '02,2,1,0,"say ""hi"""', "03,3,1,0,"]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")

    scored(tmp_path / "t.csv", tmp_path / "o.csv", model)
    scored(tmp_path / "t.csv", tmp_path / "f", model, format="csv")

    expected = [
        f"{line},{more}" for line, more in zip(lines, ("price", "2.5", "3", "4"), strict=True)
    ]
    assert (tmp_path / "o.csv").read_text().splitlines() == expected
    assert (tmp_path / "f/part-00000000.csv").read_text().splitlines() == expected


def test_csv_becomes_parquet_with_numbers_where_features_are(model, tmp_path):
    (tmp_path / "t.csv").write_text("id,RM,AGE,LSTAT\n01,1.50,1,0\n02,oops,1,0\n")

    scored(tmp_path / "t.csv", tmp_path / "o.parquet", model)

    assert parquet.read_table(tmp_path / "o.parquet").to_pylist() == [
        {"id": "01", "RM": 1.5, "AGE": 1.0, "LSTAT": 0.0, "price": 2.5},
        {"id": "02", "RM": None, "AGE": 1.0, "LSTAT": 0.0, "price": None},
    ]


def test_arrow_in_and_out(table, model, tmp_path):
    feather.write_feather(parquet.read_table(table), tmp_path / "t.feather", chunksize=4)

    scored(tmp_path / "t.feather", tmp_path / "o.arrow", model, keep="none")

    assert feather.read_table(tmp_path / "o.arrow").to_pydict() == {"price": SUMS}


def test_object_store_takes_and_gives_tables(table, model):
    import fsspec

    system = fsspec.filesystem("memory")
    system.pipe_file("/score-runs/in/t.parquet", table.read_bytes())

    scored("memory://score-runs/in", "memory://score-runs/out", model, keep="none")
    scored("memory://score-runs/in", "memory://score-runs/one.parquet", model, keep="none")

    with system.open("/score-runs/one.parquet") as file:
        assert parquet.read_table(file).to_pydict() == {"price": SUMS}
    parts = sorted(it for it in system.find("/score-runs/out") if it.endswith(".parquet"))
    assert len(parts) == 5
    assert [it for it in system.find("/score-runs") if "_scoring" in it or ".parts" in it] == []


def test_run_that_died_goes_on_and_does_nothing_twice(table, model, tmp_path):
    with pytest.raises(Died):
        scored(table, tmp_path / "out", model, Adding(dies_at=3))
    assert not (tmp_path / "out/_scored.json").exists()
    engine = Adding()

    result = scored(table, tmp_path / "out", model, engine)

    assert engine.did == [3, 4]
    assert result.earlier == 12
    assert prices(tmp_path / "out") == SUMS


def test_unit_whose_part_is_gone_or_whose_note_is_missing_is_done_again(table, model, tmp_path):
    with pytest.raises(Died):
        scored(table, tmp_path / "out", model, Adding(dies_at=4))
    (tmp_path / "out/part-00000001.parquet").unlink()
    (tmp_path / "out/_scoring/done/00000002.json").unlink()
    engine = Adding()

    scored(table, tmp_path / "out", model, engine)

    assert engine.did == [1, 2, 4]
    assert prices(tmp_path / "out") == SUMS


@pytest.mark.parametrize("restart", [False, True])
def test_run_killed_at_any_removal_is_gone_on_with(model, tmp_path, monkeypatch, restart):
    rows = {"RM": [1.0, 99.0, 2.0, 99.0] * 2, "AGE": [1.0] * 8, "LSTAT": [1.0] * 8}
    parquet.write_table(pa.table(rows), tmp_path / "t.parquet", row_group_size=4)
    was_killed, removals = True, 0

    while was_killed:
        output = tmp_path / f"{removals}.parquet"
        with pytest.raises(Died):
            scored(tmp_path / "t.parquet", output, model, Adding(dies_at=1))
        with monkeypatch.context() as patch:
            let_die(patch, removals)
            try:
                scored(tmp_path / "t.parquet", output, model, restart=restart)
            except Died:
                removals += 1
            else:
                was_killed = False
        scored(tmp_path / "t.parquet", output, model)

        assert prices(output) == [3, None, 4, None] * 2
        there = [it for it in names(tmp_path) if it.startswith(output.stem + ".")]
        assert there == [output.name, f"{output.name}.bad_rows.csv"]

    assert removals > 10


def test_folder_is_not_called_complete_after_a_restart_was_killed(
    table, model, tmp_path, monkeypatch
):
    for removals in range(6):
        output = tmp_path / str(removals)
        scored(table, output, model)
        with monkeypatch.context() as patch:
            let_die(patch, removals)
            with pytest.raises(Died):
                scored(table, output, model, restart=True)

        if (output / "_scored.json").exists():
            assert prices(output) == SUMS
        scored(table, output, model, restart=True)
        assert prices(output) == SUMS


def let_die(patch: pytest.MonkeyPatch, removals: int) -> None:
    """Let this process, as it were, die when it removes something after so many removals."""
    left = iter(range(removals))

    def dying(remove: Any) -> Any:
        def one(*arguments: Any, **options: Any) -> None:
            if next(left, None) is None:
                raise Died
            remove(*arguments, **options)

        return one

    for it in ("unlink", "remove", "rmdir"):
        patch.setattr(os, it, dying(getattr(os, it)))


def test_drafts_of_a_run_that_died_leave_nothing_behind(table, model, tmp_path):
    with pytest.raises(Died):
        scored(table, tmp_path / "out", model, Adding(dies_at=1))
    (tmp_path / "out/_scoring/drafts/part-00000001.parquet.abc").write_bytes(b"half")

    scored(table, tmp_path / "out", model)

    assert prices(tmp_path / "out") == SUMS
    assert [it for it in names(tmp_path / "out") if not it.startswith("part-0000000")] == [
        "_scored.json"
    ]


def test_going_on_cuts_the_table_as_the_first_run_did(table, model, tmp_path):
    with pytest.raises(Died):
        scored(table, tmp_path / "out", model, Adding(dies_at=2))

    score(table, tmp_path / "out", model, Options(unit_rows=1000), Adding())

    assert prices(tmp_path / "out") == SUMS
    assert len(names(tmp_path / "out")) == 6


def test_bad_rows_are_set_aside_with_file_row_value_and_limit(model, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text("RM,AGE,LSTAT\n1,1,1\nx,101,1\n")
    (folder / "b.csv").write_text("RM,AGE,LSTAT\n1,1,\n2,1,1\n")

    result = scored(folder, tmp_path / "out", model)

    assert (result.rows, result.bad) == (4, 2)
    assert result.example == "RM is x, not a number"
    assert prices(tmp_path / "out") == [3.0, None, None, 4.0]
    with (tmp_path / "out/_bad_rows.csv").open() as file:
        assert list(csv.reader(file)) == [
            ["file", "row", "column", "value", "reason"],
            [str(folder / "a.csv"), "2", "RM", "x", "not a number"],
            [str(folder / "a.csv"), "2", "AGE", "101", "outside [0, 100] %"],
            [str(folder / "b.csv"), "1", "LSTAT", "", "missing, which it may not be"],
        ]


def test_bad_rows_are_numbered_through_all_units_and_batches_of_a_file(model, tmp_path):
    rooms = [99.0 if it in {3, 70_000, 140_000} else 1.0 for it in range(150_000)]
    whole = pa.table({"RM": rooms, "AGE": [1.0] * 150_000, "LSTAT": [1.0] * 150_000})
    parquet.write_table(whole, tmp_path / "t.parquet", row_group_size=100_000)

    result = score(
        tmp_path / "t.parquet", tmp_path / "o.parquet", model, Options(unit_rows=1), Adding()
    )

    with (tmp_path / "o.parquet.bad_rows.csv").open() as file:
        assert [it["row"] for it in csv.DictReader(file)] == ["4", "70001", "140001"]
    assert result.bad_rows == str(tmp_path / "o.parquet.bad_rows.csv")


def test_table_without_rows_gives_one_without_rows(model, tmp_path):
    (tmp_path / "t.csv").write_text("RM,AGE,LSTAT\n")

    for output in ("o.csv", "o.parquet", "o.arrow"):
        assert scored(tmp_path / "t.csv", tmp_path / output, model).rows == 0

    assert (tmp_path / "o.csv").read_text() == "RM,AGE,LSTAT,price\n"
    assert parquet.read_table(tmp_path / "o.parquet").num_rows == 0


def test_complete_folder_is_left_as_it_is(table, model, tmp_path):
    scored(table, tmp_path / "out", model)
    engine = Adding()

    result = scored(table, tmp_path / "out", model, engine)

    assert engine.did == []
    assert (result.rows, result.earlier) == (ROWS, ROWS)


def test_restart_drops_what_an_earlier_run_left_and_nothing_else(table, model, tmp_path):
    scored(table, tmp_path / "out", model)
    (tmp_path / "out/notes.txt").write_text("mine")

    scored(table, tmp_path / "out", model, level=0.9, keep="none", restart=True)

    assert (tmp_path / "out/notes.txt").read_text() == "mine"
    found = [it for it in names(tmp_path / "out") if it.startswith("part-")]
    assert len(found) == 5
    part = parquet.read_table(tmp_path / "out" / found[0])
    assert part.column_names == ["price", "lower", "upper"]


def test_other_question_does_not_go_on(table, model, tmp_path):
    with pytest.raises(Died):
        scored(table, tmp_path / "out", model, Adding(dies_at=2))

    for options, said in (
        ({"level": 0.9}, r"level was null, and is 0\.9"),
        ({"keep": ["id"]}, r"kept was .*, and is \[\"id string\"\]"),
        ({"format": "csv"}, 'format was "parquet", and is "csv"'),
    ):
        with pytest.raises(TableError, match=f"{said}: begin anew with --restart"):
            scored(table, tmp_path / "out", model, **options)


def test_changed_table_or_version_does_not_go_on(table, model, tmp_path):
    with pytest.raises(Died):
        scored(table, tmp_path / "out", model, Adding(dies_at=2))
    contract = model / "assets.extra/contract.json"
    before = contract.read_text()
    contract.write_text(before.replace("rooms", "chambers"))

    with pytest.raises(TableError, match="the model version has changed since"):
        scored(table, tmp_path / "out", model)
    contract.write_text(before)
    parquet.write_table(parquet.read_table(table), table, row_group_size=5)
    with pytest.raises(TableError, match="the table has changed since"):
        scored(table, tmp_path / "out", model)


def test_table_that_changes_while_it_is_scored_is_not_called_complete(table, model, tmp_path):
    class Meanwhile(Adding):
        def run(self, job: Any, units: Any) -> Any:
            for it in super().run(job, units):
                os.utime(table, ns=(0, it.number))
                yield it

    with pytest.raises(TableError, match="the table has changed while it was scored"):
        scored(table, tmp_path / "out", model, Meanwhile())
    assert not (tmp_path / "out/_scored.json").exists()


def test_two_runs_do_not_write_one_output(table, model, tmp_path):
    class Meanwhile(Adding):
        def run(self, job: Any, units: Any) -> Any:
            with pytest.raises(TableError, match="is being written by another run"):
                scored(table, tmp_path / "out", model)
            return super().run(job, units)

    scored(table, tmp_path / "out", model, Meanwhile())

    assert prices(tmp_path / "out") == SUMS


def test_folder_with_other_files_is_not_written_into(table, model, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/letter.txt").write_text("")

    with pytest.raises(TableError, match=r"out holds letter.txt: give an empty folder"):
        scored(table, tmp_path / "out", model)
    assert names(tmp_path / "out") == ["letter.txt"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep": ["colour"]}, "no column colour: the columns are id, RM, AGE, LSTAT"),
        ({"columns": {"RM": "rooms"}}, "no column rooms: the columns are id, RM, AGE, LSTAT"),
        ({"columns": {"rooms": "RM"}}, "rooms is no feature: they are RM, AGE, LSTAT"),
        ({"level": 0.5}, r"level is 0\.5, known: 0\.8, 0\.9, 0\.95"),
        ({"format": "xlsx"}, "format is xlsx, known: parquet, csv, arrow"),
        ({"format": "csv"}, "o.parquet is to be csv, but its name says parquet"),
        ({"memory_bytes": 2**20}, "memory is 1 MB, at least 216 MB are needed"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_done(
    table, model, tmp_path, options, said
):
    with pytest.raises(TableError, match=said):
        scored(table, tmp_path / "o.parquet", model, **options)
    assert names(tmp_path) == ["houses.parquet", "models"]


def test_column_that_is_there_already_is_not_written_over(table, model, tmp_path):
    scored(table, tmp_path / "once.parquet", model)

    with pytest.raises(TableError, match="there is a column price already"):
        scored(tmp_path / "once.parquet", tmp_path / "twice.parquet", model)
    scored(tmp_path / "once.parquet", tmp_path / "twice.parquet", model, keep=["id"])
    assert prices(tmp_path / "twice.parquet") == SUMS


def test_output_is_not_the_input_nor_in_it(table, model, tmp_path):
    for output in (table, tmp_path, tmp_path / "houses.parquet/x"):
        with pytest.raises(TableError, match="is the input, or in it"):
            scored(table, output, model)


def test_output_is_none_of_the_files_that_a_pattern_stands_for(table, model, tmp_path):
    before = table.read_bytes()

    with pytest.raises(TableError, match=r"houses.parquet is the input, or in it"):
        scored(tmp_path / "*.parquet", table, model)
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    ("column", "name", "said"),
    [
        (pa.array([{"a": 1}]), "o.csv", r"column x holds struct<a: int64>, which csv cannot"),
        (pa.array([[1]]), "o.csv", r"column x holds list<.*>, which csv cannot"),
        (
            pa.array([(1, 2, 3)], pa.month_day_nano_interval()),
            "o.parquet",
            "column x holds month_day_nano_interval, which parquet cannot",
        ),
        (pa.array([b"\xff"]), "o.csv", "a column of bytes holds what is no text for csv"),
    ],
)
def test_column_that_a_format_cannot_hold_is_said(model, tmp_path, column, name, said):
    rows = pa.table({"RM": [1.0], "AGE": [1.0], "LSTAT": [1.0], "x": column})
    feather.write_feather(rows, tmp_path / "t.arrow")

    with pytest.raises(TableError, match=said):
        scored(tmp_path / "t.arrow", tmp_path / name, model)
    scored(tmp_path / "t.arrow", tmp_path / name, model, keep="none")
    assert names(tmp_path) == ["models", name, "t.arrow"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary()])
def test_texts_of_any_type_are_quoted_in_csv(model, tmp_path, kind):
    text = 'a, "b"\n'
    rows = pa.table({"RM": [1.0], "AGE": [1.0], "LSTAT": [1.0], "x": pa.array([text], kind)})
    feather.write_feather(rows, tmp_path / "t.arrow")

    scored(tmp_path / "t.arrow", tmp_path / "o.csv", model, keep=["x"])

    with (tmp_path / "o.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["x", "price"], [text, "3"]]


def test_column_of_another_type_in_a_later_file_is_said(model, tmp_path):
    (tmp_path / "t").mkdir()
    for name, value in (("a", 1), ("b", "one")):
        rows = pa.table({"RM": [1.0], "AGE": [1.0], "LSTAT": [1.0], "x": [value]})
        parquet.write_table(rows, tmp_path / "t" / name)

    with pytest.raises(TableError, match=r"t/b: column x holds string, and in the first file int"):
        scored(tmp_path / "t", tmp_path / "out", model)


def test_run_that_comes_to_nothing_leaves_nothing(model, tmp_path):
    dates = pa.table({"RM": pa.array([0], pa.date32()), "AGE": [1.0], "LSTAT": [1.0]})
    parquet.write_table(dates, tmp_path / "t.parquet")

    for output in ("o.csv", "out"):
        with pytest.raises(TableError, match=r"column RM holds date32\[day\], not numbers"):
            scored(tmp_path / "t.parquet", tmp_path / output, model)

    assert [it for it in names(tmp_path) if it.startswith("o.csv")] == []
    assert names(tmp_path / "out") == []


def test_model_that_is_not_there_is_said(table, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, said in (("none", "no model: .*none: No such file"), ("empty", "holds no version")):
        with pytest.raises(TableError, match=said):
            scored(table, tmp_path / "o.parquet", tmp_path / folder)


def test_progress_tells_of_every_unit_and_of_what_was_there_before(table, model, tmp_path):
    with pytest.raises(Died):
        scored(table, tmp_path / "out", model, Adding(dies_at=3))
    told: list[Progress] = []

    score(table, tmp_path / "out", model, Options(), Adding(), told.append)

    assert [(it.rows, it.size, it.total) for it in told] == [
        (12, 12, 20), (16, 16, 20), (20, 20, 20),
    ]  # fmt: skip


def test_summary_says_what_scored_what(table, model, tmp_path):
    scored(table, tmp_path / "out", model, level=0.9)

    summary = json.loads((tmp_path / "out/_scored.json").read_text())
    assert summary["table"] == str(table)
    assert summary["version"] == str(model)
    assert (summary["level"], summary["rows"], summary["bad"]) == (0.9, ROWS, 0)


def test_remark_of_litert_is_held_back_and_all_else_passed_on(capfd):
    with hushed():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nERROR: no\n")

    assert capfd.readouterr().err == "ERROR: no\n"
