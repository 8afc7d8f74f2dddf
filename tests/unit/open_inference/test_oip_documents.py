"""What server and models say of themselves over REST."""

from __future__ import annotations

import pytest

from service import VERSION
from service.protocols.open_inference_statistics import Durations, Statistics
from tests.unit.open_inference.world import Control, Echo, World, document
from tests.unit.service.fakes import Adder, signature, spec

FLAT = {"name": "features", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}


@pytest.fixture
def small(tmp_path):
    """A worker with the housing model alone, and one without a version."""
    return World(tmp_path, {"housing": Adder()})


def test_the_server_names_itself_and_its_extensions(world):
    for path in ("/v2", "/v2/"):
        assert document(world.get(path)) == {
            "name": "hearth",
            "version": VERSION,
            "extensions": [
                "binary_tensor_data",
                "model_configuration",
                "model_repository",
                "parameters",
                "statistics",
            ],
        }


def test_a_model_says_what_it_takes_and_gives(world):
    assert document(world.get("/v2/models/housing/versions/1")) == {
        "name": "housing",
        "versions": ["1"],
        "platform": "tensorflow_savedmodel",
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "price", "datatype": "FP32", "shape": [-1]}],
        "properties": {"signatures": "named, serving_default", "features": "RM, AGE, LSTAT"},
    }


def test_the_only_signature_answers_whatever_its_name(tmp_path):
    class Odd(Echo):
        def __init__(self):
            super().__init__("int64")
            self.signatures = {"odd": self.signatures["serving_default"]}

    odd = World(tmp_path, {"odd": Odd()})
    x = {"name": "x", "shape": [1, 1], "datatype": "INT64", "data": [7]}

    assert document(odd.get("/v2/models/odd"))["inputs"][0]["datatype"] == "INT64"
    assert document(odd.infer("odd", {"inputs": [x]}))["outputs"][0]["data"] == [7]


def test_the_largest_batch_is_what_fits_into_a_body(world):
    # The limit is 1 MiB, a row of three floats 12 bytes.
    assert document(world.get("/v2/models/housing/config")) == {
        "name": "housing",
        "platform": "tensorflow_savedmodel",
        "backend": "tensorflow",
        "max_batch_size": 87381,
        "input": [{"name": "features", "data_type": "TYPE_FP32", "dims": [3], "optional": False}],
        "output": [
            {
                "name": "price",
                "data_type": "TYPE_FP32",
                "dims": [1],
                "reshape": {"shape": []},
            }
        ],
        "model_transaction_policy": {"decoupled": False},
        "response_cache": {"enable": False},
    }


def test_a_model_whose_tensors_have_no_rows_has_no_largest_batch(world):
    config = document(world.get("/v2/models/fixed/config"))

    assert config["max_batch_size"] == 0
    assert config["input"][0]["dims"] == [2, -1]


@pytest.mark.parametrize(("datatype", "told"), [("BYTES", "TYPE_STRING"), ("BOOL", "TYPE_BOOL")])
def test_configuration_has_tritons_names_for_types(world, datatype, told):
    config = document(world.get(f"/v2/models/echo_{datatype}/config"))

    assert config["input"][0]["data_type"] == told


def test_a_shape_of_unknown_rank_is_one_open_size(tmp_path):
    class Loose(Adder):
        def __init__(self):
            super().__init__()
            loose = spec("float32")
            loose = type(loose)(loose.name, loose.dtype, None)
            self.signatures = {"serving_default": signature({"x": loose}, {"y": loose})}

    loose = World(tmp_path, {"loose": Loose()})

    assert document(loose.get("/v2/models/loose"))["inputs"][0]["shape"] == [-1]
    assert document(loose.get("/v2/models/loose/config"))["max_batch_size"] == 0


def test_a_server_that_is_ready_says_so_until_it_goes_down(small):
    assert document(small.get("/v2/health/live")) == {"live": True}
    assert document(small.get("/v2/health/ready")) == {"live": True, "ready": True}

    small.health.draining = True

    unready = small.get("/v2/health/ready")
    assert unready.status == 503
    assert document(unready) == {"live": True, "ready": False, "error": "shutting down"}
    assert small.get("/v2/health/live").status == 200


