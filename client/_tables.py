"""pandas tables: the columns that a model needs, as rows of finite numbers.

pandas is imported here and nowhere else, and only by who holds a table already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from client._contract import MISSING
from client._errors import InvalidRequest
from client._intervals import Interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from client._contract import Contract, Feature
    from client._houses import Row


def rows_of(table: pd.DataFrame, contract: Contract, *, bounded: bool = False) -> list[Row]:
    """Pick a model's features out of a table.

    Args:
        table: One house a row; columns beyond the features are left alone. A text that
            is a number counts as one.
        contract: Names the features, in order.
        bounded: Whether the table is to gain bounds besides the price.

    Returns:
        ``n`` rows: ``len(contract.features)`` finite numbers each, or where the model reads
        categories or takes missing values, an object of names.

    Raises:
        InvalidRequest: A column is missing, there twice, or not of numbers; or one
            value is missing, text, NaN or an infinity; or the table has prices already.
    """
    contract.check_columns([str(name) for name in table.columns], bounded=bounded)
    if any(it.is_category or it.is_optional for it in contract.features):
        values = {it.name: _values(table[it.name], it, table.index) for it in contract.features}
        return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    columns = [_numbers(table[name], name, table.index) for name in contract.feature_names]
    rows: list[Row] = np.column_stack(columns).tolist()
    return rows


def with_prices(table: pd.DataFrame, contract: Contract, prices: list[float]) -> pd.DataFrame:
    """Copy a table and append its prices as the column that the contract names."""
    return table.assign(**{contract.output: np.asarray(prices, dtype=np.float64)})


def with_intervals(
    table: pd.DataFrame, contract: Contract, intervals: list[Interval]
) -> pd.DataFrame:
    """Copy a table and append its prices and their bounds as columns."""
    names = contract.outputs(bounded=True)
    return table.assign(**dict(zip(names, Interval.together(intervals), strict=True)))


def _values(column: pd.Series[Any], feature: Feature, index: pd.Index[Any]) -> list[Any]:
    """A column's numbers or texts; None where a value is missing."""
    missing = (column.isna() | column.isin(MISSING)).to_numpy()
    if not feature.is_optional and missing.any():
        row = int(np.argmax(missing))
        raise InvalidRequest(
            f"row {index[row]!r}, column {feature.name}: a value is missing, which it may not be",
            row=row,
        )
    there = column[~missing]
    given = there.map(_category) if feature.is_category else there
    values = np.full(len(column), None, object)
    values[~missing] = (
        given.to_numpy(object)
        if feature.is_category
        else _numbers(given, feature.name, index[~missing])
    )
    return values.tolist()


def _category(value: Any) -> str:
    """A category as a CSV file would have it."""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value)) if whole else str(value).strip()


def _numbers(column: pd.Series[Any], name: str, index: pd.Index[Any]) -> NDArray[np.float64]:
    if getattr(column.dtype, "kind", "O") in "mMc":
        raise InvalidRequest(f"column {name} holds {column.dtype}, not numbers")
    numbers = pd.to_numeric(column, errors="coerce")
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        row = int(bad[0])
        raise InvalidRequest(
            f"row {index[row]!r}, column {name}: {column.iloc[row]!r} is not a finite number",
            row=row,
        )
    return values
