"""What people know of a table that its numbers do not say: a file beside it, read for the card.

``data/boston_housing.csv`` has ``data/boston_housing.card.toml``. A table without such a file
can be trained on as well; its model card then says that nobody has described it.
"""

from __future__ import annotations

import operator
import tomllib
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import numpy as np

from training.errors import TableError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

SUFFIX: Final = ".card.toml"

_COMPARE: Final = {
    "<": operator.lt, "<=": operator.le, "==": operator.eq, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of one kind, for which the network is measured apart.

    Attributes:
        name: What they are, for people.
        column: The column that tells them.
        is_: How its value compares.
        value: With what.
    """

    name: str
    column: str
    is_: Literal["<", "<=", "==", ">=", ">"] = msgspec.field(name="is")
    value: float | str

    def holds(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """Which rows are of this kind: ``[n]``; none where the table has no such column."""
        if self.column not in frame:
            return np.zeros(len(frame), bool)
        return np.asarray(_COMPARE[self.is_](frame[self.column], self.value), bool)


class DataCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people know of a table.

    Attributes:
        title: Its name, for people.
        source: Where it comes from.
        history: How it came about, and what became of it.
        collection: What a row is, and how it was measured.
        harms: What harm it carries, and what was done about it.
        intended: What a model of it is for.
        not_for: What a model of it must not be used for.
        caveats: What else to know before believing a prediction.
        sensitive: Columns that a network should not read without a reason.
        groups: Kinds of rows to measure apart.
    """

    title: str
    source: str
    history: str
    collection: str
    harms: tuple[str, ...]
    intended: tuple[str, ...]
    not_for: tuple[str, ...]
    caveats: tuple[str, ...]
    sensitive: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()


def read(table: Path) -> DataCard | None:
    """Read what is known of a table.

    Args:
        table: The table.

    Returns:
        The description, or None where nobody has written one.

    Raises:
        TableError: It is no such description.
    """
    path = table.with_name(table.stem + SUFFIX)
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        return msgspec.convert(content, DataCard)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise TableError(str(path), [str(error)]) from error
