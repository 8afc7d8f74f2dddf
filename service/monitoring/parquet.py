"""The request log as Parquet: a row a row asked for, a column a feature. Needs ``pyarrow``."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from service.exchange import Computed
    from service.monitoring.request_log import Entry

# What stands beside features and outputs; no feature is likely to be called so.
TIME, REQUEST_ID, ROW = "_time", "_request_id", "_row"
MODEL, VERSION, SIGNATURE = "_model", "_version", "_signature"
_MICROSECONDS: Final = 1_000_000
# Rows that are written together: a reader skips or reads as many at once.
_GROUP_ROWS: Final = 8192


def is_installed() -> bool:
    """Whether Parquet can be written."""
    return importlib.util.find_spec("pyarrow") is not None


class Parquet:
    """Files with a column a feature; see ``service.monitoring.request_log.Form``.

    Args:
        left_out: Features that have no column.
    """

    suffix = ".parquet"
    is_whole_at_any_time = False

    def __init__(self, left_out: Sequence[str] = ()) -> None:
        self._left_out = frozenset(left_out)

    def group(self, entry: Entry) -> str:
        """Requests of one version and signature have the same columns."""
        computed = entry.computed
        return f"{computed.version.number}-{computed.signature}".replace("/", "_")

    def create(self, descriptor: int, _entry: Entry) -> _Table:
        """Begin a file.

        Raises:
            ImportError: pyarrow is not installed.
        """
        import pyarrow.parquet  # noqa: PLC0415 - a large library that only this needs

        return _Table(pyarrow, descriptor, self._left_out)


class _Table:
    """A file that is written some thousand rows at a time."""

    def __init__(self, pyarrow: Any, descriptor: int, left_out: frozenset[str]) -> None:
        self._pyarrow = pyarrow
        self._descriptor = descriptor
        self._left_out = left_out
        self._sink = os.fdopen(descriptor, "wb", closefd=False)
        self._writer: Any = None
        self._waiting: list[Any] = []

    def write(self, entries: Sequence[Entry]) -> None:
        """Add rows."""
        self._waiting.append(self._table(entries))
        if sum(map(len, self._waiting)) >= _GROUP_ROWS:
            self._write_waiting()

    def close(self) -> None:
        """Write what is missing for a Parquet file."""
        try:
            self._write_waiting()
            if self._writer is not None:
                self._writer.close()
            self._sink.flush()
        finally:
            os.close(self._descriptor)

    def _write_waiting(self) -> None:
        if not self._waiting:
            return
        table = self._pyarrow.concat_tables(self._waiting).combine_chunks()
        self._waiting = []
        if self._writer is None:
            self._writer = self._pyarrow.parquet.ParquetWriter(self._sink, table.schema)
        self._writer.write_table(table)
        self._sink.flush()

    def _table(self, entries: Sequence[Entry]) -> Any:
        pyarrow = self._pyarrow
        several = [self._columns(it.computed) for it in entries]
        rows = [len(next(iter(it.values()), ())) for it in several]
        moments = pyarrow.array([int(it.time_s * _MICROSECONDS) for it in entries])
        whose = pyarrow.array(np.repeat(np.arange(len(entries)), rows))
        computed = [it.computed for it in entries]
        arrays = {
            TIME: moments.cast(pyarrow.timestamp("us", "UTC")).take(whose),
            REQUEST_ID: pyarrow.array([it.request_id for it in entries]).take(whose),
            ROW: pyarrow.array(np.concatenate([np.arange(it) for it in rows])),
            MODEL: pyarrow.array([it.version.model for it in computed]).take(whose),
            VERSION: pyarrow.array([it.version.number for it in computed]).take(whose),
            SIGNATURE: pyarrow.array([it.signature for it in computed]).take(whose),
        }
        for name in several[0]:
            arrays[name] = pyarrow.array(_joined([it[name] for it in several]))
        return pyarrow.table(arrays)

    def _columns(self, computed: Computed) -> dict[str, NDArray[Any]]:
        contract, inputs = computed.version.contract, computed.inputs
        if contract is not None and contract.input in inputs:
            inputs = dict(zip(contract.feature_names, inputs[contract.input].T, strict=True))
        shown = {name: it for name, it in inputs.items() if name not in self._left_out}
        return {name: np.atleast_1d(it) for name, it in {**shown, **computed.outputs}.items()}


def _joined(arrays: Sequence[NDArray[Any]]) -> Any:
    """Arrays one behind the other, as pyarrow takes them: of several axes a list a row."""
    if arrays[0].ndim == 1 and arrays[0].dtype.kind != "O":
        return np.concatenate(arrays)
    return [row for array in arrays for row in array.tolist()]
