"""Requests counted by the training's bins, and what is said of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from service.errors import ModelNotFound
from service.exchange import Computed, Exchange
from service.monitoring.drift import ALIKE, DRIFTED, TOO_FEW, Drift
from service.monitoring.drift_gauges import DriftGauges
from service.monitoring.observations import Observations
from tests.unit.service.fakes import contract, distribution, version

if TYPE_CHECKING:
    from service.contract import Distribution

# Ten equal bins over [0, 10], as 1000 training rows filled them; of the price over [0, 30].
TENTHS = tuple(float(it) for it in range(11))


def described(edges=TENTHS, shares=None, rows=1000) -> Distribution:
    bins = len(edges) - 1
    return msgspec.structs.replace(
        distribution(), edges=edges, shares=shares or (1 / bins,) * bins, rows=rows
    )


def compared_version(**features: Distribution):
    """A version whose features are all distributed alike, but for those given."""
    plain = contract()
    changed = tuple(
        msgspec.structs.replace(it, training=features.get(it.name, described()))
        for it in plain.features
    )
    price = described(tuple(3 * it for it in TENTHS))
    target = msgspec.structs.replace(plain.target, predicted=price)
    made = version()
    object.__setattr__(made, "contract", contract(features=changed, target=target))
    return made


def asked(of, batch, prices=None, name="features") -> Exchange:
    batch = np.array(batch, np.float32)
    prices = batch.sum(axis=1) if prices is None else np.array(prices, np.float32)
    exchange = Exchange("id", "POST", "/", "", 0.0, rows=len(batch))
    exchange.answers(of)
    exchange.computed = Computed(of, "serving_default", {name: batch}, {"price": prices})
    return exchange


def alike(rows: int) -> np.ndarray:
    """Rows that fill all ten bins evenly, the three features apart from one another."""
    column = (np.arange(rows) % 10 + 0.5).astype(np.float32)
    return np.stack([column, np.roll(column, 3), np.roll(column, 7)], axis=1)


def evenly(rows: int) -> np.ndarray:
    return (np.arange(rows) % 10 + 0.5) * 3


@pytest.fixture
def drift(tmp_path):
    return Drift(tmp_path / "drift", 3600)


def columns(report):
    return {it.column: it for it in report.columns}


def test_values_are_counted_in_the_training_s_bins(drift):
    of = compared_version()
    # The first bin is [0, 1], the second (1, 2]; 10 is the training's greatest value.
    drift.observe([asked(of, [[0, 1, 1.5], [10, 10.5, -1]], [1.0, np.nan])])

    found = columns(drift.report(of))
    assert found["RM"].shares == [0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]
    assert found["AGE"].shares == [0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0.5]
    assert found["AGE"].out_of_range == 1
    assert found["LSTAT"].shares == [0.5, 0.5, 0, 0, 0, 0, 0, 0, 0, 0]
    assert found["LSTAT"].out_of_range == 1
    assert (found["price"].rows, found["price"].missing) == (1, 1)


def test_a_decimal_edge_is_the_number_that_requests_carry(drift):
    # 20.2 as float32 is greater than 20.2: compared as float64 it would be above its own bin.
    of = compared_version(RM=described((0.0, 20.2, 40.0)))
    drift.observe([asked(of, [[20.2, 1, 1]])])

    assert columns(drift.report(of))["RM"].shares == [1, 0]


def test_named_columns_are_counted_like_a_batch(drift):
    of = compared_version()
    exchange = asked(of, [[1, 2, 3]])
    named = {name: np.float32([it]) for name, it in (("LSTAT", 3), ("RM", 1), ("AGE", 2))}
    exchange.computed = msgspec.structs.replace(exchange.computed, inputs=named)
    drift.observe([exchange])

    found = columns(drift.report(of))
    assert [found[it].shares.index(1) for it in ("RM", "AGE", "LSTAT")] == [0, 1, 2]


def test_rows_like_the_training_s_are_not_drift(drift):
    of = compared_version()
    drift.observe([asked(of, alike(2000), evenly(2000))])

    report = drift.report(of)
    assert report.rows == 2000
    assert report.drifted == []
    assert {it.verdict for it in report.columns} == {ALIKE}
    assert all(it.psi < it.psi_95 < it.psi_99_9 for it in report.columns)


def test_a_column_that_moves_is_named_and_no_other(drift):
    of, batch = compared_version(), alike(2000)
    batch[:, 1] = np.minimum(batch[:, 1] + 2, 9.5)
    drift.observe([asked(of, batch, evenly(2000))])

    report = drift.report(of)
    assert report.drifted == ["AGE"]
    found = columns(report)
    assert found["AGE"].verdict == DRIFTED
    assert found["AGE"].psi > found["AGE"].psi_99_9
    assert found["AGE"].p_adjusted < 1e-12


def test_few_rows_decide_nothing(drift):
    of = compared_version()
    drift.observe([asked(of, np.full((49, 3), 9.5), np.full(49, 28.5))])
    assert {it.verdict for it in drift.report(of).columns} == {TOO_FEW}

    drift.observe([asked(of, np.full((1, 3), 9.5), [28.5])])
    assert {it.verdict for it in drift.report(of).columns} == {DRIFTED}


def test_before_the_first_row_there_are_no_numbers(drift):
    report = drift.report(compared_version())

    assert report.rows == 0
    assert {(it.psi, it.verdict) for it in report.columns} == {(None, TOO_FEW)}


def test_a_column_that_never_varied_drifts_when_it_does(drift):
    of = compared_version(RM=described((5.0, 5.0), (1.0,)))
    batch = alike(500)
    batch[:, 0] = 5
    drift.observe([asked(of, batch, evenly(500))])
    assert drift.report(of).drifted == []

    batch[:, 0] = 6
    drift.observe([asked(of, batch, evenly(500))])
    assert drift.report(of).drifted == ["RM"]


@pytest.mark.parametrize("of", [version(), version(described=False)])
def test_a_version_that_does_not_tell_its_distribution_cannot_be_compared(drift, of):
    drift.observe([asked(of, [[1, 2, 3]])])

    with pytest.raises(ModelNotFound, match="nothing to compare with"):
        drift.report(of)


def test_columns_whose_distribution_is_not_told_are_passed_over(drift):
    of = compared_version(RM=distribution())
    drift.observe([asked(of, [[9, 0.5, 1.5]])])

    found = columns(drift.report(of))
    assert list(found) == ["AGE", "LSTAT", "price"]
    assert [found[it].shares.index(1) for it in ("AGE", "LSTAT", "price")] == [0, 1, 3]


def test_what_is_no_batch_of_the_contract_s_is_not_counted(drift):
    of = compared_version()
    drift.observe([asked(of, [[1, 2, 3]], name="other")])

    assert drift.report(of).rows == 0


def test_another_training_under_the_same_number_begins_anew(drift):
    first, second = compared_version(), compared_version(RM=described(rows=2000))
    drift.observe([asked(first, [[1, 2, 3]])])
    drift.observe([asked(second, [[1, 2, 3]] * 2)])

    assert drift.report(first).rows == 1
    assert drift.report(second).rows == 2


def test_what_is_served_no_longer_is_not_kept(drift):
    gone = compared_version()
    object.__setattr__(gone, "number", 1)
    drift.observe([asked(gone, [[1, 2, 3]])])
    del gone

    served = compared_version()
    object.__setattr__(served, "number", 2)
    drift.observe([asked(served, [[1, 2, 3]] * 2)])

    assert [number for _, number in drift._references] == [2]
    assert drift.report(served).rows == 2


def test_prometheus_is_told_the_same(drift):
    of = compared_version()
    batch = alike(1000)
    batch[:, 0] = 9.5
    drift.observe([asked(of, batch, evenly(1000))])
    registry = CollectorRegistry()
    registry.register(DriftGauges(drift, lambda: [version(2), of]))

    def gauge(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"model": "housing", "version": "1", **labels})

    report = columns(drift.report(of))
    assert gauge("hearth_drift_rows") == 1000
    assert gauge("hearth_drift_psi", column="RM") == report["RM"].psi
    assert gauge("hearth_drift_detected", column="RM") == 1
    assert gauge("hearth_drift_detected", column="AGE") == 0


class Eye:
    """An observer that remembers."""

    def __init__(self, failing: bool = False) -> None:
        self.seen: list[Exchange] = []
        self.failing = failing

    def observe(self, exchanges) -> None:
        if self.failing:
            raise ZeroDivisionError
        self.seen += exchanges


def watched(*eyes: Eye):
    skipped: list[tuple[str, str, int]] = []
    return Observations(eyes, lambda *it: skipped.append(it)), skipped


def test_what_was_answered_well_is_observed_once():
    eye = Eye()
    observations, skipped = watched(eye)
    good, bad = asked(version(), [[1, 2, 3]]), asked(version(), [[1, 2, 3]])
    bad.outcome = "InternalError"
    unreal = asked(version(), [[1, 2, 3]])
    unreal.observed = False
    for it in (good, bad, unreal, Exchange("id", "GET", "/", "", 0.0)):
        observations.take(it)
    observations.hand_on()
    observations.hand_on()

    assert eye.seen == [good]
    assert skipped == []


def test_what_does_not_fit_is_counted():
    eye = Eye()
    observations, skipped = watched(eye)
    for _ in range(1500):
        observations.take(asked(version(), [[1, 2, 3]] * 2))
    observations.hand_on()

    assert len(eye.seen) == 1024
    assert skipped == [("housing", "1", 2 * (1500 - 1024))]


def test_of_a_large_request_rows_from_its_whole_length_are_kept():
    eye = Eye()
    observations, skipped = watched(eye)
    observations.take(asked(version(), np.arange(300_000).reshape(100_000, 3)))
    observations.hand_on()

    batch = eye.seen[0].computed.inputs["features"]
    # 16 bytes a row, its price included, and 16 KiB in all.
    assert len(batch) == 1024
    assert (batch[0, 0], batch[-1, 0]) == (0, 299_997)
    assert skipped == [("housing", "1", 100_000 - 1024)]


def test_a_row_that_is_too_large_is_left_out():
    eye = Eye()
    observations, skipped = watched(eye)
    observations.take(asked(version(), np.zeros((1, 10_000))))
    observations.hand_on()

    assert eye.seen == []
    assert skipped == [("housing", "1", 1)]


def test_an_observer_that_fails_does_not_blind_the_others(caplog):
    eye = Eye()
    observations, _ = watched(Eye(failing=True), eye)
    observations.take(asked(version(), [[1, 2, 3]]))
    observations.hand_on()

    assert len(eye.seen) == 1
    assert "could not be observed" in caplog.text


def test_threads_lose_nothing():
    eye = Eye()
    observations, skipped = watched(eye)
    threads = [
        threading.Thread(
            target=lambda: [observations.take(asked(version(), [[1, 2, 3]])) for _ in range(200)]
        )
        for _ in range(4)
    ]
    for it in threads:
        it.start()
    while any(it.is_alive() for it in threads):
        observations.hand_on()
    observations.hand_on()

    assert len(eye.seen) + sum(rows for *_, rows in skipped) == 800
