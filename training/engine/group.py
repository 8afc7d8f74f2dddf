"""A group: processes that train one stack together, each with rows of its own.

All that they ever send each other are sums: of gradients, of losses, and of bytes that all but
one of them leave zero. How the numbers travel, the engine does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Group(Protocol):
    """The processes, as one of them sees them.

    Attributes:
        index: Its own number, from 0.
        size: How many there are.
    """

    @property
    def index(self) -> int: ...  # noqa: D102 - above

    @property
    def size(self) -> int: ...  # noqa: D102 - above

    def sum(self, numbers: NDArray[Any]) -> NDArray[Any]:
        """Add up what every process gives; all of them get the same bytes.

        Args:
            numbers: int32, float32 or float64, of one shape everywhere.
        """


class _Alone:
    """A process without others."""

    index: Final = 0
    size: Final = 1

    def sum(self, numbers: NDArray[Any]) -> NDArray[Any]:
        return numbers


ALONE: Final = _Alone()


def exchange(group: Group, content: bytes) -> list[bytes]:
    """What each process of a group gives, in their order; every one gets all of it.

    Args:
        group: The processes.
        content: What this one gives, of any length.
    """
    lengths = np.zeros(group.size, np.int32)
    lengths[group.index] = len(content)
    lengths = group.sum(lengths)
    given = np.zeros((group.size, 4 * (max(lengths) // 4 + 1)), np.uint8)  # whole int32
    given[group.index, : len(content)] = np.frombuffer(content, np.uint8)
    taken = group.sum(given.view(np.int32)).view(np.uint8)
    return [row[:length].tobytes() for row, length in zip(taken, lengths, strict=True)]
