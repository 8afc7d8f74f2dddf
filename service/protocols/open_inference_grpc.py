"""Open Inference Protocol's gRPC messages: requests to arrays, arrays to answers, errors to codes.

Tensors come typed (``contents``) or raw (``raw_input_contents``), and the answer in the
form of the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from google.protobuf import json_format
from grpc import StatusCode

from service import errors
from service.errors import InvalidRequest
from service.protocols import open_inference_pb2 as messages
from service.protocols.open_inference_dataplane import InferRequest
from service.protocols.open_inference_tensors import (
    BINARY_ONLY,
    BYTES,
    Tensor,
    check_count,
    datatype_name,
    from_raw,
    numpy_of,
    reshape,
    texts,
    to_raw,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message

    from service.inference.executor import Tensors
    from service.repository.version import ModelVersion

    _Tensor = (
        messages.ModelInferRequest.InferInputTensor | messages.ModelInferResponse.InferOutputTensor
    )

# Each class of error and its code; a subclass without a row has its parent's.
CODE_OF: Final[Mapping[type[errors.HearthError], StatusCode]] = {
    errors.InvalidRequest: StatusCode.INVALID_ARGUMENT,
    errors.PayloadTooLarge: StatusCode.RESOURCE_EXHAUSTED,
    errors.RequestTimeout: StatusCode.DEADLINE_EXCEEDED,
    errors.NotSupported: StatusCode.UNIMPLEMENTED,
    errors.NotPossibleNow: StatusCode.FAILED_PRECONDITION,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.Forbidden: StatusCode.PERMISSION_DENIED,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.NotReady: StatusCode.UNAVAILABLE,
    errors.Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.InternalError: StatusCode.INTERNAL,
    # Met by whoever asks to load it: asking again does not help.
    errors.VersionRefused: StatusCode.FAILED_PRECONDITION,
}

# The field of each datatype, where tensors are typed.
_FIELDS: Final[Mapping[str, str]] = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def encode_error(error: errors.HearthError) -> tuple[StatusCode, str]:
    """The gRPC code and message of an error."""
    code = next(CODE_OF[kind] for kind in type(error).__mro__ if kind in CODE_OF)
    return code, error.message


def parse_infer(request: messages.ModelInferRequest) -> InferRequest:
    """Read a request for inference.

    Raises:
        InvalidRequest: Its tensors are not as the protocol has them.
    """
    return InferRequest(
        model=request.model_name,
        version=request.model_version,
        id=request.id,
        tensors=_tensors(request.inputs, request.raw_input_contents),
        parameters={name: _value(it) for name, it in request.parameters.items()},
        output_names=[it.name for it in request.outputs],
    )


def is_raw(request: messages.ModelInferRequest) -> bool:
    """Whether a request carries raw tensors, and so wants them."""
    return len(request.raw_input_contents) > 0


def encode_infer(
    version: ModelVersion, outputs: Tensors, request: messages.ModelInferRequest
) -> messages.ModelInferResponse:
    """Write an answer: raw if the request was, or if a type has no typed form.

    Args:
        version: The version that answered.
        outputs: The outputs to send, in order.
        request: The request.
    """
    response = messages.ModelInferResponse(
        model_name=version.model, model_version=str(version.number), id=request.id
    )
    datatypes = {name: datatype_name(array) for name, array in outputs.items()}
    raw = is_raw(request) or not BINARY_ONLY.isdisjoint(datatypes.values())
    for name, array in outputs.items():
        datatype = datatypes[name]
        output = response.outputs.add(name=name, datatype=datatype, shape=array.shape)
        if raw:
            response.raw_output_contents.append(to_raw(array))
        else:
            values = texts(array) if datatype == BYTES else array.ravel().tolist()
            getattr(output.contents, _FIELDS[datatype]).extend(values)
    return response


def parse_outputs(response: messages.ModelInferResponse) -> list[Tensor]:
    """Read the outputs of another server's answer, raw or typed.

    Raises:
        InvalidRequest: They are not as the protocol has them.
    """
    return _tensors(response.outputs, response.raw_output_contents)


def to_message(document: Mapping[str, Any], kind: type[Message]) -> Any:
    """A document as the message whose fields have its names."""
    return json_format.ParseDict(document, kind())


def _tensors(described: Sequence[_Tensor], raw: Sequence[bytes]) -> list[Tensor]:
    return _raw(described, raw) if len(raw) else [_typed(it) for it in described]


def _raw(described: Sequence[_Tensor], contents: Sequence[bytes]) -> list[Tensor]:
    if len(contents) != len(described):
        raise InvalidRequest(
            f"there are {len(described)} inputs but {len(contents)} raw_input_contents"
        )
    for it in described:
        if it.HasField("contents"):
            raise InvalidRequest(f"input {it.name!r} has contents beside raw_input_contents")
    return [
        from_raw(it.name, it.datatype, _shape(it), raw)
        for it, raw in zip(described, contents, strict=True)
    ]


def _typed(it: _Tensor) -> Tensor:
    dtype = numpy_of(it.name, it.datatype)
    field = _FIELDS.get(it.datatype)
    if field is None:
        raise InvalidRequest(
            f"input {it.name!r} has datatype {it.datatype}, which only raw_input_contents carry"
        )
    _refuse_other_fields(it, field)
    values, shape = getattr(it.contents, field), _shape(it)
    check_count(it.name, shape, len(values))
    if it.datatype == BYTES:
        flat = np.empty(len(values), object)
        flat[:] = list(values)
    else:
        flat = _numbers(it, values, dtype)
    return Tensor(it.name, it.datatype, reshape(it.name, flat, shape))


def _refuse_other_fields(it: _Tensor, field: str) -> None:
    for descriptor, _ in it.contents.ListFields():
        if descriptor.name != field:
            raise InvalidRequest(
                f"input {it.name!r} has datatype {it.datatype}, whose values stand in {field}, "
                f"not in {descriptor.name}"
            )


def _numbers(it: _Tensor, values: Sequence[Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    sent = np.asarray(values)  # in the type of the field, which may be a wider one
    read = sent.astype(dtype)
    if dtype.kind in "iu" and (read != sent).any():
        wrong = sent[int(np.argmax(read != sent))]
        raise InvalidRequest(
            f"input {it.name!r} has a value that is too large for {it.datatype}: {wrong}"
        )
    return read


def _shape(it: _Tensor) -> list[int]:
    shape = list(it.shape)
    if any(size < 0 for size in shape):
        raise InvalidRequest(f"input {it.name!r} has shape {shape}; sizes must not be negative")
    return shape


def _value(parameter: messages.InferParameter) -> Any:
    choice = parameter.WhichOneof("parameter_choice")
    return None if choice is None else getattr(parameter, choice)
