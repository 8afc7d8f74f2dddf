"""The short way of usual requests gives what the ordinary way gives, or leaves them to it."""

from __future__ import annotations

import json
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.exchange import Exchange
from service.health import Health
from service.http.messages import Request
from service.http.open_inference import JSON_LENGTH_HEADER, OpenInference
from service.http.tensorflow_serving import TensorFlowServing
from service.protocols.open_inference_dataplane import Dataplane
from tests.unit.service.fakes import Adder, Broken
from tests.unit.service.test_service_http import Worker

PREDICT = "/v1/models/housing:predict"
INFER = "/v2/models/housing/infer"
HEAD = {"host": "here"}


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    runners = {"housing": Adder(), "bare": Adder(), "broken": Broken(), "slow": Adder(quick=False)}
    return Worker(tmp_path_factory.mktemp("models"), runners)


@pytest.fixture(scope="module")
def tensorflow_serving(worker):
    return TensorFlowServing(worker.repository, 2**20)


@pytest.fixture(scope="module")
def open_inference(worker):
    return OpenInference(Dataplane(worker.repository, Health(worker.repository), 2**20))


def both(api, path, body, headers=HEAD):
    """What the short way says, and what the ordinary one does, each with its exchange."""
    exchanges = [Exchange("id", "POST", path, "", 0.0) for _ in range(2)]
    short = api.shortcut(Request("POST", path, "", headers))
    said = None if short is None else short(body, exchanges[0])
    return (said, exchanges[0]), (
        api.answer(Request("POST", path, "", headers, body), exchanges[1]),
        exchanges[1],
    )


def same(short, ordinary) -> None:
    """The same answer and the same note of it; or nothing said and nothing noted."""
    (said, noted), (answer, known) = short, ordinary
    if said is None:
        assert noted == Exchange("id", "POST", noted.path, "", 0.0)
        return
    assert said == answer
    assert computed(noted) == computed(known)
    assert len(noted.stages) == len(known.stages) == 3
    assert plain(noted) == plain(known)


def plain(exchange: Exchange) -> Exchange:
    """What is noted, but for what was computed and how long it took."""
    return msgspec.structs.replace(exchange, computed=None, decoded_s=0.0, stages=None)


def computed(exchange: Exchange):
    """What was noted to have run, in lists; once only, and only where something ran."""
    noted = exchange.computed
    if noted is None:
        return None
    arrays = [
        {name: (it.dtype, it.tolist()) for name, it in several.items()}
        for several in (noted.inputs, noted.outputs)
    ]
    return noted.version.number, noted.signature, *arrays


VALUES = st.one_of(
    st.floats(0, 50, width=32),
    st.integers(0, 50),
    st.sampled_from([51, -1, 1e39, 10**400, True, None, "6", [1], {}, 2**70, 50.0000001]),
)
ROWS = st.lists(st.lists(VALUES, min_size=2, max_size=4), min_size=0, max_size=12)


@given(rows=ROWS, model=st.sampled_from(["housing", "bare"]), more=st.booleans())
def test_rows_are_answered_as_ever(tensorflow_serving, rows, model, more):
    document = {"instances": rows, **({"signature_name": "named"} if more else {})}

    same(*both(tensorflow_serving, f"/v1/models/{model}:predict", json.dumps(document).encode()))


@given(
    rows=st.lists(
        st.dictionaries(st.sampled_from(["RM", "AGE", "LSTAT", "features", "TAX"]), VALUES),
        max_size=3,
    ),
    model=st.sampled_from(["housing", "bare"]),
)
def test_rows_by_name_are_answered_as_ever(tensorflow_serving, rows, model):
    for whole in ([], [{"LSTAT": 20, "RM": 6.5, "AGE": 90}]):
        body = json.dumps({"instances": [*whole, *rows]}).encode()
        same(*both(tensorflow_serving, f"/v1/models/{model}:predict", body))


