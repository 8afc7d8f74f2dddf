"""Why a price is what it is, as the server says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Outside:
    """A feature whose value lies outside what the model was trained on.

    Attributes:
        feature: Its name.
        value: The value; of a category that the model does not know, its text.
        minimum: The least value in training; None of a category, as are the next.
        maximum: The greatest.
        by: How far outside, in the feature's unit.
        deviations: The same in standard deviations of the training rows; None if they are 0.
    """

    feature: str
    value: float | str
    minimum: float | None
    maximum: float | None
    by: float | None
    deviations: float | None


@dataclass(frozen=True)
class Unusual:
    """That a house is unlike every training row.

    Attributes:
        distance: To the nearest one, in standard deviations.
        limit: What is usual.
        false_alarms: Share of houses like those of training that lie beyond it.
    """

    distance: float
    limit: float
    false_alarms: float


@dataclass(frozen=True)
class Explanation:
    """What a price is made of.

    Attributes:
        base: Mean price of the rows that it is compared with.
        price: The price: ``base`` and all ``contributions``.
        contributions: What each feature adds, by name, in the target's unit.
        error: The largest standard error of a contribution; 0 where they are exact.
        outside: The features whose values lie outside what the model was trained on.
        unusual: Whether the house is unlike all training rows; None if not, or not known.
        errors: The standard errors by feature; empty where the contributions are exact.
    """

    base: float
    price: float
    contributions: Mapping[str, float]
    error: float
    outside: tuple[Outside, ...] = ()
    unusual: Unusual | None = None
    errors: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, part: Any) -> Explanation:
        """Read one explanation; what it has beyond what is known here is passed over.

        Raises:
            KeyError, TypeError, ValueError: Something is missing or of another form.
        """
        unusual = part.get("unusual")
        return cls(
            base=float(part["base"]),
            price=float(part["price"]),
            contributions=_numbers(part["contributions"]),
            error=float(part["error"]),
            outside=tuple(map(_outside, part["outside"])),
            unusual=None if unusual is None else _unusual(unusual),
            errors=_numbers(part.get("errors", {})),
        )


def _numbers(part: Any) -> dict[str, float]:
    return {str(name): float(value) for name, value in part.items()}


def _outside(part: Any) -> Outside:
    value = part["value"]
    minimum, maximum, by, deviations = (
        None if part[key] is None else float(part[key])
        for key in ("minimum", "maximum", "by", "deviations")
    )
    known = value if isinstance(value, str) else float(value)
    return Outside(str(part["feature"]), known, minimum, maximum, by, deviations)


def _unusual(part: Any) -> Unusual:
    return Unusual(float(part["distance"]), float(part["limit"]), float(part["false_alarms"]))
