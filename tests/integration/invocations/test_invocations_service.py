"""SageMaker's and Vertex AI's ways to start and ask a service, with real processes."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.servers import ROOT, Server, fetch, free_port, running, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOUSES = {"instances": [[6.142, 91.7, 18.72], [7.1, 40.0, 5.0]]}
LOOPBACK = "--host=127.0.0.1"


@pytest.fixture(scope="module")
def prices(housing_models: Path) -> list[float]:
    """What TensorFlow Serving's route gives for the two houses."""
    with running_service(housing_models) as service:
        return service.post("/v1/models/housing:predict", HOUSES).json()["predictions"]


@contextlib.contextmanager
def started(
    arguments: list[str], variables: dict[str, object], port: int, ready: str
) -> Iterator[Server]:
    """The service with this command line and environment; it must end with 0 on SIGTERM."""
    told = [f"{name}={value}" for name, value in variables.items()]
    command = ["env", *told, sys.executable, "-m", "service", *arguments]
    url = f"http://127.0.0.1:{port}"
    with running(command, url, url + ready) as server:
        yield server


@pytest.mark.parametrize("place", [".", "1", "housing/1", "export/Servo/1"])
def test_sagemaker_starts_it_with_serve_whatever_the_archive_holds(
    housing_models: Path, prices: list[float], tmp_path: Path, place: str
) -> None:
    archive = tmp_path / "model"
    shutil.copytree(housing_models / "housing" / "1", archive / place)
    (archive / "code").mkdir()
    port = free_port()
    arguments = ["serve", LOOPBACK, f"--model_base_path={archive}", "--find_model"]

    with started(arguments, {"SAGEMAKER_BIND_TO_PORT": port}, port, "/ping") as service:
        assert service.post("/invocations", HOUSES).json() == {"predictions": prices}
        assert "gRPC" not in service.output()


def test_several_models_in_the_archive_end_the_start_with_their_names(
    housing_models: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        shutil.copytree(housing_models / "housing", tmp_path / name)
    flags = [LOOPBACK, f"--rest_api_port={free_port()}", f"--model_base_path={tmp_path}"]

    done = subprocess.run(
        [sys.executable, "-m", "service", "serve", *flags, "--find_model"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert f"holds several models ({tmp_path}/a, {tmp_path}/b)" in done.stderr


def test_vertex_starts_it_by_variables_alone(housing_models: Path, prices: list[float]) -> None:
    port = free_port()
    route = "/v1/endpoints/12/deployedModels/34"
    variables = {
        "AIP_HTTP_PORT": port,
        "AIP_HEALTH_ROUTE": route,
        "AIP_PREDICT_ROUTE": f"{route}:predict",
        "AIP_STORAGE_URI": housing_models / "housing" / "1",
    }

    with started([LOOPBACK, "--port=0"], variables, port, route) as service:
        answer = service.post(f"{route}:predict", HOUSES | {"parameters": {}})
        assert answer.json() == {"predictions": prices}
        assert service.get(route).json() == {"ready": True}


def test_a_bucket_that_cannot_be_read_ends_the_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "service", LOOPBACK],
        cwd=ROOT,
        env={**os.environ, "AIP_STORAGE_URI": "gs://bucket/model"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "AIP_STORAGE_URI is 'gs://bucket/model'; only folders can be read" in done.stderr


def test_what_the_index_tells_a_program_is_there(housing_models: Path) -> None:
    routes = {"vertex_health_route": "/alive", "vertex_predict_route": "/price"}
    with running_service(housing_models, **routes) as service:
        index = service.get("/").json()

        assert (index["status"], index["server"]) == ("alive", "hearth")
        assert index["protocols"]["rest"]["vertex"] == ["/alive", "/price"]
        paths = {it for paths in index["protocols"]["rest"].values() for it in paths}
        (model,) = index["models"]
        documents = set(model["documents"].values())
        assert set(model["documents"]) == {
            "status", "metadata", "contract", "report", "examples",
        }  # fmt: skip
        for path in paths | documents | {*index["health"], *index["metrics"]}:
            posted = path in {"/invocations", "/price"}
            answer = service.post(path, HOUSES) if posted else service.get(path)
            assert answer.status == 200, path
        assert service.post(model["predict"], HOUSES).status == 200

        told = index["protocols"]["grpc"]
        assert service.grpc.endswith(f":{told['port']}")
        named = {it for services in told["services"].values() for it in services}
        assert named == listed(service.grpc)


def listed(address: str) -> set[str]:
    """The services that gRPC's reflection lists."""
    with grpc.insecure_channel(address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (response,) = stub.ServerReflectionInfo(iter([request]))
    return {it.name for it in response.list_services_response.service}


def test_both_lanes_give_the_same_answers(housing_models: Path, prices: list[float]) -> None:
    many = {"instances": HOUSES["instances"] * 2000}  # too large for the event loop
    with running_service(housing_models) as service:
        assert service.post("/invocations", many).json() == {"predictions": prices * 2000}
        assert service.post("/invocations", HOUSES).json() == {"predictions": prices}
        wrong = json.dumps(many)[:-1].encode()
        assert service.post("/invocations", wrong).json()["error_code"] == "BAD_REQUEST"
        assert fetch(service.url + "/invocations").status == 405
