"""A worker that dies takes its own requests along and nothing else."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.integration.reliability.traffic import (
    mixed,
    tell,
)
from tests.servers import metric, running_service, wait_until, workers_of

WORKERS = 2


@pytest.fixture(scope="module")
def service(housing_models):
    with running_service(housing_models, workers=WORKERS) as server:
        wait_until(lambda: up(server), "both workers are up")
        yield server


def up(service) -> bool:
    return metric(service, "hearth_workers") == WORKERS


def serves(service, pid: int, counts: list[float]) -> bool:
    """Whether a worker serves the model; notes what is counted meanwhile."""
    counts.append(answered(service))
    began = metric(service, "hearth_worker_start_time_seconds", worker=str(pid))
    return began > 0 and metric(service, "hearth_model_version_workers") == WORKERS


def answered(service) -> float:
    return metric(service, "hearth_requests_total", outcome="ok", route="predict")


def test_a_crash_fails_only_the_requests_in_flight(service, message):
    counts = []
    with mixed(service, message) as clients:
        wait_until(lambda: len(clients.asked) > 300, "traffic")
        before = workers_of(service)
        victim = min(before)
        killed_s = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: victim not in workers_of(service), "it is gone")
        gone_s = time.monotonic()
        wait_until(lambda: workers_of(service) - before, "a successor")
        (successor,) = workers_of(service) - before
        wait_until(lambda: serves(service, successor, counts), "the successor serves")
        back_s = time.monotonic()
        asked = len(clients.asked)
        wait_until(lambda: len(clients.asked) > asked + 200, "traffic goes on")
        counts.append(answered(service))
    tell("a crash", f"{len(clients.failures)} of {len(clients.asked)} requests lost, "
         f"back in {back_s - killed_s:.1f} s")  # fmt: skip
    # Under way when it was killed, in its queue, or the next one on its connection.
    failed = [it for it in clients.asked if it.status != 200]
    assert sum(it.began_s > gone_s for it in failed) <= len(clients.clients)
    assert all(it.began_s < back_s for it in failed)
    assert counts == sorted(counts)


def test_workers_that_crash_again_and_again_are_begun_ever_later(service):
    crashes, gaps = 3, []
    for _ in range(crashes):
        wait_until(lambda: len(workers_of(service)) == WORKERS, "two workers")
        before = workers_of(service)
        # The younger of two: the elder goes on and tells.
        os.kill(max(before, key=began_s), signal.SIGKILL)
        killed_s = time.monotonic()
        wait_until(lambda: workers_of(service) - before, "a successor")  # noqa: B023
        gaps.append(time.monotonic() - killed_s)
    told = service.get("/readyz")
    tell("repeated crashes", " ".join(f"{gap:.1f}" for gap in gaps) + " s to the next start")
    assert told.status == 200
    assert "workers have crashed one after the other" in told.json()["crashing"]
    assert gaps[2] > gaps[1] > gaps[0]


def began_s(pid: int) -> float:
    """When a process began, in the kernel's ticks."""
    return float(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
