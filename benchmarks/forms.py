"""How each protocol writes rows and reads prices.

A form is pure: rows to the bytes of a request, the bytes of an answer to prices. gRPC's
forms write whole frames, so that what sends HTTP/2 can send them.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from service.messages import predict_pb2, types_pb2
from service.protocols import open_inference_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Rows: TypeAlias = "Sequence[Sequence[float]]"

# Prices are thousand USD; formats and executors differ by less.
TOLERANCE: Final = 1e-3

_JSON: Final = {"Content-Type": "application/json"}
_GRPC: Final = {"Content-Type": "application/grpc", "TE": "trailers"}
_FRAME: Final = struct.Struct(">BI")  # compressed or not, bytes of the message
_LENGTH: Final = "Inference-Header-Content-Length"


class WrongAnswer(RuntimeError):
    """A server answered something else than the right prices."""


@dataclass(frozen=True)
class Request:
    """One request, ready to send.

    Attributes:
        path: Path of the URL.
        body: Its bytes.
        headers: Further headers.
        grpc: It is a gRPC frame, to be sent over HTTP/2.
    """

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    grpc: bool = False


@dataclass(frozen=True)
class Reply:
    """What came back: the body (of gRPC: its frame) and headers by lower-case name."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Form:
    """One protocol's way to ask for prices.

    Attributes:
        name: As it is called in tables.
        write: From rows to a request.
        read: From a reply to prices; any exception means that it is malformed.
        grpc: It goes over gRPC, not REST.
    """

    name: str
    write: Callable[[Rows], Request]
    read: Callable[[Reply], list[float]]
    grpc: bool = False

    def check(self, reply: Reply, expected: Sequence[float]) -> None:
        """See that a reply holds the right prices.

        Args:
            reply: What was answered.
            expected: Prices of the rows that were sent, thousand USD.

        Raises:
            WrongAnswer: It does not.
        """
        try:
            prices = self.read(reply)
        except Exception as error:
            raise WrongAnswer(f"{self.name} answered {reply.body[:200]!r}") from error
        if len(prices) != len(expected) or not np.allclose(prices, expected, 0, TOLERANCE):
            raise WrongAnswer(f"{self.name} answered {prices[:5]}, expected {list(expected[:5])}")


def tensorflow_serving(path: str = "/v1/models/housing:predict") -> Form:
    """TensorFlow Serving's JSON: ``instances`` in, ``predictions`` out."""

    def write(rows: Rows) -> Request:
        return Request(path, as_json({"instances": rows}), _JSON)

    return Form(
        "TensorFlow Serving JSON", write, lambda reply: _flat(_loaded(reply)["predictions"])
    )


def open_inference(path: str = "/v2/models/housing/infer") -> Form:
    """Open Inference v2 as JSON."""

    def write(rows: Rows) -> Request:
        data = [value for row in rows for value in row]
        tensor = {"name": "features", "shape": _shape(rows), "datatype": "FP32", "data": data}
        return Request(path, as_json({"inputs": [tensor]}), _JSON)

    return Form("v2 JSON", write, lambda reply: _flat(_loaded(reply)["outputs"][0]["data"]))


def open_inference_binary(path: str = "/v2/models/housing/infer") -> Form:
    """Open Inference v2 with the binary tensor extension, both ways.

    References:
        Triton's docs/protocol/extension_binary_data.md.
    """

    def write(rows: Rows) -> Request:
        data = _float32(rows)
        tensor = {
            "name": "features", "shape": _shape(rows), "datatype": "FP32",
            "parameters": {"binary_data_size": len(data)},
        }  # fmt: skip
        head = as_json({"inputs": [tensor], "parameters": {"binary_data_output": True}})
        headers = {"Content-Type": "application/octet-stream", _LENGTH: str(len(head))}
        return Request(path, head + data, headers)

    def read(reply: Reply) -> list[float]:
        return _prices(reply.body[int(reply.headers[_LENGTH.lower()]) :])

    return Form("v2 binary", write, read)


def grpc_predict() -> Form:
    """TensorFlow Serving's ``PredictionService.Predict``, its tensors as bytes."""

    def write(rows: Rows) -> Request:
        message = predict_pb2.PredictRequest()
        message.model_spec.name = "housing"
        tensor = message.inputs["features"]
        tensor.dtype = types_pb2.DT_FLOAT
        for size in _shape(rows):
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = _float32(rows)
        return _call("/tensorflow.serving.PredictionService/Predict", message.SerializeToString())

    def read(reply: Reply) -> list[float]:
        output = predict_pb2.PredictResponse.FromString(_message(reply.body)).outputs["price"]
        return _prices(output.tensor_content) or list(output.float_val)

    return Form("gRPC Predict", write, read, grpc=True)


def grpc_infer() -> Form:
    """Open Inference v2's ``ModelInfer``, its tensors raw."""

    def write(rows: Rows) -> Request:
        message = open_inference_pb2.ModelInferRequest(model_name="housing")
        message.inputs.add(name="features", datatype="FP32", shape=_shape(rows))
        message.raw_input_contents.append(_float32(rows))
        return _call("/inference.GRPCInferenceService/ModelInfer", message.SerializeToString())

    def read(reply: Reply) -> list[float]:
        answer = open_inference_pb2.ModelInferResponse.FromString(_message(reply.body))
        if answer.raw_output_contents:
            return _prices(answer.raw_output_contents[0])
        return list(answer.outputs[0].contents.fp32_contents)

    return Form("gRPC ModelInfer", write, read, grpc=True)


def plain(path: str, key: str) -> Form:
    """JSON of no protocol: the rows below a key; a list, alone or below any one key, comes back."""

    def write(rows: Rows) -> Request:
        return Request(path, as_json({key: rows}), _JSON)

    def read(reply: Reply) -> list[float]:
        answer = _loaded(reply)
        return _flat(next(iter(answer.values())) if isinstance(answer, dict) else answer)

    return Form("JSON of its own", write, read)


def framed(message: bytes) -> bytes:
    """A gRPC message in its frame, not compressed."""
    return _FRAME.pack(0, len(message)) + message


def as_json(value: object) -> bytes:
    """A value as JSON, without needless spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def _call(path: str, message: bytes) -> Request:
    return Request(path, framed(message), _GRPC, grpc=True)


def _message(frame: bytes) -> bytes:
    compressed, size = _FRAME.unpack_from(frame)
    if compressed or len(frame) != _FRAME.size + size:
        raise ValueError(f"a frame of {len(frame)} bytes announces {size}")
    return frame[_FRAME.size :]


def _loaded(reply: Reply) -> Any:
    return json.loads(reply.body)


def _flat(values: object) -> list[float]:
    """A list of numbers, whatever the brackets around each."""
    return [float(value) for value in np.asarray(values, np.float64).reshape(-1)]


def _shape(rows: Rows) -> list[int]:
    return [len(rows), len(rows[0])]


def _float32(rows: Rows) -> bytes:
    return np.asarray(rows, "<f4").tobytes()


def _prices(content: bytes) -> list[float]:
    return [float(value) for value in np.frombuffer(content, "<f4")]
