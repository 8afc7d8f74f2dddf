"""The store: work that was killed goes on, and several processes share it, wherever it lies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest

from tests import postgresql
from tests.integration.training.setting_work import start
from training.errors import StorageError
from training.experiments.crossvalidation import Outcome, Result
from training.experiments.questions import QUESTIONS, key
from training.experiments.storage import Journal, storage
from training.experiments.store import Store

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

ROOT = Path(__file__).parents[3]
QUESTION = QUESTIONS["network"]
DEADLINE_S = 90


def ended(worker: BaseProcess) -> int | None:
    """The exit code of one that ends by itself."""
    worker.join(DEADLINE_S)
    return worker.exitcode


def noted(*files: Path) -> list[str]:
    return [line for it in files if it.exists() for line in it.read_text().splitlines()]


def wait_for(condition) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def server():
    programs = postgresql.programs()
    if programs is None:
        pytest.skip("postgresql is not installed")
    with postgresql.running(programs) as running:
        yield running


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def shared(request, tmp_path) -> str:
    """The URL of a new storage of each kind."""
    if request.param == "postgresql":
        return request.getfixturevalue("server").database(f"studies{uuid.uuid4().hex}")
    return f"{request.param}:///{tmp_path}/folder/studies"


@pytest.fixture
def url(tmp_path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


def all_settings() -> list[str]:
    return sorted(key(it) for it in QUESTION.wanted({}))


def test_three_processes_share_the_work_and_do_nothing_twice(tmp_path, shared):
    notes = [tmp_path / f"notes{number}" for number in range(3)]
    workers = [start(shared, it, 0.05) for it in notes]

    assert [ended(it) for it in workers] == [0, 0, 0]

    assert sorted(noted(*notes)) == all_settings()
    results = Store(shared, QUESTION, "test").results()
    assert sorted(results) == all_settings()
    assert all(it.mae == json.loads(name)["width"] / 100 for name, it in results.items())


def test_killed_work_goes_on_where_it_was(tmp_path, url):
    notes = tmp_path / "first"
    killed = start(url, notes, 1.0)
    wait_for(lambda: len(noted(notes)) == 4)
    os.kill(killed.pid, signal.SIGKILL)
    killed.join(DEADLINE_S)
    under_way = noted(notes)[-1]

    again = start(url, tmp_path / "second", 0.0)

    assert ended(again) == 0
    assert sorted(Store(url, QUESTION, "test").results()) == all_settings()
    # The three that were done stay done; the one under way is done again; each other once.
    assert sorted(noted(notes)[:-1] + noted(tmp_path / "second")) == all_settings()
    assert under_way in noted(tmp_path / "second")


def test_done_work_is_not_done_again(url):
    done = Result((Outcome(0, 0, 1.0, 9.0, 1),), ())

    assert Store(url, QUESTION, "test").work(lambda _: done) == len(all_settings())
    assert Store(url, QUESTION, "test").work(lambda _: done) == 0


def test_other_data_or_plan_is_another_study(url):
    done = Result((Outcome(0, 0, 1.0, 9.0, 1),), ())
    Store(url, QUESTION, "one").work(lambda _: done)

    assert Store(url, QUESTION, "other").results() == {}


def test_error_ends_the_work_and_leaves_the_setting_to_do(url):
    def broken(_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Store(url, QUESTION, "test").work(broken)
    assert Store(url, QUESTION, "test").progress() == (0, len(all_settings()))


def test_others_do_what_a_killed_process_was_at(tmp_path, shared):
    notes = [tmp_path / f"notes{number}" for number in range(2)]
    killed = start(shared, notes[0], DEADLINE_S)
    wait_for(lambda: noted(notes[0]))
    other = start(shared, notes[1], 0.0)
    wait_for(lambda: noted(notes[1]))
    killed.kill()
    killed.join(DEADLINE_S)

    assert ended(other) == 0

    assert sorted(Store(shared, QUESTION, "test").results()) == all_settings()
    assert set(noted(notes[1])) == set(all_settings())


@pytest.mark.parametrize("shared", ["journal", "postgresql"], indirect=True)
def test_process_that_was_held_too_long_drops_its_trial_and_goes_on(tmp_path, shared):
    notes = [tmp_path / f"notes{number}" for number in range(2)]
    held = start(shared, notes[0], 1.0)
    wait_for(lambda: noted(notes[0]))
    os.kill(held.pid, signal.SIGSTOP)
    other = start(shared, notes[1], 0.0)
    assert ended(other) == 0
    os.kill(held.pid, signal.SIGCONT)

    assert ended(held) == 0
    assert sorted(Store(shared, QUESTION, "test").results()) == all_settings()


def test_results_are_the_same_wherever_they_lie_and_whoever_computes_them(tmp_path, alone):
    done = command(tmp_path, f"journal:///{tmp_path}/studies", "--jobs", "3")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "docs" / "experiments.md").read_bytes() == alone


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> bytes:
    """What one process answers."""
    folder = tmp_path_factory.mktemp("alone")
    assert command(folder, f"sqlite:///{folder}/studies.db", "--jobs", "1").returncode == 0
    return (folder / "docs" / "experiments.md").read_bytes()


def command(folder: Path, url: str, *flags: str) -> subprocess.CompletedProcess[str]:
    line = command_line(folder, url, *flags)
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def command_line(folder: Path, url: str, *flags: str) -> list[str | Path]:
    return [
        sys.executable, "-m", "training.experiments", "--questions", "learning-rate",
        "--seeds", "1", "--folds", "2", "--epochs", "2", "--storage", url, *flags,
        "--report", folder / "page.html", "--docs", folder / "docs",
    ]  # fmt: skip


def test_study_goes_on_when_its_server_has_come_back(tmp_path, server):
    url = server.database("comes_back")
    notes, said = [tmp_path / f"notes{it}" for it in range(2)], tmp_path / "said"
    workers = [start(url, it, 0.05, 60, said) for it in notes]
    wait_for(lambda: len(noted(*notes)) >= 3)
    server.stop()
    wait_for(lambda: "is away, and asked again for 60 s" in said.read_text())
    under_way = noted(*notes)
    server.start()

    assert [ended(it) for it in workers] == [0, 0]
    assert len(under_way) < len(all_settings())
    assert sorted(noted(*notes)) == all_settings()  # nothing was lost, nothing done twice
    assert_sound(url)


def test_command_whose_server_stays_away_ends_with_the_reason_and_goes_on_later(
    tmp_path, server, alone
):
    url = server.database("stays_away")
    line = command_line(tmp_path, url, "--jobs", "1", "--grace_s", "1")
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True) as run:
        wait_for(lambda: done_trials(url) >= 2)
        server.stop()
        try:
            _, said = run.communicate(timeout=DEADLINE_S)
        finally:
            server.start()

    assert run.returncode == 1
    assert "has not answered for 1 s (--grace_s); what is done is kept" in said
    assert "Traceback" not in said
    again = command(tmp_path, url, "--jobs", "3", "--grace_s", "2")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "docs" / "experiments.md").read_bytes() == alone


def done_trials(url: str) -> int:
    studies = optuna.get_all_study_summaries(storage(url, 30))
    trials = [
        it
        for one in studies
        for it in optuna.load_study(study_name=one.study_name, storage=storage(url, 30)).trials
    ]
    return sum(it.state.is_finished() for it in trials)


def assert_sound(url: str) -> None:
    """Each setting has its own result, once, and no other trial has any."""
    results = Store(url, QUESTION, "test").results()
    assert sorted(results) == all_settings()
    assert all(it.mae == json.loads(name)["width"] / 100 for name, it in results.items())
    study = optuna.load_study(study_name=f"{QUESTION.name}-test", storage=storage(url, 30))
    trials = study.trials
    complete = [it for it in trials if it.state == optuna.trial.TrialState.COMPLETE]
    assert sorted(it.user_attrs["setting"] for it in complete) == all_settings()


def test_journals_trial_is_lost_after_its_grace_and_not_before(tmp_path, monkeypatch):
    """By a clock that the test turns."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    journal = Journal(tmp_path / "journal", grace_s=10)
    study = journal.create_new_study([optuna.study.StudyDirection.MINIMIZE])
    trial = journal.create_new_trial(study)
    assert journal._get_stale_trial_ids(study) == []
    clock[0] += 9
    journal.record_heartbeat(trial)
    assert journal._get_stale_trial_ids(study) == []
    clock[0] += 10
    assert journal._get_stale_trial_ids(study) == []

    clock[0] += 1

    assert journal._get_stale_trial_ids(study) == [trial]


