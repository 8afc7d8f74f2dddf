"""The simulation keeps to the formulas, the fluid to the simulation, and the plan to both."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.capacity import __main__ as command
from benchmarks.capacity import arrivals, fluid, plan, queueing, simulation
from benchmarks.capacity.scaling import Autoscaler, Policy
from benchmarks.capacity.simulation import Workers

SERVICE_S = 0.01


def exponential(seed: int = 3):
    random = np.random.default_rng(seed)
    return lambda: float(random.exponential(SERVICE_S))


def waits_s(outcome: simulation.Outcome) -> float:
    return float(outcome.latency_s.mean()) - SERVICE_S


@pytest.mark.parametrize(
    ("servers", "load", "waits"),
    [
        (1, 0.5, 0.5),  # M/M/1: as many wait as it is busy
        (2, 1.0, 1 / 3),  # by hand: (1/2)/(1-1/2) over 1 + 1 + that
        (10, 8.0, 0.409),  # Erlang's table
    ],
)
def test_share_that_waits_is_erlangs(servers, load, waits):
    assert queueing.erlang_c(servers, load) == pytest.approx(waits, abs=5e-4)


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.5), (1, 0.8), (4, 0.8), (8, 0.9)])
def test_simulated_wait_is_that_of_m_m_c(servers, busy):
    rate = servers * busy / SERVICE_S
    times_s = arrivals.poisson(rate, 60_000 / rate, 7)

    found = simulation.simulate(times_s, exponential(), Workers(servers))

    assert waits_s(found) == pytest.approx(
        queueing.mmc_wait_s(servers, rate, SERVICE_S), rel=0.12, abs=2e-4
    )
    quantile_s = queueing.mmc_wait_quantile_s(servers, rate, SERVICE_S, 0.9)
    answered_later = np.mean(found.latency_s > quantile_s)
    assert 0.1 < answered_later < 0.4  # the wait alone is beyond it in one of ten


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.9])
def test_simulated_wait_is_that_of_m_d_1(busy):
    rate = busy / SERVICE_S
    times_s = arrivals.poisson(rate, 60_000 / rate, 7)

    found = simulation.simulate(times_s, lambda: SERVICE_S, Workers(1))

    assert waits_s(found) == pytest.approx(queueing.md1_wait_s(rate, SERVICE_S), rel=0.12)
    p99_s = SERVICE_S + queueing.md1_wait_quantile_s(busy, SERVICE_S, 0.99)
    assert found.percentile_ms(99) / 1000 == pytest.approx(p99_s, rel=0.15)


def test_full_line_sheds_as_m_m_1_k_does():
    """Of Poisson arrivals at K places the share (1 - r) r^K / (1 - r^(K + 1)) finds all taken."""
    busy, places = 0.9, 3
    times_s = arrivals.poisson(busy / SERVICE_S, 600, 7)

    found = simulation.simulate(times_s, exponential(), Workers(1, places))

    expected = (1 - busy) * busy**places / (1 - busy ** (places + 1))
    assert found.shed_share == pytest.approx(expected, rel=0.05)


def test_overload_is_shed_and_what_is_answered_waits_no_longer_than_the_places():
    found = simulation.simulate(
        arrivals.poisson(2 / SERVICE_S, 50, 7), lambda: SERVICE_S, Workers(1, 5)
    )

    assert found.shed_share == pytest.approx(0.5, abs=0.02)
    assert found.latency_s.max() <= 5 * SERVICE_S * (1 + 1e-9)
    assert found.rate(50) == pytest.approx(1 / SERVICE_S, rel=0.02)


def test_bursts_come_at_both_rates_and_a_day_has_its_mean():
    rate = arrivals.bursts((100.0, 1000.0), (5.0, 1.0), 2000)
    seconds = np.arange(0, 2000, 0.1)
    share = np.mean([rate(float(it)) == 1000.0 for it in seconds])
    assert share == pytest.approx(1 / 6, abs=0.04)
    times_s = arrivals.thinned(rate, 1000.0, 2000, 5)
    assert len(times_s) == pytest.approx(sum(rate(float(it)) * 0.1 for it in seconds), rel=0.02)

    day = arrivals.diurnal(500.0)
    assert np.mean([day(it) for it in range(0, 86_400, 60)]) == pytest.approx(500.0)
    assert (day(0), day(43_200)) == pytest.approx((200.0, 800.0))


def test_pods_follow_as_kubernetes_documents():
    """ceil(ready * busy / target), at most twice or four more; fewer after five minutes alone."""
    scaler = Autoscaler(Policy(target=0.5, least=2, start_s=10), 4)
    assert scaler.look(15, 0.525) == 4  # within a tenth: nothing is done
    assert scaler.look(30, 1.0) == 4
    assert scaler.wanted == 8
    assert scaler.advance(39) == 4
    assert scaler.advance(40) == 8
    assert scaler.look(45, 0.05) == 8
    for now_s in range(60, 345, 15):
        assert scaler.look(now_s, 0.05) == 8 if now_s < 330 else True
    assert scaler.look(345, 0.05) == 2


def test_new_pods_are_not_asked_for_again_while_they_come():
    scaler = Autoscaler(Policy(target=0.5, least=2, start_s=60), 4)

    for now_s in (15, 30, 45):
        scaler.look(now_s, 1.0)

    assert scaler.wanted == 8


def test_fluid_is_what_the_events_are_in_the_mean():
    """A step from a rate two pods bear to one four times as high: what is shed, and how long."""
    pod, scaling = Workers(2, 20), Policy(target=0.6, start_s=20)

    def rate(at: float) -> float:
        return 200.0 if at < 60 else 800.0

    times_s = arrivals.thinned(rate, 800.0, 240, 5)

    events = simulation.fleet(times_s, 240, lambda: SERVICE_S, pod, scaling)
    smooth = fluid.fleet(rate, 240, SERVICE_S, pod, scaling)

    for of in ("answered", "shed", "offered"):
        one, other = (sum(getattr(it, of) for it in found) for found in (events, smooth))
        assert one == pytest.approx(other, rel=0.05), of
    assert abs(events[-1].pods - smooth[-1].pods) <= 2
    assert sum(it.shed for it in smooth[120:]) == 0 < sum(it.shed for it in smooth[60:90])


COST = plan.Cost("JSON", 20.0, 0.5)
MEMORY = plan.Memory(40.0, 60.0)


def test_plan_worked_out_by_hand():
    """10,000 a second at 30 us are 0.3 cores; at 0.6 busy 0.5, so one pod, and one to spare."""
    found = plan.plan(plan.Load(10_000, 50, rows=20), COST, MEMORY, workers_per_pod=2)

    assert (found.busy, found.pods, found.workers, found.cores) == (0.6, 2, 4, 4)
    assert found.memory_mib == 2 * 40 + 4 * 60


def test_tight_latency_takes_more_workers_and_the_simulation_keeps_it():
    service_s = COST.service_s(1)
    limit_s = 2 * service_s

    busy = queueing.busiest(service_s, limit_s)

    assert busy < plan.MOST_BUSY
    times_s = arrivals.poisson(busy / service_s, 100_000 * service_s / busy, 7)
    found = simulation.simulate(times_s, lambda: service_s, Workers(1))
    assert np.mean(found.latency_s > limit_s) == pytest.approx(0.01, abs=0.006)


def test_latency_below_the_service_itself_is_refused():
    with pytest.raises(ValueError, match=r"--p99_ms is 0.01, and a request of 1 rows takes 0.02"):
        plan.plan(plan.Load(100, 0.01), COST, MEMORY, 2)


def test_busiest_worker_is_any_where_time_is_plenty():
    assert queueing.busiest(1e-5, 10) > 0.999
    assert math.isclose(queueing.busiest(1.0, 0.5), 0.0)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--workers_per_pod=0"], "--workers_per_pod is 0, more than 0 is needed"),
        (["--requests_per_second=-1"], "--requests_per_second is -1, more than 0 is needed"),
        (["--p99_ms=nan"], "--p99_ms is nan, more than 0 is needed"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flags, says, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(flags)

    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_a_protocol_that_was_not_measured_is_refused_with_those_that_were(capsys):
    assert command.main(["--protocol=carrier pigeon"]) == 2
    assert "--protocol carrier pigeon is none of " in capsys.readouterr().err
