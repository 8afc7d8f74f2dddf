"""How far a worker is, for the master to see."""

from __future__ import annotations

import mmap
from typing import Final

_BEGINS: Final = 0
_UP: Final = 1
_WORN: Final = 2
_ENDED: Final = 3


class Stage:
    """One byte that a worker writes and its master reads; made by the master before the fork."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 1)

    @property
    def is_up(self) -> bool:
        """Whether it listens."""
        return self._memory[0] in {_UP, _WORN}

    @property
    def is_worn(self) -> bool:
        """Whether it asks to be replaced."""
        return self._memory[0] == _WORN

    @property
    def has_ended(self) -> bool:
        """Whether it has ended in order."""
        return self._memory[0] == _ENDED

    def up(self) -> None:
        """It listens."""
        self._memory[0] = _UP

    def worn(self) -> None:
        """It has answered as many requests as it should."""
        self._memory[0] = _WORN

    def ended(self) -> None:
        """It ends in order."""
        self._memory[0] = _ENDED
