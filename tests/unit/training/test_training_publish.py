from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from training import publish
from training.errors import PublishError


def make(model, content="whole"):
    """Build and publish a version of one file, as a trainer does."""
    with publish.hidden_folder(model) as folder:
        (folder / "variables").mkdir()
        (folder / "variables" / "data").write_text(content)
        return publish.publish(folder, model)


def test_first_version_is_1(tmp_path):
    version = make(tmp_path / "models" / "housing")

    assert version == tmp_path / "models" / "housing" / "1"
    assert (version / "variables" / "data").read_text() == "whole"


def test_number_follows_the_last(tmp_path):
    for name in ("2", "10", ".new-1", "tmp", "x11", "0003"):
        (tmp_path / name).mkdir()

    assert make(tmp_path).name == "11"


def test_file_in_a_numbers_place_is_not_written_over(tmp_path):
    (tmp_path / "7").write_text("a note")

    assert make(tmp_path).name == "8"
    assert (tmp_path / "7").read_text() == "a note"


def test_number_that_another_trainer_takes_first_is_passed_over(tmp_path, monkeypatch):
    """The other's rename falls between our look at the folder and our own rename."""
    make(tmp_path, "theirs")
    monkeypatch.setattr(publish, "_numbered", lambda _: [])

    assert make(tmp_path, "ours").name == "2"
    assert (tmp_path / "1" / "variables" / "data").read_text() == "theirs"


def test_trainers_at_once_get_a_number_each(tmp_path):
    with ThreadPoolExecutor(8) as trainers:
        made = list(trainers.map(lambda i: (make(tmp_path, str(i)), i), range(24)))

    assert sorted(int(path.name) for path, _ in made) == list(range(1, 25))
    assert all((path / "variables" / "data").read_text() == str(i) for path, i in made)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_nothing(tmp_path, error):
    def fail():
        with publish.hidden_folder(tmp_path) as folder:
            (folder / "half").write_text("written")
            raise error

    with pytest.raises(error):
        fail()

    assert list(tmp_path.iterdir()) == []


def test_what_is_being_built_is_no_version(tmp_path):
    with publish.hidden_folder(tmp_path) as folder:
        assert folder.name.startswith(".")
        assert publish.newest(tmp_path) is None


def test_published_folder_is_as_open_as_any_other(tmp_path):
    version = make(tmp_path)
    (tmp_path / "other").mkdir()

    assert stat.S_IMODE(version.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_newest_version_is_the_greatest_number(tmp_path):
    for name in ("9", "10", "2", ".new-1"):
        (tmp_path / name).mkdir()

    assert publish.newest(tmp_path) == tmp_path / "10"


def test_missing_folder_has_no_newest_version(tmp_path):
    assert publish.newest(tmp_path / "none") is None


def test_models_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "models").write_text("")

    with pytest.raises(PublishError, match="models/housing cannot take a new version: Not a dir"):
        make(tmp_path / "models" / "housing")
