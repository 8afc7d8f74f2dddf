"""Two workers on loopback train one network: real processes, real collectives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from service import contract as contracts
from tests.servers import ROOT, free_port, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


def start(table: Path, models: Path, *flags: str, workers: int = 2) -> Run:
    """Start a training; of one worker it is the ordinary command, which streams."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(workers)]
    line = [sys.executable, "-m", "training", "--data", str(table), "--models", str(models)]
    line += [*FLAGS, "--epochs", str(EPOCHS), "--stream_mb", "0", *flags]
    plain = {name: it for name, it in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    processes = []
    for index in range(workers):
        named = ["--workers", ",".join(addresses), "--worker_index", str(index)]
        process = subprocess.Popen(
            line + (named if workers > 1 else []),
            cwd=ROOT, env=plain, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
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
def runs(table, tmp_path_factory) -> Iterator[tuple[Run, Run]]:
    """One process, and two workers, each to its end."""
    folder = tmp_path_factory.mktemp("models")
    started = start(table, folder / "one", workers=1), start(table, folder / "two")
    try:
        codes = [it.end() for it in started]
        assert codes == [[0], [0, 0]], [it.errors for it in started]
        yield started
    finally:
        for it in started:
            it.kill()


@pytest.fixture(scope="module")
def versions(runs) -> list[Path]:
    """The version that one process published, and the one of two workers."""
    from pathlib import Path

    return [
        Path(line.removeprefix("Published "))
        for run in runs
        for line in run.output[0].splitlines()
        if line.startswith("Published ")
    ]


def test_workers_have_uneven_parts_and_the_chief_alone_shows_progress(runs):
    chief, other = runs[1].output

    line = next(it for it in chief.splitlines() if it.startswith("Training rows of each worker"))
    first, second = (int(it) for it in line.partition(": ")[2].rstrip(".").split(", "))
    assert line in other
    assert first < 0.6 * second
    assert "epoch 20/20" in chief
    assert "epoch" not in other
    assert "The chief published" in other
    assert runs[1].errors == ["", ""]


def test_two_workers_train_what_one_process_does(versions):
    one, two = (variables(it) for it in versions)

    assert one.keys() == two.keys()
    for name in one:
        # Both add up the same rows' gradients in single precision, one in another order: each
        # step is off by some 1e-7 of a weight, and there are 20 epochs of about 20 steps.
        np.testing.assert_allclose(two[name], one[name], rtol=0, atol=1e-4, err_msg=name)
    histories = [contracts.read(it) for it in versions]
    assert all(it is not None for it in histories)
    errors = [it.metrics["test"]["network"]["mae"] for it in histories if it is not None]
    assert errors[1] == pytest.approx(errors[0], rel=1e-3)


def test_version_is_an_ordinary_one_and_says_how_many_made_it(versions):
    found = contracts.read(versions[1])

    assert found is not None
    contracts.verify(versions[1], found)
    assert found.recipe["workers"] == 2
    assert {it.name for it in versions[1].parent.iterdir()} == {"1", "history.jsonl"}


def test_version_is_served(versions):
    golden = contracts.read_golden(versions[1])
    models = versions[1].parent.parent
    with running_service(models, name="made", executor="litert") as server:
        answer = server.post(
            "/v1/models/made:predict", {"instances": [{"a": 5, "b": 1, "where": "west"}]}
        )

    assert golden is not None
    assert answer.status == 200
    assert answer.json()["predictions"] == [pytest.approx(3 * 5 - 1 + 4, abs=1)]


def test_what_is_made_already_is_told_to_all(table, versions):
    again = start(table, versions[1].parent.parent)

    assert again.end() == [0, 0], again.errors
    assert "is already made from the same" in again.output[0]
    assert f"The chief has {versions[1]}" in again.output[1]


def test_network_that_is_not_published_ends_every_worker_with_a_reason(table, versions):
    worse = start(table, versions[1].parent.parent, "--epochs", "1")

    assert worse.end() == [1, 1]
    assert "not better than the stable version" in worse.errors[0]
    assert ", the chief, ended without a version" in worse.errors[1]


def test_training_goes_on_after_a_worker_was_killed_and_ends_the_same(table, versions, tmp_path):
    run = start(table, tmp_path)
    try:
        run.until("epoch 4/20")
        run.processes[1].send_signal(signal.SIGKILL)
        assert run.end() == [1, -signal.SIGKILL]
    finally:
        run.kill()
    assert f"worker 1 ({run.addresses[1]}) is lost: " in run.errors[0]
    assert "Start the same command on every worker again" in run.errors[0]
    assert not (tmp_path / "made" / "1").exists()

    resumed = start(table, tmp_path)

    assert resumed.end() == [0, 0], resumed.errors
    assert "Going on after epoch " in resumed.output[0]
    assert "epoch 2/20" not in resumed.output[0]
    whole, parts = variables(versions[1]), variables(tmp_path / "made" / "1")
    assert {name: it.tobytes() for name, it in whole.items()} == {
        name: it.tobytes() for name, it in parts.items()
    }
    assert not (tmp_path / "made" / ".checkpoint").exists()
