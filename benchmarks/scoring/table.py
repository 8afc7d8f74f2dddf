"""A large table to score: rows of the housing data again and again, each a little different."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_DATA: Final = Path("data/boston_housing.csv")
_TARGET: Final = "MEDV"
GROUP_ROWS: Final = 2**20
# Values are made smaller by up to so large a share: they stay within the contract's limits.
_SHRINK: Final = 0.05


def write(path: Path, rows: int, told: Callable[[int], None] = lambda _: None) -> None:
    """Write a Parquet file of float32 columns, a group of rows at a time.

    Args:
        path: The file.
        rows: Its rows.
        told: Called with the number of rows that are written, after each group.
    """
    houses = pd.read_csv(_DATA).drop(columns=_TARGET).dropna()
    columns = {str(name): houses[name].to_numpy(np.float32) for name in houses}
    schema = pa.schema([(name, pa.float32()) for name in columns])
    with parquet.ParquetWriter(path, schema, use_dictionary=False) as file:
        for start in range(0, rows, GROUP_ROWS):
            count = min(GROUP_ROWS, rows - start)
            file.write_table(_group(columns, count, np.random.default_rng(start)))
            told(start + count)


def _group(columns: dict[str, NDArray[np.float32]], rows: int, random: np.random.Generator) -> Any:
    chosen = random.integers(0, len(next(iter(columns.values()))), rows)
    return pa.table(
        {
            name: values[chosen] * (1 - _SHRINK * random.random(rows, np.float32))
            for name, values in columns.items()
        }
    )
