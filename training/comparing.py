"""Two versions side by side: for people as a table or a page, for programs as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from training import data_card, fingerprint, flags, measures, own, plots, publish, table
from training.comparison import held_out, open_version, pair
from training.errors import PublishError
from training.report import Picture, environment, estimate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from rich.console import Console

    from service.contract import Estimate, Slice
    from training.comparison import Paired, Version


@dataclass(frozen=True)
class Side:
    """One version on the rows.

    Attributes:
        version: Which.
        errors: Its absolute errors, ``[n]``, in the target's unit.
        slices: How good it is, on all rows and on kinds of them.
    """

    version: Version
    errors: NDArray[np.float64]
    slices: list[Slice]


@dataclass(frozen=True)
class Compared:
    """Two versions on the same rows.

    Attributes:
        one: The one.
        other: The other.
        paired: The one beside the other.
        differences: By kind of rows, the one's mean absolute error less the other's.
        seen: Versions that may have learned from some of the rows.
    """

    one: Side
    other: Side
    paired: Paired
    differences: dict[str, Estimate]
    seen: list[str]

    @property
    def unit(self) -> str:
        """The target's unit."""
        return self.one.version.described.target.unit


def compare(one: Path, other: Path, data: Path, content: bytes) -> Compared:
    """Compare two versions.

    Args:
        one: The folder of the one.
        other: Of the other.
        data: The table to compare them on.
        content: Its bytes.

    Raises:
        CompareError: They cannot be compared.
        TableError: The table cannot be used.
    """
    versions = [open_version(one), open_version(other)]
    table_sha256 = fingerprint.hash_data(content)
    rows = held_out(_table(data, content, versions), table_sha256, versions)
    truth = rows[versions[0].described.target.name].to_numpy(np.float64)
    known = data_card.read(data)
    kinds = measures.kinds(rows, truth, () if known is None else known.groups)
    predicted = [it.predict(rows) for it in versions]
    first, second = (_side(*it, truth, kinds) for it in zip(versions, predicted, strict=True))
    lost = first.errors - second.errors
    return Compared(
        first,
        second,
        pair(truth, *predicted),
        {name: measures.mean(lost[those]) for name, those in kinds.items()},
        [it.name for it in versions if it.described.lineage.data_sha256 != table_sha256],
    )


def _table(data: Path, content: bytes, versions: Sequence[Version]) -> pd.DataFrame:
    """The table with all columns that the versions read."""
    target = versions[0].described.recipe.get("target")
    if not target:
        return table.read(content, str(data))
    described = flags.described_beside(data)
    place = own.Place(data, b"" if described is None else described.read_bytes())
    return own.whole(place, target, [it for one in versions for it in one.described.feature_names])


def listed(compared: Compared) -> dict[str, Any]:
    """A comparison as JSON has it.

    Args:
        compared: The comparison.
    """
    return {
        "rows": compared.paired.rows,
        "unit": compared.unit,
        "versions": [
            {"version": int(it.version.folder.name), "slices": msgspec.to_builtins(it.slices)}
            for it in (compared.one, compared.other)
        ],
        "p_value": compared.paired.p_value,
        "differences": msgspec.to_builtins(compared.differences),
        "may_have_seen_rows": compared.seen,
    }


def show(compared: Compared, console: Console) -> None:
    """Show a comparison as a table and two sentences.

    Args:
        compared: The comparison.
        console: Where to.
    """
    from rich.table import Table  # noqa: PLC0415 - for people alone

    shown = Table("test rows", box=None, header_style="bold")
    for title in _titles(compared):
        shown.add_column(title, justify="right")
    for row in _rows(compared):
        shown.add_row(*row)
    console.print(shown)
    for line in sentences(compared):
        console.print(line, soft_wrap=True)


def write_report(compared: Compared, page: Path) -> None:
    """Write a comparison as a page that needs no other file.

    Args:
        compared: The comparison.
        page: Where to.

    Raises:
        PublishError: It cannot be written there.
    """
    draw = partial(_errors, compared)
    picture = Picture(
        "errors",
        f"Absolute error of {compared.one.version.name} against that of "
        f"{compared.other.version.name}, one point a test row",
        draw(plots.LIGHT),
        draw(plots.DARK),
    )
    text = (
        environment()
        .get_template("comparison.html")
        .render(
            model=compared.one.version.described.model,
            names=[it.version.name for it in (compared.one, compared.other)],
            titles=_titles(compared),
            rows=list(_rows(compared)),
            sentences=sentences(compared),
            picture=picture,
            colours={"light": plots.LIGHT, "dark": plots.DARK},
        )
    )
    try:
        publish.write_beside(page, text.encode())
    except OSError as error:
        raise PublishError(f"{page} cannot be written: {error.strerror}") from error


def sentences(compared: Compared) -> list[str]:
    """What a comparison comes to, in words.

    Args:
        compared: The comparison.
    """
    paired, one, other = compared.paired, compared.one.version.name, compared.other.version.name
    return [
        (
            f"On {paired.rows} rows that taught neither, {one} errs by {paired.mae:.3f}"
            f"{compared.unit and f' {compared.unit}'} in the mean and {other} by "
            f"{paired.mae_before:.3f}: "
            f"{estimate(paired.difference, '+.3f')}, with the 95 % interval of the difference."
        ),
        (
            f"Permutation test on the paired absolute errors, one-sided, that {one} is no better: "
            f"p {paired.p_value:.2g}."
        ),
        *(f"{name} was made from another table and may know some rows." for name in compared.seen),
    ]


def _side(
    version: Version,
    predicted: NDArray[np.float64],
    truth: NDArray[np.float64],
    kinds: dict[str, NDArray[np.bool_]],
) -> Side:
    return Side(version, np.abs(predicted - truth), measures.slices(kinds, truth, predicted))


def _titles(compared: Compared) -> list[str]:
    one, other = compared.one.version.name, compared.other.version.name
    return ["rows", f"MAE of {one}", f"MAE of {other}", "difference"]


def _rows(compared: Compared) -> Iterator[list[str]]:
    for mine, theirs in zip(compared.one.slices, compared.other.slices, strict=True):
        yield [
            mine.name,
            str(mine.rows),
            estimate(mine.metrics["mae"]),
            estimate(theirs.metrics["mae"]),
            estimate(compared.differences[mine.name], "+.2f"),
        ]
    mine, theirs = compared.one.slices[0], compared.other.slices[0]
    for metric, form in (("mse", ".1f"), ("r2", ".3f")):
        figures = [estimate(it.metrics[metric], form) for it in (mine, theirs)]
        yield [f"{mine.name}: {metric.upper()}", str(mine.rows), *figures, ""]


def _errors(compared: Compared, theme: plots.Theme) -> bytes:
    """Each row's two errors, with the line where they are equal."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        one, other = compared.one, compared.other
        end = 1.05 * max(float(one.errors.max()), float(other.errors.max()))
        axes.plot([0, end], [0, end], color=theme.quiet, linewidth=1, label="equal")
        axes.scatter(other.errors, one.errors, s=18, alpha=0.7, color=theme.first, linewidths=0)
        axes.set(
            xlabel=", ".join(filter(None, (other.version.name, compared.unit))),
            ylabel=", ".join(filter(None, (one.version.name, compared.unit))),
            xlim=(0, end),
            ylim=(0, end),
            aspect="equal",
        )
        axes.legend()

    return plots.image(draw, (4.6, 4.4), theme, plots.PNG)
