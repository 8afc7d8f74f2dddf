"""The thread that keeps a worker's models as they are wanted, and the config file it reads."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest

from service.repository.agreement import Agreement
from service.repository.config import ModelConfig, to_text
from service.repository.repository import Repository
from service.repository.watcher import ConfigFile, Watcher
from tests.servers import wait_until
from tests.unit.repository.followers import adding
from tests.unit.service.fakes import Witness

if TYPE_CHECKING:
    from pathlib import Path

EACH_LOOK = 1e-9  # seconds: due at every look


@pytest.fixture
def agreement(tmp_path: Path) -> Agreement:
    return Agreement(tmp_path / "agreement")


@pytest.fixture
def repository() -> Repository:
    return Repository((), adding, Witness())


@pytest.fixture
def models(tmp_path: Path) -> list[ModelConfig]:
    for name in "ab":
        (tmp_path / name / "1").mkdir(parents=True)
    return [ModelConfig(name, tmp_path / name) for name in "ab"]


@pytest.fixture
def file(tmp_path: Path, models: list[ModelConfig], agreement: Agreement) -> Path:
    path = tmp_path / "models.config"
    path.write_text(to_text(models[:1]))
    agreement.follow(models[:1])
    return path


def names(agreement: Agreement) -> list[str]:
    return [config.name for config in agreement.wanted()[1]]


def test_a_changed_file_is_followed(file, models, agreement):
    config_file = ConfigFile(file, EACH_LOOK)
    config_file.follow(agreement)
    assert names(agreement) == ["a"]

    file.write_text(to_text(models))
    config_file.follow(agreement)

    assert names(agreement) == ["a", "b"]


def test_a_file_that_changed_before_its_worker_began_is_followed(file, models, agreement):
    file.write_text(to_text(models))

    ConfigFile(file, EACH_LOOK).follow(agreement)

    assert names(agreement) == ["a", "b"]


def test_a_file_that_has_not_changed_does_not_undo_a_reload(file, models, agreement):
    config_file = ConfigFile(file, EACH_LOOK)
    agreement.want(models)

    config_file.follow(agreement)
    ConfigFile(file, EACH_LOOK).follow(agreement)  # a worker that took another's place

    assert names(agreement) == ["a", "b"]


@pytest.mark.parametrize("interval_s", [0, -1])
def test_a_file_is_read_once_without_an_interval(file, models, agreement, interval_s):
    config_file = ConfigFile(file, interval_s)
    file.write_text(to_text(models))

    config_file.follow(agreement)

    assert names(agreement) == ["a"]


def spoiled(file: Path, how: str) -> None:
    if how == "gone":
        file.unlink()
    elif how == "binary":
        file.write_bytes(b"\xff\xfe\x00")
    elif how == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_text(how)


@pytest.mark.parametrize(
    "how",
    [
        *("gone", "binary", "folder", "nonsense {", 'model_config_list { config { name: "x" } }'),
        *("", "# about to be written"),
    ],
)
def test_a_file_that_cannot_be_followed_is_logged_and_the_old_state_kept(
    file, models, agreement, caplog, how
):
    config_file = ConfigFile(file, EACH_LOOK)
    spoiled(file, how)
    with caplog.at_level(logging.ERROR, "hearth.repository"):
        config_file.follow(agreement)

    assert names(agreement) == ["a"]
    assert f"{file} is not followed: " in caplog.text

    if file.is_dir():
        file.rmdir()
    file.write_text(to_text(models))
    config_file.follow(agreement)
    assert names(agreement) == ["a", "b"]


def test_a_worker_may_begin_while_its_file_is_away(file, models, agreement, repository):
    file.unlink()

    Watcher(repository, agreement, ConfigFile(file, EACH_LOOK), 0).look()

    assert repository.served() == {"a": [1]}


def test_a_look_follows_what_is_wanted_and_publishes_it(models, agreement, repository):
    watcher = Watcher(repository, agreement, None, 0)
    for wanted in (models[:1], models, models[1:]):
        serial = agreement.want(wanted)
        watcher.look()

        (served,) = agreement.wait(serial, 0)
        assert served.versions == {config.name: [1] for config in wanted}


def test_a_look_publishes_why_a_model_is_not_served(tmp_path, agreement, repository):
    serial = agreement.want([ModelConfig("gone", tmp_path / "gone")])
    Watcher(repository, agreement, None, 0).look()

    (served,) = agreement.wait(serial, 0)
    assert served.versions == {"gone": []}
    assert "cannot be read" in served.problems["gone"]


@pytest.mark.parametrize("interval_s", [0, -1])
def test_without_an_interval_folders_are_looked_at_once(
    tmp_path, models, agreement, repository, interval_s
):
    agreement.want(models[:1])
    watcher = Watcher(repository, agreement, None, interval_s)
    watcher.look()
    (tmp_path / "a" / "2").mkdir()
    watcher.look()
    watcher.look()
    assert repository.served() == {"a": [1]}

    agreement.want(models)  # but a reload is followed, and a look at all folders
    watcher.look()
    watcher.look()
    assert repository.served()["b"] == [1]


def test_a_look_that_fails_does_not_end_the_thread(models, agreement, caplog):
    class Stumbling(Repository):
        stumbles = 2

        def poll(self) -> None:
            if threading.current_thread() is not threading.main_thread() and self.stumbles:
                self.stumbles -= 1
                raise ZeroDivisionError("a bug")
            super().poll()

    repository = Stumbling((), adding, Witness())
    agreement.want(models[:1])
    watcher = Watcher(repository, agreement, None, 0)
    watcher.start()
    try:
        serial = agreement.want(models)
        wait_until(lambda: repository.served().get("b") == [1], "the second model is served")
        agreement.wait(serial, 20)
    finally:
        watcher.stop()

    # It looks ten times a second, and tells of the same problem once a minute.
    assert caplog.text.count("the models could not be looked at") == 1


def test_a_watcher_that_is_stopped_looks_no_more(models, agreement, repository):
    agreement.want(models[:1])
    watcher = Watcher(repository, agreement, None, 0)
    watcher.start()
    thread = next(it for it in threading.enumerate() if it.name == "repository")
    watcher.stop()
    thread.join(20)

    assert not thread.is_alive()
