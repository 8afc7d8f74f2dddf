"""Counts of a while, by several workers, living and dead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.monitoring.windows import Window
from tests.unit.service.fakes import Clock

ROOT = Path(__file__).parents[3]
ANOTHER = """
import sys
from pathlib import Path
import numpy as np
from service.monitoring.windows import Window
Window(Path(sys.argv[1]), 2, 60, 6, lambda: float(sys.argv[2])).add(np.array([5, 7]))
"""


@pytest.fixture
def clock():
    return Clock(1000.0)


@pytest.fixture
def window(tmp_path, clock):
    return Window(tmp_path / "counts", 2, 60, 6, clock)


def counted_by_another(folder: Path, now_s: float) -> None:
    command = [sys.executable, "-c", ANOTHER, str(folder), str(now_s)]
    subprocess.run(command, cwd=ROOT, check=True)


def test_nothing_counted_is_nothing(window):
    assert window.total().tolist() == [0, 0]


def test_counts_add_up_until_they_are_too_old(window, clock):
    for _ in range(10):
        window.add(np.array([1, 2]))
        clock.now_s += 10

    # At 1100 s the window holds the parts that began at 1050 s and later.
    assert window.total().tolist() == [5, 10]
    clock.now_s += 1000
    assert window.total().tolist() == [0, 0]


def test_a_line_that_is_used_again_begins_anew(window, clock):
    window.add(np.array([100, 100]))
    clock.now_s += 70  # seven parts later its line is taken again
    window.add(np.array([1, 1]))

    assert window.total().tolist() == [1, 1]


def test_workers_add_up_and_a_dead_ones_counts_stay(window, tmp_path):
    window.add(np.array([1, 1]))
    counted_by_another(tmp_path / "counts", 1000)

    assert window.total().tolist() == [6, 8]


def test_the_file_of_a_dead_worker_goes_when_nothing_in_it_counts(window, clock, tmp_path):
    counted_by_another(tmp_path / "counts", 1000)
    window.add(np.array([1, 1]))
    clock.now_s += 1000

    assert window.total().tolist() == [0, 0]
    assert len(list((tmp_path / "counts").iterdir())) == 1
    window.add(np.array([1, 1]))
    assert window.total().tolist() == [1, 1]


def test_a_new_worker_with_an_old_ones_number_goes_on_where_it_was(window, clock, tmp_path):
    window.add(np.array([1, 1]))
    again = Window(tmp_path / "counts", 2, 60, 6, clock)
    again.add(np.array([1, 1]))

    assert again.total().tolist() == [2, 2]


def test_a_file_that_is_only_being_made_is_passed_over(window, tmp_path):
    window.add(np.array([1, 1]))
    (tmp_path / "counts" / "1.counts").write_bytes(b"")

    assert window.total().tolist() == [1, 1]
