"""How long a crashed worker's place stays empty, and what is told of it."""

from __future__ import annotations

import pytest

from service.crashes import Crashes
from service.http.stage import Stage


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def crashes(clock) -> Crashes:
    return Crashes(clock)


def test_the_first_crash_makes_nobody_wait(crashes):
    crashes.count()
    assert crashes.wait_s == 0
    assert crashes.problem() == ""


def test_waits_double_up_to_half_a_minute(crashes, clock):
    waits = []
    for _ in range(8):
        crashes.count()
        waits.append(crashes.wait_s)
        clock.now_s += crashes.wait_s
    assert waits == [0, 1, 2, 4, 8, 16, 30, 30]
    assert crashes.total == 8


def test_crashes_in_a_row_are_told_and_forgotten(crashes, clock):
    for _ in range(3):
        crashes.count()
    assert crashes.problem() == "3 workers have crashed one after the other, the next begins in 2 s"
    clock.now_s += 3
    assert crashes.problem() == "3 workers have crashed one after the other"
    clock.now_s += 62
    assert crashes.problem() == ""
    crashes.count()
    assert crashes.wait_s == 0


def test_a_worn_worker_still_listens_and_one_that_ended_does_not():
    stage = Stage()
    assert not stage.is_up
    stage.up()
    assert stage.is_up
    assert not stage.is_worn
    stage.worn()
    assert stage.is_up
    assert stage.is_worn
    stage.ended()
    assert stage.has_ended
    assert not stage.is_up
