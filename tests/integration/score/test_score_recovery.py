"""A run that is killed, and processes that are: the output is complete and exact all the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pyarrow import parquet

from tests.integration.score.conftest import command, houses, write
from tests.servers import ROOT, wait_until

if TYPE_CHECKING:
    from tests.integration.score.conftest import Score

GROUP_ROWS = 2**17
UNITS = 24


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of many units."""
    rows = houses(UNITS * GROUP_ROWS)
    return write(rows, tmp_path_factory.mktemp("table") / "t.parquet", GROUP_ROWS)


@pytest.fixture(scope="module")
def expected(table: Path, housing_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run gives that nobody disturbs."""
    output = tmp_path_factory.mktemp("whole") / "whole.parquet"
    done = subprocess.run(
        arguments(table, output, housing_models, 2),
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return output


def arguments(table: Path, output: Path, models: Path, processes: int) -> list[str]:
    where = ("--model_base_path", models / "housing", "--keep", "id")
    return command(table, "-o", output, *where, "--processes", processes,
        "--unit_rows", GROUP_ROWS)  # fmt: skip


def children(pid: int) -> set[int]:
    """The processes that a process has started and that are scoring: the pool's."""
    try:
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {
            int(it) for it in found if b"spawn_main" in Path(f"/proc/{it}/cmdline").read_bytes()
        }
    except OSError:
        return set()


def written(folder: Path) -> int:
    return len(list(folder.glob("_scoring/done/*.json")))


def assert_equal(found: Path, expected: Path) -> None:
    a, b = parquet.read_table(found), parquet.read_table(expected)
    assert a.column_names == b.column_names
    np.testing.assert_array_equal(a.column("id").to_numpy(), np.arange(UNITS * GROUP_ROWS))
    np.testing.assert_array_equal(a.column("price").to_numpy(), b.column("price").to_numpy())


def test_run_killed_midway_goes_on_and_is_complete_and_exact(
    score: Score, table: Path, expected: Path, housing_models: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    line = arguments(table, output, housing_models, 2)
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.DEVNULL) as run:
        wait_until(lambda: written(output) >= 2, "two units written")
        workers = children(run.pid)
        os.kill(run.pid, signal.SIGKILL)
    wait_until(lambda: not any(Path(f"/proc/{it}").exists() for it in workers), "workers ended")
    assert not (output / "_scored.json").exists()
    parts = {it: it.stat().st_mtime_ns for it in output.glob("part-*.parquet")}

    done = score(*line[4:])

    assert done.returncode == 0, done.stderr
    assert "of them by an earlier run" in done.stderr
    assert_equal(output, expected)
    kept = [it for it, before in parts.items() if it.stat().st_mtime_ns == before]
    assert len(kept) >= 2


def test_process_that_is_killed_is_replaced_and_its_unit_done_again(
    table: Path, expected: Path, housing_models: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    line = arguments(table, output, housing_models, 2)
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as run:
        wait_until(lambda: written(output) >= 2, "two units written")
        os.kill(min(children(run.pid)), signal.SIGKILL)
        said = run.communicate(timeout=100)[1]

    assert run.returncode == 0, said
    assert_equal(output, expected)


def test_interrupted_run_says_how_to_go_on(
    table: Path, housing_models: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    line = arguments(table, output, housing_models, 2)
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as run:
        wait_until(lambda: written(output) >= 1, "a unit written")
        run.send_signal(signal.SIGINT)
        said = run.communicate(timeout=60)[1]

    assert run.returncode == 130
    assert said.splitlines()[-1] == "interrupted: the same command goes on"
    assert not (output / "_scored.json").exists()


def test_ctrl_c_twice_ends_a_run_and_its_processes_without_a_traceback(
    table: Path, housing_models: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    line = arguments(table, output, housing_models, 2)
    with subprocess.Popen(
        line, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        wait_until(lambda: written(output) >= 1, "a unit written")
        for _ in range(2):  # a terminal sends it to all of them
            os.killpg(run.pid, signal.SIGINT)
        said = run.communicate(timeout=60)[1]

    assert run.returncode == 130
    assert "Traceback" not in said


# The most that a process has ever held, from the system: what its parent held counts elsewhere.
PEAK = """
import re, sys
from pathlib import Path
from client.__main__ import main
status = main(sys.argv[1:])
(peak,) = re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(status, peak)
"""


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_memory_does_not_grow_with_the_table(
    housing_models: Path, tmp_path: Path, form: str
) -> None:
    """Five row groups take hardly more than two, and stay within the bound."""
    from pyarrow import csv

    def peak_mb(rows: int) -> tuple[float, float]:
        path = tmp_path / f"{rows}.{form}"
        whole = houses(rows)
        if form == "csv":
            csv.write_csv(whole, path)
        else:
            parquet.write_table(whole, path)  # one row group of up to a million rows
        line = [
            "score", path, "-o", tmp_path / f"{rows}.out.{form}", "--processes", 1,
            "--model_base_path", housing_models / "housing", "--memory", "300M",
        ]  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", PEAK, *map(str, line)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        status, peak_kb = map(int, done.stdout.splitlines()[-1].split())
        assert status == 0, done.stderr
        return peak_kb / 1024, path.stat().st_size / 2**20

    small, _ = peak_mb(1_100_000)
    large, size = peak_mb(4_400_000)

    assert large < 300
    assert large - small < size / 4
