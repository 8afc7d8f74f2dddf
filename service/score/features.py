"""The columns of a table as a network reads them, and what is wrong in them.

A column becomes float32 numbers: a category the number of its place in the contract, a
missing value NaN. What the service would refuse in a request is told of, value by value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.errors import InvalidRequest
from service.inference.columns import Columns
from service.score.errors import TableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.contract import Contract, Feature

# Texts that stand for no value in a table, as training and client read them.
MISSING: Final = ("", "NA", "N/A", "n/a", "NaN", "nan", "null", "NULL", "<NA>", "#N/A")
# Different categories whose numbers are remembered.
_REMEMBERED: Final = 100_000
_LACKING: Final = "missing, which it may not be"
_NO_NUMBER: Final = "not a number"
_NOT_FINITE: Final = "not a finite number"


class Problem(NamedTuple):
    """Values of one column that are wrong in the same way.

    Attributes:
        rows: Where, int64 ``[k]``, counted from 0.
        texts: What stands there, as texts ``[k]``; null where nothing does.
        reason: What is wrong with each.
    """

    rows: NDArray[np.int64]
    texts: Any
    reason: str


class Column(NamedTuple):
    """One column read.

    Attributes:
        numbers: What the network reads, float32 ``[n]``; of any value where there is a problem.
        problems: What is wrong.
    """

    numbers: NDArray[np.float32]
    problems: tuple[Problem, ...] = ()


class Number:
    """Reads a column of numbers, which may be written as texts.

    Args:
        feature: What the contract says of it.
    """

    def __init__(self, feature: Feature) -> None:
        self._feature = feature
        # Compared as the service compares them: in the batch's own precision.
        self._minimum, self._maximum = np.float32(feature.minimum), np.float32(feature.maximum)
        unit = "" if feature.unit in {"", "1"} else f" {feature.unit}"
        self._outside = f"outside [{feature.minimum:g}, {feature.maximum:g}]{unit}"

    def read(self, array: Any) -> Column:
        """Read a column.

        Args:
            array: An Arrow array ``[n]`` of numbers, truth values or texts.

        Raises:
            TableError: It holds neither.
        """
        if pa.types.is_string_view(array.type):
            array = pc.cast(array, pa.string())
        if _is_text(array.type):
            return self._of_texts(array)
        return self._checked(self._plain(array), array)

    def _plain(self, array: Any) -> NDArray[np.float32]:
        kind = array.type
        is_number = pa.types.is_floating(kind) or pa.types.is_integer(kind)
        if is_number and not array.null_count:
            return _float32(array.to_numpy())
        if not (is_number or _is_like_a_number(kind)):
            raise TableError(f"column {self._feature.name} holds {kind}, not numbers")
        number = pc.cast(array, pa.uint8()) if pa.types.is_boolean(kind) else array
        return _float32(pc.cast(number, pa.float64(), safe=False).to_numpy(zero_copy_only=False))

    def _of_texts(self, array: Any) -> Column:
        numbers = _cast(array)
        if numbers is None:
            there = _without_missing(array)
            numbers = _cast(there)
            if numbers is None:
                return self._one_by_one(there, array)
        return self._checked(_float32(numbers.to_numpy(zero_copy_only=False)), array)

    def _one_by_one(self, texts: Any, array: Any) -> Column:
        """Texts of which some are no numbers: each different one is looked at once."""
        encoded = texts.dictionary_encode()
        parsed = [_parsed(it) for it in encoded.dictionary.to_pylist()]
        known = np.array([np.nan if it is None else it for it in parsed] + [np.nan])
        wrong = np.array([it is None for it in parsed] + [False])
        places = encoded.indices.fill_null(len(parsed)).to_numpy(zero_copy_only=False)
        is_wrong = wrong[places]
        return self._checked(_float32(known[places]), array, is_wrong)

    def _checked(
        self, numbers: NDArray[np.float32], array: Any, wrong: NDArray[np.bool_] | None = None
    ) -> Column:
        if wrong is None and self._all_inside(numbers):
            return Column(numbers)
        inside = (numbers >= self._minimum) & (numbers <= self._maximum)
        if self._feature.is_optional:
            inside |= np.isnan(numbers)
        if wrong is not None:
            inside &= ~wrong
        return Column(numbers, self._problems(np.flatnonzero(~inside), numbers, array, wrong))

    def _all_inside(self, numbers: NDArray[np.float32]) -> bool:
        # NaN makes both comparisons false.
        return not len(numbers) or bool(
            numbers.min() >= self._minimum and numbers.max() <= self._maximum
        )

    def _problems(
        self,
        rows: NDArray[np.int64],
        numbers: NDArray[np.float32],
        array: Any,
        wrong: NDArray[np.bool_] | None,
    ) -> tuple[Problem, ...]:
        there = numbers[rows]
        no_number = np.zeros(len(rows), bool) if wrong is None else wrong[rows]
        lacking = np.isnan(there) & ~no_number
        endless = np.isinf(there)
        kinds = (
            (_NO_NUMBER, no_number), (_LACKING, lacking), (_NOT_FINITE, endless),
            (self._outside, ~(no_number | lacking | endless)),
        )  # fmt: skip
        return tuple(
            Problem(rows[which], _texts(array, rows[which]), reason)
            for reason, which in kinds
            if which.any()
        )


class Category:
    """Reads a column of categories: texts, numbers or truth values.

    Args:
        feature: What the contract says of it.
        columns: The contract's columns, which know the number of each category.
    """

    def __init__(self, feature: Feature, columns: Columns) -> None:
        self._feature = feature
        self._columns = columns
        self._known: dict[Any, float | None] = {}

    def read(self, array: Any) -> Column:
        """Read a column.

        Args:
            array: An Arrow array ``[n]``.

        Raises:
            TableError: It holds what is no category.
        """
        try:
            encoded = array.dictionary_encode()
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise TableError(
                f"column {self._feature.name} holds {array.type}, not categories"
            ) from error
        codes = [self._code(it) for it in encoded.dictionary.to_pylist()] + [self._code(None)]
        places = encoded.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)
        numbers = np.array([np.nan if it is None else it for it in codes], np.float32)[places]
        rows = np.flatnonzero(np.array([it is None for it in codes])[places])
        if not len(rows):
            return Column(numbers)
        return Column(numbers, (Problem(rows, _texts(array, rows), _LACKING),))

    def _code(self, value: Any) -> float | None:
        """A category's number; None where one is missing that may not be."""
        if value not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[value] = self._found(value)
        return self._known[value]

    def _found(self, value: Any) -> float | None:
        name = self._feature.name
        missing = value is None or (isinstance(value, str) and value.strip() in MISSING)
        try:
            (code,) = self._columns.column(name, [None if missing else value], "rows").tolist()
        except InvalidRequest as error:
            if missing or value != value:  # noqa: PLR0124 - NaN alone
                return None
            raise TableError(f"column {name}: {error.message}") from error
        return float(code)


def readers(contract: Contract) -> list[Number | Category]:
    """What reads each of a contract's features, in their order."""
    columns = Columns(contract)
    return [Category(it, columns) if it.is_category else Number(it) for it in contract.features]


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _cast(texts: Any) -> Any:
    """Texts as numbers; None where one of them is none."""
    try:
        return pc.cast(texts, pa.float64())
    except pa.ArrowInvalid:
        return None


def _is_like_a_number(kind: Any) -> bool:
    return bool(pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind))


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    """The same numbers in single precision; beyond its range infinite, which is then refused."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, np.float32)


def _without_missing(array: Any) -> Any:
    """Texts without the spaces around them, null where they stand for no value."""
    trimmed = pc.utf8_trim_whitespace(array)
    missing = pc.is_in(trimmed, pa.array(MISSING, trimmed.type))
    return pc.if_else(missing, pa.scalar(None, trimmed.type), trimmed)


def _parsed(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _texts(array: Any, rows: NDArray[np.int64]) -> Any:
    """Some values as they are written."""
    return pc.cast(array.take(pa.array(rows)), pa.string())