def test_a_server_without_a_model_to_serve_is_live_but_not_ready(tmp_path):
    idle = World(tmp_path, {})

    assert idle.get("/v2/health/live").status == 200
    assert idle.get("/v2/health/ready").status == 503
    assert document(idle.get("/v2/health/ready"))["error"] == (
        "model empty: there is no version of it"
    )


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("housing", 200, {"name": "housing", "ready": True}),
        ("housing/versions/1", 200, {"name": "housing", "ready": True}),
        (
            "empty",
            503,
            {
                "name": "empty",
                "ready": False,
                "error": "model empty is not ready: there is no version of it",
            },
        ),
        ("nobody", 404, {"error": "model nobody is not served here"}),
        ("housing/versions/7", 404, {"error": "version 7 of model housing is not served here"}),
        ("housing/versions/best", 400, {"error": "Unrecognized servable version label: best"}),
    ],
)
def test_a_models_readiness(small, path, status, told):
    response = small.get(f"/v2/models/{path}/ready")

    assert (response.status, document(response)) == (status, told)


def test_the_index_lists_models_with_their_state_and_reason(small):
    housing = {"name": "housing", "version": "1", "state": "READY", "reason": ""}
    empty = {
        "name": "empty",
        "version": "",
        "state": "UNAVAILABLE",
        "reason": "there is no version of it",
    }

    assert document(small.post("/v2/repository/index")) == [housing, empty]
    assert document(small.post("/v2/repository/index", {"ready": False})) == [housing, empty]
    assert document(small.post("/v2/repository/index", {"ready": True})) == [housing]
    assert small.post("/v2/repository/index", {"ready": "yes"}).status == 400
    assert document(small.get("/v2/models")) == {"models": ["empty", "housing"]}


def test_loading_is_switched_off_unless_somebody_does_it(small, tmp_path):
    refused = small.post("/v2/repository/models/housing/load", {"parameters": {}})
    assert refused.status == 403
    assert "switched off" in document(refused)["error"]

    control = Control([])
    controlled = World(tmp_path / "b", {}, control)
    for verb in ("load", "unload"):
        response = controlled.post(f"/v2/repository/models/my%20model/{verb}")
        assert document(response) == {"name": "my model", verb: True}
    assert control.asked == [("load", "my model"), ("unload", "my model")]


def test_answers_and_refusals_are_counted(small):
    small.infer("housing", {"inputs": [FLAT]})
    small.infer("housing", {"inputs": [FLAT]})
    small.infer("housing", {"inputs": []})
    small.infer("nobody", {"inputs": [FLAT]})

    (told,) = document(small.get("/v2/models/housing/versions/1/stats"))["model_stats"]

    assert (told["name"], told["version"]) == ("housing", "1")
    assert (told["inference_count"], told["execution_count"]) == (4, 2)
    counts = {name: it["count"] for name, it in told["inference_stats"].items()}
    assert counts == {
        "success": 2,
        "fail": 1,
        "queue": 0,
        "compute_input": 2,
        "compute_infer": 2,
        "compute_output": 2,
        "cache_hit": 0,
        "cache_miss": 0,
    }
    stages = ("compute_input", "compute_infer", "compute_output")
    spent = [told["inference_stats"][stage]["ns"] for stage in stages]
    assert sum(spent) == told["inference_stats"]["success"]["ns"]


def test_statistics_of_all_models_are_asked_for_together(small):
    told = document(small.get("/v2/models/stats"))["model_stats"]

    assert [(it["name"], it["execution_count"]) for it in told] == [("housing", 0)]


def test_durations_are_summed_by_version():
    statistics = Statistics(clock=lambda: 1.5)
    for number in (1, 1, 2):
        statistics.answered("m", number, 10, Durations(100, 50, 30, 20))
    statistics.failed("m", 2, 7)

    one, two = statistics.shown({"m": [1, 2]})

    assert (one["last_inference"], one["inference_count"], one["execution_count"]) == (1500, 20, 2)
    assert one["inference_stats"]["compute_infer"] == {"count": 2, "ns": 60}
    assert two["inference_stats"]["success"] == {"count": 1, "ns": 100}
    assert two["inference_stats"]["fail"] == {"count": 1, "ns": 7}


def test_only_what_costs_little_is_begun_on_the_loop(small):
    light = small.rest.is_light

    assert light("POST", "/v2/models/housing/infer", {})
    assert light("GET", "/v2/health/ready", {})
    assert light("GET", "/v2/nowhere", {})
    assert not light("POST", "/v2/models/housing/infer", {"content-encoding": "gzip"})
    assert not light("POST", "/v2/repository/models/housing/load", {})


@pytest.mark.parametrize(("path", "owned"), [("/v2", True), ("/v2/x", True), ("/v2x", False)])
def test_what_stands_below_v2_is_owned(small, path, owned):
    assert small.rest.owns(path) is owned
