"""A real Spark prices a table by our function, with the same prices as our own command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pyarrow import parquet

from service.score import Options, score
from tests.integration.score.conftest import houses
from tests.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.clients.conftest import ClientEnvironment

pytestmark = [
    pytest.mark.timeout(900),  # the first run installs Spark
    pytest.mark.system("java"),
]


def test_spark_gives_the_prices_that_the_command_gives(
    client_environment: ClientEnvironment, housing_models: Path, tmp_path: Path
) -> None:
    model = housing_models / "housing"
    rows = houses(2000).to_pandas()
    rows.loc[17, "RM"] = 99.0
    rows.to_parquet(tmp_path / "t.parquet", row_group_size=500)
    score(tmp_path / "t.parquet", tmp_path / "ours.parquet", model, Options(level=0.9))
    (packages,) = client_environment("pyspark").parents[1].glob("lib/python*/site-packages")

    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.clients.pyspark_script", *map(str, (
            model, tmp_path / "t.parquet", tmp_path / "theirs",
        ))],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}",
            "PYSPARK_PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["schema"].endswith("price:float,lower:float,upper:float,reason:string>")
    assert said["before"] == 4  # the table's own schema is as it was
    ours = parquet.read_table(tmp_path / "ours.parquet").sort_by("id")
    theirs = parquet.read_table(tmp_path / "theirs").sort_by("id")
    for name in ("id", "price", "lower", "upper"):
        np.testing.assert_array_equal(theirs.column(name).to_numpy(), ours.column(name).to_numpy())
    reasons = {it["id"]: it["reason"] for it in theirs.to_pylist() if it["reason"] is not None}
    assert reasons == {17: "RM is 99, outside [0, 50] rooms"}
