"""A server that speaks Open Inference Protocol as Triton and MLServer do, written by hand.

``weighted``, as Triton serves it: versions 1 and 3, of which 3 is not ready; raw tensors alone,
of no more than 8 rows: ``rows`` FP32 ``[-1, 3]`` to ``sum`` FP32 ``[-1, 1]``, 1 a + 10 b + 100 c.
``shout``: BYTES to BYTES and INT64. ``plain``, as MLServer serves it: no versions, and answers are
typed; it has no configuration. ``moody`` fails with the code whose number its first value is.
There is no health service.
"""

from __future__ import annotations

import contextlib
import struct
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np

from service.protocols import open_inference_pb2 as messages

if TYPE_CHECKING:
    from collections.abc import Iterator

Code = grpc.StatusCode
WEIGHTS = np.array([1, 10, 100], np.float32)
VERSIONS = {"weighted": ["1", "3"], "shout": ["1"], "plain": [], "moody": ["1"]}
MOST_ROWS = 8
CODES = {it.value[0]: it for it in Code if it is not Code.OK}
SAID = "the model at 10.1.2.3 says no"
TENSORS = {
    "weighted": ([("rows", "FP32", [-1, 3])], [("sum", "FP32", [-1, 1])]),
    "shout": ([("text", "BYTES", [-1])], [("loud", "BYTES", [-1]), ("length", "INT64", [-1])]),
    "plain": ([("rows", "FP32", [-1, 3])], [("sum", "FP32", [-1, 1])]),
    "moody": ([("rows", "FP32", [-1, 3])], [("sum", "FP32", [-1, 1])]),
}


class Triton:
    """Answers the calls.

    Attributes:
        asked: Model and version of every inference.
        metadata: What came along with the last one.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.metadata: dict[str, str] = {}

    def model_metadata(self, request: Any, context: Any) -> Any:
        self._require(request.name, request.version, context)
        answer = messages.ModelMetadataResponse(
            name=request.name, versions=VERSIONS[request.name], platform="fake"
        )
        inputs, outputs = TENSORS[request.name]
        for field, tensors in ((answer.inputs, inputs), (answer.outputs, outputs)):
            for name, datatype, shape in tensors:
                field.add(name=name, datatype=datatype, shape=shape)
        return answer

    def model_ready(self, request: Any, _context: Any) -> Any:
        return messages.ModelReadyResponse(ready=request.version != "3")

    def model_config(self, request: Any, context: Any) -> Any:
        if request.name == "plain":
            context.abort(Code.UNIMPLEMENTED, "there is no such method")
        self._require(request.name, request.version, context)
        limit = MOST_ROWS if request.name == "weighted" else 0
        config = messages.ModelConfig(name=request.name, max_batch_size=limit)
        return messages.ModelConfigResponse(config=config)

    def model_infer(self, request: Any, context: Any) -> Any:
        model, version = request.model_name, request.model_version
        self._require(model, version, context)
        self.asked.append((model, version))
        self.metadata = dict(context.invocation_metadata())
        if not request.raw_input_contents or request.inputs[0].HasField("contents"):
            context.abort(Code.INVALID_ARGUMENT, "raw_input_contents are asked for")
        (raw,), (tensor,) = request.raw_input_contents, request.inputs
        answer = messages.ModelInferResponse(model_name=model, model_version=version)
        if model == "shout":
            return shouted(answer, raw)
        code = np.frombuffer(raw, "<f4")[0]
        if model == "moody" and code in CODES:
            context.abort(CODES[code], SAID)
        if list(tensor.shape)[1:] != [3]:
            context.abort(Code.INVALID_ARGUMENT, f"unexpected shape {list(tensor.shape)}")
        if model == "weighted" and tensor.shape[0] > MOST_ROWS:
            context.abort(Code.INVALID_ARGUMENT, f"batch-size must be <= {MOST_ROWS}")
        sums = np.frombuffer(raw, "<f4").reshape(-1, 3) @ WEIGHTS
        output = answer.outputs.add(name="sum", datatype="FP32", shape=[len(sums), 1])
        if model == "plain":
            output.contents.fp32_contents.extend(sums.tolist())
        else:
            answer.raw_output_contents.append(sums.astype("<f4").tobytes())
        return answer

    @staticmethod
    def _require(model: str, version: str, context: Any) -> None:
        if model not in VERSIONS:
            context.abort(Code.NOT_FOUND, f"Request for unknown model: '{model}' is not found")
        if version and version not in VERSIONS[model]:
            context.abort(Code.NOT_FOUND, f"'{model}' version {version} is not found")


def shouted(answer: Any, raw: bytes) -> Any:
    """The texts in capitals, and how many letters each has."""
    texts = []
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        texts.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    loud = [it.upper().encode() for it in texts]
    answer.outputs.add(name="loud", datatype="BYTES", shape=[len(texts)])
    answer.outputs.add(name="length", datatype="INT64", shape=[len(texts)])
    answer.raw_output_contents.append(b"".join(struct.pack("<I", len(it)) + it for it in loud))
    answer.raw_output_contents.append(struct.pack(f"<{len(texts)}q", *map(len, texts)))
    return answer


@contextlib.contextmanager
def running_triton() -> Iterator[tuple[Triton, str]]:
    """Run one; gives it and its address."""
    triton = Triton()
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            answer, kind.FromString, lambda it: it.SerializeToString()
        )
        for name, kind, answer in (
            ("ModelMetadata", messages.ModelMetadataRequest, triton.model_metadata),
            ("ModelReady", messages.ModelReadyRequest, triton.model_ready),
            ("ModelConfig", messages.ModelConfigRequest, triton.model_config),
            ("ModelInfer", messages.ModelInferRequest, triton.model_infer),
        )
    }
    service = "inference.GRPCInferenceService"
    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield triton, f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()
