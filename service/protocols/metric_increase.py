"""How much metrics have grown over a reload, as ``ReloadConfigRequest.metric_names`` asks.

Metrics go by the names of ``/metrics``. TensorFlow Serving's names count for the same where
there is a counterpart; where it would take the first set of labels, all are added up here.

References:
    tensorflow_serving/model_servers/model_service_impl.cc (GetMetrics, RecordMetricsIncrease).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class _Counterpart(NamedTuple):
    """What counts here what TensorFlow Serving counts.

    Attributes:
        name: A sample of ``/metrics``.
        factor: What one of its units is over there.
    """

    name: str
    factor: int = 1


COUNTERPARTS: Final[Mapping[str, _Counterpart]] = {
    "/tensorflow/serving/request_count": _Counterpart("hearth_requests_total"),
    "/tensorflow/cc/saved_model/load_attempt_count": _Counterpart("hearth_model_loads_total"),
    "/tensorflow/cc/saved_model/load_latency": _Counterpart(
        "hearth_model_load_seconds_sum", 1_000_000
    ),
}


def read_totals(exposition: bytes) -> dict[str, float]:
    """Every number of ``/metrics``, added up over its labels.

    Args:
        exposition: Prometheus's text.

    Returns:
        Totals by the name that the samples have there, such as ``hearth_requests_total``.
    """
    totals: dict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(exposition.decode()):
        for sample in family.samples:
            totals[sample.name] += sample.value
    return dict(totals)


def increases(
    names: Iterable[str], before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, int]:
    """By how much metrics have grown; of a name that is not known, 0, as there.

    Args:
        names: What is asked for; a name given twice counts once.
        before: What ``read_totals`` gave before.
        after: What it gave afterwards.
    """
    return {name: _total(name, after) - _total(name, before) for name in dict.fromkeys(names)}


def _total(name: str, totals: Mapping[str, float]) -> int:
    # A metric that Prometheus knows by TensorFlow's name has colons in place of its slashes.
    sample, factor = COUNTERPARTS.get(name, _Counterpart(name.replace("/", ":")))
    # A counter may go without its suffix; of a histogram, it is how many were observed.
    for known in (sample, f"{sample}_total", f"{sample}_count"):
        if known in totals:
            return int(totals[known] * factor)
    return 0
