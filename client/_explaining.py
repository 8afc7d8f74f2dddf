"""An explanation on the terminal: a bar a feature."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from client._contract import Contract
    from client._explanation import Explanation, Outside, Unusual

_BAR_CHARACTERS: Final = 30
_NEVER_FOLDED: Final = 100_000


def document(found: Explanation, unit: str | None) -> dict[str, Any]:
    """An explanation for machines."""
    return {**dataclasses.asdict(found), "unit": unit}


def show(found: Explanation, contract: Contract | None, stream: TextIO) -> None:
    """Print what each feature adds, the largest first, and what is odd about the house.

    Args:
        found: The explanation.
        contract: Units; None where the server describes none.
        stream: Where it goes.
    """
    from rich.console import Console  # noqa: PLC0415  only this table pays for it
    from rich.table import Table  # noqa: PLC0415  only this table pays for it

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    table.add_row("base", f"{found.base:.2f}", "")
    for name, added in _by_size(found):
        table.add_row(name, _signed(added, found.errors.get(name)), _bar(added, found))
    unit = f" {contract.target.unit}" if contract else ""
    table.add_row("price", f"{found.price:.2f}", unit.strip())
    width = None if stream.isatty() else _NEVER_FOLDED
    console = Console(file=stream, markup=False, highlight=False, width=width)
    console.print(table)
    for remark in _remarks(found, contract):
        console.print(remark)


def _by_size(found: Explanation) -> list[tuple[str, float]]:
    return sorted(found.contributions.items(), key=lambda it: -abs(it[1]))


def _signed(added: float, error: float | None) -> str:
    return f"{added:+.2f}" if error is None else f"{added:+.2f} ± {error:.2f}"


def _bar(added: float, found: Explanation) -> str:
    """A bar as long as the contribution; the largest fills the width, and less than 0 is pale."""
    largest = max(map(abs, found.contributions.values())) or 1.0
    return ("█" if added > 0 else "░") * round(abs(added) / largest * _BAR_CHARACTERS)


def _remarks(found: Explanation, contract: Contract | None) -> list[str]:
    units = {it.name: it.unit for it in contract.features} if contract else {}
    remarks = [_outside(it, units.get(it.feature, "")) for it in found.outside]
    return [*remarks, _unusual(found.unusual)] if found.unusual else remarks


def _outside(it: Outside, unit: str) -> str:
    if isinstance(it.value, str):
        return (
            f"{it.feature} is {it.value}, which was in no training row: taken for the mean of all"
        )
    shown = "" if unit in {"", "1"} else f" {unit}"
    deviations = "" if it.deviations is None else f", {it.deviations:g} standard deviations"
    return (
        f"{it.feature} is {it.value:g}{shown}, outside of training ({it.minimum:g} to "
        f"{it.maximum:g}) by {it.by:g}{deviations}"
    )


def _unusual(it: Unusual) -> str:
    return (
        f"it is unlike every training row: {it.distance:g} standard deviations from the nearest, "
        f"up to {it.limit:g} is usual"
    )
