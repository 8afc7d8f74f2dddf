"""Several workers, one wanted state: agreement, reload, load, unload."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from service.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ModelNotFound,
    NotPossibleNow,
    VersionRefused,
)
from service.repository.agreement import Agreement, Served
from service.repository.config import All, Latest, ModelConfig, Specific, parse_config
from service.repository.control import Control
from tests.unit.repository.followers import Follower, PidAgreement, adding, following

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "agreement"


@pytest.fixture
def agreement(folder: Path) -> Agreement:
    return Agreement(folder)


@pytest.fixture
def control(tmp_path: Path, agreement: Agreement) -> Control:
    return Control(agreement, labels_ahead=False, folders=[tmp_path])


def model(tmp_path: Path, name: str, *numbers: int, **fields: object) -> ModelConfig:
    for number in numbers:
        (tmp_path / name / str(number)).mkdir(parents=True)
    return ModelConfig(name, tmp_path / name, **fields)


def served_by(workers: list[Follower]) -> list[dict[str, list[int]]]:
    return [worker.repository.served() for worker in workers]


# --- the agreement ---


def test_what_is_wanted_is_read_back_with_its_serial(tmp_path, agreement):
    configs = [model(tmp_path, "a", policy=All(), labels={"x": 3})]

    serial = agreement.want(configs)

    assert agreement.wanted() == (serial, configs)
    assert agreement.want(configs) == serial
    assert agreement.want([]) != serial


def test_no_name_leads_out_of_the_folder(tmp_path, folder, agreement):
    before = sorted(it.name for it in tmp_path.iterdir())
    names = ["../../out", "/tmp/out", "a/b:c", ".."]

    agreement.want([ModelConfig(name, tmp_path) for name in names])
    agreement.publish(Served("x", {name: [1] for name in names}, {}))

    assert sorted(it.name for it in tmp_path.iterdir()) == before
    assert {it.name for it in folder.iterdir()} <= {
        "change.lock", "known.pbtxt", "served", "told.pbtxt", "turn.lock", "wanted.pbtxt",
    }  # fmt: skip
    assert [it.name for it in (folder / "served").iterdir()] == [f"{os.getpid()}.json"]


def test_a_model_once_wanted_stays_known_as_it_was_wanted_last(tmp_path, agreement):
    old, new = model(tmp_path, "a"), model(tmp_path, "a", policy=All())
    for configs in ([old], [new], []):
        agreement.want(configs)

    assert agreement.known() == [new]


def test_nothing_is_known_before_anything_is_wanted(agreement):
    assert agreement.known() == []


def test_who_asks_for_requests_to_be_logged_in_vain_is_told_once(tmp_path, agreement, caplog):
    logged = parse_config(
        """model_config_list {
             config { name: "a" base_path: "/a" logging_config {
               log_collector_config { type: "kafka" filename_prefix: "/logs/a" } } }
             config { name: "b" base_path: "/b" }
           }"""
    )

    agreement.want(logged)
    agreement.follow(logged)
    agreement.wanted()

    (record,) = caplog.records
    assert record.getMessage() == (
        "model a: its requests are not logged: log_collector_config has type 'kafka'; "
        "known: file, tfrecord, parquet"
    )
    # One that asks for something else is told again.
    changed = [replace(logged[0], logging=type(logged[0].logging)()), logged[1]]
    agreement.want(changed)
    assert len(caplog.records) == 2


def test_a_wait_ends_when_every_worker_has_followed(folder, agreement):
    serial = agreement.want([])
    first, second = PidAgreement(folder, 1), PidAgreement(folder, 2)
    first.publish(Served(serial, {"a": [1]}, {}))
    second.publish(Served("older", {}, {}))
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(agreement.wait, serial, 20)
        second.publish(Served(serial, {"a": [2]}, {}))
        served = waiting.result(20)

    assert [it.versions for it in served] == [{"a": [1]}, {"a": [2]}]


def test_a_wait_for_a_worker_that_does_not_follow_ends_at_its_limit(folder, agreement):
    serial = agreement.want([])
    PidAgreement(folder, 1).publish(Served(serial, {}, {}))
    PidAgreement(folder, 2).publish(Served("older", {}, {}))

    with pytest.raises(DeadlineExceeded, match=r"^1 of 2 workers have not followed within 0 s$"):
        agreement.wait(serial, 0)


def test_nobody_waits_for_a_worker_that_has_ended(folder, agreement):
    serial = agreement.want([])
    PidAgreement(folder, 1).publish(Served(serial, {}, {}))
    PidAgreement(folder, 2).publish(Served("older", {}, {}))
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(agreement.wait, serial, 20)
        agreement.forget_worker(2)
        agreement.forget_worker(2)  # twice does no harm

        assert len(waiting.result(20)) == 1


def test_a_wait_for_a_config_that_another_has_replaced_ends_at_once(folder, agreement):
    serial = agreement.want([])
    PidAgreement(folder, 1).publish(Served("older", {}, {}))
    agreement.want([ModelConfig("a", folder)])

    with pytest.raises(NotPossibleNow, match="another configuration"):
        agreement.wait(serial, 300)


def test_readers_see_a_config_whole_whoever_writes(tmp_path, agreement):
    configs = [[model(tmp_path, f"{name}{i}") for i in range(20)] for name in "ab"]
    serials = {agreement.want(it) for it in configs}
    done = threading.Event()

    def write(which: int) -> None:
        for _ in range(60):
            agreement.want(configs[which])

    def read() -> set[str]:
        seen = set()
        while not done.is_set():
            serial, wanted = agreement.wanted()
            assert len(wanted) == 20
            seen.add(serial)
        return seen

    with ThreadPoolExecutor() as threads:
        readers = [threads.submit(read) for _ in range(2)]
        for writer in [threads.submit(write, which) for which in (0, 1)]:
            writer.result(30)
        done.set()
        assert set().union(*(it.result(30) for it in readers)) <= serials


def test_what_flags_or_file_say_again_does_not_undo_a_later_change(tmp_path, agreement):
    first, second = [model(tmp_path, "a")], [model(tmp_path, "b")]
    agreement.follow(first)
    agreement.want(second)

    agreement.follow(first)  # as a worker does that takes another's place
    assert agreement.wanted()[1] == second

    agreement.follow([*first, *second])
    assert agreement.wanted()[1] == [*first, *second]


# --- reload ---


def test_a_reload_returns_when_every_worker_serves_the_new_model(tmp_path, folder, control):
    a, b = model(tmp_path, "a", 1), model(tmp_path, "b", 5)
    control._agreement.want([a])
    with following(folder) as workers:
        control.reload([a, b])

        assert served_by(workers) == [{"a": [1], "b": [5]}] * 2


def test_a_model_left_out_of_a_reload_is_unloaded(tmp_path, folder, control):
    a, b = model(tmp_path, "a", 1), model(tmp_path, "b", 5)
    control._agreement.want([a, b])
    with following(folder) as workers:
        control.reload([b])

        assert served_by(workers) == [{"b": [5]}] * 2


def test_a_reload_waits_for_the_slowest_worker(tmp_path, folder, control):
    gate = threading.Event()

    def slow(name, number, path):
        assert gate.wait(20)
        return adding(name, number, path)

    control._agreement.want([])
    a = model(tmp_path, "a", 1)
    with Follower(folder, 1) as quick, Follower(folder, 2, slow) as last:
        with ThreadPoolExecutor() as threads:
            reload = threads.submit(control.reload, [a])
            while not quick.repository.served():
                assert not reload.done()
            assert not reload.done()
            gate.set()
            reload.result(20)

        assert last.repository.served() == {"a": [1]}


def test_a_model_without_versions_is_named_with_its_reason_and_the_others_are_served(
    tmp_path, folder, control
):
    control._agreement.want([])
    a, gone = model(tmp_path, "a", 1), ModelConfig("gone", tmp_path / "gone")
    with following(folder) as workers:
        with pytest.raises(VersionRefused) as refused:
            control.reload([a, gone])

        assert refused.value.message.startswith("1 servable(s) did not become available: {gone: ")
        assert "No such file or directory" in refused.value.message
        assert all(it["a"] == [1] for it in served_by(workers))


def test_two_reloads_at_once_take_turns(tmp_path, folder, agreement):
    agreement.want([])
    models = [model(tmp_path, name, 1) for name in "abcd"]
    with following(folder) as workers, ThreadPoolExecutor() as threads:
        for each in models:
            agreement.want([*agreement.wanted()[1], each])
        controls = [Control(Agreement(folder), labels_ahead=False) for _ in models]
        unloads = [
            threads.submit(it.unload, each.name)
            for it, each in zip(controls, models[:-1], strict=False)
        ]
        for unload in unloads:
            unload.result(20)

        # None of them has brought back what another took away.
        assert served_by(workers) == [{"d": [1]}] * 2


# --- labels ---


def test_a_label_may_be_given_to_a_version_that_the_same_reload_brings(tmp_path, folder, control):
    a = model(tmp_path, "a", 1, 2, policy=Latest(2), labels={"stable": 1, "canary": 2})
    control._agreement.want([])
    with following(folder) as workers:
        control.reload([a])

        for worker in workers:
            assert worker.repository.find("a", label="stable").number == 1
            assert worker.repository.find("a", label="canary").number == 2


def test_a_label_to_a_version_that_is_not_served_is_refused_and_all_labels_stay(
    tmp_path, folder, control
):
    before = model(tmp_path, "a", 1, 2, policy=Latest(2), labels={"stable": 1})
    wanted = ModelConfig("a", before.base_path, All(), {"stable": 2, "canary": 5})
    control._agreement.want([before])
    with following(folder) as workers:
        with pytest.raises(NotPossibleNow) as refused:
            control.reload([wanted])

        assert refused.value.message.startswith(
            "Request to assign label to version 5 of model a, "
            "which is not currently available for inference"
        )
        for worker in workers:
            assert worker.repository.find("a", label="stable").number == 1
            with pytest.raises(InvalidRequest, match="Unrecognized servable version label: canary"):
                worker.repository.find("a", label="canary")


def test_only_a_new_label_may_be_ahead_of_its_version(tmp_path, folder, agreement):
    control = Control(agreement, labels_ahead=True, folders=[tmp_path])
    before = model(tmp_path, "a", 1, labels={"stable": 1})
    agreement.want([before])
    with following(folder) as workers:
        control.reload([ModelConfig("a", before.base_path, labels={"stable": 1, "next": 7})])
        for worker in workers:
            with pytest.raises(ModelNotFound, match=r"Specific\(a, 7\)"):
                worker.repository.find("a", label="next")

        with pytest.raises(NotPossibleNow, match="label to version 8 of model a"):
            control.reload([ModelConfig("a", before.base_path, labels={"stable": 8})])
        for worker in workers:
            assert worker.repository.find("a", label="stable").number == 1


def test_a_label_moves_only_once_its_new_version_is_served(tmp_path, folder, control):
    gate, asked = threading.Event(), threading.Event()

    def slow(name, number, path):
        if number == 2:
            asked.set()
            assert gate.wait(20)
        return adding(name, number, path)

    before = model(tmp_path, "a", 1, 2, policy=Specific(frozenset({1})), labels={"live": 1})
    after = ModelConfig("a", before.base_path, Specific(frozenset({2})), {"live": 2})
    control._agreement.want([before])
    with Follower(folder, 1, slow) as worker, ThreadPoolExecutor() as threads:
        reload = threads.submit(control.reload, [after])
        assert asked.wait(20)
        assert worker.repository.find("a", label="live").number == 1
        gate.set()
        reload.result(20)
        assert worker.repository.find("a", label="live").number == 2


# --- load and unload ---


def test_a_model_is_unloaded_and_loaded_again_as_it_was(tmp_path, folder, control):
    a, b = model(tmp_path, "a", 1, 2, policy=All()), model(tmp_path, "b", 5)
    control._agreement.want([a, b])
    with following(folder) as workers:
        control.unload("a")
        assert served_by(workers) == [{"b": [5]}] * 2
        with pytest.raises(ModelNotFound, match="model a is not loaded"):
            control.unload("a")

        control.load("a")
        assert served_by(workers) == [{"a": [1, 2], "b": [5]}] * 2
        control.load("a")
        assert served_by(workers) == [{"a": [1, 2], "b": [5]}] * 2


def test_a_model_never_configured_is_not_loaded(tmp_path, folder, control):
    control._agreement.want([model(tmp_path, "a", 1)])
    with following(folder), pytest.raises(ModelNotFound, match="x is not configured; known: a"):
        control.load("x")


def test_a_load_that_brings_no_version_says_why(tmp_path, folder, control):
    control._agreement.want([ModelConfig("a", tmp_path / "gone")])
    with following(folder), pytest.raises(VersionRefused, match=r"did not become available: \{a: "):
        control.load("a")


def logged(tmp_path, prefix: str):
    return parse_config(
        f"""model_config_list {{ config {{
             name: "a" base_path: "{tmp_path / "a"}"
             logging_config {{ log_collector_config {{ filename_prefix: "{prefix}" }} }}
           }} }}"""
    )


@pytest.mark.parametrize("prefix", ["/etc/a", "{logs}", "{logs}/../a"])
def test_a_caller_may_not_have_a_log_written_anywhere(tmp_path, agreement, prefix):
    logs = tmp_path / "logs"
    for log_folder in (None, logs):
        control = Control(agreement, labels_ahead=False, folders=[tmp_path], log_folder=log_folder)
        with pytest.raises(InvalidRequest, match="outside --request_log_folder"):
            control.reload(logged(tmp_path, prefix.format(logs=logs)))


def test_a_caller_may_ask_for_the_log_that_is_configured_or_one_below_the_folder(
    tmp_path, agreement
):
    control = Control(agreement, labels_ahead=False, folders=[tmp_path], log_folder=tmp_path)
    agreement.want(logged(tmp_path, "/var/log/a"))

    control._check_logs(logged(tmp_path, "/var/log/a"))
    control._check_logs(logged(tmp_path, f"{tmp_path}/mine"))
