"""Dask and Spark: the same function, and a worker that is killed."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from distributed import Client, LocalCluster
from pyarrow import parquet

from service.score import Dask, Options, Pricing, Progress, TableError, find, score
from tests.integration.score.conftest import houses, write
from tests.servers import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.score.conftest import Score

GROUP_ROWS = 2**15
UNITS = 24
ROWS = UNITS * GROUP_ROWS


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of many units."""
    return write(houses(ROWS), tmp_path_factory.mktemp("table") / "t.parquet", GROUP_ROWS)


@pytest.fixture(scope="module")
def expected(
    table: Path, housing_models: Path, tmp_path_factory: pytest.TempPathFactory
) -> np.ndarray:
    """The prices that one process gives."""
    output = tmp_path_factory.mktemp("one") / "one.parquet"
    score(table, output, housing_models / "housing", Options(keep="none"))
    prices: np.ndarray = parquet.read_table(output).column("price").to_numpy()
    return prices


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """Two workers, processes of their own."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
        ) as local,
        Client(local, set_as_default=False) as client,
    ):
        yield client


def test_worker_killed_midway_costs_no_row(
    cluster: Client, table: Path, expected: np.ndarray, housing_models: Path, tmp_path: Path
) -> None:
    workers = cluster.run(os.getpid)
    told: list[Progress] = []

    def kill_one(now: Progress) -> None:
        told.append(now)
        if len(told) == 4:
            os.kill(min(workers.values()), signal.SIGKILL)

    result = score(
        table, tmp_path / "out", housing_models / "housing",
        Options(keep=["id"], unit_rows=GROUP_ROWS), Dask(cluster), kill_one,
    )  # fmt: skip

    assert (result.rows, result.bad) == (ROWS, 0)
    found = parquet.read_table(tmp_path / "out")
    np.testing.assert_array_equal(found.column("id").to_numpy(), np.arange(ROWS))
    np.testing.assert_array_equal(found.column("price").to_numpy(), expected)
    assert len(list((tmp_path / "out").glob("part-*.parquet"))) == UNITS
    wait_until(lambda: len(cluster.run(os.getpid)) == 2, "the dead worker replaced")
    assert cluster.run(os.getpid) != workers


def test_command_works_on_a_cluster_by_its_address(
    score: Score, cluster: Client, housing_models: Path, tmp_path: Path
) -> None:
    write(houses(1000), tmp_path / "t.parquet", 100)

    done = score(
        tmp_path / "t.parquet", "-o", tmp_path / "o.csv", "--scheduler",
        cluster.scheduler.address, "--model_base_path", housing_models / "housing",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "o.csv: 1,000 rows scored by housing version 1" in done.stderr


def test_what_is_wrong_on_a_worker_is_said_here(
    cluster: Client, housing_models: Path, tmp_path: Path
) -> None:
    path = write(houses(1000), tmp_path / "t.parquet", 100)
    content = bytearray(path.read_bytes())
    content[4:2000] = b"\0" * 1996
    path.write_bytes(content)

    with pytest.raises(TableError, match=r"t\.parquet, row groups 0 to 9, cannot be read"):
        score(path, tmp_path / "out", housing_models / "housing", Options(), Dask(cluster))


def test_scheduler_that_is_not_there_is_said(
    score: Score, housing_models: Path, tmp_path: Path
) -> None:
    write(houses(10), tmp_path / "t.parquet", 10)
    address = f"tcp://127.0.0.1:{free_port()}"
    line = (
        tmp_path / "t.parquet", "-o", tmp_path / "o.csv", "--model_base_path",
        housing_models / "housing", "--scheduler",
    )  # fmt: skip

    done, nonsense = score(*line, address), score(*line, "head")

    assert (done.returncode, nonsense.returncode) == (1, 1)
    assert f"no Dask scheduler answers at {address}" in done.stderr
    assert nonsense.stderr == ("error: scheduler is head, not an address such as tcp://head:8786\n")
    assert [it.name for it in tmp_path.iterdir()] == ["t.parquet"]


def test_spark_function_prices_frames_as_they_come(housing_models: Path, tmp_path: Path) -> None:
    price = Pricing(housing_models / "housing", level=0.9, columns={"RM": "rooms"})
    frames = [
        pd.DataFrame(
            {"rooms": [6.0, 60.0], "AGE": [50, 50], "LSTAT": ["5", "5"], "id": ["a", "b"]}
        ),
        pd.DataFrame({"rooms": [7.0], "AGE": [None], "LSTAT": ["5"], "id": ["c"]}),
    ]

    first, second = price(iter(frames))

    assert list(first) == ["rooms", "AGE", "LSTAT", "id", "price", "lower", "upper", "reason"]
    assert first["reason"].isna().tolist() == [True, False]
    assert first["reason"][1] == "rooms is 60, outside [0, 50] rooms"
    assert first["lower"][0] < first["price"][0] < first["upper"][0]
    assert first[["price", "lower", "upper"]].isna().to_numpy().tolist() == [
        [False] * 3,
        [True] * 3,
    ]
    assert second["reason"].tolist() == ["AGE is missing, which it may not be"]


def test_spark_function_is_small_and_may_be_sent(housing_models: Path) -> None:
    import cloudpickle

    price = Pricing(find(housing_models / "housing"))
    again: Any = cloudpickle.loads(cloudpickle.dumps(price))

    assert len(cloudpickle.dumps(price)) < 1000
    (frame,) = again([pd.DataFrame({"RM": [6.0], "AGE": [50.0], "LSTAT": [5.0]})])
    assert frame["price"][0] > 0


def test_spark_function_refuses_what_the_model_does_not_know(housing_models: Path) -> None:
    with pytest.raises(TableError, match=r"level is 0\.5, known"):
        Pricing(housing_models / "housing", level=0.5)
    with pytest.raises(TableError, match="no model"):
        Pricing(housing_models / "castles")
