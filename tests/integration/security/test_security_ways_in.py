"""The same callers on every way in: fast lane, gunicorn and the front, Flask, gRPC."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from service.repository.config import ModelConfig
from service.security.callers import digest_of
from tests.integration.rpc.calling import ROW, calling, price_of, reload_of
from tests.integration.service.wire import BODY, PREDICT, connect, head, post, read_answer
from tests.servers import ROOT, free_port, running_service, wait_until

if TYPE_CHECKING:
    from pathlib import Path

Code = grpc.StatusCode
OTHERWISE = "TE: trailers"
INFER = "/v2/models/housing/infer"
KEYS = {"shop": "predict", "eyes": "read", "boss": "admin", "slow": "predict", "old": "predict"}
# What HTTP and gRPC call the same decision.
CODE_OF = {200: Code.OK, 401: Code.UNAUTHENTICATED, 403: Code.PERMISSION_DENIED,
           429: Code.RESOURCE_EXHAUSTED}  # fmt: skip


def secret(name: str) -> str:
    return f"hearth_{name}_{'x' * 30}"


def lines(**changes: str) -> str:
    options = {"slow": "rate=0.001", "old": "expires=2001-01-01"}
    named = [
        f"{name} {scope} {digest_of(secret(name))} {options.get(name, '')}"
        for name, scope in (KEYS | changes).items()
    ]
    return "\n".join(named)


@dataclass
class Guarded:
    """A service that knows its callers."""

    server: object
    keys: Path
    audit: Path
    models: Path

    def status(self, *pieces: bytes) -> int:
        with connect(self.server.url) as connection:
            connection.sendall(b"".join(pieces))
            return read_answer(connection).status

    def answer(self, *pieces: bytes):
        with connect(self.server.url) as connection:
            connection.sendall(b"".join(pieces))
            return read_answer(connection)

    def code(self, call: str, name: str | None) -> Code:
        with calling(self.server.grpc) as client:
            metadata = () if name is None else (("authorization", f"Bearer {secret(name)}"),)
            stub, request = {
                "predict": (client.prediction.Predict, price_of(ROW)),
                "reload": (
                    client.models.HandleReloadConfigRequest,
                    reload_of(ModelConfig("housing", self.models / "housing")),
                ),
            }[call]
            return code_of(lambda: stub(request, timeout=60, metadata=metadata))


def code_of(call) -> Code:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return Code.OK


@pytest.fixture(scope="module")
def guarded(housing_models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    keys, audit = folder / "keys", folder / "audit.log"
    keys.write_text(lines())
    with running_service(
        housing_models,
        workers=1,
        api_key_file=keys,
        audit_log_file=audit,
        allow_model_control=True,
        access_log="all",
    ) as server:
        yield Guarded(server, keys, audit, housing_models)


def shown(name: str | None) -> tuple[str, ...]:
    return () if name is None else (f"Authorization: Bearer {secret(name)}",)


def values() -> bytes:
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": ROW}
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("name", "status"),
    [(None, 401), ("shop", 200), ("eyes", 403), ("old", 401), ("stranger", 401)],
)
def test_a_caller_gets_the_same_decision_on_every_way_to_a_price(guarded, name, status):
    for further in ((), (OTHERWISE,)):
        assert guarded.status(post(BODY, *shown(name), *further)) == status
        assert guarded.status(post(values(), *shown(name), *further, path=INFER)) == status
        bare = post(
            b"6.1,91.7,18.7\n",
            "Content-Type: text/csv",
            *shown(name),
            *further,
            path="/invocations",
        )
        assert guarded.status(bare) == status
    assert guarded.code("predict", name) == CODE_OF[status]


@pytest.mark.parametrize(("name", "status"), [(None, 401), ("shop", 403), ("eyes", 200)])
@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/v1/models/housing", "/v2/models/housing", "/version"]
)
def test_whoever_may_read_reads_and_nobody_else(guarded, name, status, path):
    assert guarded.status(head("GET", path, *shown(name))) == status


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/ping", "/health", "/v2/health/ready"])
def test_health_is_told_to_everybody(guarded, path):
    assert guarded.status(head("GET", path)) == 200


def test_grpcs_health_is_told_to_everybody_and_its_services_to_those_who_may_read(guarded):
    with calling(guarded.server.grpc) as client:
        assert client.serving() == "SERVING"
    with grpc.insecure_channel(guarded.server.grpc) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)

        def ask(name):
            metadata = (("x-api-key", secret(name)),)
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            return [*stub.ServerReflectionInfo(iter([request]), metadata=metadata, timeout=20)]

        assert code_of(lambda: ask("stranger")) == Code.UNAUTHENTICATED
        assert code_of(lambda: ask("shop")) == Code.PERMISSION_DENIED
        (answer,) = ask("eyes")
        assert "inference.GRPCInferenceService" in str(answer.list_services_response)


def test_an_error_is_told_in_the_form_of_the_protocol_and_holds_no_key(guarded):
    answers = {
        path: guarded.answer(post(BODY, *shown("eyes"), path=path))
        for path in (PREDICT, INFER, "/invocations")
    }

    assert json.loads(answers[PREDICT].text) == {"error": "eyes has not the scope predict"}
    assert json.loads(answers[INFER].text) == {"error": "eyes has not the scope predict"}
    assert json.loads(answers["/invocations"].text)["error_code"] == "PERMISSION_DENIED"
    unknown = guarded.answer(post(BODY, *shown("stranger")))
    assert unknown.getheader("WWW-Authenticate") == "Bearer"
    assert secret("stranger") not in unknown.text + guarded.server.output()


def test_who_asks_too_often_is_told_so_on_all_ways_together(guarded):
    assert guarded.status(post(BODY, *shown("slow"))) == 200
    for further in ((), (OTHERWISE,)):
        refused = guarded.answer(post(BODY, *shown("slow"), *further))
        assert refused.status == 429
        assert 900 <= int(refused.getheader("Retry-After")) <= 1000
    assert guarded.code("predict", "slow") == Code.RESOURCE_EXHAUSTED


def test_only_who_may_changes_what_is_served_and_all_tries_are_noted(guarded):
    load = "/v2/repository/models/housing/load"
    assert guarded.status(post(b"", path=load)) == 401
    assert guarded.status(post(b"", *shown("shop"), path=load)) == 403
    assert guarded.status(post(b"", *shown("boss"), path=load)) == 200
    assert guarded.code("reload", "shop") == Code.PERMISSION_DENIED
    assert guarded.code("reload", "boss") == Code.OK

    noted = [json.loads(line) for line in guarded.audit.read_text().splitlines()]
    assert [(it["caller"], it["status"]) for it in noted] == [
        ("", 401), ("shop", 403), ("boss", 200), ("shop", "PERMISSION_DENIED"), ("boss", "OK"),
    ]  # fmt: skip
    assert [it["concerns"] for it in noted if it["caller"] == "boss"] == ["housing", "housing"]
    assert noted[2]["audit"] == "load"
    assert noted[4]["audit"] == "reload"


def test_a_folder_elsewhere_is_not_served_whoever_asks(guarded, tmp_path):
    for place in (tmp_path, guarded.models / ".." / "..", tmp_path / "link"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to("/etc")
        with calling(guarded.server.grpc) as client, pytest.raises(grpc.RpcError) as refused:
            client.models.HandleReloadConfigRequest(
                reload_of(ModelConfig("m", place)),
                metadata=(("x-api-key", secret("boss")),),
                timeout=60,
            )
        assert refused.value.code() == Code.INVALID_ARGUMENT
        assert "its base_path is outside the folders" in refused.value.details()


def test_the_access_log_says_who_asked(guarded):
    request = post(BODY, *shown("shop"), "X-Request-Id: who-was-it")
    assert guarded.status(request) == 200
    wait_until(lambda: "who-was-it" in guarded.server.output(), "the line is written")

    (line,) = [it for it in guarded.server.output().splitlines() if "who-was-it" in it]
    assert json.loads(line)["caller"] == "shop"


def test_a_key_is_changed_while_the_service_runs_and_no_request_is_lost(guarded):
    new = digest_of(secret("new"))
    with_both = lines() + f"\nshop predict {new}"
    try:
        guarded.keys.write_text(with_both)
        wait_until(lambda: guarded.status(post(BODY, *shown("new"))) == 200, "the new key counts")
        assert guarded.status(post(BODY, *shown("shop"))) == 200
        assert guarded.code("predict", "new") == guarded.code("predict", "shop") == Code.OK

        guarded.keys.write_text(with_both.replace(digest_of(secret("shop")), digest_of("nobody")))
        wait_until(
            lambda: guarded.status(post(BODY, *shown("shop"))) == 401, "the old one does not"
        )
        assert guarded.code("predict", "shop") == Code.UNAUTHENTICATED
        assert guarded.status(post(BODY, *shown("new"))) == 200
    finally:
        guarded.keys.write_text(lines())
        wait_until(lambda: guarded.status(post(BODY, *shown("shop"))) == 200, "all is as it was")


def start(*flags: str) -> subprocess.CompletedProcess[str]:
    ports = [f"--{name}={free_port()}" for name in ("rest_api_port", "port")]
    return subprocess.run(
        [sys.executable, "-m", "service", *ports, *flags],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_the_start_is_refused_where_anybody_beyond_this_machine_could_ask():
    done = start()

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "on 0.0.0.0 would answer anybody" in line
    assert "--allow_anonymous" in line


def test_what_a_stranger_reaches_where_that_is_said(housing_models):
    """On all addresses: the loopback one is among them."""
    with running_service(housing_models, host="0.0.0.0", allow_anonymous=True) as service:
        assert service.post(PREDICT, BODY).status == 200
        assert service.get("/metrics").status == 200
        assert service.post("/v2/repository/models/housing/unload", b"").status == 401
        with calling(service.grpc) as client:
            assert client.price() > 0
            refused = code_of(lambda: client.reload(ModelConfig("x", housing_models / "housing")))
        assert refused == Code.UNAUTHENTICATED


def test_reloading_is_off_unless_it_is_switched_on(housing_models):
    with running_service(housing_models) as service, calling(service.grpc) as client:
        refused = code_of(lambda: client.reload(ModelConfig("housing", housing_models / "housing")))
        assert refused == Code.PERMISSION_DENIED
        assert service.post("/v2/repository/models/housing/unload", b"").status == 403
        assert client.price() > 0
