"""TensorFlow's TensorProto to arrays and back.

References:
    tensorflow/core/framework/tensor.proto; tensorflow/python/framework/tensor_util.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.errors import InvalidRequest
from service.inference.signature import DTYPES
from service.messages import tensor_pb2, types_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# The repeated field that holds the values of each type, where tensor_content does not.
_FIELDS: Final[Mapping[int, str]] = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_HALF: "half_val",
    types_pb2.DT_STRING: "string_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
}
_NUMBERS: Final = {dtype: number for number, dtype in DTYPES.items()}
_MAX_DIMENSIONS: Final = 32  # NumPy's older limit; TensorFlow's is 254
_MAX_SHIFT: Final = 28  # a varint of 32 bits has five bytes of seven bits
_MAX_BYTES: Final = 2**63 - 1  # NumPy's limit, which it holds even a shape with a 0 to
_EXACT: Final = "fd"  # float32 and float64: every value of the field is one of the type
_FEW: Final = 64


def decode(proto: tensor_pb2.TensorProto, name: str, limit_bytes: int) -> NDArray[Any]:
    """Read a tensor from its typed field or from ``tensor_content``.

    As in TensorFlow, a typed field that holds fewer values than the shape asks for is
    filled up with its last one.

    Args:
        proto: The message.
        name: The input's name, for error messages.
        limit_bytes: The most that the tensor may take in memory.

    Returns:
        An array, read-only where it views the message's bytes.

    Raises:
        InvalidRequest: Type, shape and values do not go together.
    """
    dtype = DTYPES.get(proto.dtype)
    if dtype is None:
        raise InvalidRequest(f"input {name} has type {type_name(proto.dtype)}, which is not known")
    shape = _shape(proto, name)
    _check_size(shape, dtype, name, limit_bytes)
    content = proto.tensor_content
    if not content:
        return _from_field(getattr(proto, _FIELDS[proto.dtype]), dtype, shape, name)
    if dtype.kind == "O":
        return _from_text_content(content, shape, name)
    return _from_content(content, dtype, shape, name)


def fill(proto: tensor_pb2.TensorProto, array: NDArray[Any], *, as_content: bool) -> None:
    """Write a tensor.

    Args:
        proto: Where to.
        array: Numbers, or objects that are bytes.
        as_content: Numbers go into ``tensor_content`` instead of the typed field.
    """
    dtype = array.dtype if array.dtype.kind not in "SU" else np.dtype(object)
    proto.dtype = _NUMBERS[dtype]
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if as_content and dtype.kind != "O":
        proto.tensor_content = array.tobytes()
        return
    values = array.view(np.uint16) if dtype == np.float16 else array
    getattr(proto, _FIELDS[proto.dtype]).extend(_plain(values))


def _plain(array: NDArray[Any]) -> list[Any]:
    flat = array.ravel().tolist()
    if array.dtype.kind in "OSU":
        return [it if isinstance(it, bytes) else str(it).encode() for it in flat]
    return flat


def _shape(proto: tensor_pb2.TensorProto, name: str) -> tuple[int, ...]:
    message = proto.tensor_shape
    if message.unknown_rank:
        raise InvalidRequest(f"input {name} has no shape")
    shape = tuple([dim.size for dim in message.dim])
    if len(shape) > _MAX_DIMENSIONS:
        raise InvalidRequest(
            f"input {name} has {len(shape)} dimensions, the limit is {_MAX_DIMENSIONS}"
        )
    if min(shape, default=0) < 0:
        raise InvalidRequest(f"input {name} has shape {list(shape)}; sizes must not be negative")
    return shape


def _check_size(shape: tuple[int, ...], dtype: np.dtype[Any], name: str, limit_bytes: int) -> None:
    size = math.prod(shape) * dtype.itemsize
    if size > limit_bytes:
        raise InvalidRequest(
            f"input {name} has shape {list(shape)}, {size} bytes; the limit is {limit_bytes}"
        )
    if not size and math.prod(filter(None, shape)) * dtype.itemsize > _MAX_BYTES:
        raise InvalidRequest(f"input {name} has shape {list(shape)}; its sizes are too large")


def _from_content(
    content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...], name: str
) -> NDArray[Any]:
    needed = math.prod(shape) * dtype.itemsize
    if len(content) != needed:
        raise InvalidRequest(
            f"input {name} has shape {list(shape)}, {needed} bytes, "
            f"but tensor_content has {len(content)}"
        )
    return np.frombuffer(content, dtype).reshape(shape)


def _from_text_content(content: bytes, shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """Strings as TensorFlow packs them: the varint lengths of all, then the bytes of all."""
    count = math.prod(shape)
    flat = np.empty(count, object)
    try:
        lengths, place = _varints(content, count)
    except IndexError as error:
        raise InvalidRequest(
            f"input {name} has shape {list(shape)}, but tensor_content has no {count} lengths"
        ) from error
    if place + sum(lengths) != len(content):
        raise InvalidRequest(
            f"input {name} has strings of {sum(lengths)} bytes, "
            f"but tensor_content has {len(content) - place}"
        )
    for index, length in enumerate(lengths):
        flat[index] = content[place : place + length]
        place += length
    return flat.reshape(shape)


def _varints(content: bytes, count: int) -> tuple[list[int], int]:
    """So many numbers from the start of the bytes, and where they end.

    Raises:
        IndexError: The bytes end before.
    """
    values, place = [], 0
    for _ in range(count):
        value, shift = content[place] & 0x7F, 7
        while content[place] & 0x80 and shift <= _MAX_SHIFT:
            place += 1
            value |= (content[place] & 0x7F) << shift
            shift += 7
        place += 1
        values.append(value)
    return values, place


def _from_field(
    values: Any, dtype: np.dtype[Any], shape: tuple[int, ...], name: str
) -> NDArray[Any]:
    count, sent = math.prod(shape), len(values)
    if sent > count or (count and not sent):
        raise InvalidRequest(
            f"input {name} has shape {list(shape)}, {count} values, but {sent} were sent"
        )
    if sent == count and dtype.char in _EXACT:
        # Of a few values a list is read faster than the field itself.
        return np.array(values[:] if count <= _FEW else values, dtype).reshape(shape)
    if dtype.kind == "O":
        flat = np.empty(count, object)
        flat[: len(values)] = list(values)
    else:
        flat = np.empty(count, dtype)
        flat[: len(values)] = _numbers(values, dtype, name)
    if 0 < len(values) < count:
        flat[len(values) :] = flat[len(values) - 1]
    return flat.reshape(shape)


def _numbers(values: Any, dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    sent = np.asarray(values)
    # The bits of a half stand in 32-bit integers, as does what is narrower than those.
    stored = np.dtype(np.uint16) if dtype == np.float16 else dtype
    read = sent.astype(stored)
    if sent.dtype.kind == "i" and (read != sent).any():
        wrong = sent[int(np.argmax(read != sent))]
        raise InvalidRequest(f"input {name} has the value {wrong}, outside {stored.name}")
    return read.view(dtype)


def type_name(number: int) -> str:
    """TensorFlow's name of a type, such as ``DT_FLOAT``."""
    try:
        return str(types_pb2.DataType.Name(number))
    except ValueError:
        return str(number)
