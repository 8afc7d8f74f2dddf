"""A front before servers that speak Open Inference Protocol."""

from __future__ import annotations

import grpc
import pytest

from tests.integration.fleet.triton import SAID, running_triton
from tests.integration.rpc.calling import calling, price_of, refused
from tests.integration.service.wire import HOUSE, PREDICT
from tests.servers import metric, running_service, wait_until

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def triton():
    """The server written by hand, and its address."""
    with running_triton() as running:
        yield running


@pytest.fixture(scope="module")
def front(triton, tmp_path_factory):
    """A service before it that describes no model itself."""
    folder = tmp_path_factory.mktemp("nothing")
    (folder / "config").write_text(
        "model_config_list {"
        + "".join(
            f'config {{ name: "{it}" base_path: "{folder / it}" model_platform: "tensorflow" }}'
            for it in ("weighted", "shout", "plain", "moody")
        )
        + "}"
    )
    with running_service(
        folder,
        remote_servers=triton[1],
        remote_protocol="open_inference",
        model_config_file=folder / "config",
    ) as service:
        yield service


def test_a_model_of_triton_answers_in_every_protocol(front):
    rows = [[1, 2, 3], [4, 5, 6]]
    tensor = {"name": "rows", "shape": [2, 3], "datatype": "FP32", "data": rows}
    posted = front.post("/v1/models/weighted:predict", {"instances": rows})
    inferred = front.post("/v2/models/weighted/infer", {"inputs": [tensor]}).json()

    assert posted.json() == {"predictions": [[321.0], [654.0]]}
    assert inferred["outputs"][0] | {"parameters": None} == {
        "name": "sum", "datatype": "FP32", "shape": [2, 1], "data": [321.0, 654.0],
        "parameters": None,
    }  # fmt: skip


def test_more_rows_than_triton_takes_at_once_are_asked_for_in_pieces(front, triton):
    rows = [[number, 0, 1] for number in range(20)]
    before = len(triton[0].asked)
    answer = front.post("/v1/models/weighted:predict", {"instances": rows})

    assert answer.json() == {"predictions": [[100.0 + number] for number in range(20)]}
    assert len(triton[0].asked) - before == 3


def test_the_version_that_is_ready_is_served_and_asked_for_by_its_name(front, triton):
    front.post("/v1/models/weighted:predict", {"instances": [[1, 1, 1]]})

    (status,) = front.get("/v1/models/weighted").json()["model_version_status"]
    assert (status["version"], status["state"]) == ("1", "AVAILABLE")
    assert triton[0].asked[-1] == ("weighted", "1")


def test_texts_and_whole_numbers_pass_both_ways(front):
    answer = front.post("/v1/models/shout:predict", {"inputs": {"text": ["oh", "täglich"]}})

    assert answer.json() == {"outputs": {"loud": ["OH", "TÄGLICH"], "length": [2, 7]}}


def test_a_model_without_versions_is_version_1_and_typed_answers_are_read(front, triton):
    answer = front.post("/v1/models/plain/versions/1:predict", {"instances": [[1, 2, 3]]})

    assert answer.json() == {"predictions": [[321.0]]}
    assert ("plain", "") in triton[0].asked


def test_metadata_tells_what_triton_told(front):
    told = front.get("/v1/models/weighted/metadata").json()["metadata"]["signature_def"]
    served = told["signature_def"]["serving_default"]

    assert served["inputs"]["rows"]["dtype"] == "DT_FLOAT"
    assert [it["size"] for it in served["inputs"]["rows"]["tensor_shape"]["dim"]] == ["-1", "3"]


def test_what_triton_refuses_is_refused_in_the_protocol_of_who_asks(front):
    request = price_of([1.0, 2.0], name="weighted")
    request.inputs["rows"].CopyFrom(request.inputs.pop("features"))
    # Rows without a name are given as they are: nothing here knows the width but Triton.
    with (
        calling(front.grpc) as client,
        refused(Code.INVALID_ARGUMENT, "shape"),
    ):
        client.predict(request)


@pytest.mark.parametrize(
    ("given", "status", "code", "told"),
    [
        (Code.INVALID_ARGUMENT, 400, Code.INVALID_ARGUMENT, True),
        (Code.FAILED_PRECONDITION, 400, Code.FAILED_PRECONDITION, True),
        (Code.RESOURCE_EXHAUSTED, 429, Code.RESOURCE_EXHAUSTED, True),
        (Code.DEADLINE_EXCEEDED, 504, Code.DEADLINE_EXCEEDED, False),
        (Code.UNAVAILABLE, 503, Code.UNAVAILABLE, False),
        (Code.PERMISSION_DENIED, 503, Code.UNAVAILABLE, False),
        (Code.INTERNAL, 500, Code.INTERNAL, False),
    ],
)
def test_what_triton_says_is_said_in_the_protocol_of_who_asks(front, given, status, code, told):
    row = [float(given.value[0]), 0.0, 0.0]
    tensor = {"name": "rows", "shape": [1, 3], "datatype": "FP32", "data": row}
    answers = [
        front.post("/v1/models/moody:predict", {"instances": [row]}),
        front.post("/v2/models/moody/infer", {"inputs": [tensor]}),
    ]
    request = price_of(row, name="moody")
    request.inputs["rows"].CopyFrom(request.inputs.pop("features"))

    with calling(front.grpc) as client, refused(code, SAID if told else ""):
        client.predict(request)
    assert [it.status for it in answers] == [status] * 2
    assert all((SAID in it.text) is told for it in answers)
    # The next is answered: no failure of a request makes the fleet one that is not there.
    assert front.post("/v1/models/moody:predict", {"instances": [[0, 0, 1]]}).status == 200


@pytest.fixture(scope="module")
def before_a_hearth(housing_models):
    """A front before another Hearth, and it."""
    with (
        running_service(housing_models) as server,
        running_service(
            housing_models, remote_servers=server.grpc, remote_protocol="open_inference"
        ) as front,
    ):
        yield front, server


def test_what_a_contract_describes_is_served_before_a_hearth(before_a_hearth):
    front, server = before_a_hearth
    bad = {"instances": [{"RM": 99, "AGE": 1, "LSTAT": 1}]}

    assert front.post(PREDICT, HOUSE).json() == server.post(PREDICT, HOUSE).json()
    assert "outside [0, 50]" in front.post(PREDICT, bad).text
    with calling(front.grpc) as through, calling(server.grpc) as straight:
        assert through.price() == pytest.approx(straight.price(), rel=1e-6)
    asked = "hearth_requests_total"
    wait_until(lambda: metric(server, asked, protocol="open_inference_grpc") > 0, "it is counted")
    assert metric(server, asked, protocol="tensorflow_serving_grpc", route="predict") == 1
