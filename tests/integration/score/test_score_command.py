"""``python -m client score`` on real versions: the server's own answers, whatever the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, feather, parquet

from tests import penguins
from tests.integration.score.conftest import answers, houses, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.score.conftest import Score
    from tests.servers import Server

ROWS = 3000


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return houses(ROWS)


@pytest.fixture(scope="module")
def expected(service: Server, table: pa.Table) -> dict[str, np.ndarray]:
    """The server's answers for the same rows."""
    return answers(service, "housing", table.drop(["id"]).to_pylist(), 0.9)


def test_every_format_and_number_of_processes_gives_the_servers_answers(
    score: Score, housing_models: Path, tmp_path: Path, table: pa.Table, expected: dict
) -> None:
    write(table, tmp_path / "t.parquet", 400)
    csv.write_csv(table, tmp_path / "t.csv")
    feather.write_feather(table, tmp_path / "t.arrow", chunksize=700)
    (tmp_path / "many").mkdir()
    for part in range(3):
        write(table.slice(part * 1000, 1000), tmp_path / "many" / f"{part}.parquet", 300)

    for name, processes in (("t.parquet", 1), ("t.csv", 1), ("t.arrow", 1), ("many", 2)):
        output = tmp_path / f"scored-{name.replace('.', '-')}"
        done = score(
            tmp_path / name, "-o", output, "--model_base_path", housing_models / "housing",
            "--level", 0.9, "--keep", "id", "--processes", processes,
        )  # fmt: skip

        assert done.returncode == 0, done.stderr
        found = parquet.read_table(output)
        assert found.column("id").cast(pa.int64()).to_pylist() == list(range(ROWS))
        for column, values in expected.items():
            np.testing.assert_array_equal(found.column(column).to_numpy(), values)


def test_prices_written_as_text_are_the_same_numbers(
    score: Score, housing_models: Path, tmp_path: Path, table: pa.Table, expected: dict
) -> None:
    write(table, tmp_path / "t.parquet", 1000)

    score(
        tmp_path / "t.parquet", "-o", tmp_path / "o.csv", "--model_base_path",
        housing_models / "housing", "--keep", "none",
    )  # fmt: skip

    found = csv.read_csv(tmp_path / "o.csv").column("price").to_numpy().astype(np.float32)
    np.testing.assert_array_equal(found, expected["price"])


def test_categories_and_missing_values_are_what_they_are_to_the_server(
    score: Score, penguin_models: Path, penguin_service: Server, tmp_path: Path
) -> None:
    done = score(
        penguins.DATA, "-o", tmp_path / "o.parquet", "--model_base_path",
        penguin_models / "penguins", "--keep", ",".join(penguins.FEATURES),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    raw = csv.read_csv(penguins.DATA, convert_options=csv.ConvertOptions(strings_can_be_null=True))
    scored = parquet.read_table(tmp_path / "o.parquet").column("price")
    # Two penguins were not measured at all, and a flipper's length may not be missing.
    bad = [
        it for it, flipper in enumerate(raw.column("Flipper Length (mm)")) if not flipper.is_valid
    ]
    assert [it for it, price in enumerate(scored) if not price.is_valid] == bad
    assert f"{len(bad)} rows have no price: " in done.stderr
    assert "Flipper Length (mm) is NA, missing, which it may not be" in done.stderr
    instances = [
        it for row, it in enumerate(raw.select(penguins.FEATURES).to_pylist()) if row not in bad
    ]
    expected = answers(penguin_service, "penguins", instances)["price"]
    np.testing.assert_array_equal(scored.drop_null().to_numpy(), expected)
    assert any(it["Sex"] is None for it in instances)


def test_what_the_server_refuses_is_set_aside_for_the_same_reason(
    score: Score, housing_models: Path, service: Server, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(
        "id,RM,AGE,LSTAT\na,6,50,10\nb,50.00001,50,10\nc,6,-0.5,10\nd,6,50,\ne,six,50,10\n"
    )

    done = score(
        tmp_path / "t.csv", "-o", tmp_path / "o.csv", "--model_base_path",
        housing_models / "housing", "--column", "RM=RM",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    reasons = csv.read_csv(tmp_path / "o.csv.bad_rows.csv").to_pylist()
    told = [f"{it['column']} is {it['value']}, {it['reason']}" for it in reasons]
    assert told == [
        "RM is 50.00001, outside [0, 50] rooms",
        "AGE is -0.5, outside [0, 100] %",
        "LSTAT is , missing, which it may not be",
        "RM is six, not a number",
    ]
    for instance, said in (
        ({"RM": 50.00001, "AGE": 50, "LSTAT": 10}, "RM is 50.00001 rooms, outside [0, 50]"),
        ({"RM": 6, "AGE": -0.5, "LSTAT": 10}, "AGE is -0.5 %, outside [0, 100]"),
    ):
        answer = service.post("/v1/models/housing:predict", {"instances": [instance]})
        assert answer.status == 400
        assert said in answer.text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing.csv", "-o", "o.csv"], 1, "nothing.csv is not there"),
        (["data", "-o", "o.csv", "--model_base_path", "nowhere"], 1, "no model: nowhere: No such"),
        (["data", "-o", "o.csv", "--memory", "much"], 2, "much is no size such as 500M or 2G"),
        (["data", "-o", "o.csv", "--column", "RM"], 2, "RM is not FEATURE=COLUMN"),
        (["data"], 2, "required: -o/--output"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(
    score: Score, housing_models: Path, arguments: list[str], code: int, said: str
) -> None:
    done = score("--model_base_path", housing_models / "housing", *arguments)

    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_stable_version_scores_and_another_where_it_is_asked_for(
    score: Score, housing_models: Path, tmp_path: Path
) -> None:
    write(houses(10), tmp_path / "t.parquet", 10)
    where = ("--model_base_path", housing_models / "housing", "--keep", "none")

    done = score(tmp_path / "t.parquet", "-o", tmp_path / "a.csv", *where, "--label", "stable")
    refused = score(tmp_path / "t.parquet", "-o", tmp_path / "b.csv", *where, "--version_number", 9)

    assert "10 rows scored by housing version 1" in done.stderr
    assert "no version 9 in" in refused.stderr
