"""The benchmark of a front before a fleet, in short."""

from __future__ import annotations

from benchmarks.fleet import measure


def test_every_way_to_the_fleet_is_measured(housing_models):
    found = measure(housing_models, seconds=1.0, rounds=1, connections=4)
    assert len(found) == 5
    assert all(it.rate > 0 and it.p50_ms <= it.p99_ms for it in found.values())
