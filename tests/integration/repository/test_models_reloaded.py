"""What is served is changed while it is served: over gRPC, by the config file, in all workers."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest

from service.messages import get_model_status_pb2, model_management_pb2
from service.repository.config import All, Latest, ModelConfig, Specific, to_text
from tests.integration.rpc.calling import ROW, Client, calling, price_of, refused, reload_of, status
from tests.servers import running_service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import Server

Code = grpc.StatusCode
FRESH = 12  # connections, so many that both workers take some


@pytest.fixture(scope="module")
def stored(housing_models, tmp_path_factory) -> Path:
    """``housing/1``, ``housing/2`` and ``other/7``. Not to be changed."""
    folder = tmp_path_factory.mktemp("stored")
    for place in ("housing/1", "housing/2", "other/7"):
        shutil.copytree(housing_models / "housing" / "1", folder / place)
    return folder


@pytest.fixture(scope="module")
def service(stored) -> Iterator[Server]:
    """Two workers that look at the folders once: what changes is what a call asks for."""
    with running_service(
        stored, workers=2, file_system_poll_wait_seconds=0, allow_model_control=True
    ) as server:
        yield server


@pytest.fixture
def client(service, stored) -> Iterator[Client]:
    """A client; what is served is as at the start."""
    with calling(service.grpc) as made:
        made.reload(ModelConfig("housing", stored / "housing"))
        yield made


def fresh(service: Server, **spec: object) -> list[object]:
    """What so many new connections answer: version, or code of the error."""
    found: list[object] = []
    for _ in range(FRESH):
        with calling(service.grpc) as one:
            try:
                found.append(one.predict(**spec).model_spec.version.value)
            except grpc.RpcError as error:
                found.append(error.code())
    return found


def connections(pid: str, port: int) -> int:
    """How many connections to a port a process holds, by what the kernel says."""
    held = {str(it.readlink()) for it in Path(f"/proc/{pid}/fd").iterdir() if it.is_symlink()}
    tables = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    rows = [line.split() for line in tables.splitlines()]
    established = "01"
    return sum(
        row[1].endswith(f":{port:04X}") and row[3] == established and f"socket:[{row[9]}]" in held
        for row in rows
    )


def workers_of(service: Server) -> list[str]:
    pid = service.process.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_both_workers_take_connections(service, client):
    port = int(service.grpc.rpartition(":")[2])
    with ExitStack() as stack:

        def one_more() -> bool:
            stack.enter_context(calling(service.grpc)).price()
            return all(connections(pid, port) for pid in workers_of(service))

        wait_until(one_more, "both workers hold a connection")


def test_after_a_reload_every_connection_finds_the_new_model(service, client, stored):
    assert fresh(service, name="other") == [Code.NOT_FOUND] * FRESH

    answer = client.reload(
        ModelConfig("housing", stored / "housing"), ModelConfig("other", stored / "other")
    )

    assert fresh(service, name="other") == [7] * FRESH
    assert answer.status.error_code == 0


def test_after_a_reload_no_connection_finds_a_model_left_out(service, client, stored):
    client.reload(ModelConfig("other", stored / "other"))

    assert fresh(service) == [Code.NOT_FOUND] * FRESH
    assert fresh(service, name="other") == [7] * FRESH
    with refused(Code.NOT_FOUND, "Could not find any versions of model housing"):
        client.models.GetModelStatus(status(), timeout=20)


def test_a_model_that_is_not_there_is_named_and_the_others_are_served(service, client, stored):
    with refused(Code.UNAVAILABLE, "1 servable(s) did not become available: {gone: "):
        client.reload(ModelConfig("other", stored / "other"), ModelConfig("gone", stored / "gone"))

    assert fresh(service, name="other") == [7] * FRESH


def test_a_reload_tells_how_much_metrics_have_grown_in_all_workers(service, client, stored):
    names = ["hearth_model_loads_total", "/tensorflow/cc/saved_model/load_attempt_count", "/no"]
    request = reload_of(ModelConfig("other", stored / "other"))
    request.metric_names.extend(names)

    answer = client.models.HandleReloadConfigRequest(request, timeout=60)

    grown = {it.name: it.int64_value_increase for it in answer.metric}
    assert grown == dict(zip(names, (2, 2, 0), strict=True))  # one load a worker


def test_policies_and_labels_follow_a_reload(service, client, stored):
    folder = stored / "housing"
    client.reload(ModelConfig("housing", folder, All(), {"stable": 1, "canary": 2}))
    assert fresh(service, version_label="stable") == [1] * FRESH
    assert fresh(service, version_label="canary") == [2] * FRESH
    by_label = service.post("/v1/models/housing/labels/stable:predict", {"instances": [ROW]})
    assert by_label.status == 200

    client.reload(ModelConfig("housing", folder, Specific(frozenset({1})), {"stable": 1}))
    assert fresh(service) == [1] * FRESH
    assert fresh(service, version=2) == [Code.NOT_FOUND] * FRESH
    states = client.models.GetModelStatus(status(), timeout=20).model_version_status
    end = get_model_status_pb2.ModelVersionStatus.END
    assert [(it.version, it.state) for it in states if it.version == 2] == [(2, end)]


def test_a_label_to_a_version_that_is_not_served_is_refused_and_the_old_ones_stay(
    service, client, stored
):
    folder = stored / "housing"
    client.reload(ModelConfig("housing", folder, All(), {"stable": 1}))

    with refused(
        Code.FAILED_PRECONDITION,
        "Request to assign label to version 5 of model housing, "
        "which is not currently available for inference",
    ):
        client.reload(ModelConfig("housing", folder, All(), {"stable": 2, "canary": 5}))

    assert fresh(service, version_label="stable") == [1] * FRESH
    assert fresh(service, version_label="canary") == [Code.INVALID_ARGUMENT] * FRESH


def test_reloads_at_once_all_come_to_an_end(service, client, stored):
    housing = ModelConfig("housing", stored / "housing")
    other = ModelConfig("other", stored / "other")

    def reload(configs: tuple[ModelConfig, ...]) -> int:
        with calling(service.grpc) as one:
            return one.reload(*configs).status.error_code

    wanted = [(housing,), (housing, other), (other, housing), (housing,), (housing, other)]
    with ThreadPoolExecutor(len(wanted)) as threads:
        assert list(threads.map(reload, wanted)) == [0] * len(wanted)

    assert fresh(service) == [2] * FRESH


@pytest.mark.parametrize("policy", [Latest(1), All()])
def test_no_call_fails_while_other_models_come_and_go(service, client, stored, policy):
    housing = ModelConfig("housing", stored / "housing", policy, {"live": 2})
    other = ModelConfig("other", stored / "other")
    client.reload(housing)
    done, failures, answered = threading.Event(), [], []

    def ask() -> None:
        with calling(service.grpc) as one:
            while not done.is_set():
                try:
                    answered.append(one.predict(version_label="live").model_spec.version.value)
                except grpc.RpcError as error:
                    failures.append((error.code(), error.details()))

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for configs in [(housing, other), (housing,)] * 3:
            client.reload(*configs)
        asked = len(answered)
        wait_until(lambda: len(answered) > asked + 50 or failures, "traffic goes on")
    finally:
        done.set()
        for asker in askers:
            asker.join()

    assert failures == []
    assert set(answered) == {2}


def test_a_config_that_makes_no_sense_changes_nothing(service, client, stored):
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="housing")
    with refused(Code.INVALID_ARGUMENT, "model housing has no base_path"):
        client.models.HandleReloadConfigRequest(request, timeout=20)
    with refused(Code.INVALID_ARGUMENT, "Only ModelConfigList is currently supported"):
        client.models.HandleReloadConfigRequest(
            model_management_pb2.ReloadConfigRequest(), timeout=20
        )

    assert fresh(service) == [2] * FRESH


# --- the config file ---


def test_a_changed_config_file_is_followed_by_all_workers_and_a_broken_one_by_none(
    stored, tmp_path
):
    file = tmp_path / "models.config"

    def write(*configs: ModelConfig) -> None:
        (tmp_path / "new").write_text(to_text(configs))
        (tmp_path / "new").replace(file)

    folder = stored / "housing"
    write(ModelConfig("housing", folder))
    with running_service(
        stored, workers=2, model_config_file=file, model_config_file_poll_wait_seconds=0.1
    ) as service:
        assert fresh(service) == [2] * FRESH

        write(ModelConfig("housing", folder, Specific(frozenset({1})), {"stable": 1}))
        wait_until(lambda: fresh(service) == [1] * FRESH, "version 1 alone is served")
        assert fresh(service, version_label="stable") == [1] * FRESH

        file.write_text("nonsense {")
        wait_until(lambda: "is not followed" in service.output(), "the broken file is reported")
        assert fresh(service) == [1] * FRESH

        file.unlink()
        wait_until(lambda: "No such file" in service.output(), "the missing file is reported")
        assert fresh(service) == [1] * FRESH

        write(ModelConfig("housing", folder, All()), ModelConfig("other", stored / "other"))
        wait_until(lambda: fresh(service, name="other") == [7] * FRESH, "another model is served")
        assert fresh(service) == [2] * FRESH
        with calling(service.grpc) as client:
            assert client.predict(price_of(ROW, version=1)).model_spec.version.value == 1


def test_a_worker_that_takes_anothers_place_serves_what_was_asked_for_last(stored, tmp_path):
    file = tmp_path / "models.config"
    file.write_text(to_text([ModelConfig("housing", stored / "housing")]))
    with running_service(
        stored,
        model_config_file=file,
        model_config_file_poll_wait_seconds=0.1,
        allow_model_control=True,
    ) as service:
        with calling(service.grpc) as client:
            client.reload(ModelConfig("other", stored / "other"))
        file.unlink()
        (worker,) = workers_of(service)
        os.kill(int(worker), signal.SIGKILL)
        wait_until(lambda: worker not in workers_of(service), "the worker has ended")
        wait_until(lambda: fresh(service, name="other") == [7] * FRESH, "another serves")

        assert fresh(service) == [Code.NOT_FOUND] * FRESH
