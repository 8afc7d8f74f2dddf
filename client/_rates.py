"""What a server did between two readings of its metrics: rates, latency, errors, workers."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PAGES: Final = "http"  # the protocol of requests for pages, health and metrics
_LINE: Final = re.compile(r"([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPED: Final = re.compile(r"\\(.)")

_Key: TypeAlias = "tuple[str, tuple[tuple[str, str], ...]]"
_Samples: TypeAlias = "Mapping[_Key, float]"


@dataclass(frozen=True)
class Reading:
    """The metrics as they stood once.

    Attributes:
        at_s: When, on the client's clock.
        samples: Values by name and labels.
    """

    at_s: float
    samples: _Samples


@dataclass(frozen=True)
class Interval:
    """What happened between two readings.

    Attributes:
        requests: A second; pages, health and metrics are not counted.
        errors: A second.
        rows: A second.
        p50: Half of the requests were faster, seconds; None if there were none.
        p90: Nine in ten were.
        p99: 99 in 100 were.
        workers: That are up.
        routes: Requests a second by protocol, route, model with version, and outcome; most first.
    """

    requests: float
    errors: float
    rows: float
    p50: float | None
    p90: float | None
    p99: float | None
    workers: int
    routes: Sequence[tuple[tuple[str, str, str, str], float]]


def parse(text: str) -> dict[_Key, float]:
    """Read Prometheus's text form.

    Returns:
        Values by name and sorted labels.
    """
    samples: dict[_Key, float] = {}
    for line in text.splitlines():
        found = None if line.startswith("#") else _LINE.match(line)
        if found is not None:
            labels = [(name, _plain(it)) for name, it in _LABEL.findall(found[2] or "")]
            samples[found[1], tuple(sorted(labels))] = float(found[3])
    return samples


def between(before: Reading, after: Reading) -> Interval:
    """What happened between two readings, the second later than the first."""
    seconds = after.at_s - before.at_s
    grown = {
        key: value - before.samples.get(key, 0.0)
        # A counter that fell has begun anew.
        if value >= before.samples.get(key, 0.0)
        else value
        for key, value in after.samples.items()
    }
    routes = _routes(grown)
    buckets = _buckets(grown)
    return Interval(
        requests=sum(routes.values()) / seconds,
        errors=sum(count for (*_, outcome), count in routes.items() if outcome != "ok") / seconds,
        rows=sum(it for (name, _), it in grown.items() if name == "hearth_rows_total") / seconds,
        p50=quantile(buckets, 0.5),
        p90=quantile(buckets, 0.9),
        p99=quantile(buckets, 0.99),
        workers=round(after.samples.get(("hearth_workers", ()), 0)),
        routes=[(route, count / seconds) for route, count in routes.most_common() if count],
    )


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """The value below which a share of what was counted lies, by straight lines in buckets.

    Args:
        buckets: Upper bounds, ascending, and how many lie below each.
        share: Between 0 and 1.

    Returns:
        The value; the last finite bound if it lies beyond; None if nothing was counted.
    """
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    low, counted = 0.0, 0.0
    for high, below in buckets:
        if below >= share * total and below > counted:
            if math.isinf(high):
                break
            return low + (high - low) * (share * total - counted) / (below - counted)
        low, counted = high, below
    return low


def _routes(grown: _Samples) -> Counter[tuple[str, str, str, str]]:
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for (name, pairs), count in grown.items():
        labels = dict(pairs)
        if name == "hearth_requests_total" and labels["protocol"] != _PAGES:
            model = f"{labels['model']} {labels['version']}".strip()
            counts[labels["protocol"], labels["route"], model, labels["outcome"]] += round(count)
    return counts


def _buckets(grown: _Samples) -> list[tuple[float, float]]:
    counts: dict[float, float] = {}
    for (name, pairs), count in grown.items():
        labels = dict(pairs)
        if name == "hearth_request_seconds_bucket" and labels["protocol"] != _PAGES:
            bound = float(labels["le"])
            counts[bound] = counts.get(bound, 0.0) + count
    return sorted(counts.items())


def _plain(value: str) -> str:
    return _ESCAPED.sub(lambda it: "\n" if it[1] == "n" else it[1], value)
