"""TensorFlow's own models: those that reach for files are refused, those that do not are served."""

from __future__ import annotations

import pytest

from service.errors import VersionRefused
from service.inference.signature import read_message
from service.repository.loading import LoadOptions, load_version
from service.security.__main__ import main
from service.security.graph_scan import scan
from tests import models
from tests.servers import running_service

SECRET = "the secret of this machine"


def reads_files(folder) -> None:
    """Whatever file its caller names."""
    tf = models.tensorflow()
    models._save_function(
        folder,
        lambda name: {"content": tf.map_fn(tf.io.read_file, name)},
        [tf.TensorSpec([None], tf.string, name="name")],
    )


def writes_files(folder) -> None:
    tf = models.tensorflow()

    def write(x):
        with tf.control_dependencies([tf.io.write_file("/tmp/never-written", "x")]):
            return {"y": tf.identity(x)}

    models._save_function(folder, write, [tf.TensorSpec([None], name="x")])


def stolen_vocabulary(folder, file) -> None:
    """A table that is filled from a file of the machine that serves it."""
    tf = models.tensorflow()
    module = tf.Module()
    line, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(file), tf.int64, number, tf.string, line), "none"
    )
    module.find = tf.function(
        lambda number: {"line": module.table.lookup(number)},
        [tf.TensorSpec([None], tf.int64, name="number")],
    )
    models._save(folder, module, {"serving_default": module.find})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("models_that_reach_out")
    reads_files(made / "reads" / "1")
    writes_files(made / "writes" / "1")
    (made / "secret").write_text(f"{SECRET}\n")
    return made


@pytest.mark.parametrize(("name", "operation"), [("reads", "ReadFile"), ("writes", "WriteFile")])
def test_a_model_that_reaches_for_files_is_refused_before_tensorflow_has_it(
    folder, name, operation
):
    with pytest.raises(VersionRefused, match=f"operations that reach beyond it: {operation};"):
        load_version(name, 1, folder / name / "1", "tensorflow")


def test_the_reason_is_told_and_nobody_is_served(folder):
    with running_service(folder, name="reads", until="/livez", executor="tensorflow") as service:
        (status,) = service.get("/v1/models/reads").json()["model_version_status"]
        assert "ReadFile" in status["status"]["error_message"]
        body = {"instances": [str(folder / "secret")]}
        answer = service.post("/v1/models/reads:predict", body)

    assert answer.status == 404
    assert SECRET not in answer.text


def test_an_operation_that_is_allowed_runs(folder):
    options = LoadOptions(allowed_operations=frozenset({"ReadFile"}))
    version = load_version("reads", 1, folder / "reads" / "1", "tensorflow", options)

    outputs = version.predict("serving_default", {"name": [str(folder / "secret").encode()]})
    assert outputs["content"][0] == f"{SECRET}\n".encode()


def test_the_command_names_what_is_found(folder, capsys):
    assert main(["scan", str(folder / "writes" / "1")]) == 1
    assert "WriteFile" in capsys.readouterr().out


def test_models_of_every_kind_have_nothing_to_hide(tmp_path):
    models.half_plus_two_tf1(tmp_path / "tf1")
    models.half_plus_two_tf2(tmp_path / "tf2")
    models.counter(tmp_path / "counter")
    models.texts(tmp_path / "texts")
    models.vocabulary(tmp_path / "vocabulary", tmp_path / "words.txt")
    models.network(tmp_path / "network")

    found = {
        path.parent.name: scan(read_message(path.parent))
        for path in tmp_path.glob("*/saved_model.pb")
    }
    assert len(found) == 6
    assert {name: it for name, it in found.items() if it} == {}


def test_a_table_filled_from_anothers_file_is_refused(folder):
    """TensorFlow makes each file an asset when it saves; whoever means ill names it by hand."""
    place = folder / "stolen"
    stolen_vocabulary(place, folder / "secret")
    message = read_message(place)
    assert scan(message) == []

    (graph,) = message.meta_graphs
    for node in graph.graph_def.node:
        if node.name == graph.asset_file_def[0].tensor_info.name.partition(":")[0]:
            node.op = "Const"
            node.attr["value"].tensor.string_val.append(b"/etc/passwd")
    del graph.asset_file_def[:]
    assert scan(message) == ["InitializeTableFromTextFileV2"]
