"""The forms in which callers hold houses, and the rows that go over the wire."""

from __future__ import annotations

import dataclasses
import json
import math
import numbers
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

from client import _intervals
from client._errors import InvalidRequest
from client._intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from _typeshed import DataclassInstance

    Value: TypeAlias = float | str | None
    House: TypeAlias = Mapping[str, Value] | DataclassInstance | Sequence[float]

# A row as JSON has it: values by feature name, or in the contract's order.
Row: TypeAlias = "dict[str, Any] | list[Any]"


class Form(Enum):
    """In which form the prices go back."""

    ONE = "a float"
    LIST = "a list of floats"
    ARRAY = "a NumPy array"

    def shape(self, prices: Sequence[float] | Sequence[Interval]) -> Any:
        """Give prices, or intervals, back in this form."""
        if self is Form.ONE:
            return prices[0]
        if self is Form.LIST:
            return prices
        if prices and isinstance(prices[0], Interval):
            return Interval.together(cast("Sequence[Interval]", prices))
        import numpy as np  # noqa: PLC0415  only callers who hold arrays pay for it

        return np.asarray(prices, dtype=np.float64)


def is_table(houses: object) -> TypeGuard[pd.DataFrame]:
    """Whether it is a pandas table; who has none has not imported pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(houses, pandas.DataFrame)


def rows_of(houses: object) -> tuple[list[Row], Form]:
    """Turn houses into rows.

    Args:
        houses: A dict of feature names, a dataclass instance, a pandas Series or a
            sequence of numbers; a sequence of these; or an array ``[n, k]`` or ``[k]``.

    Returns:
        The rows, and the form that the prices are to go back in.

    Raises:
        InvalidRequest: It is none of these, or an array holds NaN or an infinity.
    """
    if _is_array(houses):
        return _array_rows(houses)
    if _is_house(houses):
        return [_row(houses, "houses")], Form.ONE
    if _is_sequence(houses):
        return [_row(house, f"houses[{i}]", i) for i, house in enumerate(houses)], Form.LIST
    raise InvalidRequest(
        f"houses is a {type(houses).__name__}, neither a house (a dict, a dataclass instance, "
        "a row of numbers), a list of them, an array nor a DataFrame"
    )


def encode(rows: Sequence[Row], signature_name: str | None, level: float | None = None) -> bytes:
    """Write rows as the body of a predict request.

    Args:
        rows: The rows.
        signature_name: The signature to ask; None for the model's default, or the level's.
        level: Of the intervals to ask for. TensorFlow Serving knows the signature alone.

    Raises:
        InvalidRequest: A value has no JSON form: NaN, an infinity, or an odd type.
    """
    asked = _intervals.signature_name(level) if level is not None else None
    document: dict[str, Any] = {"signature_name": signature_name or asked, "level": level}
    document = {name: value for name, value in document.items() if value is not None}
    document["instances"] = rows
    try:
        return json.dumps(document, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError) as error:
        raise _culprit(rows, error) from error


def _is_array(houses: object) -> bool:
    """Whether NumPy can read it, and its columns have no names that would be lost."""
    return hasattr(type(houses), "__array__") and not (
        hasattr(houses, "columns") or _is_series(houses)
    )


def _is_series(house: object) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(house, pandas.Series)


def _is_sequence(houses: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(houses, Sequence) and not isinstance(houses, str | bytes | bytearray)


def _is_house(house: object) -> bool:
    return _is_named(house) or (_is_sequence(house) and _is_row(house))


def _is_row(values: Sequence[Any]) -> bool:
    """Whether it begins with a number, or has one behind categories and missing values."""
    for value in values:
        if isinstance(value, numbers.Real):
            return True
        if value is not None and not isinstance(value, str):
            return False
    return False


def _is_named(house: object) -> bool:
    is_instance = dataclasses.is_dataclass(house) and not isinstance(house, type)
    return is_instance or isinstance(house, Mapping) or _is_series(house)


def _row(house: Any, place: str, row: int = 0) -> Row:
    if isinstance(house, Mapping):
        return dict(house)
    if dataclasses.is_dataclass(house) and not isinstance(house, type):
        return {part.name: getattr(house, part.name) for part in dataclasses.fields(house)}
    if _is_series(house):
        return dict(house.to_dict())
    if _is_sequence(house) or _is_array(house):
        return list(house)
    raise InvalidRequest(f"{place} is a {type(house).__name__}, not a house", row=row)


def _array_rows(houses: Any) -> tuple[list[Row], Form]:
    import numpy as np  # noqa: PLC0415  only callers who hold arrays pay for it

    array = np.asarray(houses)
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2):
        raise InvalidRequest(
            f"the array is {array.dtype} {list(array.shape)}, not numbers [n, k] or [k]"
        )
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = "".join(f"[{index}]" for index in bad[0])
        raise InvalidRequest(
            f"houses{place} is {array[tuple(bad[0])]}, not a finite number",
            row=int(bad[0][0]) if array.ndim == 2 else 0,
        )
    if array.ndim == 1:
        return [array.tolist()], Form.ONE
    return array.tolist(), Form.ARRAY


def _plain(value: Any) -> Any:
    """A plain number for one of a library's own (NumPy's scalars, Decimal, Fraction)."""
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    if isinstance(value, numbers.Number) and not isinstance(value, complex):
        return float(value)  # type: ignore[arg-type]  # Decimal and Fraction have __float__
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _culprit(rows: Sequence[Row], error: Exception) -> InvalidRequest:
    """Name the first value that could not be written."""
    for i, row in enumerate(rows):
        for key, value in _items(row):
            if not _is_writable(value):
                kind = f"{value!r}, not a finite number"[:200]
                return InvalidRequest(f"instances[{i}]{key} is {kind}", row=i)
    return InvalidRequest(f"houses cannot be written as JSON: {error}")


def _items(row: Row) -> Iterable[tuple[str, Any]]:
    if isinstance(row, dict):
        return ((f".{key}", value) for key, value in row.items())
    return ((f"[{index}]", value) for index, value in enumerate(row))


def _is_writable(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False, default=_plain)
    except (TypeError, ValueError):
        return False
    return not isinstance(value, float) or math.isfinite(value)
