"""What is mapped into memory has its place on the disk: a full one ends nobody."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from prometheus_client.mmap_dict import MmapedDict

from service.monitoring.allocation import Numbers
from service.monitoring.metrics import Metrics
from service.monitoring.windows import Window

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill(monkeypatch):
    def reserve(*_):
        raise FULL

    monkeypatch.setattr(os, "posix_fallocate", reserve)


def held(path) -> int:
    """Bytes that a file has on the disk, holes left out."""
    return path.stat().st_blocks * 512


def test_numbers_have_their_place_from_the_start_and_as_they_grow(tmp_path):
    path = tmp_path / "counter_1.db"
    numbers = Numbers(str(path))
    assert held(path) >= path.stat().st_size > 0
    keys = [f"key {number} {'é' * (number % 40)}" for number in range(1500)]
    for number, key in enumerate(keys):
        numbers.write_value(key, number, 0.0)
    numbers.close()

    assert held(path) >= path.stat().st_size > 100_000
    read = {key: value for key, value, *_ in MmapedDict.read_all_values_from_file(str(path))}
    assert {key.strip(): value for key, value in read.items()} == {
        key.strip(): number for number, key in enumerate(keys)
    }


def test_numbers_for_which_there_is_no_room_harm_no_others(tmp_path, monkeypatch):
    numbers = Numbers(str(tmp_path / "counter_1.db"))
    numbers.write_value("first", 1.0, 0.0)
    fill(monkeypatch)
    with pytest.raises(OSError, match="No space left"):
        numbers.write_value("x" * 100_000, 2.0, 0.0)
    numbers.write_value("first", 3.0, 0.0)
    assert numbers.read_value("first")[0] == 3.0
    numbers.close()


def test_a_window_has_its_place_from_the_start(tmp_path):
    window = Window(tmp_path, 5000, 60.0, 12)
    window.add(np.ones(5000, np.int64))
    (path,) = tmp_path.iterdir()

    assert held(path) >= path.stat().st_size > 0
    assert window.total().sum() == 5000


def test_a_full_disk_is_told_of_once_and_ends_no_counting(monkeypatch, caplog):
    metrics = Metrics()

    def grow():
        raise FULL

    monkeypatch.setattr(metrics, "_hand_on", grow)
    for _ in range(3):
        metrics.hand_on()
    assert caplog.messages == ["what is counted cannot be kept: No space left on device"]
