"""What the page on Open Inference Protocol shows and claims is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from service.protocols import open_inference, open_inference_grpc, open_inference_tensors
from service.protocols import open_inference_pb2 as messages
from tests.curl_examples import alike, examples, said
from tests.servers import running_service

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/open-inference.md").read_text()
EXAMPLES = examples(PAGE)


@pytest.fixture(scope="module")
def service(housing_models):
    with running_service(housing_models) as server:
        yield server


@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
def test_a_curl_example_is_answered_as_shown(service, command, shown):
    answered = said(command, service.url)

    assert alike(json.loads(shown), answered), answered


def test_there_are_examples_of_every_kind():
    commands = "".join(command for command, _ in EXAMPLES)

    assert len(EXAMPLES) == PAGE.count("$ curl")
    for part in ("/infer", "/versions/", '"pd"', "signature_name", '"id"', "/index", "/ready"):
        assert part in commands


def test_the_example_with_bytes_gives_the_same_price(service):
    (code,) = re.findall(r"```python\n(import json.+?)```", PAGE, re.DOTALL)
    script = code.replace("http://localhost:8501", service.url) + "\nprint(price)\n"

    printed = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout

    rest = service.post("/v1/models/housing:predict", {"instances": [[6.142, 91.7, 18.72]]})
    assert float(printed) == pytest.approx(rest.json()["predictions"][0], rel=1e-6)


def test_every_route_has_its_row():
    shown = re.findall(r"^\| `(GET|POST) (/v2\S*)` \|[^|]+\| (?:`(\w+)` )?\|$", PAGE, re.MULTILINE)

    def paths(path):
        bare = path.replace("[/versions/VERSION]", "")
        return {bare, path.replace("[", "").replace("]", "")}

    verbs = {
        open_inference.parse_route(method, path).verb
        for method, shown_path, _ in shown
        for path in paths(shown_path)
    }
    assert verbs == {verb for verb, _, _ in open_inference._ROUTES}
    service = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert {call for _, _, call in shown if call} == set(service.methods_by_name)


def test_every_datatype_has_its_row():
    rows = {
        name: (json_form, size, field)
        for name, json_form, size, field in re.findall(
            r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| (\S+) \|$", PAGE, re.MULTILINE
        )
        if name in open_inference_tensors.NUMPY
    }

    assert set(rows) == set(open_inference_tensors.NUMPY)
    for name, dtype in open_inference_tensors.NUMPY.items():
        json_form, size, field = rows[name]
        assert (json_form == "refused") == (name in open_inference_tensors.BINARY_ONLY)
        assert field.strip("`") == open_inference_grpc._FIELDS.get(name, "refused")
        if name != "BYTES":
            assert size == f"{dtype.itemsize} byte{'s' if dtype.itemsize > 1 else ''}"


def test_every_number_of_an_error_has_its_row():
    rows = re.findall(r"^\| [^|]+ \| (\d{3}) \| (?:`(\w+)`)? ?\|$", PAGE, re.MULTILINE)

    statuses = set(open_inference.STATUS_OF.values()) - {501}  # nothing here raises it
    codes = {code.name for code in open_inference_grpc.CODE_OF.values()} - {"UNIMPLEMENTED"}
    assert {int(status) for status, _ in rows} == statuses
    assert {code for _, code in rows if code} == codes


SUPPORT = dict(re.findall(r"^\| `(\w+)` \| ((?:yes|no|index).*) \|$", PAGE, re.MULTILINE))


def test_what_is_called_supported_is_an_extension_that_the_server_names():
    supported = {name for name, told in SUPPORT.items() if not told.startswith("no")}

    assert supported == set(open_inference.EXTENSIONS)


def test_what_is_called_unsupported_is_refused_or_ignored_as_told(service):
    features = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [6, 50, 10]}

    def infer(**changes):
        body = {"inputs": [features], **changes}
        return service.post("/v2/models/housing/infer", body)

    def status(call):
        return call.status

    refused = {"classification": 3, "shared_memory_region": "r"}
    for name, value in refused.items():
        outputs = [{"name": "price", "parameters": {name: value}}]
        assert status(infer(outputs=outputs)) == 400
    ignored = {"sequence_id": 7, "sequence_start": True, "priority": 1, "timeout": 5}
    assert status(infer(parameters=ignored)) == 200
    for route in ("logging", "trace/setting", "systemsharedmemory/status"):
        assert status(service.get(f"/v2/{route}")) == 404
    assert status(infer(inputs=[{**features, "datatype": "BF16"}])) == 400
    told_no = {name for name, told in SUPPORT.items() if told.startswith("no")}
    assert told_no == {
        "classification",
        "system_shared_memory",
        "cuda_shared_memory",
        "sequence",
        "schedule_policy",
        "logging",
        "trace",
        "ModelStreamInfer",
        "BF16",
    }


def test_streaming_is_not_there(service):
    with grpc.insecure_channel(service.grpc) as channel:
        call = channel.stream_stream(
            "/inference.GRPCInferenceService/ModelStreamInfer",
            request_serializer=messages.ModelInferRequest.SerializeToString,
            response_deserializer=messages.ModelInferResponse.FromString,
        )
        with pytest.raises(grpc.RpcError) as refused:
            list(call(iter([messages.ModelInferRequest(model_name="housing")]), timeout=10))

    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
