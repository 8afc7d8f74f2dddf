"""Whatever is wrong with a new version, the served one goes on; the figures are printed (-rP)."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from service import contract as contracts
from service.contract import CONTRACT, GOLDEN, LITERT_MODEL, SAVED_MODEL
from tests import models as kinds
from tests.integration.service.wire import HOUSE, PREDICT, Traffic
from tests.servers import running_service, wait_until

TRIAL_S = 4.0
MEMORY_BYTES = 2**28
# Beside traffic a trial, which gives way to it, takes its time.
BESIDE_TRAFFIC_S = 12.0
LIMITS = {"load_trial_s": TRIAL_S, "load_trial_memory_bytes": MEMORY_BYTES}
POLL_S = 0.1
OFFSETS = (0, 7, 1000, 5000, 12_000, 20_000)
ALONE = (0, 7, 12_000)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """LiteRT networks that end, hold up or fill the process that runs them."""
    folder = tmp_path_factory.mktemp("hostile")
    kinds.crashing_litert(folder / "crashing")
    kinds.endless_litert(folder / "endless")
    kinds.greedy_litert(folder / "greedy")
    kinds.unsigned_litert(folder / "two-inputs")
    return folder


def reseal(folder):
    """Let the contract's checksums be true of the files as they are."""
    contracts.write(folder, contracts.read(folder), contracts.read_golden(folder))


def with_nan_weights(path):
    """Make every weight of a network NaN."""
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(path.read_bytes()))
    weights = {
        tensor.buffer
        for graph in model.subgraphs
        for tensor in graph.tensors
        if tensor.type == 0 and model.buffers[tensor.buffer].data is not None  # FLOAT32
    }
    for number in weights:
        size = len(model.buffers[number].data) // 4
        nan = np.full(size, np.nan, np.float32).tobytes()
        model.buffers[number].data = np.frombuffer(nan, np.uint8)
    path.write_bytes(bytes(flatbuffer_utils.convert_object_to_bytearray(model)))


class Maker:
    """Makes broken versions of one that is good, each with the words that must refuse it."""

    def __init__(self, good, hostile, folder):
        self.good, self.hostile, self.folder = good, hostile, folder
        self.made = []

    def copy(self):
        version = self.folder / f"made-{len(self.made)}"
        shutil.copytree(self.good, version)
        return version

    def described(self, reason, change):
        """A version whose contract holds, of files that were changed before it was written."""
        version = self.copy()
        change(version)
        reseal(version)
        self.made.append((version, reason))

    def alone(self, reason, content):
        """A version of a LiteRT file alone, which nothing describes."""
        version = self.folder / f"made-{len(self.made)}"
        version.mkdir()
        (version / LITERT_MODEL).write_bytes(content)
        self.made.append((version, reason))

    def damaged(self, reason, name, change):
        """A version with a file that is not as its contract says."""
        version = self.copy()
        (version / name).write_bytes(change((version / name).read_bytes()))
        self.made.append((version, reason))


def flipped(content, offset):
    return content[:offset] + bytes([content[offset] ^ 16]) + content[offset + 1 :]


@pytest.fixture
def broken(models, hostile, tmp_path):
    """Versions of every kind of damage, and why each is refused."""
    maker = Maker(models / "housing" / "1", hostile, tmp_path)
    network = (maker.good / LITERT_MODEL).read_bytes()
    for offset in OFFSETS:
        if offset in ALONE:
            maker.alone("model.tflite is not a LiteRT model", network[:offset])
        maker.damaged(f"{LITERT_MODEL} has SHA-256", LITERT_MODEL, lambda it, n=offset: it[:n])
        maker.damaged(
            f"{LITERT_MODEL} has SHA-256", LITERT_MODEL, lambda it, n=offset: flipped(it, n)
        )
    for name in (SAVED_MODEL, GOLDEN, "variables/variables.index"):
        maker.damaged(f"{name} has SHA-256", name, lambda it: flipped(it, len(it) // 2))
        maker.damaged(f"{name} has SHA-256", name, lambda it: it[: len(it) // 2])
    maker.damaged(f"{CONTRACT.split('/')[-1]} is not as", CONTRACT, lambda it: it[: len(it) // 2])

    def put(name):
        content = (hostile / name).read_bytes()
        return lambda version: (version / LITERT_MODEL).write_bytes(content)

    for name, reason in (
        ("crashing", "it ended the process of its trial load with SIGSEGV"),
        ("endless", f"its trial load took longer than {BESIDE_TRAFFIC_S:g} s"),
        ("greedy", f"its trial load took more than {MEMORY_BYTES} bytes of memory"),
    ):
        if name != "endless":
            maker.alone(reason, (hostile / name).read_bytes())
        maker.described(reason, put(name))
    maker.described("the golden rows cannot be run", put("two-inputs"))
    maker.described("golden row 0 gives nan", lambda it: with_nan_weights(it / LITERT_MODEL))
    return maker.made


def states(service):
    found = service.get("/v1/models/housing").json()["model_version_status"]
    return {int(it["version"]): (it["state"], it["status"]["error_message"]) for it in found}


def workers(service):
    pid = service.process.pid
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_every_kind_of_broken_version_is_refused_while_the_served_one_answers(models, broken):
    limits = {**LIMITS, "load_trial_s": BESIDE_TRAFFIC_S}
    with running_service(models, file_system_poll_wait_seconds=POLL_S, **limits) as service:
        before = workers(service)
        with Traffic(service.url, clients=1) as traffic:
            for number, (version, _) in enumerate(broken, start=2):
                version.rename(models / "housing" / str(number))
            wait_until(
                lambda: [it for it, _ in states(service).values()].count("END") == len(broken),
                "all are refused",
                within_s=90,
            )
        found = states(service)
        assert workers(service) == before

    assert traffic.failures == []
    assert {(status, version) for status, version, _ in traffic.answers} == {(200, "1")}
    assert found[1] == ("AVAILABLE", "")
    for number, (_, reason) in enumerate(broken, start=2):
        assert reason in found[number][1]
    print(
        f"{len(broken)} broken versions refused; {len(traffic.answers)} of {len(traffic.answers)} "
        "requests meanwhile answered by the served one; no worker ended"
    )


@pytest.mark.parametrize("kind", ["crashing", "endless"])
def test_a_start_beside_a_version_that_ends_or_holds_up_workers_serves_the_older_one(
    models, hostile, kind
):
    (models / "housing" / "2").mkdir()
    shutil.copy(hostile / kind, models / "housing" / "2" / LITERT_MODEL)

    with running_service(models, **LIMITS) as service:
        assert service.post(PREDICT, HOUSE).status == 200
        assert states(service)[1] == ("AVAILABLE", "")
        assert "trial load" in states(service)[2][1]
        print(f"{kind}: {states(service)[2][1]}")


def test_a_version_that_goes_while_it_is_tried_leaves_the_served_one(models, hostile, tmp_path):
    shutil.copytree(models / "housing" / "1", tmp_path / "next")
    shutil.copy(hostile / "endless", tmp_path / "next" / LITERT_MODEL)
    reseal(tmp_path / "next")
    with (
        running_service(models, file_system_poll_wait_seconds=POLL_S, **LIMITS) as service,
        Traffic(service.url, clients=1) as traffic,
    ):
        going = (tmp_path / "next").rename(models / "housing" / "2")
        wait_until(lambda: "loading housing version 2" in service.output(), "it is tried")
        shutil.rmtree(going)
        wait_until(lambda: states(service)[2][0] == "END", "it is refused")

    assert traffic.failures == []
    assert {(status, version) for status, version, _ in traffic.answers} == {(200, "1")}