def test_trial_that_never_gave_a_sign_of_life_is_lost_too(url, monkeypatch):
    """Its process was killed between taking it and the first sign."""
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    database = storage(url, grace_s=10)
    study = database.create_new_study([optuna.study.StudyDirection.MINIMIZE])
    trial = database.create_new_trial(study)
    alive = database.create_new_trial(study)
    database.record_heartbeat(alive)
    assert database._get_stale_trial_ids(study) == []

    clock[0] += 11

    assert database._get_stale_trial_ids(study) == [trial]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("journal://", "names no file"),
        ("studies.db", "Could not parse SQLAlchemy URL"),
        ("postgres:///studies", "Can't load plugin"),
        ("postgresql+pg8000://user:secret@host/studies", "No module named 'pg8000'"),
        ("journal:////dev/null/studies", "File exists"),
    ],
)
def test_storage_that_cannot_be_is_refused_with_the_reason_and_without_the_password(url, says):
    with pytest.raises(StorageError, match=says) as refused:
        storage(url, 30)

    assert "secret" not in str(refused.value)


def test_command_answers_and_goes_on_after_a_kill(tmp_path, url):
    line = [
        sys.executable, "-m", "training.experiments", "--questions", "learning-rate",
        "--seeds", "1", "--folds", "2", "--epochs", "2", "--grace_s", "2", "--storage", url,
        "--report", tmp_path / "page.html", "--docs", tmp_path / "docs",
    ]  # fmt: skip
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        wait_for((tmp_path / "studies.db").exists)
        run.send_signal(signal.SIGINT)
        assert run.wait(DEADLINE_S) == 130
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "22/22" in done.stdout
    assert "Adam does best at" in done.stdout
    assert "Adam does best at" in (tmp_path / "page.html").read_text()
    assert "Adam does best at" in (tmp_path / "docs" / "experiments.md").read_text()
