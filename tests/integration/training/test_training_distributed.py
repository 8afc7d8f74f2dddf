"""Two workers on loopback train one network: real processes, real collectives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from service import contract as contracts
from tests.servers import ROOT, free_port, running_service
from training import flags
from training.distributed import cluster
from training.errors import CompareError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 2400
EPOCHS = 20
FLAGS = ["--target", "y", "--batch_size", "64", "--schedule", "cosine", "--learning_rate", "0.003"]
FLAGS += ["--widths", "16", "--coverage_splits", "0"]
ENDS_S = 90


@dataclass
class Run:
    """Processes of one training, the chief first.

    Attributes:
        processes: They.
        addresses: Where each listens.
        output: What each printed, once it has ended.
        errors: The same of standard error.
    """

    processes: list[subprocess.Popen[str]]
    addresses: list[str]
    output: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def until(self, line: str) -> None:
        """Read what the chief prints up to a line that begins so."""
        stream = self.processes[0].stdout
        assert stream is not None
        read = ""
        for printed in stream:
            read += printed
            if printed.startswith(line):
                return
        raise AssertionError(f"no line {line!r} in\n{read}")

    def end(self) -> list[int]:
        """Wait for all; give their exit codes."""
        for process in self.processes:
            said, wrong = process.communicate(timeout=ENDS_S)
            self.output.append(said)
            self.errors.append(wrong)
        return [process.returncode for process in self.processes]

    def kill(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()


def start(table: Path, models: Path, *, by_environment: bool = False) -> Run:
    """Start the two workers of a training, told of each other by flags or by ``TF_CONFIG``."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    line = [sys.executable, "-m", "training", "--data", str(table), "--models", str(models)]
    line += [*FLAGS, "--epochs", str(EPOCHS)]
    plain = {name: it for name, it in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    processes = []
    for index in range(2):
        named = cluster.of_flags(",".join(addresses), index)
        assert named is not None
        told = ["--workers", ",".join(addresses), "--worker_index", str(index)]
        process = subprocess.Popen(
            line + ([] if by_environment else told),
            env=plain | ({"TF_CONFIG": named.config} if by_environment else {}),
            cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
    return Run(processes, addresses)


def variables(version: Path) -> dict[str, np.ndarray]:
    from training import retraining

    return retraining._variables(version)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    """Rows in several row groups; the first half lacks many targets, so that parts are uneven."""
    random = np.random.default_rng(3)
    a, b = random.uniform(0, 10, (2, ROWS))
    where = np.array(["north", "south", "west"])[random.integers(0, 3, ROWS)]
    y = 3 * a - b + np.where(where == "west", 4, 0) + random.normal(0, 0.5, ROWS)
    y[: ROWS // 2][random.random(ROWS // 2) < 0.6] = np.nan
    path = tmp_path_factory.mktemp("table") / "made.parquet"
    frame = pd.DataFrame({"a": a, "b": b, "where": where, "y": y})
    frame.to_parquet(path, row_group_size=500)
    return path


@pytest.fixture(scope="module")
def run(table, tmp_path_factory) -> Iterator[Run]:
    """Two workers, to their end."""
    started = start(table, tmp_path_factory.mktemp("models"))
    try:
        assert started.end() == [0, 0], started.errors
        yield started
    finally:
        started.kill()


@pytest.fixture(scope="module")
def version(run) -> Path:
    """The version that they published."""
    lines = run.output[0].splitlines()
    return Path(next(it for it in lines if it.startswith("Published ")).partition(" ")[2])


@pytest.fixture(scope="module")
def alone(table, tmp_path_factory) -> Any:
    """The network that one process trains, which reads all rows."""
    from training import own
    from training.fit import fit
    from training.preparation import prepare

    recipe = flags.parse([*FLAGS, "--epochs", str(EPOCHS)], {}).recipe
    rows, _ = own.stream(own.Place(table), recipe, tmp_path_factory.mktemp("alone"))
    prepared = prepare(recipe, rows.schema, rows.split.train)
    return fit(recipe, rows.split, lambda *_: None, prepared, rows.feed)[0]


def test_workers_have_uneven_parts_and_the_chief_alone_shows_progress(run):
    chief, other = run.output

    line = next(it for it in chief.splitlines() if it.startswith("Training rows of each worker"))
    first, second = (int(it) for it in line.partition(": ")[2].rstrip(".").split(", "))
    assert line in other
    assert first < 0.6 * second
    assert "epoch 20/20" in chief
    assert "epoch" not in other
    assert "The chief published" in other
    assert run.errors == ["", ""]


def test_two_workers_train_what_one_process_does(alone, version):
    by_shape = {it.shape: it for it in variables(version).values()}

    assert len(alone.trainable_variables) == 4
    for variable in alone.trainable_variables:
        # Both add up the same rows' gradients in single precision, one in another order: each
        # step is off by some 1e-7 of a weight, and there are 20 epochs of about 20 steps.
        np.testing.assert_allclose(
            by_shape[tuple(variable.shape)], variable.numpy(), rtol=0, atol=1e-4
        )


def test_version_is_an_ordinary_one_and_says_how_many_made_it(version):
    found = contracts.read(version)

    assert found is not None
    contracts.verify(version, found)
    assert found.recipe["workers"] == 2
    assert {it.name for it in version.parent.iterdir()} == {"1", "history.jsonl"}


def test_version_is_served(version):
    models = version.parent.parent
    with running_service(models, name="made", executor="litert") as server:
        answer = server.post(
            "/v1/models/made:predict", {"instances": [{"a": 5, "b": 1, "where": "west"}]}
        )

    assert answer.status == 200
    assert answer.json()["predictions"] == [pytest.approx(3 * 5 - 1 + 4, abs=1)]


def test_one_process_does_not_verify_it(version):
    from training import retraining

    found = contracts.read(version)

    assert found is not None
    with pytest.raises(CompareError, match="2 workers trained it together"):
        retraining.recipe_of(found)


def test_what_is_made_already_is_told_to_all(table, version):
    again = start(table, version.parent.parent)

    assert again.end() == [0, 0], again.errors
    assert "is already made from the same" in again.output[0]
    assert f"The chief has {version}" in again.output[1]


def test_training_goes_on_after_a_worker_was_killed_and_ends_the_same(table, version, tmp_path):
    lost = start(table, tmp_path)
    try:
        lost.until("epoch 4/20")
        lost.processes[1].send_signal(signal.SIGKILL)
        assert lost.end() == [1, -signal.SIGKILL]
    finally:
        lost.kill()
    assert f"worker 1 ({lost.addresses[1]}) is lost: " in lost.errors[0]
    assert "Start the same command on every worker again" in lost.errors[0]
    assert not (tmp_path / "made" / "1").exists()

    resumed = start(table, tmp_path, by_environment=True)

    assert resumed.end() == [0, 0], resumed.errors
    assert "Going on after epoch " in resumed.output[0]
    assert "epoch 2/20" not in resumed.output[0]
    whole, parts = variables(version), variables(tmp_path / "made" / "1")
    assert {name: it.tobytes() for name, it in whole.items()} == {
        name: it.tobytes() for name, it in parts.items()
    }
    assert not (tmp_path / "made" / ".checkpoint").exists()


def task(number: int) -> str:
    return f"/job:worker/replica:0/task:{number}"


CUT_OFF = f"aborted by: Connection reset\nremote target {task(2)} while calling"
# As a neighbour tells of it, whom worker 2 asked.
TOLD = f"{CUT_OFF}: Collective ops is aborted by: Connection reset\\nremote target {task(0)} while"
SILENT = f"aborted by: Error reported from {task(2)}: Some are unhealthy (silent):\n{task(2)}\nThe"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (CUT_OFF, "worker 2 (c:3) is lost: Connection reset. "),
        (TOLD, "worker 0 (a:1) is lost: Connection reset. "),
        (SILENT, "worker 2 (c:3) is lost: Some are unhealthy (silent). "),
        (f"{SILENT} remote target {task(0)} while", "worker 2 (c:3) is lost: Some are unhealthy"),
        (f"something else of {task(1)}, which is this one", "a worker is lost: something else"),
    ],
)
def test_lost_worker_is_named(said, told):
    from training.distributed import collectives

    workers = cluster.of_flags("a:1,b:2,c:3", 1)

    assert workers is not None
    assert collectives._lost(workers, said).startswith(told)
