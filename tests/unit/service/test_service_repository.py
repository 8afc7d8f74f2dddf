from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from service.errors import InvalidRequest, ModelNotFound, VersionRefused
from service.repository.config import Latest, ModelConfig, Specific
from service.repository.repository import Repository, RetryPolicy
from service.repository.storage import find_versions, fingerprint
from service.repository.version import State
from tests.unit.service.fakes import Clock, Witness, version

if TYPE_CHECKING:
    from pathlib import Path

HALF_WRITTEN = "half"


def load(model: str, number: int, path: Path):
    """A version that adds, from a folder whose file ``model`` says ``good``."""
    content = (path / "model").read_text() if (path / "model").exists() else "no model"
    if not content.startswith("good"):
        raise VersionRefused(content)
    return version(number, model=model, path=path)


class House:
    """A model's folder, and a repository that watches it."""

    def __init__(self, base: Path, default_label: str = "", **config) -> None:
        self.base = base
        self.base.mkdir(exist_ok=True)
        self.clock = Clock()
        self.witness = Witness()
        self.repository = Repository(
            [ModelConfig("housing", base, **config)],
            load,
            self.witness,
            RetryPolicy(max_retries=2, interval_s=60),
            self.clock,
            default_label,
        )

    def write(self, name: object, content: str = "good") -> Path:
        folder = self.base / str(name)
        folder.mkdir(exist_ok=True)
        (folder / "model").write_text(content)
        return folder

    def remove(self, name: object) -> None:
        shutil.rmtree(self.base / str(name))

    def poll(self, times: int = 1) -> House:
        for _ in range(times):
            self.repository.poll()
        return self

    def settle(self) -> House:
        """Look twice: once to see that something changed, once that it changes no more."""
        return self.poll(2)

    @property
    def served(self) -> int | None:
        try:
            return self.repository.find("housing").number
        except ModelNotFound:
            return None

    @property
    def states(self) -> list[tuple[int, str, str]]:
        return [(it.version, str(it.state), it.error) for it in self.repository.statuses("housing")]

    @property
    def problem(self) -> str | None:
        return self.repository.problems().get("housing")


@pytest.fixture
def house(tmp_path):
    return House(tmp_path / "housing")


def test_the_newest_version_is_served_from_the_first_look_on(house):
    house.write(1)
    house.write(2)

    assert house.poll().served == 2
    assert house.problem is None
    assert house.witness.told == [("loaded", "housing", 2)]


def test_a_new_version_is_swapped_in_once_its_files_have_settled(house):
    house.write(1)
    house.poll()
    house.write(2)

    assert house.poll().served == 1
    assert house.poll().served == 2
    assert house.witness.told == [
        ("loaded", "housing", 1),
        ("loaded", "housing", 2),
        ("unloaded", "housing", 1),
    ]
    assert house.states == [(2, "AVAILABLE", ""), (1, "END", "")]


def test_a_half_written_version_is_never_served(house):
    house.write(1)
    house.poll()
    folder = house.write(2)
    for part in range(5):
        (folder / f"part-{part}").write_text("x")
        assert house.poll().served == 1
        assert [it for it in house.witness.told if it[2] == 2] == []

    assert house.poll().served == 2


def test_a_bad_version_is_refused_with_its_reason_and_the_old_one_goes_on(house):
    house.write(1)
    house.poll()
    house.write(2, "its weights are lost")
    house.settle()

    assert house.served == 1
    assert house.problem is None
    assert house.states == [(2, "END", "its weights are lost"), (1, "AVAILABLE", "")]
    assert house.witness.told[-1] == ("refused", "housing", "its weights are lost")


def test_a_folder_without_files_is_refused_and_the_old_one_goes_on(house):
    house.write(1)
    house.poll()
    (house.base / "2").mkdir()
    house.settle()

    assert house.served == 1
    assert house.states[0] == (2, "END", "no model")


