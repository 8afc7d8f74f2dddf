"""A level, in each protocol's place, is answered by the signature of its intervals."""

from __future__ import annotations

import pytest

from service.errors import InvalidRequest
from service.protocols import levels
from service.protocols import open_inference_pb2 as messages
from service.settings import Settings
from tests.unit.invocations.conftest import Api
from tests.unit.open_inference.world import World, document
from tests.unit.service.fakes import Adder, Ranger, version

ROW = [6.0, 3.0, 10.0]
NAMED = {"LSTAT": 10.0, "RM": 6.0, "AGE": 3.0}
KNOWN = "known: 0.8, 0.9, 0.95"


def bounds(percents: float) -> dict[str, float]:
    """What the fake answers for the row, whose sum is 19."""
    return {"lower": 19.0 - percents, "price": 19.0, "upper": 19.0 + percents}


@pytest.fixture(scope="module")
def ranged(tmp_path_factory):
    return Api({"housing": Ranger()}, tmp_path_factory.mktemp("models"), knobs=Settings())


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return Api({"housing": Adder()}, tmp_path_factory.mktemp("models"), knobs=Settings())


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("models"), {"housing": Ranger()})


def predict(api: Api, body: dict):
    return api.ask("POST", "/v1/models/housing:predict", body)


@pytest.mark.parametrize(("level", "percents"), [(0.8, 80), (0.9, 90), (0.95, 95), ("0.9", 90)])
@pytest.mark.parametrize("row", [ROW, NAMED, {"features": ROW}], ids=["row", "named", "input"])
def test_rows_with_a_level_are_answered_with_bounds(ranged, row, level, percents):
    answered = predict(ranged, {"instances": [row], "level": level})

    assert answered.status == 200, answered.text
    assert answered.json() == {"predictions": [bounds(percents)]}


@pytest.mark.parametrize(
    "columns",
    [[ROW], {"features": [ROW]}, {name: [value] for name, value in NAMED.items()}],
    ids=["bare", "input", "named"],
)
def test_columns_with_a_level_are_answered_with_bounds(ranged, columns):
    answered = predict(ranged, {"inputs": columns, "level": 0.95})

    assert answered.status == 200, answered.text
    assert answered.json() == {"outputs": {name: [it] for name, it in bounds(95).items()}}


def test_columns_by_feature_need_no_level(ranged):
    assert predict(ranged, {"inputs": {"RM": [1], "AGE": [2], "LSTAT": [3]}}).json() == {
        "outputs": [6.0]
    }


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"RM": [1, 2], "AGE": [2], "LSTAT": [3]}, "inputs has columns of the shapes"),
        ({"RM": 1, "AGE": 2, "LSTAT": 3}, "inputs has columns of the shapes"),
        ({"RM": ["x"], "AGE": [2], "LSTAT": [3]}, "inputs.RM: JSON Value"),
        ({"RM": [51], "AGE": [2], "LSTAT": [3]}, "instances[0].RM is 51 rooms, outside [0, 50]"),
        ({"RM": [1], "AGE": [2]}, "Missing named input: features in 'inputs' object."),
    ],
)
def test_columns_by_feature_that_do_not_fit_are_named(ranged, columns, message):
    answered = predict(ranged, {"inputs": columns, "level": 0.9})

    assert answered.status == 400
    assert message in answered.json()["error"]


@pytest.mark.parametrize("name", ["", "serving_default", "interval_90"])
def test_the_signature_may_be_named_beside_its_level(ranged, name):
    body = {"signature_name": name, "instances": [ROW], "level": 0.9}

    assert predict(ranged, body).json() == {"predictions": [bounds(90)]}


def test_a_level_of_null_is_none(ranged):
    assert predict(ranged, {"instances": [ROW], "level": None}).json() == {"predictions": [19.0]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"level": 0.7}, f"level is 0.7, {KNOWN}"),
        ({"level": 90}, f"level is 90, {KNOWN}"),
        ({"level": True}, "level is true, not a number such as 0.9"),
        ({"level": "high"}, 'level is "high", not a number such as 0.9'),
        ({"level": [0.9]}, "level is [0.9], not a number such as 0.9"),
        ({"level": 10**400}, "not a number such as 0.9"),
        ({"level": float("nan")}, f"level is nan, {KNOWN}"),
        (
            {"level": 0.9, "signature_name": "named"},
            'signature_name is "named", but level 0.9 is answered by interval_90',
        ),
    ],
)
def test_a_level_that_is_not_known_is_refused_with_those_that_are(ranged, given, message):
    answered = predict(ranged, {"instances": [ROW], **given})

    assert answered.status == 400
    assert message in answered.json()["error"]


def test_a_version_without_intervals_says_so(plain):
    answered = predict(plain, {"instances": [ROW], "level": 0.9})

    assert answered.json() == {
        "error": "level is 0.9, but housing version 1 gives no intervals",
    }


def test_levels_are_found_by_the_signatures_names():
    assert levels.known(version(executor=Ranger())) == {
        0.8: "interval_80",
        0.9: "interval_90",
        0.95: "interval_95",
    }
    assert levels.known(version()) == {}


@pytest.mark.parametrize("place", ["params", "beside"])
def test_mlflow_gives_a_level_in_its_params(ranged, place):
    given = {"params": {"level": 0.8}} if place == "params" else {"level": 0.8}

    answered = ranged.invoke({"dataframe_records": [NAMED], **given})

    assert answered.json() == {"predictions": [bounds(80)]}
    refused = ranged.invoke({"instances": [ROW], "params": {"level": 0.5}})
    assert refused.json()["message"] == f"level is 0.5, {KNOWN}"


def test_vertex_gives_a_level_in_its_parameters(tmp_path):
    knobs = Settings(vertex_predict_route="/predict")
    api = Api({"housing": Ranger()}, tmp_path / "models", knobs=knobs)

    answered = api.ask("POST", "/predict", {"instances": [ROW], "parameters": {"level": 0.9}})

    assert answered.json() == {"predictions": [bounds(90)]}
    unknown = api.ask("POST", "/predict", {"instances": [ROW], "parameters": {"levels": 0.9}})
    assert unknown.json()["error"].endswith("known: signature_name, level")


def test_open_inference_gives_a_level_as_a_parameter(world):
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": ROW}

    answered = world.infer("housing", {"parameters": {"level": 0.95}, "inputs": [tensor]})

    outputs = {it["name"]: it["data"] for it in document(answered)["outputs"]}
    assert outputs == {name: [it] for name, it in bounds(95).items()}
    refused = world.infer("housing", {"parameters": {"level": 0.5}, "inputs": [tensor]})
    assert document(refused) == {"error": f"level is 0.5, {KNOWN}"}


@pytest.mark.parametrize("given", [{"double_param": 0.8}, {"string_param": "0.8"}])
def test_open_inference_over_grpc_does_so_too(world, given):
    request = messages.ModelInferRequest(model_name="housing")
    request.parameters["level"].CopyFrom(messages.InferParameter(**given))
    tensor = request.inputs.add(name="features", datatype="FP32", shape=[1, 3])
    tensor.contents.fp32_contents.extend(ROW)

    answered = world.infer_rpc(request, world.exchange())

    outputs = {it.name: list(it.contents.fp32_contents) for it in answered.outputs}
    assert outputs == {name: [it] for name, it in bounds(80).items()}


def test_a_level_is_no_text_that_is_no_number():
    with pytest.raises(InvalidRequest, match="not a number"):
        levels.signature_name(version(executor=Ranger()), "serving_default", "0.9 or so")
