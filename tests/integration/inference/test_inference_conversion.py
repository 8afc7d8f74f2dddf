"""A SavedModel is served by LiteRT only where that gives TensorFlow's answers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from service.contract import LITERT_MODEL
from service.errors import VersionRefused
from service.inference import savedmodel
from service.inference.choice import ExecutorOptions, open_executor
from service.inference.conversion import NotConvertible, convert, write_samples
from service.inference.conversion_cache import ConversionCache, convert_apart
from service.inference.litert import LiteRT
from service.inference.savedmodel import SavedModel
from tests import models
from tests.servers import ROOT, fetch

TAGS = ("serve",)


def loaded_libraries(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(it) for task in tasks for it in task.read_text().split()]


def test_converted_models_are_served_without_tensorflow_and_converted_once(by_litert):
    workers = children(by_litert.rest.process.pid)

    assert len(workers) == 2
    assert not any("libtensorflow" in loaded_libraries(it) for it in workers)
    log = by_litert.rest.output()
    assert log.count("network/1 for LiteRT in") == 1
    assert len(re.findall(r"serving network version 1 with litert", log)) == 2
    assert fetch(f"{by_litert.rest.url}/v1/models/network").status == 200


@pytest.fixture(scope="module")
def both(zoo, tmp_path_factory):
    """The network in LiteRT and in TensorFlow."""
    made = tmp_path_factory.mktemp("both") / "made"
    convert(zoo / "network" / "1", made, TAGS, {})
    return LiteRT(made), SavedModel(zoo / "network" / "1")


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(0, 70), st.just(13)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
def test_both_executors_agree_on_any_rows(both, rows):
    ours, theirs = (it.run("serving_default", {"keras_tensor": rows})["output_0"] for it in both)

    largest = np.abs(theirs).max(initial=1.0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * largest)


def test_litert_hands_on_what_is_not_a_number(both):
    rows = np.ones((3, 13), np.float32)
    rows[1, 4] = np.nan

    found = both[0].run("serving_default", {"keras_tensor": rows})["output_0"]
    assert np.isnan(found).tolist() == [[False], [True], [False]]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("counter", "it has operations with a state: AssignAddVariableOp"),
        ("dice", "it has operations with a state: RandomUniform"),
        ("half_plus_two_tf2", "has strings in"),
        ("vocabulary", "signature serving_default has strings in"),
        ("shapes", "signature serving_default takes x of any rank"),
        ("plain_half_plus_two", "serving_default takes x of shape [n] too, beside the declared"),
    ],
)
def test_what_litert_cannot_answer_alike_stays_with_tensorflow(zoo, tmp_path, model, reason):
    with pytest.raises(NotConvertible) as refused:
        convert(zoo / model / "1", tmp_path / "made", TAGS, {})

    assert reason in str(refused.value)


@pytest.fixture
def stale(zoo, tmp_path):
    """A SavedModel beside which lies the LiteRT file of another network."""
    folder = tmp_path / "stale"
    shutil.copytree(zoo / "network" / "1", folder)
    made = tmp_path / "other"
    tf = models.tensorflow()
    module = tf.Module()
    module.f = tf.function(
        lambda keras_tensor: {"output_0": tf.reduce_sum(keras_tensor, axis=1, keepdims=True)},
        [tf.TensorSpec([None, 13], name="keras_tensor")],
    )
    tf.saved_model.save(module, str(made), signatures={"serving_default": module.f})
    models.litert(made, folder / LITERT_MODEL, "serving_default")
    return folder


def test_a_litert_file_of_another_network_is_not_taken(stale, tmp_path):
    with pytest.raises(NotConvertible, match="LiteRT differs from TensorFlow: output_0"):
        convert(stale, tmp_path / "made", TAGS, {})


def test_a_litert_file_is_taken_as_it_is_where_that_is_asked_for(stale):
    preferred = open_executor(stale, "auto", ExecutorOptions(prefer_litert=True))

    assert preferred.name == "litert"
    assert open_executor(stale, "litert").name == "litert"
    assert open_executor(stale, "tensorflow").name == "tensorflow"
    rows = {"keras_tensor": np.ones((2, 13), np.float32)}
    assert preferred.run("serving_default", rows)["output_0"].tolist() == [[13.0], [13.0]]


def test_a_litert_file_with_fewer_signatures_is_not_taken(zoo, tmp_path):
    tf = models.tensorflow()
    module = tf.Module()
    spec = [tf.TensorSpec([None, 3], name="x")]
    module.a = tf.function(lambda x: {"a": tf.reduce_sum(x, axis=1)}, spec)
    module.b = tf.function(lambda x: {"b": tf.reduce_max(x, axis=1)}, spec)
    folder = tmp_path / "two"
    tf.saved_model.save(module, str(folder), signatures={"a": module.a, "b": module.b})
    models.litert(folder, folder / LITERT_MODEL, "a")

    with pytest.raises(NotConvertible, match="the LiteRT model has no signature b"):
        convert(folder, tmp_path / "made", TAGS, {})


def test_samples_are_compared_instead_of_made_up_rows(zoo, tmp_path):
    """There are the places 0 to 2."""
    good = [{"place": np.array([[0, 2]], np.int32)}]
    bad = [{"place": np.array([[0, 3]], np.int32)}]
    convert(zoo / "embedding" / "1", tmp_path / "made", TAGS, {"serving_default": good})

    with pytest.raises(NotConvertible, match="TensorFlow took none of the inputs"):
        convert(zoo / "embedding" / "1", tmp_path / "made", TAGS, {"serving_default": bad})


def test_the_graph_is_chosen_by_its_tags(tmp_path):
    models.tagged(tmp_path / "tagged", "serve", "gpu")
    executor = open_executor(
        tmp_path / "tagged", "tensorflow", ExecutorOptions(tags=("gpu", "serve"))
    )

    result = executor.run("serving_default", {"x": np.array([4.0], np.float32)})
    assert result["y"].tolist() == [8.0]
    with pytest.raises(VersionRefused, match=r"tags \{serve\}, only \{gpu, serve\}"):
        open_executor(tmp_path / "tagged", "tensorflow")


def test_what_is_refused_in_its_own_process_comes_back_with_its_reason(zoo, tmp_path):
    cache = ConversionCache([tmp_path / "cache"])
    with pytest.raises(NotConvertible, match=r"^it has operations with a state: AssignAdd"):
        cache.find(zoo / "counter" / "1", TAGS, {})
    with pytest.raises(NotConvertible, match="as found before"):
        cache.find(zoo / "counter" / "1", TAGS, {})


def test_a_conversion_that_takes_too_long_is_given_up(zoo, tmp_path):
    write_samples(tmp_path / "samples.npz", {})
    with pytest.raises(NotConvertible, match=r"took longer than 0\.01 s"):
        convert_apart(
            zoo / "network" / "1", tmp_path / "made", TAGS, tmp_path / "samples.npz", 0.01
        )


def test_a_conversion_ends_with_the_service_that_asked_for_it(zoo, tmp_path):
    command = [
        sys.executable, "-m", "service.inference.conversion", str(zoo / "network" / "1"),
        str(tmp_path / "made"), "--for_service",
    ]  # fmt: skip
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        process.stdin.close()
        assert process.wait(60) != 0
    assert not (tmp_path / "made").exists()


@pytest.fixture
def without_tensorflow(monkeypatch):
    monkeypatch.setattr(savedmodel, "is_installed", lambda: False)


@pytest.mark.usefixtures("without_tensorflow")
def test_without_tensorflow_a_saved_model_is_refused_with_what_to_do(zoo, tmp_path):
    options = ExecutorOptions(cache_folders=(tmp_path,))
    with pytest.raises(VersionRefused, match="needs TensorFlow, which is not installed here"):
        open_executor(zoo / "network" / "1", "auto", options)


@pytest.mark.usefixtures("without_tensorflow")
def test_without_tensorflow_a_litert_file_beside_it_is_taken_with_a_warning(stale, caplog):
    assert open_executor(stale, "auto").name == "litert"
    assert "was not compared with its SavedModel" in caplog.text


def test_the_message_modules_alone_are_not_tensorflow(tmp_path, monkeypatch):
    (tmp_path / "tensorflow" / "core").mkdir(parents=True)
    for name in [it for it in sys.modules if it.partition(".")[0] == "tensorflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    assert not savedmodel.is_installed()


def test_a_tf1_model_is_converted(tmp_path):
    """Weights 2 and 3 in TF1's own kind of variable: 2 a + 3 b."""
    tf = models.tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        rows = v1.placeholder(tf.float32, [None, 2], name="rows")
        start = np.array([[2.0], [3.0]], np.float32)
        weights = v1.get_variable("weights", initializer=start, use_resource=False)
        total = tf.matmul(rows, weights, name="total")
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.predict_signature_def({"rows": rows}, {"total": total})
        builder = v1.saved_model.Builder(str(tmp_path / "tf1"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()

    convert(tmp_path / "tf1", tmp_path / "made", TAGS, {})

    found = LiteRT(tmp_path / "made").run("serving_default", {"rows": np.eye(2, dtype=np.float32)})
    assert found["total"].tolist() == [[2.0], [3.0]]
