"""Warm-up files: what is read, what is run, and what refuses a version."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from service.errors import VersionRefused
from service.messages import prediction_log_pb2
from service.protocols.tfrecord import masked_crc
from service.protocols.warm_up import read_warm_up
from service.repository.warming import Record, samples, warm
from tests.unit.service.fakes import Adder, version


def framed(*records: bytes) -> bytes:
    content = b""
    for it in records:
        length = struct.pack("<Q", len(it))
        content += length + struct.pack("<I", masked_crc(length))
        content += it + struct.pack("<I", masked_crc(it))
    return content


def predict_log(*rows: float, signature: str = ""):
    log = prediction_log_pb2.PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    tensor = request.inputs["features"]
    tensor.dtype = 1
    tensor.tensor_shape.dim.add(size=len(rows) // 3)
    tensor.tensor_shape.dim.add(size=3)
    tensor.float_val.extend(rows)
    return log


def add_example(message, **features: float) -> None:
    example = message.input.example_list.examples.add()
    for name, value in features.items():
        example.features.feature[name].float_list.value.append(value)


def read(tmp_path, *logs):
    path = tmp_path / "requests"
    path.write_bytes(framed(*(it.SerializeToString() for it in logs)))
    return read_warm_up(path)


def test_no_file_is_no_request(tmp_path):
    assert read_warm_up(tmp_path / "nothing") == []


def test_predict_requests_become_arrays(tmp_path):
    default, named = read(tmp_path, predict_log(1, 2, 3, 4, 5, 6), predict_log(signature="named"))

    assert (default.method, default.signature) == ("predict", "serving_default")
    np.testing.assert_array_equal(default.inputs["features"], [[1, 2, 3], [4, 5, 6]])
    assert default.inputs["features"].dtype == np.float32
    assert named.signature == "named"
    assert named.inputs["features"].shape == (0, 3)


def test_classify_regress_and_multi_inference_become_examples(tmp_path):
    classify, regress, several = (prediction_log_pb2.PredictionLog() for _ in range(3))
    add_example(classify.classify_log.request, RM=6.0)
    regress.regress_log.request.model_spec.signature_name = "prices"
    add_example(regress.regress_log.request, RM=7.0)
    request = several.multi_inference_log.request
    add_example(request, RM=8.0)
    for method, name in (("classify", "c"), ("regress", "r")):
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.signature_name = name

    found = read(tmp_path, classify, regress, several)

    assert [(it.method, it.signature) for it in found] == [
        ("classify", "serving_default"),
        ("regress", "prices"),
        ("classify", "c"),
        ("regress", "r"),
    ]
    assert [len(it.examples) for it in found] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no records", "requests: record 0 at byte 0 is cut off"),
        (framed(b"\xff\xff"), "requests: record 0 is no PredictionLog"),
        (framed(b""), "requests: record 0: a log of no type cannot be run"),
        (
            framed(*[predict_log(1, 2, 3).SerializeToString()] * 1001),
            "requests has over 1000 records",
        ),
    ],
)
def test_a_file_that_cannot_be_run_refuses_the_version(tmp_path, content, said):
    (tmp_path / "requests").write_bytes(content)
    with pytest.raises(VersionRefused) as refused:
        read_warm_up(tmp_path / "requests")

    assert refused.value.message.startswith(said)


def test_a_kind_that_cannot_be_run_is_named(tmp_path):
    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.SetInParent()
    with pytest.raises(VersionRefused, match="record 0: a session_run_log cannot be run"):
        read(tmp_path, log)


class Counting(Adder):
    """An adder that counts its calls."""

    calls = 0

    def run(self, signature, inputs):
        self.calls += 1
        return super().run(signature, inputs)


def record(inputs, signature="serving_default", method="predict", **more) -> Record:
    return Record("record 0", method, signature, inputs=inputs, **more)


def test_each_request_is_run_as_often_as_asked():
    executor = Counting()
    rows = {"features": np.ones((2, 3), np.float32)}
    warm(version(executor=executor), [record(rows), record(rows)], 3)

    assert executor.calls == 6


@pytest.mark.parametrize(
    ("failing", "said"),
    [
        (record({"other": np.ones(1)}), "it has the inputs ['other'], not ['features']"),
        (
            record({"features": np.ones((1, 3))}),
            "input features has type float64, expected float32",
        ),
        (record({}, signature="gone"), 'Serving signature name: "gone" not found'),
        (record({"features": np.full((1, 3), 999, np.float32)}), "instances[0].RM is 999 rooms"),
        (record({}, method="regress", examples=[b""]), "signature serving_default takes features"),
    ],
)
def test_a_request_that_fails_refuses_the_version(failing, said):
    with pytest.raises(VersionRefused) as refused:
        warm(version(), [failing], 1)

    assert refused.value.message.startswith(
        f"record 0 ({failing.method} {failing.signature}) fails: {said}"
    )


def test_samples_are_the_arrays_of_predict_requests():
    rows = {"features": np.ones((1, 3), np.float32)}
    found = samples([record(rows), record({}, method="regress"), record(rows, "named")])

    assert {name: len(it) for name, it in found.items()} == {"serving_default": 1, "named": 1}
