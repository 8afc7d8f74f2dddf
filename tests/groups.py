"""A group of threads, for what processes do together to be tried in one."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 30.0


@dataclass
class Meeting:
    """Where threads add up their numbers."""

    size: int
    given: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.given = [None] * self.size
        self.barrier = threading.Barrier(self.size)


@dataclass(frozen=True)
class Member:
    """One thread of a group; see ``training.engine.group.Group``."""

    index: int
    meeting: Meeting

    @property
    def size(self) -> int:
        return self.meeting.size

    def sum(self, numbers: np.ndarray) -> np.ndarray:
        self.meeting.given[self.index] = numbers
        self.meeting.barrier.wait(WAIT_S)
        total = np.sum(self.meeting.given, axis=0, dtype=numbers.dtype)
        self.meeting.barrier.wait(WAIT_S)
        return total


def together(size: int, work: Callable[[Member], Any]) -> list[Any]:
    """Do work in every thread of a group; what each gives, in order."""
    meeting = Meeting(size)

    def one(index: int) -> Any:
        try:
            return work(Member(index, meeting))
        except BaseException:
            meeting.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(one, range(size)))