@given(
    rows=ROWS,
    shape=st.one_of(st.none(), st.lists(st.integers(0, 12), max_size=3)),
    nested=st.booleans(),
    more=st.sampled_from(
        [
            {},
            {"id": "7"},
            {"outputs": [{"name": "price"}]},
            {"outputs": [{"name": "price", "parameters": {"binary_data": True}}]},
            {"outputs": [{"name": "cost"}]},
            {"outputs": []},
            {"parameters": {"binary_data_output": True}},
            {"parameters": {"binary_data_output": True}, "outputs": [{"name": "price"}]},
            {"parameters": {"binary_data_output": 1}},
            {"parameters": {"binary_data_output": False, "more": "x"}},
            {"parameters": {"signature_name": "named"}},
        ]
    ),
    datatype=st.sampled_from(["FP32", "FP64"]),
)
def test_tensors_are_answered_as_ever(open_inference, rows, shape, nested, more, datatype):
    data = rows if nested else [it for row in rows for it in row]
    shape = [len(rows), len(rows[0]) if rows else 0] if shape is None else shape
    tensor = {"name": "features", "shape": shape, "datatype": datatype, "data": data}

    same(*both(open_inference, INFER, json.dumps({"inputs": [tensor], **more}).encode()))


@given(
    values=st.lists(st.floats(width=32), max_size=30),
    rows=st.integers(0, 11),
    size=st.one_of(st.none(), st.integers(0, 200)),
    cut=st.integers(0, 3),
    binary=st.sampled_from([True, False, 1, None]),
)
def test_bytes_are_answered_as_ever(open_inference, values, rows, size, cut, binary):
    raw = struct.pack(f"<{len(values)}f", *values)[cut:]
    tensor = {
        "name": "features",
        "shape": [rows, 3],
        "datatype": "FP32",
        "parameters": {"binary_data_size": len(raw) if size is None else size},
    }
    outputs = {} if binary is None else {"binary_data": binary}
    head = json.dumps(
        {"inputs": [tensor], "outputs": [{"name": "price", "parameters": outputs}]}
    ).encode()
    headers = {**HEAD, JSON_LENGTH_HEADER.lower(): str(len(head))}

    same(*both(open_inference, INFER, head + raw, headers))


def test_the_usual_requests_do_take_the_short_way(tensorflow_serving, open_inference):
    rows = b'{"instances": [[6, 90.5, 20], [7, 40, 5]]}'
    by_name = b'{"instances": [{"LSTAT": 20, "RM": 6.5, "AGE": 90}]}'
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32"}
    numbers = json.dumps({"inputs": [{**tensor, "data": [6, 90, 20]}], "id": "1"}).encode()
    head = json.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": 12}}],
            "outputs": [{"name": "price", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {**HEAD, JSON_LENGTH_HEADER.lower(): str(len(head))}

    for api, path, body, given_headers in (
        (tensorflow_serving, PREDICT, rows, HEAD),
        (tensorflow_serving, PREDICT, by_name, HEAD),
        (tensorflow_serving, "/v1/models/housing/versions/1:predict", rows, HEAD),
        (open_inference, INFER, numbers, HEAD),
        (open_inference, INFER, head + struct.pack("<3f", 6, 90, 20), headers),
    ):
        short, ordinary = both(api, path, body, given_headers)
        assert short[0] is not None
        same(short, ordinary)


@pytest.mark.parametrize("model", ["broken", "slow", "nobody"])
def test_what_goes_wrong_is_the_ordinary_ways_to_say(tensorflow_serving, model):
    short, _ = both(
        tensorflow_serving, f"/v1/models/{model}:predict", b'{"instances": [[1, 2, 3]]}'
    )

    assert short[0] is None


@pytest.mark.parametrize(
    "path",
    ["/v1/models/housing:regress", "/v1/models/housing", "/v1/nothing", f"{PREDICT}?a=b"],
)
def test_another_route_has_no_short_way(tensorflow_serving, path):
    bare, _, query = path.partition("?")

    assert tensorflow_serving.shortcut(Request("POST", bare, query, HEAD)) is None


def test_answers_by_the_short_way_are_counted_in_the_statistics(open_inference):
    tensor = {"name": "features", "shape": [2, 3], "datatype": "FP32", "data": [1] * 6}

    def counted() -> tuple[int, int]:
        asked = open_inference.answer(
            Request("GET", "/v2/models/housing/stats"), Exchange("id", "GET", "/", "", 0.0)
        )
        (stats,) = json.loads(asked.body)["model_stats"]
        return stats["inference_count"], stats["execution_count"]

    rows, calls = counted()
    short, ordinary = both(open_inference, INFER, json.dumps({"inputs": [tensor]}).encode())
    same(short, ordinary)
    assert counted() == (rows + 4, calls + 2)
