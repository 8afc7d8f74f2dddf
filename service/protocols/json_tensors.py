"""JSON values to arrays and back, by TensorFlow Serving's rules.

References:
    tensorflow_serving/util/json_tensor.cc.
"""

from __future__ import annotations

import base64
import binascii
import json
from array import array
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.errors import InvalidRequest
from service.messages import types_pb2
from service.protocols.number_block import NumberBlock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.signature import TensorSpec

_SHOWN: Final = 256
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False)

_FLOAT32: Final = np.dtype(np.float32)
_NUMBERS: Final = frozenset({float, int})
# The JSON types that TensorFlow Serving takes for each kind of NumPy type.
_JSON_TYPES: Final[Mapping[str, frozenset[type]]] = {
    "f": _NUMBERS,
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
}
_TYPE_NAMES: Final[Mapping[type, str]] = {
    bool: "Bool",
    dict: "Object",
    float: "Number",
    int: "Number",
    list: "Array",
    str: "String",
    type(None): "Null",
}


def to_matrix(rows: Any) -> NDArray[np.float32] | None:
    """Rows of as many numbers each, the usual request, as a batch; None for anything else."""
    try:
        if len(rows) == 1:
            (flat,) = rows
        else:
            flat = [*chain.from_iterable(rows)]
            if len(set(map(len, rows))) > 1:
                return None
        if not flat or not _NUMBERS.issuperset(map(type, flat)):
            return None
        # Unlike NumPy it makes infinity of what is too large without a word.
        numbers = array("f", flat)
        return np.ndarray((len(rows), len(numbers) // len(rows)), _FLOAT32, numbers)
    except (TypeError, OverflowError, ValueError):
        return None


def to_array(values: Any, spec: TensorSpec, place: Callable[[int], str]) -> NDArray[Any]:
    """Turn nested lists into an array, or say which element does not fit.

    Args:
        values: A value, or lists of values to any depth, or a block of numbers.
        spec: What the input takes.
        place: From an element's index to the words that name it.
    """
    dtype = dtype_of(spec)
    if isinstance(values, NumberBlock):
        if dtype.kind == "f":
            with np.errstate(over="ignore"):  # as in ``convert``
                return values.numbers.astype(dtype)
        values = values.plain()
    allowed = _JSON_TYPES.get(dtype.kind, frozenset({str, dict}))
    if not allowed.issuperset(_leaf_types(values)):
        raise _wrong_type(values, allowed, spec, place)
    try:
        return convert(values, spec)
    except ValueError as error:
        raise _ragged(values, place) from error


def convert(values: Any, spec: TensorSpec) -> NDArray[Any]:
    """Turn nested lists, whose values are known to be of the right JSON types, into an array.

    Raises:
        ValueError: Lists at one level differ in length.
        InvalidRequest: A value is outside the type's range, or not base64.
    """
    dtype = dtype_of(spec)
    if dtype.kind == "O":
        return _to_strings(values)
    try:
        # What is too large for a float becomes infinite, as in TensorFlow Serving.
        with np.errstate(over="ignore"):
            return np.array(values, dtype)
    except OverflowError as error:
        raise InvalidRequest(f"a value is too large for type {type_name(spec)}: {error}") from error


def _to_strings(values: Any) -> NDArray[Any]:
    nested = np.array(values, object)
    result = np.empty(nested.shape, object)
    for index, value in enumerate(nested.flat):
        if isinstance(value, list):
            raise ValueError("lists of different lengths")  # noqa: TRY004 - as NumPy says it
        result.flat[index] = _to_bytes(value)
    return result


def _to_bytes(value: str | Mapping[str, Any]) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode(errors="surrogateescape")
        except UnicodeEncodeError as error:
            raise InvalidRequest(f"JSON Value: {shown(value)} is not UTF-8") from error
    if not is_b64(value):
        raise InvalidRequest(
            f"JSON Value: {shown(value)} Type: Object is not of expected type: string"
        )
    return decode_b64(value["b64"])


def decode_b64(text: str) -> bytes:
    """Read base64 as TensorFlow Serving does: white space and missing padding are no matter.

    Raises:
        InvalidRequest: It is not base64.
    """
    plain = "".join(text.split())
    if not plain.endswith("="):
        plain += "=" * (-len(plain) % 4)
    try:
        return base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("Unable to base64 decode") from error


def _leaf_types(values: Any) -> set[type]:
    """The types of all values that are not lists, found without a step of Python a value."""
    if not isinstance(values, list):
        return {type(values)}
    found: set[type] = set()
    level: list[Any] = values
    while level:
        kinds = set(map(type, level))
        found |= kinds - {list}
        if list not in kinds:
            break
        level = list(chain.from_iterable(it for it in level if isinstance(it, list)))
    return found


def _wrong_type(
    values: Any, allowed: frozenset[type], spec: TensorSpec, place: Callable[[int], str]
) -> InvalidRequest:
    elements = values if isinstance(values, list) else [values]
    for index, element in enumerate(elements):
        wrong = _first_leaf(element, allowed)
        if wrong is not _NONE:
            kind = _TYPE_NAMES.get(type(wrong), type(wrong).__name__)
            return InvalidRequest(
                f"{place(index)}JSON Value: {shown(wrong)} Type: {kind} "
                f"is not of expected type: {type_name(spec)}"
            )
    return InvalidRequest(f"{place(0)}not of expected type: {type_name(spec)}")


_NONE: Final = object()


def _first_leaf(value: Any, allowed: frozenset[type]) -> Any:
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(reversed(value))
        elif type(value) not in allowed:
            return value
    return _NONE


def _ragged(values: Any, place: Callable[[int], str]) -> InvalidRequest:
    shapes = [_shape(it) for it in values] if isinstance(values, list) else []
    for index, shape in enumerate(shapes):
        if shape != shapes[0]:
            if len(shape) == len(shapes[0]) == 1:
                return InvalidRequest(
                    f"{place(index)}Expecting tensor size: {shapes[0][0]} but got: {shape[0]}"
                )
            return InvalidRequest(
                f"{place(index)}Expecting shape {_brackets(shapes[0])} but got: {_brackets(shape)}"
            )
    return InvalidRequest(f"{place(0)}Encountered list at unexpected size")


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _brackets(shape: Sequence[int]) -> str:
    return f"[{','.join(map(str, shape))}]"


def is_plain(it: NDArray[Any]) -> bool:
    """Whether orjson can write it: numbers, in order, at least one dimension.

    It writes null for what is not finite.
    """
    return it.ndim > 0 and it.dtype.kind in "biuf" and it.flags.c_contiguous


def to_plain(name: str, array: NDArray[Any]) -> Any:
    """An array as lists that hold what its JSON shows.

    Raises:
        InvalidRequest: JSON has no such numbers.
    """
    if array.dtype.kind not in "biufOS":
        raise InvalidRequest(f"Failed to write JSON value for tensor type: {array.dtype.name}")
    if array.dtype.kind in "OS":
        return _plain_strings(array.tolist(), as_b64=name.endswith("_bytes"))
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        # By way of text: 0.1 as float32 is to be read back as 0.1, not 0.10000000149011612.
        return array.astype(str).astype(np.float64).tolist()
    return array.tolist()


def _plain_strings(value: Any, *, as_b64: bool) -> Any:
    if isinstance(value, list):
        return [_plain_strings(it, as_b64=as_b64) for it in value]
    raw = value if isinstance(value, bytes) else str(value).encode()
    if as_b64:
        return {"b64": base64.b64encode(raw).decode()}
    return raw.decode(errors="replace")


def is_b64(value: Any) -> bool:
    """Whether a JSON value is the object that stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def dtype_of(spec: TensorSpec) -> np.dtype[Any]:
    """The NumPy type of an input.

    Raises:
        InvalidRequest: JSON cannot carry its type.
    """
    if spec.numpy_dtype is None:
        raise InvalidRequest(f"Conversion of JSON Value to type: {type_name(spec)} is not known")
    return spec.numpy_dtype


def type_name(spec: TensorSpec) -> str:
    """TensorFlow's name of an input's type, such as ``float``."""
    return str(types_pb2.DataType.Name(spec.dtype)).removeprefix("DT_").lower()


def shown(value: Any) -> str:
    """A JSON value for an error message, cut to a bearable length."""
    text = ""
    try:
        for part in _ENCODER.iterencode(value):
            text += part
            if len(text) > _SHOWN:
                return f"{text[:_SHOWN]}..."
    except RecursionError:
        return f"{text[:_SHOWN]}..."
    return text
