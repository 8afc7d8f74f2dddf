"""The scoring function: a chunk of a table in, prices, bounds and reasons out.

It is one for all who score tables: one process, several, a Dask cluster, Spark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from service.contract import LOWER, UPPER
from service.inference.signature import DEFAULT_SIGNATURE
from service.score.errors import TableError
from service.score.features import readers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from service.contract import Contract
    from service.repository.version import ModelVersion
    from service.score.features import Column, Problem

# Rows that the network runs at once: their layers' outputs fit into a core's own cache, and the
# executor takes them as they are.
PIECE_ROWS: Final = 1024

REASONS: Final = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("column", pa.string(), nullable=False),
        pa.field("value", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


class Scored(NamedTuple):
    """What came of a chunk of ``n`` rows.

    Attributes:
        outputs: By name (the price, and ``lower`` and ``upper`` where there is a level),
            float32 ``[n]`` in the target's unit; NaN for a row that cannot be priced.
        bad: Which rows cannot be, ``[n]``.
        reasons: Why, as ``REASONS``: a row's number in the chunk from 0, the table's column,
            its value, what is wrong with it.
    """

    outputs: Mapping[str, NDArray[np.float32]]
    bad: NDArray[np.bool_]
    reasons: Any

    def arrays(self) -> list[Any]:
        """The outputs as Arrow arrays, null where there is no price."""
        mask = self.bad if self.bad.any() else None
        return [pa.array(it, pa.float32(), mask=mask) for it in self.outputs.values()]

    def texts(self) -> list[str | None]:
        """By row why it cannot be priced, all reasons in one text; None for a row that is."""
        found: list[str | None] = [None] * len(self.bad)
        for it in self.reasons.to_pylist():
            value = "" if it["value"] is None else f"{it['value']}, "
            text = f"{it['column']} is {value}{it['reason']}"
            before = found[it["row"]]
            found[it["row"]] = text if before is None else f"{before}; {text}"
        return found


class Scorer:
    """Prices chunks of tables by one model version; safe to call from several threads.

    Args:
        version: The version, loaded; it has a contract.
        level: The share of true prices that lies within the bounds; None for no bounds.
        columns: What the table calls features, where it is not the feature's name.

    Raises:
        TableError: The version has no contract or no such level, or a feature is not its.
    """

    def __init__(
        self,
        version: ModelVersion,
        level: float | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> None:
        contract = _contract(version)
        self._executor = version.executor
        self._input = contract.input
        self._signature = signature_of(contract, level)
        self._readers = readers(contract)
        self.columns = columns_of(contract, columns or {})
        self.outputs = outputs_of(contract, level)

    def score(self, chunk: Any) -> Scored:
        """Price a chunk of a table.

        Args:
            chunk: An Arrow record batch, or a table; columns beyond the features are not read.

        Raises:
            TableError: A column is not there, or holds what can be no feature.
        """
        found = [
            reader.read(_array(chunk, name))
            for reader, name in zip(self._readers, self.columns, strict=True)
        ]
        bad, reasons = self._judged(found, chunk.num_rows)
        batch = np.empty((chunk.num_rows, len(found)), np.float32)
        for index, column in enumerate(found):
            batch[:, index] = column.numbers
        return Scored(self._run(batch, bad), bad, reasons)

    def score_frame(self, frame: pd.DataFrame) -> Scored:
        """Price a pandas table; see ``score``."""
        missing = [it for it in self.columns if it not in frame.columns]
        if missing:
            raise TableError(lacking(missing, [str(it) for it in frame.columns]))
        return self.score(pa.table({it: _of_pandas(frame[it]) for it in self.columns}))

    def _judged(self, found: Sequence[Column], rows: int) -> tuple[NDArray[np.bool_], Any]:
        """Which rows are bad, and why."""
        bad = np.zeros(rows, bool)
        tables = []
        for name, column in zip(self.columns, found, strict=True):
            for problem in column.problems:
                bad[problem.rows] = True
                tables.append(_reasons(name, problem))
        if not tables:
            return bad, REASONS.empty_table()
        return bad, pa.concat_tables(tables).sort_by("row")

    def _run(
        self, batch: NDArray[np.float32], bad: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.float32]]:
        good = batch[~bad] if bad.any() else batch
        priced = {it: np.empty(len(good), np.float32) for it in self.outputs}
        for start in range(0, len(good), PIECE_ROWS):
            piece = slice(start, start + PIECE_ROWS)
            outputs = self._executor.run(self._signature, {self._input: good[piece]})
            for name, array in priced.items():
                array[piece] = outputs[name]
        if len(good) == len(batch):
            return priced
        return {name: _spread(it, ~bad) for name, it in priced.items()}


def _reasons(column: str, problem: Problem) -> Any:
    """What to say of a problem, a row each."""
    count = len(problem.rows)
    arrays = [
        pa.array(problem.rows, pa.int64()), pa.repeat(column, count), problem.texts,
        pa.repeat(problem.reason, count),
    ]  # fmt: skip
    return pa.table(arrays, schema=REASONS)


def _spread(values: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values at their places, NaN elsewhere."""
    whole = np.full(len(where), np.nan, np.float32)
    whole[where] = values
    return whole


def columns_of(contract: Contract, given: Mapping[str, str]) -> tuple[str, ...]:
    """What a table calls the features, in their order.

    Raises:
        TableError: A name is given for what is no feature.
    """
    names = contract.feature_names
    unknown = [it for it in given if it not in names]
    if unknown:
        raise TableError(f"{', '.join(unknown)} is no feature: they are {', '.join(names)}")
    return tuple(given.get(it, it) for it in names)


def outputs_of(contract: Contract, level: float | None) -> tuple[str, ...]:
    """The columns that a table gains."""
    return (contract.output,) if level is None else (contract.output, LOWER, UPPER)


def signature_of(contract: Contract, level: float | None) -> str:
    """The signature that gives a level's bounds.

    Raises:
        TableError: There is none.
    """
    if level is None:
        return DEFAULT_SIGNATURE
    levels = contract.intervals.levels if contract.intervals else ()
    for it in levels:
        if it.level == level:
            return it.signature
    known = ", ".join(f"{it.level:g}" for it in levels)
    raise TableError(f"level is {level:g}, known: {known or 'none: the version has no intervals'}")


def lacking(missing: Sequence[str], present: Sequence[str]) -> str:
    """What to say of columns that are not there."""
    return f"no column {', '.join(missing)}: the columns are {', '.join(present)}"


def _contract(version: ModelVersion) -> Contract:
    if version.contract is None:
        raise TableError(
            f"version {version.number} of {version.model} has no contract, which names the columns"
        )
    return version.contract


def _array(chunk: Any, name: str) -> Any:
    """A column in one piece, its dictionary undone."""
    place = chunk.schema.get_field_index(name)
    if place < 0:
        raise TableError(lacking([name], chunk.schema.names))
    array = chunk.column(place)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _of_pandas(column: pd.Series[Any]) -> Any:
    """A column as an Arrow array; one of mixed objects as texts."""
    try:
        return pa.Array.from_pandas(column)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        there = column[column.notna()].map(str)
        return pa.Array.from_pandas(there.reindex(column.index), type=pa.string())
