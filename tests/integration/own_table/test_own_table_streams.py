"""A table that is larger than the memory it is trained in."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service import contract as contracts
from tests.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 150_000
# Reads a table, streaming or not, and says by how many MB its memory grew at the most.
PROGRAM = """
import sys, tempfile
from pathlib import Path
from training import own
from training.recipe import Recipe
def peak():
    # Not ru_maxrss, which a process has from its parent.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
place, recipe = own.Place(Path(sys.argv[1])), Recipe(features=(), target="y", epochs=1)
own.read(own.Place(Path(sys.argv[2])), recipe)
before = peak()
if sys.argv[3] == "stream":
    with tempfile.TemporaryDirectory() as folder:
        table, _ = own.stream(place, recipe, Path(folder))
        for number in range(len(table.feed.lengths)):
            table.feed.block(number)
else:
    own.read(place, recipe)
print(peak() - before)
"""


def write(path: Path, rows: int) -> Path:
    """Columns a and b, a category, and y = 3 a - b + noise, with digits that fill the file."""
    random = np.random.default_rng(3)
    a, b = random.uniform(0, 10, (2, rows))
    y = 3 * a - b + random.normal(0, 0.1, rows)
    names = np.array(["north", "south", "west"])[random.integers(0, 3, rows)]
    with path.open("w") as file:
        file.write("a,b,where,note,y\n")
        for number, row in enumerate(zip(a, b, names, y, strict=True)):
            note = f"{number} {'x' * 1000}"
            file.write(f"{row[0]!s},{row[1]!s},{row[2]},{note},{row[3]!s}\n")
    return path


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A large table, and a small one of the same columns."""
    folder = tmp_path_factory.mktemp("tables")
    return write(folder / "large.csv", ROWS), write(folder / "small.csv", 1000)


def growth_mb(tables: tuple[Path, Path], how: str) -> float:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, tables), how],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


def test_streaming_takes_less_memory_than_the_table_is_large(tables):
    size_mb = tables[0].stat().st_size / 2**20

    assert growth_mb(tables, "stream") < size_mb * 0.6
    assert growth_mb(tables, "memory") > size_mb  # or the table would be too small to tell


def test_streamed_model_learns_from_the_rows_of_every_block(tables, tmp_path):
    line = ["--data", tables[0], "--target", "y", "--models", tmp_path, "--stream_mb", 1]
    line += ["--epochs", 2, "--batch_size", 256, "--learning_rate", 0.003, "--name", "streamed"]

    done = subprocess.run(
        [sys.executable, "-m", "training", *map(str, line)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "streams: it has at least --stream_mb 1 MB" in done.stdout
    assert "note is left out: it has more than 1000 different texts" in done.stdout
    found = contracts.read(tmp_path / "streamed" / "1")
    assert found is not None
    # The noise's own mean absolute error is 0.1 times the root of 2 / pi.
    assert found.metrics["test"]["network"]["mae"] < 0.16
    assert found.intervals is not None
    assert found.intervals.method.startswith("split conformal")
    assert {it.name for it in tmp_path.iterdir()} == {"models.config", "streamed"}
