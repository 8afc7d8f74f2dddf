"""Servers behind that speak Open Inference Protocol: Triton, MLServer, OpenVINO, or other Hearths.

A version there is a text. Those that are whole numbers are versions here; a model without
versions has one, number 1. Of what a version takes and gives, metadata tells of one way to call
it: ``serving_default`` here. Tensors go there raw, and are taken raw or typed.

References:
    kserve/open-inference-protocol, specification/protocol/inference_grpc.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import grpc

from service.errors import NotReady
from service.inference.signature import DEFAULT_SIGNATURE, Signature, TensorSpec, spec_of
from service.protocols import open_inference_pb2 as messages
from service.protocols.open_inference_grpc import parse_outputs
from service.protocols.open_inference_tensors import NUMPY, datatype_name, to_raw
from service.remote.wire import DEFAULT_S, LOOK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from service.inference.executor import Tensors
    from service.remote.wire import Outputs

_SERVICE: Final = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"]
# TensorFlow's DataType number of what NumPy has no type for; no other is known there.
_BFLOAT16: Final = {"BF16": 14}
_NUMBER: Final = re.compile(r"0|[1-9]\d{0,17}", re.ASCII)
# The version of a model that has none, and how it is asked for.
_LONE: Final = {1: ""}


class OpenInference:
    """Asks by GRPCInferenceService; see ``Wire``.

    Args:
        channel: Where to.
        metadata: What goes along with each call.
    """

    def __init__(self, channel: grpc.Channel, metadata: Sequence[tuple[str, str]]) -> None:
        self._model_metadata = _call(channel, "ModelMetadata")
        self._model_config = _call(channel, "ModelConfig")
        self._model_ready = _call(channel, "ModelReady")
        self._infer = _call(channel, "ModelInfer")
        self._metadata = metadata
        self._without_versions: set[str] = set()

    def versions(self, model: str) -> Callable[[], set[int]]:
        """See ``Wire``; versions that are not ready are none."""
        request = messages.ModelMetadataRequest(name=model)
        call = self._model_metadata.future(request, timeout=LOOK_S, metadata=self._metadata)
        return lambda: self._ready(model, call.result().versions)

    def signatures(self, model: str, number: int) -> Mapping[str, Signature]:
        """See ``Wire``."""
        answer = self._described(model, "")
        if answer.versions:
            self._without_versions.discard(model)
            answer = self._described(model, str(number))
        else:
            self._without_versions.add(model)
        outputs = {it.name: _spec(it) for it in answer.outputs}
        if not outputs:
            return {}
        return {DEFAULT_SIGNATURE: Signature({it.name: _spec(it) for it in answer.inputs}, outputs)}

    def most_rows(self, model: str, number: int) -> int:
        """See ``Wire``; Triton and Hearth say, in an extension that others have not."""
        request = messages.ModelConfigRequest(name=model, version=self._version(model, number))
        try:
            answer = self._model_config(request, timeout=DEFAULT_S, metadata=self._metadata)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return 0
            raise
        return int(answer.config.max_batch_size)

    def predict(
        self, model: str, number: int, signature: str, inputs: Tensors, timeout_s: float
    ) -> Any:
        """See ``Wire``; there is one signature."""
        del signature
        request = messages.ModelInferRequest(
            model_name=model, model_version=self._version(model, number)
        )
        for name, array in inputs.items():
            request.inputs.add(name=name, datatype=datatype_name(array), shape=array.shape)
            request.raw_input_contents.append(to_raw(array))
        return self._infer.future(request, timeout=timeout_s, metadata=self._metadata)

    @staticmethod
    def outputs(response: messages.ModelInferResponse, wanted: Iterable[str]) -> Outputs:
        """See ``Wire``."""
        sent = {it.name: it.array for it in parse_outputs(response)}
        return {name: sent[name] for name in wanted if name in sent}

    def _version(self, model: str, number: int) -> str:
        return "" if model in self._without_versions else str(number)

    def _described(self, model: str, version: str) -> Any:
        request = messages.ModelMetadataRequest(name=model, version=version)
        return self._model_metadata(request, timeout=DEFAULT_S, metadata=self._metadata)

    def _ready(self, model: str, versions: Sequence[str]) -> set[int]:
        """Those of the versions that are ready.

        Raises:
            NotReady: None of them is a whole number.
        """
        numbers = {int(it): it for it in versions if _NUMBER.fullmatch(it)}
        if versions and not numbers:
            raise NotReady(f"its versions {', '.join(versions)} are no whole numbers")
        asked = {
            number: self._model_ready.future(
                messages.ModelReadyRequest(name=model, version=version),
                timeout=LOOK_S,
                metadata=self._metadata,
            )
            for number, version in (numbers or _LONE).items()
        }
        return {number for number, call in asked.items() if call.result().ready}


def _call(channel: grpc.Channel, name: str) -> Any:
    method = _SERVICE.methods_by_name[name]
    request: Any = getattr(messages, method.input_type.name)
    response: Any = getattr(messages, method.output_type.name)
    return channel.unary_unary(
        f"/{_SERVICE.full_name}/{name}",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )


def _spec(told: messages.ModelMetadataResponse.TensorMetadata) -> TensorSpec:
    shape = tuple(told.shape)
    if told.datatype in NUMPY:
        return spec_of(told.name, NUMPY[told.datatype], shape)
    return TensorSpec(told.name, _BFLOAT16.get(told.datatype, 0), shape)
