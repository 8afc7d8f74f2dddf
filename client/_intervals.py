"""A price with the interval that its truth is likely to lie within."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOWER = "lower"
UPPER = "upper"


class Interval(NamedTuple):
    """A price and its bounds, in the contract's unit; for an array of houses, arrays ``[n]``.

    Attributes:
        price: What the model predicts.
        lower: The lower bound.
        upper: The upper bound.
    """

    price: Any
    lower: Any
    upper: Any

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> Interval:
        """Read an answer's outputs: the bounds, and whatever name the price goes by.

        Raises:
            KeyError, TypeError, ValueError: They are others, or no numbers.
        """
        (price,) = (name for name in outputs if name not in {LOWER, UPPER})
        numbers = [outputs[name] for name in (price, LOWER, UPPER)]
        if not all(type(it) in {int, float} for it in numbers):
            raise TypeError(f"{numbers} are not numbers")
        return cls(*map(float, numbers))

    @classmethod
    def together(cls, intervals: Sequence[Interval]) -> Interval:
        """Many as one of arrays float64 ``[n]``."""
        import numpy as np  # noqa: PLC0415  only callers who hold arrays pay for it

        table = np.asarray(intervals, dtype=np.float64).reshape(-1, 3)
        return cls(*table.T)


def signature_name(level: float) -> str:
    """The signature that gives the intervals of a level: ``interval_90`` of 0.9."""
    return f"interval_{level * 100:g}"
