"""``python -m benchmarks.scoring``: how fast tables are scored, and how much memory that takes."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pyarrow import parquet

from benchmarks.report.results import write_beside
from benchmarks.scoring import limits, results, table, ways
from service.score import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SAMPLED_S: Final = 0.2
_CHECKED_GROUPS: Final = 5
_CHECKED_ROWS: Final = 2000
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


def main(arguments: Sequence[str]) -> int:
    """Measure, and write JSON and Markdown."""
    options = _parse(arguments)
    version = find(options.model_base_path)
    with tempfile.TemporaryDirectory(prefix="hearth-scoring-", dir=options.folder) as name:
        folder = Path(name)
        if not _has_room(folder, options.rows):
            return 1
        found = measure(options, version, folder)
    write_beside(options.output.with_suffix(".json"), results.kept(found))
    write_beside(options.output, results.page(found).encode())
    print(results.page(found))
    return 0


def measure(options: argparse.Namespace, version: Path, folder: Path) -> results.Results:
    """Compare the ways in turn, and score the large table once."""
    sample = folder / "sample.parquet"
    table.write(sample, options.sample_rows)
    rounds: dict[str, list[float]] = {ways.HEARTH: [], ways.LOOP: []}
    copied, product = [], []
    for number in range(options.rounds):
        copied.append(limits.copied_bytes_s())
        product.append(limits.product_flops())
        for way, rows_cpu_s in rounds.items():
            taken = _timed(way, sample, folder / f"{way}-{number}", version)
            rows_cpu_s.append(options.sample_rows / taken["cpu_s"])
            print(f"round {number + 1}  {way}: {rows_cpu_s[-1]:,.0f} rows a CPU second", flush=True)
    return results.Results(
        results.machine(platform.machine(), os.cpu_count() or 1, platform.python_version()),
        options.sample_rows,
        results.Way(rounds[ways.HEARTH]),
        results.Way(rounds[ways.LOOP]),
        copied,
        product,
        limits.network_rows_s(version, results.FEATURES),
        large(options, version, folder),
    )


def large(options: argparse.Namespace, version: Path, folder: Path) -> results.Large:
    """Make the large table, score it by the command, and compare some of it with TensorFlow."""
    path, output = folder / "large.parquet", folder / "scored"
    began_s = time.monotonic()
    table.write(path, options.rows)
    print(f"{options.rows:,} rows made in {time.monotonic() - began_s:.0f} s", flush=True)
    bound = options.memory_bytes
    command = [
        sys.executable, "-m", "client", "score", path, "-o", output, "--keep", "none",
        "--model_base_path", version, "--processes", options.processes, "--memory", bound,
    ]  # fmt: skip
    seconds, cpu_s, peaks = _watched([str(it) for it in command])
    checked, difference = _compared(path, output, version, options.rows)
    return results.Large(
        options.rows, path.stat().st_size, options.processes, seconds, cpu_s, peaks, bound, checked,
        difference,
    )  # fmt: skip


def _timed(way: str, sample: Path, output: Path, version: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.scoring.ways", way, sample, output, version]
    done = subprocess.run(  # noqa: S603 - our own module
        [str(it) for it in command],
        env={**os.environ, **_ONE_THREAD},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    taken: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return taken


def _watched(command: list[str]) -> tuple[float, float, list[int]]:
    """Run a command; gives seconds, CPU seconds and the most bytes of each process."""
    began_s = time.monotonic()
    process = subprocess.Popen(command)  # noqa: S603 - our own command
    peaks: dict[int, int] = {}
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peaks, ended))
    watcher.start()
    try:
        _, status, used = os.wait4(process.pid, 0)
    finally:
        ended.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds = time.monotonic() - began_s
    return seconds, used.ru_utime + used.ru_stime, sorted(peaks.values(), reverse=True)


def _watch(pid: int, peaks: dict[int, int], ended: threading.Event) -> None:
    """Note the most that a process and its children hold, as long as they are there."""
    while not ended.wait(_SAMPLED_S):
        children = _text(f"/proc/{pid}/task/{pid}/children").split()
        for it in (pid, *map(int, children)):
            found = re.search(r"VmHWM:\s+(\d+) kB", _text(f"/proc/{it}/status"))
            if found:
                peaks[it] = int(found[1]) * 1024


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _compared(path: Path, output: Path, version: Path, rows: int) -> tuple[int, float]:
    """Compare prices of rows here and there with TensorFlow's: how many, and how far they differ.

    Raises:
        ValueError: There are not as many prices as rows.
    """
    parts = sorted(output.glob("part-*.parquet"))
    counts = [parquet.read_metadata(it).num_rows for it in parts]
    if sum(counts) != rows:
        raise ValueError(f"{sum(counts)} rows are scored, {rows} there are")
    starts = np.concatenate([[0], np.cumsum(counts)])
    file = parquet.ParquetFile(path)
    differences, checked = [], 0
    for number in np.linspace(0, file.num_row_groups - 1, _CHECKED_GROUPS).astype(int):
        first = int(number) * table.GROUP_ROWS
        part = int(np.searchsorted(starts, first, "right")) - 1
        batch = _batch(file, int(number))
        prices = parquet.read_table(parts[part]).column("price").to_numpy()
        ours = prices[first - int(starts[part]) :][: len(batch)]
        differences.append(float(np.abs(ours - _tensorflow(version, batch)).max()))
        checked += len(batch)
    return checked, max(differences)


def _batch(file: parquet.ParquetFile, group: int) -> NDArray[np.float32]:
    columns = file.read_row_group(group, columns=["RM", "AGE", "LSTAT"])
    rows: NDArray[np.float32] = columns.to_pandas()[["RM", "AGE", "LSTAT"]].to_numpy(np.float32)
    return rows[:_CHECKED_ROWS]


def _tensorflow(version: Path, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    import tensorflow as tf  # noqa: PLC0415 - not before all is timed

    model = tf.saved_model.load(str(version)).signatures["serving_default"]
    prices: NDArray[np.float32] = model(features=tf.constant(batch))["price"].numpy()
    return prices


def _has_room(folder: Path, rows: int) -> bool:
    """Whether the table and its prices fit on the disk, twice over."""
    needed, free = 2 * rows * 14 * 4, shutil.disk_usage(folder).free
    if free < needed:
        print(f"{folder} has {free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB are needed: --folder")
    return free >= needed


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring",
        description="Time the scoring of tables beside a pandas and TensorFlow loop.",
    )
    parser.add_argument("--model_base_path", type=Path, default=Path("models/housing"))
    parser.add_argument("--rows", type=int, default=100_000_000, help="of the large table")
    parser.add_argument("--sample_rows", type=int, default=4_000_000, help="of the compared ways")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--memory_bytes", type=int, default=2**30, help="of all of them together")
    parser.add_argument("--folder", type=Path, help="where tables are made (the system's own)")
    parser.add_argument("--output", type=Path, default=Path("docs/scoring-benchmarks.md"))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
