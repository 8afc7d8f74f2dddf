"""The columns of a model that reads categories, or takes values that are missing.

A batch is numbers: a category is the number of its place in the contract, any other category
the number after the last, and a missing value NaN. Callers write categories as texts, and a
missing value as null, as NaN, as an empty text, or not at all; here they become numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from service.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from service.contract import Contract, Feature
    from service.inference.executor import Tensors

_SHOWN: Final = 64
_NUMBERS: Final = frozenset({float, int})


class Columns(tuple[str, ...]):  # noqa: SLOT001 - one a version, not one a request
    """The features' names, in order, which know what callers may write in each.

    A model whose batch needs no such reading has a plain tuple of names.

    Attributes:
        inputs: What the inputs of the signature ``named`` are called, in the same order.
        has_categories: Whether a number by name may be a category's name.
    """

    inputs: tuple[str, ...]
    has_categories: bool
    _features: dict[str, Feature]
    _codes: dict[str, dict[str, float]]

    @staticmethod
    def of(contract: Contract) -> tuple[str, ...]:
        """A contract's names: plain where every value is a number, and there."""
        typed = any(it.is_category or it.is_optional for it in contract.features)
        return Columns(contract) if typed else contract.feature_names

    def __new__(cls, contract: Contract) -> Self:
        """Read a contract."""
        made = super().__new__(cls, contract.feature_names)
        made.inputs = contract.input_names
        made.has_categories = any(it.is_category for it in contract.features)
        made._features = {it.name: it for it in contract.features}
        made._codes = {
            it.name: {name: float(code) for code, name in enumerate(it.categories)}
            for it in contract.features
            if it.is_category
        }
        return made

    def rows(self, rows: Any, place: str) -> Any:
        """Rows as numbers, in the order of the features.

        Args:
            rows: A list of objects of names, or of lists; what is neither, or of another
                length, stays as it is, for who reads it to refuse.
            place: What messages call the list.

        Raises:
            InvalidRequest: A value is none of its column, or missing where it may not be.
        """
        if not isinstance(rows, list):
            return rows
        return [self._row(row, f"{place}[{index}]") for index, row in enumerate(rows)]

    def column(self, name: str, values: Sequence[Any], place: str) -> NDArray[np.float32]:
        """One column as numbers, ``[n]``.

        Args:
            name: The feature.
            values: As callers write them; numbers may be texts.
            place: What messages call the rows.

        Raises:
            InvalidRequest: A value is none of the column, or missing where it may not be.
        """
        numbers = [
            self._number(name, self._parsed(name, value), f"{place}[{row}].{name}")
            for row, value in enumerate(values)
        ]
        return np.array(numbers, np.float32)

    def stacked(self, given: Mapping[str, Sequence[Any]], place: str) -> NDArray[np.float32]:
        """The batch ``[n, features]`` that columns by name make.

        Args:
            given: The values of each; one that is left out is missing in all rows.
            place: What messages call the rows.

        Raises:
            InvalidRequest: A column may not be left out, they differ in length, or as ``column``.
        """
        lacking = [name for name in self if name not in given and not self.is_optional(name)]
        if lacking:
            raise InvalidRequest(
                f"missing columns: {', '.join(lacking)}; needed: {', '.join(self)}"
            )
        lengths = {name: len(given[name]) for name in self if name in given}
        if len(set(lengths.values())) > 1:
            raise InvalidRequest(f"the columns differ in number of rows: {lengths}")
        nothing = [None] * max(lengths.values(), default=0)
        columns = [self.column(name, given.get(name, nothing), place) for name in self]
        return np.stack(columns, axis=1)

    def batch(self, inputs: Tensors) -> NDArray[np.float32]:
        """The batch ``[n, features]`` that the inputs of ``named`` make.

        Raises:
            InvalidRequest: A value is none of its column, or the inputs differ in length.
        """
        arrays = [inputs[it] for it in self.inputs]
        for name, array in zip(self.inputs, arrays, strict=True):
            if array.ndim != 1:
                raise InvalidRequest(f"{name} has shape {list(array.shape)}, expected [n]")
        lengths = {name: len(it) for name, it in zip(self.inputs, arrays, strict=True)}
        if len(set(lengths.values())) > 1:
            raise InvalidRequest(f"the inputs differ in number of rows: {lengths}")
        columns = [
            self.column(name, array.tolist(), "instances") if name in self._codes else array
            for name, array in zip(self, arrays, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.float32, copy=False)

    def filled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """An object of the inputs of ``named``: null, or what is left out, is missing.

        Args:
            given: By input a value, or a list of them.
        """
        made = dict(given)
        for name, called in zip(self, self.inputs, strict=True):
            lacking = "" if name in self._codes else math.nan
            value = made.get(called)
            if isinstance(value, list):
                made[called] = [lacking if it is None else it for it in value]
            elif value is None and self._features[name].is_optional:
                made[called] = lacking
        return made

    def is_optional(self, name: str) -> bool:
        """Whether a feature may be left out."""
        return self._features[name].is_optional

    def example(self, name: str) -> tuple[str, float | bytes | None]:
        """The kind of list that an example holds a feature in, and its default if it has one."""
        if name in self._codes:
            return "bytes_list", b"" if self.is_optional(name) else None
        return "float_list", math.nan if self.is_optional(name) else None

    def _row(self, row: Any, place: str) -> Any:
        if isinstance(row, dict):
            if row.keys() <= self._features.keys():
                return [self._number(it, row.get(it), f"{place}.{it}", row) for it in self]
            return row
        if isinstance(row, list) and len(row) == len(self):
            if _NUMBERS.issuperset(map(type, row)):
                return row
            pairs = zip(self, row, strict=True)
            return [self._positional(name, value, f"{place}.{name}") for name, value in pairs]
        return row

    def _positional(self, name: str, value: Any, place: str) -> float:
        """A value of a row without names: a number stands for itself, as in a batch."""
        return float(value) if type(value) in _NUMBERS else self._number(name, value, place)

    def _number(
        self, name: str, value: Any, place: str, row: Mapping[str, Any] | None = None
    ) -> float:
        """A value by name as a number."""
        feature = self._features[name]
        if _is_missing(value):
            if feature.is_optional:
                return math.nan
            how = "" if row is not None and name not in row else f" ({_shown(value)})"
            raise InvalidRequest(f"{place} is missing{how}, which it may not be")
        if feature.is_category:
            return self._code(name, value, place)
        if type(value) not in _NUMBERS:
            raise InvalidRequest(f"{place} is {_shown(value)}, not a number")
        return float(value)

    def _code(self, name: str, value: Any, place: str) -> float:
        """The number of a category; the one after the last where it is not known."""
        codes = self._codes[name]
        for text in _texts(value):
            if text in codes:
                return codes[text]
        if not isinstance(value, str | bytes | int | float):
            raise InvalidRequest(f"{place} is {_shown(value)}, not a category")
        return float(len(codes))

    def _parsed(self, name: str, value: Any) -> Any:
        """A text as the number that it is, in a column of numbers."""
        if name in self._codes or not isinstance(value, str):
            return value
        try:
            return float(value) if value.strip() else None
        except ValueError:
            return value


def _texts(value: Any) -> tuple[str, ...]:
    """What a category may be called."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, str):
        return value, value.strip()
    if isinstance(value, bool):
        return str(value), str(value).lower()
    if isinstance(value, int):
        return str(value), f"{value}.0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value)), str(value)
    return (str(value),)


def _is_missing(value: Any) -> bool:
    if isinstance(value, str | bytes):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _shown(value: Any) -> str:
    return "null" if value is None else repr(value)[:_SHOWN]
