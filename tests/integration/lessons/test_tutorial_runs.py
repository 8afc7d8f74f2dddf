"""The tutorial runs as it is written: its Python, and its questions to the served networks."""

from __future__ import annotations

import code
import contextlib
import io
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.models import tensorflow
from tests.servers import ROOT, running_service
from tests.tutorial import sessions, snippets

if TYPE_CHECKING:
    from pathlib import Path

NETWORKS = ("one_input", "two_inputs", "two_outputs", "forward_propagation", "many_inputs")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    """The lessons' networks and their config file, as ``make lessons`` writes them."""
    folder = tmp_path_factory.mktemp("models") / "lessons"
    command = [sys.executable, "-m", "lessons", "export", "--folder", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def service(exported):
    config = exported / "models.config"
    flags = {"model_config_file": config, "prefer_tflite_model": True}
    with running_service(exported, **flags) as server:
        yield server


@pytest.fixture(scope="module")
def printed() -> list[str]:
    """What a reader sees who types all blocks of Python into one session, line by line."""
    tensorflow()
    session = code.InteractiveConsole({"__name__": "__main__"})
    return [typed(session, block) for block, _ in snippets()]


def typed(session: code.InteractiveConsole, block: str) -> str:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        for line in [*block.splitlines(), ""]:
            session.push(line)
    return shown.getvalue()


@pytest.mark.parametrize("place", range(len(snippets())))
def test_python_prints_what_stands_below_it(printed, place):
    assert printed[place] == snippets()[place][1]


@pytest.mark.parametrize("place", range(len(sessions())))
def test_question_is_answered_as_shown(service, place):
    command, answer = sessions()[place]
    asked = command.replace("http://localhost:8501", service.url)
    asked = asked.replace(".venv/bin/python", sys.executable)
    line = ["bash", "-c", asked.replace("curl ", "curl -sS ")]

    done = subprocess.run(line, capture_output=True, text=True, check=True)

    assert done.stdout.rstrip("\n") == answer.rstrip("\n")


def test_every_network_is_asked_for():
    asked = "".join(command for command, _ in sessions())

    assert all(f"/v1/models/{name}:predict" in asked for name in NETWORKS)


def test_served_networks_need_no_tensorflow(service):
    assert service.output().count("with litert") == len(NETWORKS)


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_model_answers_as_what_is_served(service, exported, name):
    tf = tensorflow()
    predict = tf.saved_model.load(str(exported / name / "1")).signatures["serving_default"]
    width = predict.structured_input_signature[1]["x"].shape[1]
    batch = np.random.default_rng(1).normal(size=(5, width)).astype(np.float32)

    served = service.post(f"/v1/models/{name}:predict", {"instances": batch.tolist()}).json()

    by_tensorflow = predict(tf.constant(batch))["y"].numpy()
    np.testing.assert_allclose(served["predictions"], by_tensorflow, rtol=1e-5, atol=1e-5)


def test_losses_are_those_of_keras():
    import keras

    from lessons import loss

    draw = np.random.default_rng(2)
    truth, predicted = draw.integers(0, 2, 50).astype(float), draw.uniform(0.01, 0.99, 50)

    by_keras = float(keras.losses.BinaryCrossentropy()(truth, predicted))
    assert loss.binary_cross_entropy(truth, predicted) == pytest.approx(by_keras, rel=1e-5)
    by_keras = float(keras.losses.MeanSquaredError()(truth, predicted))
    assert loss.mean_squared_error(truth, predicted) == pytest.approx(by_keras, rel=1e-5)


def test_gradients_are_those_of_tensorflow():
    tf = tensorflow()
    from lessons import back_propagation, forward_propagation

    draw = np.random.default_rng(4)
    batch, truth = draw.normal(size=(20, 2)), draw.normal(size=(20, 2))
    network = forward_propagation.network()

    ours = back_propagation.gradients(batch, truth, forward_propagation.layers())

    with tf.GradientTape() as tape:
        cost = tf.reduce_mean((network(batch) - truth) ** 2)
    for own, by_tensorflow in zip(ours, tape.gradient(cost, network.weights), strict=True):
        np.testing.assert_allclose(own, by_tensorflow, rtol=1e-4, atol=1e-5)


def test_an_export_is_the_next_version_and_the_config_comes_last(tmp_path):
    tensorflow()
    from lessons.export import CONFIG, export

    written = [next(export(tmp_path)) for _ in range(2)]

    assert written == [tmp_path / "one_input" / "1", tmp_path / "one_input" / "2"]
    assert not (tmp_path / CONFIG).exists()
