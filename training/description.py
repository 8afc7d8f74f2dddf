"""What analysts say of a table's columns, in a file beside it: meaning, unit, limits, kind.

[area]
meaning = "living area"
unit = "m²"
minimum = 10
maximum = 2000

[district]
kind = "category"
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from service.contract import CATEGORY, NUMBER, REFUSED
from training.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LIKE_THE_TABLE = "allowed"


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said of one column.

    Attributes:
        meaning: One phrase for people; empty for the column's name.
        unit: The unit of every number in it.
        kind: ``number`` or ``category``; None to find it out.
        minimum: The least value that makes sense; None to find it out.
        maximum: The greatest value that makes sense; None to find it out.
        missing: ``refused`` where no value may be missing, else ``allowed``.
    """

    meaning: str = ""
    unit: str = ""
    kind: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    missing: str = _LIKE_THE_TABLE


_CHOICES = {"kind": (NUMBER, CATEGORY, None), "missing": (REFUSED, _LIKE_THE_TABLE)}


def read(content: bytes, name: str, columns: Sequence[str]) -> Mapping[str, Said]:
    """Read a description.

    Args:
        content: TOML: a table a column, each with some of ``Said``.
        name: What messages call the file.
        columns: Those that the table has.

    Returns:
        What is said, by column; nothing of columns that are not named.

    Raises:
        TableError: It is no such description; the error has every problem.
    """
    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TableError(name, [f"it is not TOML: {error}"]) from error
    problems = [problem for it in document for problem in _wrong(it, document[it], columns)]
    if problems:
        raise TableError(name, problems)
    return {column: msgspec.convert(said, Said) for column, said in document.items()}


def _wrong(column: str, said: Any, columns: Sequence[str]) -> Iterator[str]:
    if column not in columns:
        yield f"column {column} is not one of {', '.join(columns)}"
    try:
        read = msgspec.convert(said, Said)
    except msgspec.ValidationError as error:
        yield f"{column}: {error}"
        return
    for key, choices in _CHOICES.items():
        if getattr(read, key) not in choices:
            known = ", ".join(it for it in choices if it)
            yield f"{column}: {key} is {getattr(read, key)!r}, not one of {known}"
    if read.minimum is not None and read.maximum is not None and read.minimum >= read.maximum:
        yield f"{column}: minimum is {read.minimum:g}, not below the maximum {read.maximum:g}"
