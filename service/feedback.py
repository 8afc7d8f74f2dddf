"""``python -m service.feedback``: predictions with their true prices, as a table to train on.

Exit codes: 0 written; 1 there is nothing to write, with the reason; 2 a flag is wrong.
"""

from __future__ import annotations

import argparse
import csv
import math
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from service.monitoring.feedback_store import FILE, FeedbackStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from service.monitoring.feedback_store import Columns


class NothingToWrite(Exception):
    """There is no such feedback."""


def main(arguments: Sequence[str]) -> int:
    """Write the table.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m service.feedback", description=__doc__)
    parser.add_argument("folder", type=Path, help="what --feedback_folder of the service names")
    parser.add_argument("--model", default="housing", help="the model's name")
    parser.add_argument("--output", type=Path, required=True, help="the CSV file to write")
    given = parser.parse_args(arguments)
    try:
        written = write(given.folder, given.model, given.output)
    except (NothingToWrite, OSError, sqlite3.Error) as error:
        print(f"python -m service.feedback: {error}", file=sys.stderr)
        return 1
    print(f"{given.output}: {written} rows")
    return 0


def write(folder: Path, model: str, output: Path) -> int:
    """Write a model's features with the true target, of all versions that have the same columns.

    Args:
        folder: Where the feedback lies.
        model: The model's name.
        output: The CSV file, written beside its place and renamed into it.

    Returns:
        How many rows.

    Raises:
        NothingToWrite: There is no feedback for this model.
        OSError: The file cannot be written.
        sqlite3.Error: The feedback cannot be read.
    """
    if not (folder / FILE).is_file():
        raise NothingToWrite(f"{folder} holds no {FILE}")
    store = FeedbackStore(folder, 1)
    versions = store.columns(model)
    if not versions:
        raise NothingToWrite(f"{folder} holds no predictions of {model}")
    newest = versions[max(versions)]
    alike = [number for number, it in versions.items() if it == newest]
    rows = [row for number in alike for row in _rows(store, model, number)]
    if not rows:
        raise NothingToWrite(f"{folder} holds no true price for {model}")
    _write(output, newest, np.array(rows))
    return len(rows)


def _rows(store: FeedbackStore, model: str, version: int) -> Iterator[list[float]]:
    for features, truth in store.rows(model, version):
        # The shortest decimals that are read as the same float32.
        yield [*(float(str(it)) for it in features), truth]


def _write(output: Path, columns: Columns, rows: np.ndarray) -> None:
    """Write the columns that were kept: one that was left out has no value in any row."""
    names = [*columns.features, columns.target]
    kept = ~np.isnan(rows).all(axis=0)
    part = output.with_name(f"{output.name}.part")
    with part.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name for name, is_kept in zip(names, kept, strict=True) if is_kept])
        for row in rows[:, kept].tolist():
            writer.writerow("" if math.isnan(it) else it for it in row)
    part.replace(output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
