"""A worker of fakes that speaks Open Inference Protocol: asked with requests, without sockets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from service.exchange import Exchange, Exchanges
from service.health import Health
from service.http.messages import Request, Response
from service.http.open_inference import OpenInference as Rest
from service.protocols.open_inference_dataplane import Dataplane
from service.repository.config import ModelConfig
from service.repository.repository import Repository
from service.rpc.open_inference import OpenInference as Rpc
from tests.unit.service.fakes import Adder, Witness, signature, spec, version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

LIMIT_BYTES = 2**20
# Each datatype and NumPy's name for it, as the protocol's tables pair them.
DATATYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "object",
}
IN_JSON = {name: dtype for name, dtype in DATATYPES.items() if name != "FP16"}


class Echo(Adder):
    """A model that gives back the one tensor that it takes."""

    name = "echo"

    def __init__(self, dtype: str, *shape: int) -> None:
        super().__init__()
        tensor = spec(dtype, *(shape or (-1, -1)))
        self.signatures = {"serving_default": signature({"x": tensor}, {"y": tensor})}

    def only(self, _signature: str) -> Callable[[Any], Any] | None:
        return lambda array: array

    def run(self, _signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"y": inputs["x"]}


class TwoOutputs(Adder):
    """A model of two outputs, of which one is not a number that JSON knows."""

    name = "two"

    def __init__(self) -> None:
        super().__init__()
        outputs = {"sum": spec("float32", -1), "nothing": spec("float32", -1)}
        self.signatures = {
            "serving_default": signature({"x": spec("float32", -1, 2)}, outputs),
        }

    def run(self, _signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        batch = inputs["x"]
        return {
            "sum": batch.sum(axis=1),
            "nothing": np.full(len(batch), np.nan, np.float32),
        }


@dataclass
class Control:
    """Remembers what it was asked to load and unload."""

    asked: list[tuple[str, str]]

    def load(self, model: str) -> None:
        self.asked.append(("load", model))

    def unload(self, model: str) -> None:
        self.asked.append(("unload", model))


class Sink:
    """Remembers nothing."""

    def finished(self, exchange: Exchange, status: int | str, seconds: float) -> None:
        pass


class World:
    """A worker with some models, each version 1, and one model that has no version."""

    def __init__(
        self, folder: Path, models: Mapping[str, Adder], control: Control | None = None
    ) -> None:
        self.models = models
        for name in models:
            (folder / name / "1").mkdir(parents=True)
        (folder / "empty").mkdir(parents=True)
        configs = [
            ModelConfig(name, folder / name, labels={"stable": 1}) for name in (*models, "empty")
        ]
        self.repository = Repository(configs, self._load, Witness())
        self.repository.poll()
        self.health = Health(self.repository)
        self.dataplane = Dataplane(self.repository, self.health, LIMIT_BYTES, control)
        self.rest = Rest(self.dataplane)
        self.rpc = Rpc(self.dataplane)
        self._exchanges = Exchanges(Sink())

    def _load(self, model, number, path):
        return version(
            number,
            model=model,
            path=path,
            executor=self.models[model],
            described=model == "housing",
        )

    def exchange(self) -> Exchange:
        return self._exchanges.begin("POST", "/", "here", None)

    def get(self, path: str) -> Response:
        return self.rest.answer(Request("GET", path), self.exchange())

    def post(self, path: str, body: Any = b"", **headers: str) -> Response:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.rest.answer(Request("POST", path, "", named, data), self.exchange())

    def infer(self, model: str, body: Any, **headers: str) -> Response:
        return self.post(f"/v2/models/{model}/infer", body, **headers)

    def infer_rpc(self, request: Any, exchange: Exchange) -> Any:
        """The answer to a ModelInfer call."""
        return self.rpc.prepare_infer(request, exchange).run()


def document(response: Response) -> Any:
    """The JSON of an answer that has nothing but JSON."""
    return json.loads(response.body)


def split(response: Response) -> tuple[Any, bytes]:
    """The JSON of an answer, and the bytes behind it."""
    length = int(dict(response.headers)["Inference-Header-Content-Length"])
    return json.loads(response.body[:length]), response.body[length:]


def binary(head: Any, *tails: bytes) -> tuple[bytes, str]:
    """A body of JSON and bytes, and the length of the JSON."""
    text = json.dumps(head).encode()
    return b"".join([text, *tails]), str(len(text))
