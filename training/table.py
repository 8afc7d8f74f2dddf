"""Reading the table, and saying of every wrong value where it stands and why it is wrong.

Values are read as text, so that a problem is shown as it was written and found on the
line where an editor shows it. All problems are collected before any is reported.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pandera.pandas as pa

from training.chunks import not_csv
from training.columns import BOSTON, FEATURES, TARGET, Column, Schema
from training.errors import TableError
from training.split import Split, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from training.feed import Feed
    from training.recipe import Recipe

LEAST_ROWS: Final = 20  # with the least share on either side of the split, two rows to test

_COLUMNS: Final = {**FEATURES, TARGET.name: TARGET}
_SHOWN_CHARACTERS: Final = 40


@dataclass(frozen=True)
class Table:
    """A table to train on.

    Attributes:
        schema: Its columns.
        split: Its rows, as the network reads them. Of a table that streams, a sample of them.
        feed: All training rows of a table that streams.
        rows: How many rows there are in all.
        frame: Gives some columns of the whole table by name, its rows in their order; of one
            that streams, rows that test.
    """

    schema: Schema
    split: Split
    feed: Feed | None = None
    rows: int = 0
    frame: Callable[[Sequence[str]], pd.DataFrame] | None = None


def boston(content: bytes, name: str, recipe: Recipe) -> Table:
    """Read, check and split the Boston table.

    Args:
        content: As ``read`` takes it.
        name: What messages call the table.
        recipe: Says what is read, and which rows test.

    Raises:
        TableError: It is no such table; the error has every problem.
    """
    frame = read(content, name)
    rows = split(frame, recipe.features, recipe.split_seed, recipe.train_share)
    return Table(BOSTON, rows, rows=len(frame), frame=lambda _: frame)


def read(content: bytes, name: str) -> pd.DataFrame:
    """Read and check a table.

    Args:
        content: CSV in UTF-8 with the columns' names on its first line, in any order.
            Empty lines are passed over.
        name: What messages call the table.

    Returns:
        One row a tract, float64, columns in the order of the data set, and as index the
        line that each row stands on.

    Raises:
        TableError: It is no such table; the error has every problem.
    """
    texts = _texts(content, name)
    problems = [*_wrong_header(texts), *_wrong_values(texts)]
    if problems:
        raise TableError(name, problems)
    table = texts[list(_COLUMNS)].map(_number)
    if problems := [*_wrong_whole(table)]:
        raise TableError(name, problems)
    return table


def _texts(content: bytes, name: str) -> pd.DataFrame:
    try:
        lines = pd.read_csv(
            io.BytesIO(content),
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            encoding="utf-8-sig",
        )
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise TableError(name, [not_csv(error)]) from error
    lines.index = pd.RangeIndex(1, len(lines) + 1)
    rows = lines.iloc[1:]
    rows.columns = pd.Index(lines.iloc[0].fillna("").str.strip())
    return rows[(rows.fillna("") != "").any(axis="columns")]


def _wrong_header(texts: pd.DataFrame) -> Iterator[str]:
    names = list(texts.columns)
    for name in _COLUMNS:
        if name not in names:
            yield f"line 1: column {name} is missing"
    for name in dict.fromkeys(names):
        if name not in _COLUMNS:
            yield f"line 1: column {_shown(name)} is not one of {', '.join(_COLUMNS)}"
        elif names.count(name) > 1:
            yield f"line 1: column {name} is there {names.count(name)} times, once is right"


def _wrong_values(texts: pd.DataFrame) -> Iterator[str]:
    """Say what is wrong in the columns that are known, line by line."""
    known = [name for name in _COLUMNS if list(texts.columns).count(name) == 1]
    try:
        _schema(known).validate(texts[known], lazy=True)
    except pa.errors.SchemaErrors as errors:
        found = errors.failure_cases.sort_values("index", kind="stable")
        for case in found.itertuples():
            yield f"line {case.index}: {case.column} {_problem(case)}"


def _wrong_whole(table: pd.DataFrame) -> Iterator[str]:
    if len(table) < LEAST_ROWS:
        yield f"it has {len(table)} rows, at least {LEAST_ROWS} are needed"
    elif (table[TARGET.name] == table[TARGET.name].iloc[0]).all():
        yield f"{TARGET.name} is {table[TARGET.name].iloc[0]:g} in every row: nothing to learn"


def _schema(names: list[str]) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {name: pa.Column(checks=_checks(_COLUMNS[name]), nullable=True) for name in names}
    )


def _checks(column: Column) -> list[pa.Check]:
    """One check a kind of problem: a value fails the first that it does not meet."""
    return [
        pa.Check(_is_there, element_wise=True, ignore_na=False, error="is missing"),
        pa.Check(
            lambda text: not _is_there(text) or not math.isnan(_number(text)),
            element_wise=True,
            error="not a number",
        ),
        pa.Check(
            lambda text: not _is_beyond(_number(text), column),
            element_wise=True,
            error=f"outside {column.limits} {column.unit}".rstrip(),
        ),
    ]


def _is_there(text: object) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _number(text: object) -> float:
    """The number that a text is, exactly as Python reads it, or NaN where it is none."""
    if not isinstance(text, str) or "_" in text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_beyond(value: float, column: Column) -> bool:
    """Whether a number makes no sense; what is no number is another check's."""
    below = value <= column.minimum if column.above_minimum else value < column.minimum
    return below or value > column.maximum


def _problem(case: Any) -> str:
    if not _is_there(case.failure_case):
        return str(case.check)
    return f"is {_shown(case.failure_case)}, {case.check}"


def _shown(text: str) -> str:
    cut = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return cut if not math.isnan(_number(cut)) else repr(cut)
