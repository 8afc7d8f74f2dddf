"""Predict messages like ones before are answered as if they had been read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.exchange import Exchange
from service.messages import predict_pb2
from service.repository.config import All, ModelConfig
from service.repository.repository import Repository
from service.rpc.templates import Templates
from service.rpc.tensorflow_serving import TensorFlowServing
from tests.unit.service.fakes import Witness, version

if TYPE_CHECKING:
    from pathlib import Path

    from service.rpc.calls import Method

NUMBERS = st.floats(-(2.0**100), 2.0**100, width=32)
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=10)
SPECS = st.sampled_from(
    [{}, {"version": 1}, {"version_label": "stable"}, {"signature_name": "serving_default"}]
)


class Asked:
    """Predict, as one server's loop calls it."""

    def __init__(self, service: TensorFlowServing) -> None:
        self.method: Method = service.services()[0].methods["Predict"]

    def ordinary(self, message: bytes) -> bytes:
        prepare, learn = self.method.prepare, self.method.learn
        assert prepare is not None
        assert learn is not None
        inference = prepare(predict_pb2.PredictRequest.FromString(message), exchange())
        learn(message, inference)
        answer: bytes = inference.run().SerializeToString()
        return answer

    def short(self, message: bytes) -> bytes | None:
        assert self.method.shortcut is not None
        return self.method.shortcut(message, exchange())


def exchange() -> Exchange:
    return Exchange("id", "gRPC", "/x", "", 0.0)


def repository(folder: Path) -> Repository:
    for number in (1, 2):
        (folder / str(number)).mkdir(exist_ok=True)
    made = Repository(
        [ModelConfig("housing", folder, All(), {"stable": 1})],
        lambda _model, number, path: version(number, path=path, described=number == 2),
        Witness(),
    )
    made.poll()
    return made


def serving(models: Repository, *, as_content: bool = False) -> Asked:
    control: Any = None
    return Asked(TensorFlowServing(models, control, bytes, 2**20, as_content=as_content))


@pytest.fixture(scope="module", params=[False, True], ids=["typed", "content"])
def asked(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Asked:
    return serving(repository(tmp_path_factory.mktemp("models")), as_content=request.param)


def predict(
    rows: Any, *, content: bool = False, wanted: tuple[str, ...] = (), **spec: Any
) -> bytes:
    request = predict_pb2.PredictRequest(output_filter=wanted)
    request.model_spec.name = "housing"
    number = spec.pop("version", None)
    if number is not None:
        request.model_spec.version.value = number
    for name, value in spec.items():
        setattr(request.model_spec, name, value)
    tensor, batch = request.inputs["features"], np.array(rows, np.float32)
    tensor.dtype = 1
    for size in batch.shape:
        tensor.tensor_shape.dim.add(size=size)
    if content:
        tensor.tensor_content = batch.tobytes()
    else:
        tensor.float_val.extend(batch.ravel().tolist())
    return request.SerializeToString()


def test_a_message_is_short_once_one_like_it_was_answered(asked: Asked) -> None:
    first, second = predict([[6.5, 60, 5]]), predict([[7.25, 60, 5]])
    asked.ordinary(first)
    answer = predict_pb2.PredictResponse.FromString(asked.short(second) or b"")
    assert answer.model_spec.version.value == 2
    (price,) = np.frombuffer(
        answer.outputs["price"].tensor_content
        or np.array(answer.outputs["price"].float_val, np.float32).tobytes(),
        np.float32,
    )
    assert price == 72.25


@given(rows=ROWS, other=st.data(), spec=SPECS, content=st.booleans())
def test_the_short_way_answers_as_the_ordinary_one(
    asked: Asked, rows: Any, other: st.DataObject, spec: dict[str, Any], content: Any
) -> None:
    described = "version" not in spec and "version_label" not in spec
    numbers = st.floats(0, 50, width=32) if described else NUMBERS
    if described:
        rows = np.clip(rows, 0, 50)
    form = {"content": content, **spec}
    asked.ordinary(predict(rows, **form))
    like = other.draw(st.lists(st.tuples(*[numbers] * 3), min_size=len(rows), max_size=len(rows)))
    message = predict(like, **form)
    assert asked.short(message) == asked.ordinary(message)


def test_what_may_be_refused_takes_the_ordinary_way(asked: Asked) -> None:
    asked.ordinary(predict([[6.5, 60, 5]]))
    for refused in (float("nan"), 500.0):
        assert asked.short(predict([[refused, 60, 5]])) is None


def test_a_message_that_does_not_end_in_its_numbers_takes_the_ordinary_way(asked: Asked) -> None:
    message = predict([[6.5, 60, 5]], wanted=("price",))
    asked.ordinary(message)
    assert asked.short(message) is None


def test_another_model_another_size_and_another_filter_are_not_like_it(asked: Asked) -> None:
    asked.ordinary(predict([[6.5, 60, 5]]))
    unknown = predict([[6.5, 60, 5]]).replace(b"housing", b"castles")
    for message in (unknown, predict([[6.5, 60, 5]] * 11), predict([[6.5, 60]]), b"", b"x" * 3000):
        assert asked.short(message) is None


def test_numbers_that_only_seem_to_end_a_message_are_not_taken_for_them() -> None:
    # The model's name has the bytes of the number, and stands last.
    number = np.frombuffer(b"aaaa", np.float32).reshape(1, 1)
    inputs, spec = predict_pb2.PredictRequest(), predict_pb2.PredictRequest()
    tensor = inputs.inputs["features"]
    tensor.dtype = 1
    for size in number.shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.extend(number.ravel().tolist())
    spec.model_spec.name = "aaaa"
    message = inputs.SerializeToString() + spec.SerializeToString()
    templates = Templates(as_content=False)
    templates.learn(message, {"features": number})
    assert templates.find(message) is None


def test_after_a_swap_the_new_version_answers(tmp_path: Path) -> None:
    models = repository(tmp_path)
    asked = serving(models)
    message = predict([[6.5, 60, 5]])
    asked.ordinary(message)
    assert b"\x08\x02" in (asked.short(message) or b"")
    (tmp_path / "3").mkdir()
    models.poll()
    models.poll()
    answer = predict_pb2.PredictResponse.FromString(asked.short(message) or b"")
    assert answer.model_spec.version.value == 3


def test_a_flood_of_forms_is_forgotten_in_time() -> None:
    templates = Templates(as_content=False)
    batch = np.ones((1, 3), np.float32)
    messages = [predict(batch, signature_name=f"{number:05}") for number in range(3000)]
    for message in messages:
        templates.learn(message, {"features": batch})
    assert templates.find(messages[-1]) is not None
    assert templates.find(messages[0]) is None