def test_a_refused_folder_is_served_once_it_is_filled(house):
    (house.base / "2").mkdir()
    house.settle()
    house.write(2)

    assert house.settle().served == 2
    assert house.states == [(2, "AVAILABLE", "")]


def test_a_bad_newest_version_at_the_start_falls_back_to_the_newest_good_one(house):
    house.write(1)
    house.write(2)
    house.write(3, "bad")
    house.write(4, "worse")

    assert house.poll().served == 2
    assert house.states == [(4, "END", "worse"), (3, "END", "bad"), (2, "AVAILABLE", "")]


def test_an_unforeseen_error_of_one_version_does_not_end_the_others(house, caplog):
    def stumble(model, number, path):
        if number == 2:
            raise ZeroDivisionError("crossed wires")
        return load(model, number, path)

    house.repository._load = stumble
    house.write(1)
    house.write(2)

    assert house.poll().served == 1
    assert "ZeroDivisionError" in house.states[0][2]
    assert "Traceback" in caplog.text


def refusals(house) -> int:
    return sum(kind == "refused" for kind, *_ in house.witness.told)


def test_a_refused_version_is_tried_again_when_its_files_change(house):
    house.write(1, "bad")
    house.poll(5)
    assert refusals(house) == 1

    house.write(1, "good now")
    assert house.settle().served == 1


def test_a_refused_version_is_tried_again_after_the_interval_and_so_often(house):
    house.write(1, "bad")
    house.poll()
    for seconds, tries in [(59, 1), (60, 2), (119, 2), (120, 3), (180, 3), (10_000, 3)]:
        house.clock.now_s = seconds
        house.poll()
        assert refusals(house) == tries


def test_changed_content_of_a_served_version_is_loaded_anew(house):
    house.write(1, "good")
    before = house.poll().repository.find("housing")
    house.write(1, "good again")
    house.settle()

    after = house.repository.find("housing")
    assert after is not before
    assert after.number == 1


def test_content_that_turns_bad_leaves_the_loaded_version_serving_with_a_reason(house):
    house.write(1)
    house.poll()
    house.write(1, "overwritten with rubbish")
    house.settle()

    assert house.served == 1
    assert house.states == [(1, "AVAILABLE", "overwritten with rubbish")]


def test_a_removed_version_is_unloaded_even_the_last(house):
    house.write(1)
    house.poll()
    house.remove(1)
    house.poll()

    assert house.served is None
    assert house.states == [(1, "END", "")]
    assert house.problem == "there is no version of it"
    assert house.witness.told[-1] == ("unloaded", "housing", 1)


def test_when_the_newest_goes_an_older_one_takes_over_without_a_gap(house):
    house.write(1)
    house.write(2)
    house.poll()
    house.remove(2)
    for _ in range(3):
        assert house.poll().served is not None

    assert house.served == 1
    assert house.states == [(2, "END", ""), (1, "AVAILABLE", "")]


def test_a_removed_version_does_not_wait_for_one_that_is_refused(house):
    house.write(1, "bad")
    house.write(2)
    house.poll()
    house.remove(2)
    house.settle()

    assert house.served is None
    assert house.problem == "version 1 is refused: bad"


def test_a_base_path_that_cannot_be_read_keeps_what_is_served(house, caplog):
    house.write(1)
    house.poll()
    house.base.rename(house.base.with_name("elsewhere"))
    house.poll(3)

    assert house.served == 1
    assert house.states == [(1, "AVAILABLE", "")]
    assert caplog.text.count("its folder cannot be read") == 1


def test_a_missing_base_path_is_the_reason_until_it_is_there(tmp_path):
    house = House(tmp_path / "housing")
    house.base.rmdir()
    house.poll()
    assert house.problem == "its folder cannot be read (No such file or directory)"
    with pytest.raises(ModelNotFound, match="Could not find any versions of model housing"):
        house.repository.statuses("housing")

    house.base.mkdir()
    house.write(1)
    assert house.settle().served == 1


