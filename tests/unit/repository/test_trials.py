"""When a version is tried before it is loaded, and what of it the workers tell each other."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import threading

import pytest

from service.errors import NotPossibleNow, VersionRefused
from service.inference.apart import Limits, TookTooMuch, run_apart
from service.repository.trials import Trials
from service.settings import Settings
from service.trial import try_apart


class Worker:
    """A worker's trials, with a list of those that it made."""

    def __init__(self, folder, reason="", *, started=True, limit_s=60.0, give_up=lambda: None):
        self.made = []
        self.reason = reason
        self.trials = Trials(folder, self._ask, limit_s, give_up)
        self.trials.started = started

    def _ask(self, _model, number, _path):
        self.made.append(number)
        return self.reason

    def require(self, path):
        self.trials.require("housing", 1, path)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "trials"


@pytest.fixture
def version(tmp_path):
    path = tmp_path / "1"
    path.mkdir()
    (path / "model.tflite").write_bytes(b"network")
    return path


def leave_note(folder, version):
    """What a worker leaves that ends while it loads a version."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with Worker(folder, started=False).trials.noted(version):
        (note,) = (it for it in folder.iterdir() if it.suffix == f".{os.getpid()}")
        note.with_suffix(f".{ended.pid}").touch()


def test_nothing_is_tried_at_the_first_look_and_everything_after_it(folder, version):
    worker = Worker(folder, started=False)
    assert not worker.trials.is_needed(version)

    worker.trials.started = True
    assert worker.trials.is_needed(version)


def test_what_one_worker_has_tried_no_other_tries(folder, version):
    first, second = Worker(folder), Worker(folder)
    first.require(version)
    second.require(version)

    assert (first.made, second.made) == ([1], [])


def test_a_refusal_of_one_worker_is_that_of_all(folder, version):
    with pytest.raises(VersionRefused, match="it hangs"):
        Worker(folder, "it hangs").require(version)
    second = Worker(folder)
    with pytest.raises(VersionRefused, match="it hangs"):
        second.require(version)

    assert second.made == []
    assert Worker(folder, started=False).trials.is_needed(version)


def test_a_refusal_counts_for_a_while_then_the_version_is_tried_again(folder, version, monkeypatch):
    with pytest.raises(VersionRefused):
        Worker(folder, "no memory just now").require(version)
    monkeypatch.setattr("service.repository.trials._FRESH_S", 0.0)
    later = Worker(folder)
    later.require(version)

    assert later.made == [1]


def test_other_files_are_another_version(folder, version):
    worker = Worker(folder)
    worker.require(version)
    (version / "model.tflite").write_bytes(b"another network")
    worker.require(version)

    assert worker.made == [1, 1]


def test_files_that_change_during_the_trial_are_not_loaded(folder, version):
    worker = Worker(folder)
    worker.trials._ask = lambda *_: (version / "model.tflite").write_bytes(b"swapped") and ""

    with pytest.raises(VersionRefused, match="its files changed while it was tried"):
        worker.require(version)


def test_a_version_that_ended_a_worker_is_tried_by_the_next_and_trusted_if_that_goes_well(
    folder, version
):
    leave_note(folder, version)
    following = Worker(folder, started=False)
    assert following.trials.is_needed(version)

    following.require(version)
    assert following.made == [1]
    assert not following.trials.is_needed(version)


def test_a_load_leaves_no_note_however_it_ends(folder, version):
    worker = Worker(folder, started=False)
    with pytest.raises(VersionRefused), worker.trials.noted(version):
        raise VersionRefused("broken")

    assert list(folder.iterdir()) == []


def test_a_first_load_without_end_ends_the_worker(folder, version):
    ended = threading.Event()
    worker = Worker(folder, started=False, limit_s=0.01, give_up=ended.set)

    with worker.trials.noted(version):
        assert ended.wait(20)


def test_a_trial_that_cannot_be_made_says_nothing_about_the_version(folder, version):
    def stopped(*_):
        raise NotPossibleNow("its trial load was stopped")

    worker = Worker(folder)
    worker.trials._ask = stopped
    with pytest.raises(NotPossibleNow):
        worker.require(version)
    other = Worker(folder)
    other.require(version)

    assert other.made == [1]


def test_a_verdict_that_finds_no_room_counts_all_the_same(folder, version):
    worker, other = Worker(folder), Worker(folder)
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, whole[1]))  # as a disk that is full
    try:
        worker.require(version)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    other.require(version)

    assert (worker.made, other.made) == ([1], [1])


def test_verdicts_are_kept_for_the_last_versions_alone(folder, version, monkeypatch):
    monkeypatch.setattr("service.repository.trials._KEPT", 3)
    worker = Worker(folder)
    for size in range(10):
        (version / "model.tflite").write_bytes(b"x" * size)
        worker.require(version)

    assert len(list(folder.glob("*.verdict"))) == 3


def test_the_reason_of_a_trial_is_that_of_the_load(version):
    reason = try_apart(Settings(conversion_cache=version / "cache"), "housing", 1, version)

    assert reason.startswith("model.tflite is not a LiteRT model")


def test_a_module_that_takes_too_long_is_ended():
    with pytest.raises(TookTooMuch, match=r"took longer than 0\.05 s"):
        run_apart("http.server", ["--bind=127.0.0.1", "0"], Limits(0.05))
