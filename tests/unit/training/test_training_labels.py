"""Which version is stable and which candidate, and what a server reads of it."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.repository.config import Specific, parse_config
from training import labels
from training.errors import LabelsError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def models(tmp_path) -> Path:
    return tmp_path / "models"


def make(models: Path, *numbers: int, name: str = "housing") -> None:
    """Publish versions that are folders in name only."""
    for number in numbers:
        (models / name / str(number)).mkdir(parents=True)
        labels.published(models, name, number)


def read(models: Path, name: str = "housing"):
    """What the service makes of the config."""
    configs = {it.name: it for it in parse_config((models / labels.CONFIG).read_text())}
    return configs[name]


def state(models: Path) -> tuple[int, int]:
    """Stable and candidate, as the service reads them; it serves no other version."""
    config = read(models)
    stable, candidate = config.labels["stable"], config.labels["candidate"]
    assert config.policy == Specific(frozenset({stable, candidate}))
    return stable, candidate


def test_first_version_is_stable_and_candidate(models):
    make(models, 1)

    assert state(models) == (1, 1)
    assert read(models).base_path == models / "housing"


def test_later_version_is_candidate_and_the_stable_one_stays(models):
    make(models, 1, 2, 3)

    assert state(models) == (1, 3)


def test_promoted_candidate_is_both(models):
    make(models, 1, 2)

    change = labels.promote(models, "housing")

    assert state(models) == (2, 2)
    assert (change.stable, change.candidate) == (2, 2)


def test_another_version_can_be_promoted_while_one_is_on_trial(models):
    make(models, 1, 2, 3)

    labels.promote(models, "housing", "2")

    assert state(models) == (2, 3)


def test_rollback_goes_back_step_by_step(models):
    make(models, 1, 2, 3)
    for number in "2", "3":
        labels.promote(models, "housing", number)

    for before in 2, 1:
        assert labels.rollback(models, "housing").stable == before
        assert state(models) == (before, before)
    with pytest.raises(LabelsError, match="no other version of housing was stable before"):
        labels.rollback(models, "housing")


def test_rolled_back_version_can_be_promoted_again(models):
    make(models, 1, 2)
    labels.promote(models, "housing")
    labels.rollback(models, "housing")

    labels.promote(models, "housing", "2")

    assert labels.rollback(models, "housing").stable == 1


def test_candidate_stays_on_trial_when_the_stable_version_is_rolled_back(models):
    make(models, 1, 2)
    labels.promote(models, "housing")
    make(models, 3)

    labels.rollback(models, "housing")

    assert state(models) == (1, 3)


def test_rollback_passes_over_a_version_whose_folder_is_gone(models):
    make(models, 1, 2, 3)
    for number in "2", "3":
        labels.promote(models, "housing", number)
    (models / "housing" / "2").rmdir()

    assert labels.rollback(models, "housing").stable == 1


def test_withdrawn_candidate_is_served_no_longer(models):
    make(models, 1, 2)

    labels.withdraw(models, "housing")

    assert state(models) == (1, 1)
    with pytest.raises(LabelsError, match="no version of housing is on trial"):
        labels.withdraw(models, "housing")


def test_version_that_is_not_there_cannot_be_promoted(models):
    make(models, 1, 2)
    before = (models / labels.CONFIG).read_bytes()

    with pytest.raises(LabelsError, match="housing has no version 7; there are: 1, 2"):
        labels.promote(models, "housing", "7")
    with pytest.raises(LabelsError, match="has no version latest"):
        labels.promote(models, "housing", "latest")
    assert (models / labels.CONFIG).read_bytes() == before
    assert len(labels.history(models / "housing")) == 2


def test_damaged_version_cannot_be_promoted(models):
    make(models, 1, 2)
    (models / "housing/2/assets.extra").mkdir()
    (models / "housing/2/assets.extra/contract.json").write_text("{")

    with pytest.raises(LabelsError, match=r"2 is damaged: contract\.json is not as it should be"):
        labels.promote(models, "housing")


def test_stable_version_cannot_be_promoted(models):
    make(models, 1)

    with pytest.raises(LabelsError, match="version 1 of housing is stable already"):
        labels.promote(models, "housing")


def test_versions_from_before_there_were_labels_are_adopted(models):
    for number in 1, 2:
        (models / "housing" / str(number)).mkdir(parents=True)

    labels.adopt(models, "housing")
    labels.adopt(models, "housing")

    assert state(models) == (2, 2)
    assert [it.action for it in labels.history(models / "housing")] == ["adopt"]


def test_model_without_versions_gets_no_config(models):
    models.mkdir()

    labels.adopt(models, "housing")

    assert list(models.iterdir()) == []


def test_history_says_what_was_done_and_when(models):
    make(models, 1, 2)
    labels.promote(models, "housing")
    labels.rollback(models, "housing")

    told = [(it.action, it.stable, it.candidate) for it in labels.history(models / "housing")]

    assert told == [("publish", 1, 1), ("publish", 1, 2), ("promote", 2, 2), ("rollback", 1, 1)]
    assert all(it.at.endswith("+00:00") for it in labels.history(models / "housing"))


def test_config_has_every_model_of_the_folder(models):
    make(models, 1, 2)
    make(models, 1, name="boats")

    assert read(models).labels == {"stable": 1, "candidate": 2}
    assert read(models, "boats").labels == {"stable": 1, "candidate": 1}


def test_config_is_one_that_tensorflow_serving_reads(models):
    """Its own message takes it, its paths are absolute, and no label points past the versions."""
    from google.protobuf import text_format

    from service.messages import model_server_config_pb2

    make(models, 1, 2)
    text = (models / labels.CONFIG).read_text()
    message = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    (entry,) = message.model_config_list.config

    assert Path(entry.base_path).is_absolute()
    assert set(entry.version_labels.values()) <= set(entry.model_version_policy.specific.versions)


def test_folder_with_quotes_and_other_letters_is_written_as_it_is(tmp_path):
    models = tmp_path / 'häuser "alt"'
    make(models, 1)

    assert read(models).base_path == models / "housing"


def test_moved_folder_gets_its_new_path(models, tmp_path):
    make(models, 1)
    moved = models.rename(tmp_path / "moved")

    labels.adopt(moved, "housing")

    assert read(moved).base_path == moved / "housing"


def test_config_of_somebody_else_is_not_touched(models):
    models.mkdir()
    (models / labels.CONFIG).write_text("model_config_list {}\n")
    with pytest.raises(LabelsError, match=r"was written by somebody else"):
        labels.adopt(models, "housing")
    (models / "housing" / "1").mkdir(parents=True)

    with pytest.raises(LabelsError, match=r"models.config was written by somebody else"):
        labels.published(models, "housing", 1)
    assert (models / labels.CONFIG).read_text() == "model_config_list {}\n"
    assert labels.history(models / "housing") == []


def test_broken_history_is_named(models):
    make(models, 1)
    (models / "housing" / labels.HISTORY).write_text("{")

    with pytest.raises(LabelsError, match=r"history.jsonl cannot be read"):
        labels.promote(models, "housing", "1")


def test_changes_at_once_come_one_after_the_other(models):
    """Of eight that promote the same candidate one does; no line of the history is lost."""
    make(models, *range(1, 10))

    def promote(number: int) -> bool:
        try:
            return bool(labels.promote(models, "housing", str(number)))
        except LabelsError:
            return False

    with ThreadPoolExecutor(8) as hands:
        done = list(hands.map(promote, [9] * 8))
        others = list(hands.map(promote, range(2, 9)))

    assert done.count(True) == 1
    assert all(others)
    history = labels.history(models / "housing")
    assert [it.action for it in history].count("promote") == 8
    assert state(models) == (history[-1].stable, history[-1].candidate)


def test_processes_at_once_lose_no_change(models):
    make(models, 1, 2, 3, 4, 5)
    commands = [
        [sys.executable, "-m", "training", "promote", str(it), "--models", models]
        for it in (2, 3, 4, 5)
    ]
    running = [subprocess.Popen(it, cwd=ROOT, stdout=subprocess.PIPE, text=True) for it in commands]
    said = [it.communicate()[0] for it in running]

    assert [it.returncode for it in running] == [0] * 4
    assert said[0].startswith("Version 2 of housing is stable")
    history = labels.history(models / "housing")
    assert sorted(it.stable for it in history[-4:]) == [2, 3, 4, 5]
    assert state(models)[0] == history[-1].stable


def test_nothing_half_written_is_left(models):
    make(models, 1, 2)
    labels.promote(models, "housing")

    assert sorted(it.name for it in models.iterdir()) == ["housing", "models.config"]
    assert sorted(it.name for it in (models / "housing").iterdir()) == ["1", "2", "history.jsonl"]


def test_stable_version_that_was_removed_makes_room_for_the_next(models):
    make(models, 1)
    (models / "housing" / "1").rmdir()
    make(models, 2)

    assert state(models) == (2, 2)
