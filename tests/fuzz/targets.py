"""What reads bytes of strangers: each target takes any bytes, and fails if they do harm.

A target may raise ``HearthError``, which is a refusal; whatever else it raises has been found.
"""

from __future__ import annotations

import asyncio
import functools
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from service import contract as contracts
from service.contract import CONTRACT, GOLDEN
from service.errors import HearthError, InvalidRequest, ModelNotFound
from service.http.encoding import inflate
from service.http.fast_lane import FastLane, Lane, Outbox
from service.http.heads import Heads
from service.http.invocations import Invocations
from service.http.messages import Request
from service.http.tensorflow_serving import TensorFlowServing
from service.http.vertex import Vertex
from service.inference.signature import read_saved_model
from service.messages import (
    classification_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    saved_model_pb2,
)
from service.protocols import open_inference, open_inference_pb2
from service.protocols.warm_up import read_warm_up
from service.repository.config import from_message, parse_config
from service.rpc.tensorflow_serving import TensorFlowServing as RpcTensorFlowServing
from service.security.callers import parse_callers
from service.security.graph_scan import check_graph
from service.security.guard import Guard
from service.security.scopes import Routes, Scope
from service.security.tokens import Provider, Tokens, parse_keys
from service.settings import Settings
from service.web.page import find_report
from tests.unit.open_inference.world import Echo, World
from tests.unit.service.fakes import SUM, Adder
from tests.unit.service.test_service_fast_lane import LIMITS, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_BYTES = 2**20
MAX_BODY_BYTES = 4096
# What a message repeats of a request.
_QUOTED = re.compile(r"[0-9]|'[^']*'|\"[^\"]*\"|JSON Value: .*")
TYPES = ("application/json", "text/csv", "application/jsonlines", "")


@dataclass
class Service:
    """A worker of fakes with all that reads bytes."""

    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="hearth-fuzz-")))

    def __post_init__(self) -> None:
        echoes = {f"echo_{it}": Echo(it) for it in ("object", "int8", "float16")}
        runners = {"housing": Adder(), **echoes}
        self.world = World(self.folder, runners)
        repository, health = self.world.repository, self.world.health
        settings = Settings(
            default_model="housing", vertex_predict_route="/p", max_body_bytes=LIMIT_BYTES
        )
        self.v1 = TensorFlowServing(repository, LIMIT_BYTES)
        self.invocations = Invocations(repository, health, LIMIT_BYTES, "housing")
        self.vertex = Vertex(repository, health, settings)
        self.rpc = RpcTensorFlowServing(
            repository, None, lambda: b"", LIMIT_BYTES, as_content=False
        )
        self.loop = asyncio.new_event_loop()

    def answered(self, api: Any, path: str, body: bytes, **headers: str) -> str:
        """Ask, and say what kind of answer it was: its error without what it quotes."""
        named = {name.replace("_", "-"): it for name, it in headers.items()}
        exchange = self.world.exchange()
        response = api.answer(Request("POST", path, "", named, body), exchange)
        assert response.status != 500, response.body
        return f"{response.status} {_QUOTED.sub('', exchange.error)[:60]}"


@functools.cache
def service() -> Service:
    return Service()


def _first(data: bytes) -> int:
    return data[0] if data else 0


