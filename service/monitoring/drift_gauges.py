"""Drift for Prometheus: worked out when it is asked for, by whichever worker is asked.

Each worker reads the counts of all, so that nothing is to be added up and nothing can be stale.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.errors import ModelNotFound
from service.monitoring.drift import DRIFTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from service.monitoring.drift import ColumnDrift, Drift, Report
    from service.repository.version import ModelVersion

_VERSION: Final = ("model", "version")
_COLUMN: Final = (*_VERSION, "column")
_ROWS: Final = ("hearth_drift_rows", "Rows in the window that drift is looked for in.")
_GAUGES: Final[dict[str, tuple[str, Callable[[ColumnDrift], float | None]]]] = {
    "hearth_drift_psi": (
        "Population stability index of a column against its training.",
        lambda it: it.psi,
    ),
    "hearth_drift_psi_threshold": (
        "What the index stays below in 999 of 1000 windows of so many rows without drift.",
        lambda it: it.psi_99_9,
    ),
    "hearth_drift_statistic": (
        "Chi-square of a column's values and its training's, counted in the same bins.",
        lambda it: it.statistic,
    ),
    "hearth_drift_p_value": (
        "How probable as great a statistic is without drift, adjusted for the number of columns.",
        lambda it: it.p_adjusted,
    ),
    "hearth_drift_detected": (
        "1 for a column that is called drifted, else 0.",
        lambda it: float(it.verdict == DRIFTED),
    ),
    "hearth_drift_out_of_range_rows": (
        "Rows in the window outside the training's least and greatest value.",
        lambda it: it.out_of_range,
    ),
    "hearth_drift_missing_rows": (
        "Rows in the window without a value.",
        lambda it: it.missing,
    ),
}


class DriftGauges(Collector):
    """The gauges of all versions that are served and can be compared with their training.

    Args:
        drift: What compares.
        served: The versions that are served.
    """

    def __init__(self, drift: Drift, served: Callable[[], Iterable[ModelVersion]]) -> None:
        self._drift = drift
        self._served = served

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Compare now."""
        reports = list(self._reports())
        rows = GaugeMetricFamily(*_ROWS, labels=_VERSION)
        for report in reports:
            rows.add_metric([report.model, str(report.version)], report.rows)
        yield rows
        for name, (meaning, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(name, meaning, labels=_COLUMN)
            for report in reports:
                for column in report.columns:
                    labels = [report.model, str(report.version), column.column]
                    found = value(column)
                    gauge.add_metric(labels, math.nan if found is None else found)
            yield gauge

    def _reports(self) -> Iterator[Report]:
        for version in self._served():
            try:
                yield self._drift.report(version)
            except ModelNotFound:  # an older version, or another's: nothing to compare with
                continue
