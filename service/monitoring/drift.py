"""Whether requests and prices are still like the training's.

Each value is counted in the bin of the training's distribution that it falls in. Over a window of
time, and over all workers, the counts are compared with the training's by the population stability
index, and by a chi-square test of two samples, whose probabilities, adjusted for the number of
columns, decide on the verdict.
"""

from __future__ import annotations

import hashlib
import weakref
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from service.errors import ModelNotFound
from service.monitoring import stability
from service.monitoring.described import describe
from service.monitoring.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract import Contract, Distribution
    from service.exchange import Computed, Exchange
    from service.repository.version import ModelVersion

PARTS: Final = 12
# How often, of comparisons in which nothing has changed, any column is called drifted.
LEVEL: Final = 0.001
# Rows a bin, in the mean, below which a comparison says nothing.
_LEAST_ROWS_A_BIN: Final = 5
# What stands around a column's bins: too small, too great, no number.
_BELOW, _ABOVE, _MISSING = 0, -2, -1

DRIFTED: Final = "drifted"
ALIKE: Final = "as in training"
TOO_FEW: Final = "too few rows"


class ColumnDrift(msgspec.Struct, frozen=True):
    """How one column compares with its training.

    Attributes:
        column: The feature's name, or the output's.
        rows: Rows in the window that have a value.
        missing: Rows without one.
        out_of_range: Rows whose value is outside the training's least and greatest, or a
            category that it had not; of numbers they count in the outermost bins too.
        edges: Bounds of the bins; of a category there are none.
        categories: Of a category, what its bins are; the bin behind them is of any other.
        shares: Each bin's share of the rows; empty where there are none.
        training_shares: The training's.
        training_rows: Rows that those were counted in.
        psi: Population stability index; None without rows.
        psi_95: What it stays below in 95 of 100 windows of so many rows if nothing has changed.
        psi_99_9: The same in 999 of 1000.
        statistic: Chi-square of the two samples.
        degrees_of_freedom: Of it.
        p_value: How probable as great a statistic is if nothing has changed.
        p_adjusted: The same, adjusted for the number of columns after Holm.
        verdict: ``as in training``, ``drifted`` or ``too few rows``.
    """

    column: str
    rows: int
    missing: int
    out_of_range: int
    edges: tuple[float, ...]
    categories: tuple[str, ...]
    shares: list[float]
    training_shares: list[float]
    training_rows: int
    psi: float | None = None
    psi_95: float | None = None
    psi_99_9: float | None = None
    statistic: float | None = None
    degrees_of_freedom: int = 0
    p_value: float = 1.0
    p_adjusted: float = 1.0
    verdict: str = TOO_FEW


class Report(msgspec.Struct, frozen=True):
    """How what a version was asked and answered compares with its training.

    Attributes:
        model: The model.
        version: Its version.
        window_s: Seconds that are looked back, by all workers.
        rows: Rows in that window.
        level: How often any column is called drifted wrongly.
        drifted: Names of the columns that are.
        columns: The features in their order, then the price.
    """

    model: str
    version: int
    window_s: float
    rows: int
    level: float
    drifted: list[str]
    columns: list[ColumnDrift]


@dataclass(frozen=True)
class Column:
    """One column of the training to count by.

    Attributes:
        name: Its name.
        training: How the training's values were distributed.
        place: Where it stands among the features and the price behind them.
        categories: What a category's values are, by number; empty for a number.
    """

    name: str
    training: Distribution
    place: int = 0
    categories: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Bins, and what stands around them."""
        return len(self.training.shares) + 3

    def count(self, values: NDArray[Any]) -> NDArray[np.int64]:
        """How many values are too small, in each bin, too great, and no number.

        Args:
            values: float32 ``[n]``.
        """
        bins = len(self.training.shares)
        bounds = np.array(self.training.edges, np.float32)
        if self.categories:
            bounds = np.arange(bins + 1, dtype=np.float32) - 0.5
        # The first bin has its lower bound too.
        bounds[0] = np.nextafter(bounds[0], np.float32(-np.inf))
        places = np.searchsorted(bounds, values, side="left")
        places[np.isnan(values)] = bins + 2
        return np.bincount(places, minlength=self.width).astype(np.int64)

    def compare(self, counts: NDArray[np.int64]) -> ColumnDrift:
        """Compare with the training; how many columns there are is not heeded yet.

        Args:
            counts: What ``count`` gave, added up.
        """
        here, there = self._binned(counts)
        rows = int(here.sum())
        compared = ColumnDrift(
            column=self.name,
            rows=rows,
            missing=int(counts[_MISSING]),
            out_of_range=int(counts[_BELOW] + counts[_ABOVE]),
            edges=() if self.categories else self.training.edges,
            categories=self.categories,
            shares=(here / rows).tolist() if rows else [],
            training_shares=(there / there.sum()).tolist(),
            training_rows=self.training.rows,
        )
        return compared if rows == 0 else self._tested(compared, here, there)

    def _tested(
        self, compared: ColumnDrift, here: NDArray[np.int64], there: NDArray[np.float64]
    ) -> ColumnDrift:
        rows, reference = compared.rows, self.training.rows
        statistic, degrees = stability.two_sample(here, there)
        limits = [
            stability.index_quantile(it, rows, reference, degrees) for it in (0.95, 1 - LEVEL)
        ]
        enough = rows >= _LEAST_ROWS_A_BIN * len(self.training.shares)
        return msgspec.structs.replace(
            compared,
            psi=stability.stability_index(here, there),
            psi_95=limits[0],
            psi_99_9=limits[1],
            statistic=statistic,
            degrees_of_freedom=degrees,
            p_value=stability.chi_square_tail(statistic, degrees) if enough else 1.0,
            verdict=ALIKE if enough else TOO_FEW,
        )

    def _binned(self, counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Counts by bin, here and in training.

        Numbers beyond the training's range belong to the outermost bins. What a category had not,
        and what is not the one value of a column that had only one, has bins of its own.
        """
        there = np.array(self.training.shares) * self.training.rows
        if self.categories:
            return counts[1:_MISSING], np.append(there, 0.0)
        if len(there) == 1:
            return counts[:_MISSING], np.concatenate([[0.0], there, [0.0]])
        here = counts[1:_ABOVE].copy()
        here[0] += counts[_BELOW]
        here[-1] += counts[_ABOVE]
        return here, there