def test_before_the_first_look_that_is_the_reason(house):
    assert house.problem == "not looked at yet"


def test_a_version_that_is_still_coming_is_the_reason(house):
    house.poll()
    house.write(1)
    house.poll()

    assert house.problem == "version 1 is not complete yet"


def test_names_that_are_no_numbers_are_passed_over(house):
    names = ["x", "1x", "-1", "1.0", ".2", "٣", "²", "9" * 30, "latest"]
    for name in names:
        house.write(name)
    (house.base / "7").write_text("a file")

    assert house.poll().served is None
    assert house.problem == "there is no version of it"


def test_leading_zeros_count_for_nothing(house):
    house.write("0007")
    house.write("10")
    house.remove("10")

    assert house.poll().served == 7


def test_a_request_keeps_the_version_it_found_while_it_is_swapped(house):
    house.write(1)
    held = house.poll().repository.find("housing")
    house.write(2)
    house.settle()
    house.remove(1)
    house.poll()

    assert house.served == 2
    assert held.number == 1
    assert held.predict("serving_default", {"features": one_row()})["price"].tolist() == [6]


def one_row():
    import numpy as np

    return np.array([[1, 2, 3]], np.float32)


def test_several_versions_are_served_where_so_many_are_wanted(tmp_path):
    house = House(tmp_path / "housing", policy=Latest(2))
    for number in (1, 2, 3):
        house.write(number)
    house.poll()

    assert house.repository.find("housing").number == 3
    assert house.repository.find("housing", 2).number == 2
    with pytest.raises(
        ModelNotFound, match=r"Servable not found for request: Specific\(housing, 1\)"
    ):
        house.repository.find("housing", 1)


def test_what_is_not_served_is_named_in_tensorflow_servings_words(house):
    house.write(1)
    house.poll()
    for arguments, text in [
        (("flat",), "Servable not found for request: Latest(flat)"),
        (("flat", 3), "Servable not found for request: Specific(flat, 3)"),
        (("housing", 3), "Servable not found for request: Specific(housing, 3)"),
    ]:
        with pytest.raises(ModelNotFound) as refused:
            house.repository.find(*arguments)
        assert refused.value.message == text

    for arguments, text in [
        (("flat",), "Could not find any versions of model flat"),
        (("housing", 3), "Could not find version 3 of model housing"),
    ]:
        with pytest.raises(ModelNotFound) as refused:
            house.repository.statuses(*arguments)
        assert refused.value.message == text


def test_a_label_stands_for_its_version_and_an_unknown_one_is_refused(tmp_path):
    house = House(tmp_path / "housing", labels={"stable": 1}, policy=Latest(2))
    house.write(1)
    house.write(2)
    house.poll()

    assert house.repository.find("housing", label="stable").number == 1
    with pytest.raises(InvalidRequest, match="Unrecognized servable version label: canary"):
        house.repository.find("housing", label="canary")


def test_only_the_last_states_of_what_is_gone_are_remembered(house):
    for number in range(1, 31):
        house.write(number)
        house.settle()
        if number > 1:
            house.remove(number - 1)
    house.poll()

    numbers = [number for number, _, _ in house.states]
    assert numbers == list(range(30, 13, -1))
    assert all(state == State.END for _, state, _ in house.states[1:])


def test_one_models_trouble_is_not_anothers(tmp_path):
    repository = Repository(
        [ModelConfig("flat", tmp_path / "flat"), ModelConfig("housing", tmp_path / "housing")],
        load,
        Witness(),
    )
    (tmp_path / "housing" / "1").mkdir(parents=True)
    (tmp_path / "housing" / "1" / "model").write_text("good")
    repository.poll()

    assert repository.names() == ["flat", "housing"]
    assert repository.find("housing").number == 1
    assert set(repository.problems()) == {"flat"}


