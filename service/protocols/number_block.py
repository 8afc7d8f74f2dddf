"""Regular blocks of numbers in JSON, read without a Python object a number.

simdjson reads a text several times faster than a parser that makes Python numbers, but
hands over an array's numbers without their nesting. So the nesting is read off the text:
of its characters only brackets and commas are left, and they must repeat row for row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import simdjson

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# Bytes from which it costs less than making Python numbers.
WORTH_BYTES: Final = 2048
# What numbers and white space are written with. In valid JSON nothing is left of a number.
_OF_NUMBERS: Final = b"0123456789.-+eE \t\r\n"


@dataclass(frozen=True, slots=True, eq=False)
class NumberBlock:
    """Nested lists of numbers that have one shape, not yet made into Python objects.

    Attributes:
        numbers: The numbers in their shape, as float64.
        plain: Makes the lists, for who needs whole numbers as such.
    """

    numbers: NDArray[np.float64]
    plain: Callable[[], Any]


def read_block(text: bytes, *path: str, plain: Callable[[], Any]) -> NumberBlock | None:
    """Read the block that is all of a JSON text, or a member of its object.

    Args:
        text: The text; the block's are the only brackets in it.
        path: Names that lead from the text's object to the block.
        plain: What makes the lists.

    Returns:
        The block; None if it is no regular block of numbers, or the text no JSON.
    """
    try:
        value: Any = simdjson.Parser().parse(text)
        for name in path:
            value = value[name]
        shape = _shape(value)
        if not _is_regular(text, shape):
            return None
        numbers = np.frombuffer(value.as_buffer(of_type="d"), np.float64)
        return NumberBlock(numbers.reshape(shape), plain)
    except (ValueError, RuntimeError, TypeError, KeyError, UnicodeDecodeError):
        return None  # who makes Python objects of it finds what is wrong


def _shape(value: Any) -> tuple[int, ...]:
    """The shape that an array has if all its elements are as its first."""
    shape = []
    while isinstance(value, simdjson.Array):
        shape.append(len(value))
        value = value[0] if len(value) else None
    if 0 in shape or not shape:
        raise ValueError("there are no numbers")
    return tuple(shape)


def _is_regular(text: bytes, shape: tuple[int, ...]) -> bool:
    frame = text.translate(None, _OF_NUMBERS)
    return frame[frame.find(b"[") : frame.rfind(b"]") + 1] == _frame(shape)


def _frame(shape: tuple[int, ...]) -> bytes:
    """The brackets and commas of a block."""
    frame = b""
    for size in reversed(shape):
        frame = b"[" + (frame + b",") * (size - 1) + frame + b"]"
    return frame