class _Reference:
    """The training of one version, and what was counted since; without columns if unknown."""

    def __init__(
        self, version: ModelVersion, contract: Contract, window: Window, columns: Sequence[Column]
    ) -> None:
        self.version = weakref.ref(version)
        self.contract = contract
        self.window = window
        self.columns = columns

    def count(self, several: Iterable[Computed]) -> None:
        """Count the rows of requests that this version has answered."""
        described = (describe(self.contract, it) for it in several)
        known = [it for it in described if it is not None]
        if not known:
            return
        features = np.concatenate([it.features for it in known])
        prices = np.concatenate([it.prices for it in known])
        values = [*features.T, prices]
        counts = [column.count(values[column.place]) for column in self.columns]
        self.window.add(np.concatenate([[len(features)], *counts]))

    def compare(self) -> tuple[int, list[ColumnDrift]]:
        """Rows in the window, and how each column compares, the verdict included."""
        total = self.window.total()
        ends = np.cumsum([1, *(it.width for it in self.columns)])
        compared = [
            column.compare(total[start:end])
            for column, (start, end) in zip(self.columns, pairwise(ends), strict=True)
        ]
        return int(total[0]), judged(compared)


def judged(compared: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """Comparisons with their verdicts, which depend on how many columns there are."""
    adjusted = stability.holm([it.p_value for it in compared])
    return [
        msgspec.structs.replace(it, p_adjusted=p, verdict=DRIFTED if p < LEVEL else it.verdict)
        for it, p in zip(compared, adjusted, strict=True)
    ]


class Drift:
    """Counts what versions are asked and answer, and compares it with their training.

    Args:
        folder: Where the workers keep their counts.
        window_s: Seconds to look back.
    """

    def __init__(self, folder: Path, window_s: float) -> None:
        self._folder = folder
        self._window_s = window_s
        self._references: dict[tuple[str, int], _Reference] = {}

    def observe(self, exchanges: Sequence[Exchange]) -> None:
        """Count requests; see ``Observer``."""
        by_version: dict[int, tuple[ModelVersion, list[Computed]]] = {}
        for exchange in exchanges:
            computed = exchange.computed
            if computed is not None:
                version = computed.version
                by_version.setdefault(id(version), (version, []))[1].append(computed)
        for version, several in by_version.values():
            reference = self._reference(version)
            if reference is not None:
                reference.count(several)

    def report(self, version: ModelVersion) -> Report:
        """Compare what a version was asked and answered with its training.

        Raises:
            ModelNotFound: It does not say how its training's values were distributed.
        """
        reference = self._reference(version)
        if reference is None:
            raise ModelNotFound(
                f"version {version.number} of {version.model} does not say how the values that it "
                "was trained on were distributed: there is nothing to compare with"
            )
        rows, columns = reference.compare()
        return Report(
            model=version.model,
            version=version.number,
            window_s=self._window_s,
            rows=rows,
            level=LEVEL,
            drifted=[it.column for it in columns if it.verdict == DRIFTED],
            columns=columns,
        )

    def _reference(self, version: ModelVersion) -> _Reference | None:
        contract, place = version.contract, (version.model, version.number)
        if contract is None:
            return None
        known = self._references.get(place)
        if known is None or known.contract is not contract:
            known = self._made(version, contract)
            # What is served no longer is let go.
            served = {at: it for at, it in self._references.items() if it.version() is not None}
            self._references = served | {place: known}
        return known if known.columns else None

    def _made(self, version: ModelVersion, contract: Contract) -> _Reference:
        columns = _columns(contract)
        # Of another training under the same number nothing may be added up.
        described = [(it.name, it.training, it.categories) for it in columns]
        what = msgspec.json.encode([version.model, version.number, described])
        name = hashlib.sha256(what).hexdigest()[:32]
        width = 1 + sum(it.width for it in columns)
        window = Window(self._folder / name, width, self._window_s, PARTS)
        return _Reference(version, contract, window, columns)


def _columns(contract: Contract) -> list[Column]:
    """What can be compared: the features, and the price, whose distribution is told in bins."""
    features = contract.features
    columns = [
        Column(it.name, it.training, place, it.categories) for place, it in enumerate(features)
    ]
    if contract.target.predicted is not None:
        columns.append(Column(contract.output, contract.target.predicted, len(features)))
    return [it for it in columns if it.training.shares and it.training.rows]
