"""Warm-up files as TensorFlow writes them, run when a version is loaded."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from service.errors import VersionRefused
from service.messages import prediction_log_pb2
from service.protocols.warm_up import read_warm_up
from service.repository.loading import LoadOptions, load_version
from tests import models
from tests.servers import running_service, wait_until


def predict_log(**inputs: np.ndarray):
    log = prediction_log_pb2.PredictionLog()
    for name, value in inputs.items():
        tensor = models.tensorflow().make_tensor_proto(value)
        log.predict_log.request.inputs[name].CopyFrom(tensor)
    return log


def regress_log(signature: str, **features: float):
    log = prediction_log_pb2.PredictionLog()
    request = log.regress_log.request
    request.model_spec.signature_name = signature
    request.input.example_list.examples.append(models.example(**features))
    return log


def count(version) -> float:
    outputs = version.predict("serving_default", {"step": np.zeros(1, np.float32)})
    return float(outputs["count"][0])


@pytest.mark.parametrize(
    ("options", "counted"),
    [
        (LoadOptions(read_warm_up=read_warm_up), 3.0),
        (LoadOptions(read_warm_up=read_warm_up, warm_up_iterations=4), 12.0),
        (LoadOptions(), 0.0),
    ],
)
def test_the_requests_are_run_as_often_as_asked(zoo, tmp_path, options, counted):
    """A model that counts shows what was run before it was served."""
    folder = tmp_path / "1"
    shutil.copytree(zoo / "counter" / "1", folder)
    models.write_warm_up(folder, [predict_log(step=np.array([1.0, 2.0], np.float32))])

    assert count(load_version("counter", 1, folder, "tensorflow", options)) == counted


def test_requests_of_examples_are_run_too(zoo, tmp_path):
    folder = tmp_path / "1"
    shutil.copytree(zoo / "half_plus_two_tf1" / "1", folder)
    options = LoadOptions(read_warm_up=read_warm_up)
    models.write_warm_up(folder, [regress_log("regress_x_to_y", x=1.0)])
    assert load_version("half", 1, folder, "tensorflow", options).number == 1

    models.write_warm_up(folder, [regress_log("gone", x=1.0)])
    with pytest.raises(VersionRefused, match=r"record 0 \(regress gone\) fails"):
        load_version("half", 1, folder, "tensorflow", options)


def test_a_version_whose_warm_up_fails_is_refused_and_the_old_one_goes_on(zoo, tmp_path):
    shutil.copytree(zoo / "unsigned", tmp_path / "unsigned")
    with running_service(tmp_path, name="unsigned", file_system_poll_wait_seconds=0.1) as service:
        made = tmp_path / "made"
        shutil.copytree(zoo / "unsigned" / "1", made)
        models.write_warm_up(made, [predict_log(rows=np.ones((1, 3), np.float32))])
        made.rename(tmp_path / "unsigned" / "2")

        def refused() -> bool:
            return "version 2 is refused" in service.output()

        wait_until(refused, "the refusal of version 2")
        answer = service.post("/v1/models/unsigned:predict", {"instances": [[1, 2]]})
        status = service.get("/v1/models/unsigned/versions/2").json()

    assert answer.json() == {"predictions": [21.0]}
    (entry,) = status["model_version_status"]
    assert entry["state"] == "END"
    assert "rows has shape [1, 3], expected [n, 2]" in entry["status"]["error_message"]
