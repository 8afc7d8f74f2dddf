"""Open Inference Protocol's bodies for inference: JSON, and behind it raw tensors.

The header ``Inference-Header-Content-Length`` says where the JSON ends; without it the
whole body is JSON, with 0 the whole body is the one input's bytes. The content type says
nothing: clients send both forms under either.

References:
    triton-inference-server/server, docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import json
import math
import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
import orjson

from service.errors import InvalidRequest
from service.protocols import json_body
from service.protocols.json_tensors import to_matrix
from service.protocols.number_block import WORTH_BYTES, read_block
from service.protocols.open_inference_dataplane import InferRequest
from service.protocols.open_inference_tensors import (
    Tensor,
    datatype_name,
    from_raw,
    from_values,
    to_raw,
    to_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.repository.version import Direct, ModelVersion

_LENGTH: Final = re.compile(r"[0-9]{1,10}", re.ASCII)
_BINARY_SIZE: Final = "binary_data_size"
_BINARY_OUTPUT: Final = "binary_data"
_BINARY_OUTPUTS: Final = "binary_data_output"
# Of Triton's further extensions, the parameters that would have to change the answer.
_UNKNOWN: Final = ("shared_memory_region", "classification")

_FP32: Final = "FP32"
_SINGLE: Final = np.dtype(np.float32)
_LITTLE: Final = np.dtype("<f4")
_IS_LITTLE: Final = sys.byteorder == "little"
# What an answer of one output ends with, behind its data.
_CLOSING: Final = b"}]}"

_Parameters = dict[str, str | int | float | bool]
_Size = Annotated[int, msgspec.Meta(ge=0)]


class _Input(msgspec.Struct):
    name: str
    shape: list[_Size]
    datatype: str
    parameters: _Parameters | None = None
    data: Any = msgspec.UNSET


class _Output(msgspec.Struct):
    name: str
    parameters: _Parameters | None = None


class _Document(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None


class _LargeInput(msgspec.Struct):
    """An input whose data may be a block of numbers."""

    name: str
    shape: list[_Size]
    datatype: str
    parameters: _Parameters | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _LargeDocument(msgspec.Struct):
    inputs: list[_LargeInput]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None


class _IndexDocument(msgspec.Struct):
    ready: bool = False


_DOCUMENT: Final = msgspec.json.Decoder(_Document)
_LARGE_DOCUMENT: Final = msgspec.json.Decoder(_LargeDocument)
_INDEX: Final = msgspec.json.Decoder(_IndexDocument)


class Wanted(msgspec.Struct, frozen=True):
    """In which form an answer is wanted.

    Attributes:
        id: What the caller calls the request.
        binary: By name, whether an output is to come as bytes.
        binary_default: Whether those not named are.
    """

    id: str = ""
    binary: Mapping[str, bool] = {}
    binary_default: bool = False


class InferBody(msgspec.Struct, frozen=True, gc=False):
    """An answer's body.

    Attributes:
        body: The bytes.
        json_bytes: How many of them are JSON, where tensors stand behind it.
    """

    body: bytes
    json_bytes: int | None = None


def parse_json_length(header: str | None, body: bytes) -> int | None:
    """Read ``Inference-Header-Content-Length``.

    Returns:
        Bytes of the body that are JSON; None where the header is not there.

    Raises:
        InvalidRequest: It is no length, or more than the body has.
    """
    if header is None:
        return None
    text = header.strip()
    if not _LENGTH.fullmatch(text):
        raise InvalidRequest(f"Inference-Header-Content-Length is {text[:32]!r}, not a length")
    if int(text) > len(body):
        raise InvalidRequest(
            f"Inference-Header-Content-Length is {int(text)}, but the body has {len(body)} bytes"
        )
    return int(text)


def parse_infer(
    model: str, version: str, body: bytes, json_bytes: int | None
) -> tuple[InferRequest, Wanted]:
    """Read a request for inference.

    Args:
        model: The model's name.
        version: The version's text.
        body: The body, inflated.
        json_bytes: What ``parse_json_length`` gave.

    Raises:
        InvalidRequest: It is not as the protocol has it; the message says where.
    """
    if json_bytes == 0:
        return InferRequest(model, version, body=body), Wanted(binary_default=True)
    document = _read(body if json_bytes is None else body[:json_bytes])
    tensors = _tensors(document, b"" if json_bytes is None else body[json_bytes:])
    name, parameters, outputs = document.id or "", document.parameters or {}, document.outputs
    default = _switch(parameters, _BINARY_OUTPUTS, "the request", default=False)
    if not outputs:
        request = InferRequest(model, version, name, tensors, parameters)
        return request, Wanted(name, {}, default)
    binary = {it.name: _is_binary(it, default=default) for it in outputs}
    request = InferRequest(model, version, name, tensors, parameters, [it.name for it in outputs])
    return request, Wanted(name, binary, default)


def parse_short(
    body: bytes, json_bytes: int | None, direct: Direct
) -> tuple[NDArray[np.float32], Wanted] | None:
    """Read a request of nothing but a few rows for the one input of a signature.

    Args:
        body: The body.
        json_bytes: What ``parse_json_length`` gave.
        direct: The signature's input and output.

    Returns:
        The rows, float32 ``[n, k]``, and in which form the answer is wanted; None for any other
        request, and for one that may be wrong.

    Raises:
        msgspec.DecodeError: It is not as the protocol has it.
    """
    if json_bytes is None:
        short = _read_short(body, direct.input, direct.output)
    else:
        # Without the numbers it is the same again and again.
        short = _known_short(body[:json_bytes], direct.input, direct.output)
    if short is None:
        return None
    count = math.prod(short.shape)
    if short.data is None:
        if json_bytes is None or len(body) - json_bytes != short.size or short.size != 4 * count:
            return None
        return np.ndarray(short.shape, _LITTLE, body, json_bytes), short.wanted
    numbers = to_matrix([short.data])
    if json_bytes is not None or numbers is None or numbers.size != count:
        return None
    return numbers if short.shape[0] == 1 else numbers.reshape(short.shape), short.wanted


class _Short(msgspec.Struct, frozen=True):
    """A request of one input.

    Attributes:
        shape: Of the input, two sizes.
        data: Its values; None if they are bytes behind the JSON.
        size: How many bytes.
        wanted: In which form the answer is wanted.
    """

    shape: list[int]
    data: list[Any] | None
    size: int
    wanted: Wanted


def _read_short(text: bytes, input_name: str, output_name: str) -> _Short | None:
    document = _DOCUMENT.decode(text)
    (it,) = document.inputs if len(document.inputs) == 1 else (None,)
    if it is None or (it.name, it.datatype) != (input_name, _FP32):
        return None
    binary = _short_output(document.parameters or {}, document.outputs, output_name)
    if len(it.shape) != 2 or binary is None:
        return None
    wanted = Wanted(document.id or "", {output_name: binary} if binary else {})
    if type(it.data) is list and not it.parameters:
        return _Short(it.shape, it.data, 0, wanted)
    size = (it.parameters or {}).get(_BINARY_SIZE)
    if it.data is msgspec.UNSET and type(size) is int and len(it.parameters or {}) == 1:
        return _Short(it.shape, None, size, wanted)
    return None


_known_short = lru_cache(maxsize=256)(_read_short)


def _short_output(parameters: _Parameters, outputs: list[_Output] | None, name: str) -> bool | None:
    """Whether the one output is wanted as bytes; None if something else is asked for."""
    default = parameters.get(_BINARY_OUTPUTS, False)
    if not isinstance(default, bool) or len(parameters) > (_BINARY_OUTPUTS in parameters):
        return None
    if not outputs:
        return default
    if len(outputs) > 1 or outputs[0].name != name:
        return None
    own = outputs[0].parameters or {}
    binary = own.get(_BINARY_OUTPUT, default)
    return binary if isinstance(binary, bool) and len(own) == (_BINARY_OUTPUT in own) else None


def encode_infer(version: ModelVersion, outputs: Tensors, wanted: Wanted) -> InferBody:
    """Write an answer.

    Args:
        version: The version that answered.
        outputs: The outputs to send, in order.
        wanted: In which form.

    Raises:
        InvalidRequest: JSON has no form for an output.
    """
    entries: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name, array in outputs.items():
        entry: dict[str, Any] = {
            "name": name,
            "shape": array.shape,
            "datatype": datatype_name(array),
        }
        if wanted.binary.get(name, wanted.binary_default):
            raw = to_raw(array)
            entry["parameters"] = {_BINARY_SIZE: len(raw)}
            tail.append(raw)
        else:
            entry["data"] = to_values(name, array)
        entries.append(entry)
    document = _document(version.model, version.number_text, wanted.id, entries)
    text = json_body.encode(document)
    if b"null" in text:  # the standard has no NaN and no infinity
        text = _encode_leniently(document)
    return InferBody(b"".join([text, *tail]), len(text)) if tail else InferBody(text)


def encode_short(
    version: ModelVersion, name: str, output: NDArray[Any], wanted: Wanted
) -> InferBody:
    """Write what ``encode_infer`` writes of one output."""
    if output.dtype is not _SINGLE or not _IS_LITTLE:
        return encode_infer(version, {name: output}, wanted)
    binary = (
        wanted.binary.get(name, wanted.binary_default) if wanted.binary else (wanted.binary_default)
    )
    if output.ndim > 1:
        return encode_infer(version, {name: output}, wanted)
    raw = output.tobytes() if binary else json_body.encode(output)
    if not binary and b"null" in raw:
        return encode_infer(version, {name: output}, wanted)
    opening = _opening(
        version.model, version.number_text, wanted.id, name, len(output),
        len(raw) if binary else None,
    )  # fmt: skip
    if binary:
        return InferBody(opening + raw, len(opening))
    return InferBody(b"%b%b%b" % (opening, raw, _CLOSING))


@lru_cache(maxsize=256)
def _opening(
    model: str, number: str, request_id: str, name: str, rows: int, size: int | None
) -> bytes:
    """The JSON of an answer of one float32 a row: all of it before bytes, else up to its data."""
    entry: dict[str, Any] = {"name": name, "shape": [rows], "datatype": _FP32}
    if size is not None:
        entry["parameters"] = {_BINARY_SIZE: size}
    text = json_body.encode(_document(model, number, request_id, [entry]))
    return text if size is not None else text.removesuffix(_CLOSING) + b',"data":'


def _document(
    model: str, number: str, name: str, entries: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "model_name": model,
        "model_version": number,
        **({"id": name} if name else {}),
        "outputs": entries,
    }


def parse_index(body: bytes) -> bool:
    """Whether a request for the repository's index asks for ready models alone.

    Raises:
        InvalidRequest: Its body is no such request.
    """
    return _parse(_INDEX, body).ready if body.strip() else False


def _read(text: bytes) -> _Document | _LargeDocument:
    if len(text) < WORTH_BYTES:
        return _parse(_DOCUMENT, text)  # type: ignore[no-any-return]
    try:
        return _LARGE_DOCUMENT.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse(_DOCUMENT, text)  # type: ignore[no-any-return]  # it says what is wrong


def _parse(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the request is not as it should be: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _parse_leniently(decoder, body)
    except RecursionError as error:
        raise InvalidRequest("JSON Parse error: nested too deeply") from error


def _parse_leniently(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    """Read JSON in which numbers may be NaN, Infinity or -Infinity, as clients write them."""
    try:
        return msgspec.convert(json.loads(body.decode()), decoder.type)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the request is not as it should be: {error}") from error
    except json.JSONDecodeError as error:
        raise InvalidRequest(f"JSON Parse error: {error.msg}. at offset: {error.pos}") from error
    except RecursionError as error:
        raise InvalidRequest("JSON Parse error: nested too deeply") from error
    except ValueError as error:  # no UTF-8, or a number of thousands of digits
        raise InvalidRequest(f"JSON Parse error: {error}") from error


def _tensors(document: _Document | _LargeDocument, tail: bytes) -> list[Tensor]:
    tensors: list[Tensor] = []
    offset = 0
    for it in document.inputs:
        parameters = it.parameters
        if not parameters:
            tensors.append(_from_json(it))
            continue
        _refuse_unknown(f"input {it.name!r}", parameters)
        if _BINARY_SIZE not in parameters:
            tensors.append(_from_json(it))
            continue
        size = _size(it, parameters)
        if it.data is not msgspec.UNSET:
            raise InvalidRequest(f"input {it.name!r} has both data and {_BINARY_SIZE}")
        if size > len(tail) - offset:
            raise InvalidRequest(
                f"input {it.name!r} has {_BINARY_SIZE} {size}, "
                f"but {len(tail) - offset} bytes are left behind the JSON"
            )
        tensors.append(from_raw(it.name, it.datatype, it.shape, tail[offset : offset + size]))
        offset += size
    if offset != len(tail):
        raise InvalidRequest(f"{len(tail) - offset} bytes behind the JSON belong to no input")
    return tensors


def _from_json(it: _Input | _LargeInput) -> Tensor:
    data = it.data
    if data is msgspec.UNSET:
        raise InvalidRequest(f"input {it.name!r} has neither data nor {_BINARY_SIZE}")
    return from_values(it.name, it.datatype, it.shape, _values(data))


def _values(data: Any) -> Any:
    """Data as a block of numbers, where it is one and large, or else as lists."""
    if not isinstance(data, msgspec.Raw):
        return data
    text = bytes(data)
    block = read_block(text, plain=lambda: orjson.loads(text))
    return orjson.loads(text) if block is None else block


def _size(it: _Input | _LargeInput, parameters: _Parameters) -> int:
    size = parameters[_BINARY_SIZE]
    if type(size) is not int or size < 0:
        raise InvalidRequest(f"input {it.name!r} has {_BINARY_SIZE} {size!r}, not a length")
    return size


def _is_binary(output: _Output, *, default: bool) -> bool:
    parameters = output.parameters or {}
    place = f"output {output.name!r}"
    _refuse_unknown(place, parameters)
    return _switch(parameters, _BINARY_OUTPUT, place, default=default)


def _switch(parameters: _Parameters, name: str, place: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InvalidRequest(f"{place} has {name} {value!r}, not true or false")
    return value


def _refuse_unknown(place: str, parameters: _Parameters) -> None:
    for name in _UNKNOWN:
        if name in parameters:
            raise InvalidRequest(f"{place} has the parameter {name!r}, which is not supported")


def _encode_leniently(document: dict[str, Any]) -> bytes:
    entries = [
        {**it, "data": _plain(it["data"])} if "data" in it else it for it in document["outputs"]
    ]
    return json_body.encode_leniently({**document, "outputs": entries})


def _plain(data: NDArray[Any] | list[str]) -> list[Any]:
    """Lists of what JSON shows; float32 by way of its text, so that 0.1 stays 0.1."""
    if isinstance(data, list):
        return data
    if data.dtype.kind == "f" and data.dtype.itemsize < 8:
        return data.astype(str).astype("float64").tolist()  # type: ignore[no-any-return]
    return data.tolist()  # type: ignore[no-any-return]
