"""What was found out about a table, shown before it trains a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table as Shown

if TYPE_CHECKING:
    from rich.console import Console

    from training.columns import Column
    from training.own import Found
    from training.table import Table

_SHOWN_CATEGORIES: Final = 6


def show(found: Found, table: Table, console: Console) -> None:
    """Show each column's kind, unit, values, and what becomes of missing ones.

    Args:
        found: What a look over the table found.
        table: The table that came of it.
        console: Where to.
    """
    shown = Shown("column", "kind", "unit", "values", "missing", "a missing value", box=SIMPLE_HEAD)
    shown.columns[0].overflow = "fold"
    looks, schema = found.survey.looks, table.schema
    for name in found.features:
        column = schema.features[name]
        missing = str(looks[name].missing)
        cells = (name, column.kind, column.unit, _values(found, column), missing, column.missing)
        shown.add_row(*map(escape, cells))
    target = looks[schema.target.name]
    values = f"{target.minimum:g} to {target.maximum:g}"
    dropped = found.survey.dropped
    left_out = f"{dropped} {'row is' if dropped == 1 else 'rows are'} left out" if dropped else ""
    cells = (target.name, "target", schema.target.unit, values, str(dropped), left_out)
    shown.add_row(*map(escape, cells))
    console.print(shown)
    for name, why in found.unused.items():
        console.print(f"{name} is left out: {why}.", markup=False, highlight=False, soft_wrap=True)


def _values(found: Found, column: Column) -> str:
    look = found.survey.looks[column.name]
    if not column.is_category:
        return f"{look.minimum:g} to {look.maximum:g}"
    names = ", ".join(column.categories[:_SHOWN_CATEGORIES])
    more = len(column.categories) - _SHOWN_CATEGORIES
    return f"{names} and {more} more" if more > 0 else names
