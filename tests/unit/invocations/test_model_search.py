"""Archives differ: the folder of a model's versions is found wherever it lies."""

from __future__ import annotations

import pytest

from service.errors import InvalidRequest
from service.repository.search import find_model
from service.repository.storage import find_versions


def lay(folder, *files):
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize("file", ["saved_model.pb", "model.tflite"])
@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("1", "."),
        ("0042", "."),
        ("housing/1", "housing"),
        ("export/Servo/1", "export/Servo"),
        ("model/housing/1", "model/housing"),
    ],
)
def test_a_folder_of_versions_is_found(tmp_path, place, found, file):
    lay(tmp_path / "m", f"{place}/{file}", f"{place}/variables/0/x", "code/inference.py")

    assert find_model(tmp_path / "m", tmp_path / "links") == tmp_path / "m" / found
    assert not (tmp_path / "links").exists()


@pytest.mark.parametrize(("place", "number"), [(".", 1), ("export", 1), ("model/export", 1)])
def test_a_lone_version_is_linked_as_version_1(tmp_path, place, number):
    lay(tmp_path / "m" / place, "saved_model.pb", "variables/variables.index")

    found = find_model(tmp_path / "m", tmp_path / "run" / "links")

    assert set(find_versions(found)) == {number}
    assert (found / str(number) / "variables" / "variables.index").is_file()


def test_a_lone_version_keeps_its_number(tmp_path):
    lay(tmp_path / "7", "saved_model.pb")

    found = find_model(tmp_path / "7", tmp_path / "links")

    assert {number: path.resolve() for number, path in find_versions(found).items()} == {
        7: tmp_path / "7"
    }


@pytest.mark.parametrize("files", [[], ["code/inference.py"], ["a/b/c/d/1/saved_model.pb"]])
def test_a_folder_without_a_model_is_watched_itself(tmp_path, files):
    lay(tmp_path, *files)

    assert find_model(tmp_path, tmp_path / "links") == tmp_path


def test_a_folder_that_is_not_there_yet_is_watched_itself(tmp_path):
    assert find_model(tmp_path / "later", tmp_path / "links") == tmp_path / "later"


def test_of_several_models_none_is_guessed(tmp_path):
    lay(tmp_path, "a/1/saved_model.pb", "b/1/saved_model.pb")

    with pytest.raises(InvalidRequest) as refused:
        find_model(tmp_path, tmp_path / "links")

    assert refused.value.message == (
        f"{tmp_path} holds several models ({tmp_path}/a, {tmp_path}/b): name one with "
        "--model_base_path, or all in a --model_config_file"
    )