def test_a_fingerprint_tells_every_change(tmp_path):
    seen = {fingerprint(tmp_path)}
    (tmp_path / "a").write_text("1")
    seen.add(fingerprint(tmp_path))
    (tmp_path / "a").write_text("12")
    seen.add(fingerprint(tmp_path))
    (tmp_path / "a").rename(tmp_path / "b")
    seen.add(fingerprint(tmp_path))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c").touch()
    seen.add(fingerprint(tmp_path))

    assert len(seen) == 5
    assert fingerprint(tmp_path) == fingerprint(tmp_path)


def test_a_link_to_nowhere_is_part_of_the_fingerprint(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    assert [name for name, _, _ in fingerprint(tmp_path)] == ["link"]


def test_a_version_may_be_a_link_to_a_folder(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "housing").mkdir()
    (tmp_path / "housing" / "3").symlink_to(tmp_path / "store")

    assert set(find_versions(tmp_path / "housing")) == {3}


def configured(house, **changes) -> None:
    house.repository.configure([ModelConfig("housing", house.base, **changes)])


def test_a_policy_that_asks_for_what_is_not_there_unloads_the_rest(house):
    house.write(1)
    house.write(2)
    house.poll()
    configured(house, policy=Specific(frozenset({5})))
    house.poll()

    assert house.served is None
    assert house.problem == "none of its versions [1, 2] is one that its policy asks for"


def test_a_policy_that_asks_for_an_older_version_swaps_to_it_without_a_gap(house):
    house.write(1)
    house.write(2)
    house.poll()
    configured(house, policy=Specific(frozenset({1})))

    assert house.served == 2
    assert house.poll().served == 1


def test_a_model_that_is_wanted_no_more_is_unloaded_at_once(house):
    house.write(1)
    house.poll()
    house.repository.configure([])

    assert house.repository.names() == []
    assert house.witness.told[-1] == ("unloaded", "housing", 1)
    with pytest.raises(ModelNotFound):
        house.repository.find("housing")


def labelled(house, stable: int, candidate: int) -> House:
    """Have the model configured as training writes it, and look."""
    numbers = {"stable": stable, "candidate": candidate}
    policy = Specific(frozenset(numbers.values()))
    house.repository.configure([ModelConfig("housing", house.base, policy, numbers)])
    return house.poll()


@pytest.fixture
def trial(tmp_path):
    """Version 1 is stable, version 2 on trial."""
    house = House(tmp_path / "housing", default_label="stable")
    for number in 1, 2:
        house.write(number)
    return labelled(house, 1, 2)


def test_who_names_no_version_gets_the_one_of_the_default_label(trial):
    assert trial.served == 1
    assert trial.repository.find("housing", label="candidate").number == 2
    assert labelled(trial, 2, 2).served == 2
    assert labelled(trial, 1, 1).served == 1


def test_without_a_default_label_the_newest_version_answers(tmp_path):
    house = House(tmp_path / "housing")
    for number in 1, 2:
        house.write(number)

    assert labelled(house, 1, 2).served == 2


def test_default_label_that_a_model_does_not_have_leaves_the_newest(tmp_path):
    house = House(tmp_path / "housing", default_label="stable", policy=Latest(2))
    house.write(1)
    house.write(2)

    assert house.poll().served == 2


def test_label_and_its_version_stay_where_the_new_one_is_refused(trial):
    trial.write(3, "bad weights")

    assert labelled(trial, 3, 3).served == 1
    assert trial.poll(3).served == 1
    assert (3, "END", "bad weights") in trial.states
    assert trial.repository.served() == {"housing": [1, 2]}

    trial.write(3)
    assert trial.settle().served == 3
    assert trial.repository.served() == {"housing": [3]}


def test_version_that_no_label_needs_is_dropped(trial):
    labelled(trial, 2, 2)

    assert trial.repository.served() == {"housing": [2]}