def v1_body(data: bytes) -> str:
    model = ("housing", "echo_object", "echo_int8")[_first(data) % 3]
    verb = ("predict", "classify", "regress")[_first(data) // 3 % 3]
    return service().answered(service().v1, f"/v1/models/{model}:{verb}", data[1:])


def v1_short_way(data: bytes) -> None:
    """The short way gives the ordinary way's answer, or none."""
    made, path = service(), "/v1/models/housing:predict"
    short = made.v1.shortcut(Request("POST", path))
    assert short is not None
    answer = short(data, made.world.exchange())
    if answer is not None:
        whole = made.v1.answer(Request("POST", path, "", {}, data), made.world.exchange())
        assert (answer.status, answer.body) == (whole.status, whole.body)


def v2_body(data: bytes) -> str:
    model = ("housing", "echo_object", "echo_int8", "echo_float16")[_first(data) % 4]
    return service().answered(service().world.rest, f"/v2/models/{model}/infer", data[1:])


def v2_binary(data: bytes) -> str:
    length = str(int.from_bytes(data[:2], "little"))
    return service().answered(
        service().world.rest,
        "/v2/models/housing/infer",
        data[2:],
        inference_header_content_length=length,
    )


def v2_index(data: bytes) -> str:
    return service().answered(service().world.rest, "/v2/repository/index", data)


def invocations_body(data: bytes) -> str:
    kind = TYPES[_first(data) % len(TYPES)]
    return service().answered(service().invocations, "/invocations", data[1:], content_type=kind)


def vertex_body(data: bytes) -> str:
    return service().answered(service().vertex, "/p", data)


def compressed(data: bytes) -> None:
    for encoding in ("gzip", "deflate"):
        try:
            assert len(inflate(data, encoding, 10_000)) <= 10_000
        except HearthError:
            continue


def called(kind: Any, prepare: Callable[[Service], Any]) -> Callable[[bytes], str | None]:
    def read(data: bytes) -> None:
        try:
            message = kind.FromString(data)
        except DecodeError:
            return
        step = prepare(service())(message, service().world.exchange())
        if hasattr(step, "run"):
            step.run().SerializeToString()

    return read


def reload_call(data: bytes) -> None:
    try:
        message = model_management_pb2.ReloadConfigRequest.FromString(data)
    except DecodeError:
        return
    from_message(message.config)


def config_text(data: bytes) -> None:
    parse_config(data.decode(errors="replace"))


def key_file(data: bytes) -> None:
    parse_callers("keys", data.decode(errors="replace"))


def key_set(data: bytes) -> None:
    parse_keys("keys", data)


def token(data: bytes) -> None:
    Tokens(Provider("", "https://id.example/", "hearth"), lambda _: None).check(
        data.decode("latin-1")
    )


def in_file(
    name: str, read: Callable[[Path], Any], *refusals: type[Exception]
) -> Callable[[bytes], str | None]:
    def target(data: bytes) -> None:
        path = service().folder / "file" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        try:
            read(service().folder / "file")
        except refusals as error:
            raise InvalidRequest(str(error)) from error

    return target


def saved_model(folder: Path) -> None:
    read_saved_model(folder)
    check_graph(saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes()))


def warm_up(folder: Path) -> None:
    read_warm_up(folder / "warm", {"serving_default": SUM})


def path(data: bytes) -> None:
    """What changes something needs ``admin``, what computes ``predict``; no report raises."""
    text = data.decode("latin-1")
    try:
        verb = open_inference.parse_route("POST", text).verb
    except HearthError:
        verb = ""
    needed = Routes().needed("POST", text)
    assert (verb in {"load", "unload"}) <= (needed is Scope.ADMIN), text
    assert (verb == "infer") <= (needed is Scope.PREDICT), text
    try:
        find_report(service().world.repository, text)
    except ModelNotFound:
        return


def lane(data: bytes) -> None:
    """No byte is lost, nothing is our fault, and what is left is left from a request's start on."""
    made, transport, left = service(), Transport(), bytearray()
    guard = Guard()
    shared = Lane(
        heads=Heads((made.v1, made.world.rest, made.invocations), LIMITS, MAX_BODY_BYTES, guard),
        answering=_answering(),
        exchanges=made.world._exchanges,
        health=made.world.health,
        loop=made.loop,
        outbox=Outbox(made.loop),
        body_timeout_s=60,
        request_timeout_s=60,
        guard=guard,
    )
    one = FastLane(shared, transport, "10.0.0.7", left.extend)

    async def receive() -> None:
        left.extend(one.receive(data))
        for _ in range(4):
            await asyncio.sleep(0)

    made.loop.run_until_complete(receive())
    one.close()
    assert data.endswith(bytes(left))
    assert b"HTTP/1.1 500" not in transport.written


@functools.cache
def _answering() -> Any:
    from concurrent.futures import ThreadPoolExecutor

    from service.http.answering import Answering

    return Answering(ThreadPoolExecutor(1))


TARGETS: dict[str, Callable[[bytes], str | None]] = {
    "lane": lane,
    "path": path,
    "v1_body": v1_body,
    "v1_short_way": v1_short_way,
    "v2_body": v2_body,
    "v2_binary": v2_binary,
    "v2_index": v2_index,
    "invocations_body": invocations_body,
    "vertex_body": vertex_body,
    "compressed": compressed,
    "predict_call": called(predict_pb2.PredictRequest, lambda it: it.rpc.prepare_predict),
    "classify_call": called(
        classification_pb2.ClassificationRequest, lambda it: it.rpc.prepare_classify
    ),
    "multi_inference_call": called(
        inference_pb2.MultiInferenceRequest, lambda it: it.rpc.multi_inference
    ),
    "infer_call": called(
        open_inference_pb2.ModelInferRequest, lambda it: it.world.rpc.prepare_infer
    ),
    "reload_call": reload_call,
    "config_text": config_text,
    "key_file": key_file,
    "key_set": key_set,
    "token": token,
    "contract": in_file(CONTRACT, contracts.read, contracts.ContractError),
    "golden": in_file(GOLDEN, contracts.read_golden, contracts.ContractError),
    "saved_model": in_file("saved_model.pb", saved_model, DecodeError),
    "warm_up": in_file("warm", warm_up),
}
