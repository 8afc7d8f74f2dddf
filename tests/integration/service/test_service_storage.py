"""Storage that flickers, is slow or loses what is ours, clocks that jump, and many swaps."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import threading
from pathlib import Path

import numpy as np

from service.repository.config import ModelConfig
from service.repository.loading import load_version
from service.repository.repository import Repository
from service.repository.storage import find_versions
from tests.integration.service.wire import HOUSE, PREDICT, Traffic
from tests.servers import running_service, wait_until
from tests.unit.service.fakes import Witness

POLL_S = 0.1
SWAPS = 300
SETTLED = 100
ROW = {"features": np.array([[6.142, 91.7, 18.72]], np.float32)}
YEAR_S = 365 * 86400


def load(model, number, path):
    return load_version(model, number, path, "litert")


def repository(base):
    return Repository([ModelConfig("housing", base)], load, Witness())


def next_version(base, number, tmp_path):
    """Put a further version beside those that are there, in one move."""
    made = tmp_path / f"made-{number}"
    shutil.copytree(base / str(number - 1), made)
    made.rename(base / str(number))


def held_kib():
    """Memory of its own that this process holds, in KiB."""
    gc.collect()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(it.split()[1]) for it in lines if it.startswith("Private_Dirty"))


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_hundreds_of_swaps_take_no_memory_and_no_descriptors(models, tmp_path):
    base = models / "housing"
    served = repository(base)
    served.poll()
    before_kib, before = 0, 0
    for number in range(2, SWAPS + 2):
        next_version(base, number, tmp_path)
        served.poll()
        served.poll()
        version = served.find("housing")
        assert version.number == number
        version.predict("serving_default", ROW)
        shutil.rmtree(base / str(number - 1))
        if number == SETTLED:
            before_kib, before = held_kib(), descriptors()
    grown_kib = held_kib() - before_kib

    print(f"{SWAPS - SETTLED} swaps: {grown_kib} KiB, {descriptors() - before} descriptors more")
    assert descriptors() == before
    # A version kept would be 100 KiB and more: an interpreter with its weights.
    assert grown_kib < 20 * (SWAPS - SETTLED)
    assert len(served.statuses("housing")) <= 20


def test_storage_that_flickers_costs_no_request(models):
    with (
        running_service(models, file_system_poll_wait_seconds=POLL_S) as service,
        Traffic(service.url, clients=1) as traffic,
    ):
        for _ in range(10):
            for before, after in (("housing", "away"), ("away", "housing")):
                (models / before).rename(models / after)
                asked = len(traffic.answers)
                wait_until(lambda: len(traffic.answers) > asked + 200, "traffic")  # noqa: B023
        wait_until(lambda: "its folder cannot be read" in service.output(), "a loss is seen")

    assert traffic.failures == []
    assert {(status, version) for status, version, _ in traffic.answers} == {(200, "1")}
    print(f"gone and back 10 times: 0 of {len(traffic.answers)} requests failed")


def test_a_listing_is_whole_or_none_while_the_storage_flickers(tmp_path):
    base = tmp_path / "housing"
    for number in range(1, 20):
        (base / str(number)).mkdir(parents=True)
    stopped = threading.Event()

    def flicker():
        while not stopped.is_set():
            base.rename(tmp_path / "away").rename(base)

    flickering = threading.Thread(target=flicker)
    flickering.start()
    seen = {"away": 0, 19: 0}
    try:
        while min(seen.values()) < 30:
            try:
                seen[len(find_versions(base))] += 1
            except OSError:
                seen["away"] += 1
    finally:
        stopped.set()
        flickering.join()

    print(f"{seen[19]} whole listings, {seen['away']} times away, none in part")


def test_storage_that_does_not_answer_keeps_the_served_version_answering(models, tmp_path):
    base = models / "housing"
    goes_on = threading.Event()

    def slow(model, number, path):
        if number > 1:
            assert goes_on.wait(60)
        return load(model, number, path)

    served = Repository([ModelConfig("housing", base)], slow, Witness())
    served.poll()
    next_version(base, 2, tmp_path)
    served.poll()
    looking = threading.Thread(target=served.poll)
    looking.start()
    try:
        wait_until(lambda: served.statuses("housing")[0].state == "LOADING", "it is read")
        assert served.find("housing").number == 1
        assert served.find("housing").predict("serving_default", ROW)["price"].shape == (1,)
    finally:
        goes_on.set()
        looking.join()

    assert served.find("housing").number == 2


def test_a_folder_of_versions_is_only_read(models, tmp_path):
    def listed():
        return {it: it.stat().st_mtime_ns for it in sorted(models.rglob("*"))}

    with running_service(models, file_system_poll_wait_seconds=POLL_S) as service:
        next_version(models / "housing", 2, tmp_path)
        before = listed()
        wait_until(lambda: "serving housing version 2" in service.output(), "it is swapped in")
        assert service.post(PREDICT, HOUSE).status == 200

    assert listed() == before


def test_what_workers_share_may_be_lost_and_requests_are_answered(models, monkeypatch, tmp_path):
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "shared"))
    with (
        running_service(models, file_system_poll_wait_seconds=POLL_S) as service,
        Traffic(service.url, clients=1) as traffic,
    ):
        (shared,) = (tmp_path / "shared").glob("hearth-*/agreement")
        shutil.rmtree(shared)
        wait_until(lambda: "the models could not be looked at" in service.output(), "it is missed")
        asked = len(traffic.answers)
        wait_until(lambda: len(traffic.answers) > asked + 200, "traffic")
        service.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "nothing is reloaded: " in service.output(), "a reload is refused")
        asked = len(traffic.answers)
        wait_until(lambda: len(traffic.answers) > asked + 200, "traffic")
        assert service.output().count("the models could not be looked at") == 1

    assert traffic.failures == []
    assert {status for status, *_ in traffic.answers} == {200}


def test_versions_from_another_age_are_swapped_in(models, tmp_path):
    """A clock that was set back or on leaves files with times that lie far off."""
    base = models / "housing"
    served = repository(base)
    served.poll()
    for number, at_s in ((2, 0), (3, 100 * YEAR_S), (4, 1)):
        next_version(base, number, tmp_path)
        for path in (base / str(number)).rglob("*"):
            os.utime(path, (at_s, at_s))
        served.poll()
        served.poll()
        assert served.find("housing").number == number


def test_a_clock_that_jumps_neither_stops_answers_nor_swaps(models, tmp_path, monkeypatch):
    base = models / "housing"
    served = repository(base)
    served.poll()
    for number, jump_s in ((2, YEAR_S), (3, -YEAR_S), (4, -40 * YEAR_S)):
        now_s = 1_800_000_000 + jump_s
        monkeypatch.setattr("time.time", lambda now_s=now_s: float(now_s))
        next_version(base, number, tmp_path)
        served.poll()
        served.poll()
        assert served.find("housing").number == number
        assert served.find("housing").predict("serving_default", ROW)["price"].shape == (1,)


def test_a_version_that_goes_between_two_looks_is_no_matter(models, tmp_path):
    base = models / "housing"
    served = repository(base)
    served.poll()
    next_version(base, 2, tmp_path)
    served.poll()
    shutil.rmtree(base / "2")
    served.poll()

    assert served.find("housing").number == 1
