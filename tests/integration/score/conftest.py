"""Tables of real columns, and the command that scores them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.servers import ROOT, Server, running_service

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Score = Callable[..., subprocess.CompletedProcess[str]]

RANGES = {"RM": (0.0, 50.0), "AGE": (0.0, 100.0), "LSTAT": (0.0, 100.0)}


@pytest.fixture(scope="session")
def service(housing_models: Path) -> Iterator[Server]:
    """A service with the housing model."""
    with running_service(housing_models) as server:
        yield server


@pytest.fixture(scope="session")
def penguin_service(penguin_models: Path) -> Iterator[Server]:
    """A service with the penguins' model."""
    with running_service(penguin_models, name="penguins") as server:
        yield server


def houses(rows: int, seed: int = 7) -> pa.Table:
    """Houses anywhere within the contract's limits, and an id that counts them."""
    random = np.random.default_rng(seed)
    columns = {
        name: random.uniform(low, high, rows).round(4) for name, (low, high) in RANGES.items()
    }
    return pa.table({"id": np.arange(rows), **columns})


def write(table: pa.Table, path: Path, group_rows: int) -> Path:
    """Write Parquet in groups of rows."""
    parquet.write_table(table, path, row_group_size=group_rows)
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "client", "score", *(str(it) for it in arguments)]


@pytest.fixture(scope="session")
def score() -> Score:
    """Run ``python -m client score``."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
        )

    return run


def answers(
    service: Server, model: str, instances: list[dict[str, Any]], level: float | None = None
) -> dict[str, NDArray[np.float32]]:
    """What the server says over the wire."""
    body: dict[str, Any] = {"instances": instances}
    if level is not None:
        body["level"] = level
    answer = service.post(f"/v1/models/{model}:predict", json.dumps(body).encode())
    assert answer.status == 200, answer.text
    found = answer.json()["predictions"]
    if level is None:
        return {"price": np.array(found, np.float32)}
    return {
        name: np.array([it[name] for it in found], np.float32)
        for name in ("price", "lower", "upper")
    }
