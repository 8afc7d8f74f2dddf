"""Spark does the rows: a function for ``DataFrame.mapInPandas``.

    price = Pricing("models/housing", level=0.9)
    priced = houses.mapInPandas(price, price.schema(houses.schema))

Spark keeps account of what is done, in its own way. Executors need the packages and the code
of ``service``, and see the model under the same path. Nothing of Spark is imported here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.score import versions
from service.score.errors import TableError
from service.score.job import scorer_of
from service.score.scorer import columns_of, outputs_of, signature_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

REASON: Final = "reason"


class Pricing:
    """Prices the rows of a Spark table; small, and sent to every executor.

    Args:
        model: The folder of a version, or of a model with its versions.
        level: The share of true prices that lies within the bounds; None for no bounds.
        columns: What the table calls features, by feature, where it is not their name.
        verify_versions_with: Public keys, one of which must have signed the version; executors see
            them under the same paths.

    Raises:
        TableError: There is no such model or level, or a feature is not the model's.
    """

    def __init__(
        self,
        model: str | Path,
        level: float | None = None,
        columns: Mapping[str, str] | None = None,
        verify_versions_with: Sequence[str | Path] = (),
    ) -> None:
        self._version = versions.find(model)
        self._keys = tuple(Path(it).absolute() for it in verify_versions_with)
        versions.check(self._version, self._keys)
        contract = versions.describe(self._version)
        signature_of(contract, level)
        columns_of(contract, columns or {})
        self._level = level
        self._columns = tuple((columns or {}).items())
        self._outputs = outputs_of(contract, level)

    def schema(self, schema: Any) -> Any:
        """The columns that come of a table's: its own, the price, bounds, and the reason why not.

        Args:
            schema: The table's ``StructType``; it stays as it is.

        Raises:
            TableError: One of them is there already.
        """
        gained = type(schema)(list(schema.fields))
        for name, kind in (*((it, "float") for it in self._outputs), (REASON, "string")):
            if name in schema.names:
                raise TableError(f"there is a column {name} already: rename or drop it")
            gained = gained.add(name, kind)
        return gained

    def __call__(self, frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Price pandas tables: all columns, ``price``, bounds, and ``reason``.

        A row that cannot be priced has its reason, and no price.
        """
        scorer = scorer_of(self._version, self._level, self._columns, self._keys)
        for frame in frames:
            scored = scorer.score_frame(frame)
            reasons = np.array(scored.texts(), object)
            yield frame.assign(**scored.outputs, **{REASON: reasons})
