"""Open Inference Protocol's tensors: JSON values and raw bytes to arrays and back.

A tensor says its own datatype and shape. Raw bytes are little-endian and row-major;
of BYTES each element stands behind its length in four bytes.

References:
    kserve/open-inference-protocol, specification/protocol/inference_rest.md;
    triton-inference-server/server, docs/protocol/extension_binary_data.md.
"""

from __future__ import annotations

import math
import sys
from array import array as floats
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from service.errors import InvalidRequest
from service.inference.columns import Columns
from service.protocols.json_tensors import shown, type_name
from service.protocols.number_block import NumberBlock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.inference.signature import Signature, TensorSpec

BYTES: Final = "BYTES"
NUMPY: Final[Mapping[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    BYTES: np.dtype(object),
}
_NAMES: Final = {dtype: name for name, dtype in NUMPY.items()}
# What JSON has no agreed form for: KServe and Triton take these as bytes alone.
BINARY_ONLY: Final = frozenset({"FP16", "BF16"})
# The JSON types that each kind of NumPy type takes, and a word for them.
_JSON_TYPES: Final[Mapping[str, tuple[frozenset[type], str]]] = {
    "f": (frozenset({float, int}), "numbers"),
    "i": (frozenset({int}), "whole numbers"),
    "u": (frozenset({int}), "whole numbers"),
    "b": (frozenset({bool}), "true and false"),
    "O": (frozenset({str}), "text"),
}
_MAX_DIMENSIONS: Final = 32  # NumPy's older limit
_LENGTH_BYTES: Final = 4
_IS_LITTLE: Final = sys.byteorder == "little"


class Tensor(msgspec.Struct, frozen=True):
    """One input as it was sent.

    Attributes:
        name: Its name.
        datatype: Its protocol's name for the type, one of ``NUMPY``.
        array: The values in their shape; elements of BYTES are ``bytes``.
    """

    name: str
    datatype: str
    array: NDArray[Any]


def from_values(name: str, datatype: str, shape: Sequence[int], values: Any) -> Tensor:
    """A tensor whose values came as JSON, nested as its shape is or flat.

    Args:
        name: The tensor's name.
        datatype: The name of its type.
        shape: Its sizes.
        values: A value, or lists of values, or a block of numbers.

    Raises:
        InvalidRequest: A value is not of the type, or they are not as many as the shape asks for.
    """
    dtype = numpy_of(name, datatype)
    if datatype in BINARY_ONLY:
        raise _binary_only(f"input {name!r}", datatype)
    if isinstance(values, NumberBlock):
        if dtype.kind == "f":
            return _from_block(name, datatype, shape, values.numbers)
        values = values.plain()
    leaves, nesting = _flatten(name, values)
    types, meaning = _JSON_TYPES[dtype.kind]
    if not types.issuperset(map(type, leaves)):
        raise _wrong_value(name, datatype, leaves, types, meaning)
    check_count(name, shape, len(leaves))
    _check_nesting(name, shape, nesting)
    return Tensor(name, datatype, reshape(name, _convert(name, datatype, leaves), shape))


def _from_block(
    name: str, datatype: str, shape: Sequence[int], numbers: NDArray[np.float64]
) -> Tensor:
    check_count(name, shape, numbers.size)
    _check_nesting(name, shape, numbers.shape)
    with np.errstate(over="ignore"):  # as in ``_convert``
        array = numbers.astype(NUMPY[datatype])
    return Tensor(name, datatype, reshape(name, array, shape))


def from_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes) -> Tensor:
    """A tensor whose values came as bytes.

    Args:
        name: The tensor's name.
        datatype: The name of its type.
        shape: Its sizes.
        raw: The bytes.

    Returns:
        The tensor; numbers view the bytes and are read-only.

    Raises:
        InvalidRequest: The bytes are not as many as the shape asks for.
    """
    dtype = numpy_of(name, datatype)
    count = math.prod(shape)
    if datatype == BYTES:
        return Tensor(name, datatype, reshape(name, _strings(name, raw, shape), shape))
    if len(raw) != count * dtype.itemsize:
        raise InvalidRequest(
            f"input {name!r} has shape {shape_text(shape)} = {count * dtype.itemsize} bytes of "
            f"{datatype} but {len(raw)} were given"
        )
    numbers = np.frombuffer(raw, dtype.newbyteorder("<"))
    if dtype.kind == "b" and numbers.view(np.uint8).max(initial=0) > 1:
        # A byte of 2 is no bool: what NumPy makes of it differs from one operation to the next.
        numbers = numbers.view(np.uint8) != 0
    return Tensor(name, datatype, reshape(name, numbers, shape))


def from_body(name: str, spec: TensorSpec, raw: bytes) -> Tensor:
    """The one input of a model whose request is nothing but the input's bytes.

    One size may be unknown and follows from the number of bytes; if the first is unknown
    beside another, it is 1. Of strings the whole body is the one element.

    Raises:
        InvalidRequest: The input's shape cannot be found so.
    """
    datatype = datatype_of(spec)
    sizes = list(spec.shape or ())
    if datatype == BYTES:
        array = np.array([raw], object)
        return Tensor(name, datatype, reshape(name, array, [1] * len(sizes)))
    if sizes.count(-1) == 2 and sizes[0] == -1:
        sizes[0] = 1
    if spec.shape is None or sizes.count(-1) > 1:
        raise InvalidRequest(
            f"input {name!r} has shape {shape_text(spec.shape or ())}: a body without JSON can "
            "leave one size open"
        )
    if -1 in sizes:
        row_bytes = math.prod(it for it in sizes if it != -1) * numpy_of(name, datatype).itemsize
        sizes[sizes.index(-1)] = len(raw) // row_bytes if row_bytes else 0
    return from_raw(name, datatype, sizes, raw)


def to_raw(array: NDArray[Any]) -> bytes:
    """An array's bytes, as the binary extension has them."""
    if array.dtype.kind in "OSU":
        return b"".join(_with_length(it) for it in texts(array))
    if not (_IS_LITTLE and array.dtype.isnative):
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.tobytes()


def to_values(name: str, array: NDArray[Any]) -> NDArray[Any] | list[str]:
    """An array as JSON shows it: flat and row-major.

    Raises:
        InvalidRequest: JSON has no form for it; the binary one has.
    """
    if datatype_name(array) in BINARY_ONLY:
        raise _binary_only(f"output {name!r}", datatype_name(array))
    if array.dtype.kind not in "OSU":
        return np.ascontiguousarray(array).ravel()
    try:
        return [it.decode() for it in texts(array)]
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"output {name!r} holds bytes that are no UTF-8; ask for it with binary_data"
        ) from error


def texts(array: NDArray[Any]) -> list[bytes]:
    """The elements of an array of strings, flat and row-major."""
    return [it if isinstance(it, bytes) else str(it).encode() for it in array.ravel().tolist()]


def to_inputs(
    tensors: Sequence[Tensor],
    signature: Signature,
    feature_names: Sequence[str],
    *,
    by_column: bool,
) -> dict[str, NDArray[Any]]:
    """Turn what was sent into the arrays that a signature takes.

    Args:
        tensors: The inputs of the request.
        signature: The signature that it names.
        feature_names: The contract's features, in the order of the batch's columns; the
            inputs may then be one a feature instead of the batch.
        by_column: The request says that they are.

    Returns:
        An array for every input of the signature.

    Raises:
        InvalidRequest: They are not what the signature takes.
    """
    given = {tensor.name: tensor for tensor in tensors}
    if len(given) != len(tensors):
        raise InvalidRequest(f"two inputs have one name: {_names(it.name for it in tensors)}")
    if given.keys() == signature.inputs.keys():
        return {name: _fit(given[name], spec) for name, spec in signature.inputs.items()}
    if feature_names and (by_column or not given.keys().isdisjoint(feature_names)):
        return _from_columns(given, signature, feature_names)
    raise _wrong_names("input", given, signature.inputs)


def select(names: Sequence[str], outputs: Tensors) -> Tensors:
    """The outputs asked for, in their order; all if none is named."""
    return {name: outputs[name] for name in names} if names else outputs


def check_outputs(names: Sequence[str], signature: Signature) -> None:
    """Make sure that the outputs asked for are there.

    Raises:
        InvalidRequest: One is not, or is asked for twice.
    """
    for index, name in enumerate(names):
        if name not in signature.outputs:
            raise InvalidRequest(
                f"there is no output {name[:64]!r}; known: {_names(signature.outputs)}"
            )
        if name in names[:index]:
            raise InvalidRequest(f"output {name!r} is asked for twice")


def datatype_of(spec: TensorSpec) -> str:
    """The protocol's name for the type of an input or output."""
    if spec.numpy_dtype is None:
        return type_name(spec).upper()
    return _NAMES[spec.numpy_dtype]


def datatype_name(array: NDArray[Any]) -> str:
    """The protocol's name for the type of an array.

    Raises:
        InvalidRequest: It has none.
    """
    dtype = array.dtype
    name = _NAMES.get(dtype)
    if name is None and dtype.kind in "SU":
        return BYTES
    if name is None:
        raise InvalidRequest(f"an output has the type {dtype.name}, which cannot be sent")
    return name


def numpy_of(name: str, datatype: str) -> np.dtype[Any]:
    """NumPy's type for a datatype.

    Raises:
        InvalidRequest: There is none.
    """
    dtype = NUMPY.get(datatype)
    if dtype is None:
        raise InvalidRequest(
            f"input {name!r} has datatype {datatype[:32]!r}; known: {', '.join(NUMPY)}"
        )
    return dtype


def reshape(name: str, flat: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """Put values, as many as the shape asks for, into it.

    Raises:
        InvalidRequest: The shape has too many dimensions or too large a size.
    """
    if len(shape) > _MAX_DIMENSIONS:
        raise InvalidRequest(
            f"input {name!r} has {len(shape)} dimensions, the limit is {_MAX_DIMENSIONS}"
        )
    try:
        return flat.reshape(shape)
    except (ValueError, OverflowError) as error:  # a size of 0 beside ones that are too large
        raise InvalidRequest(
            f"input {name!r} has shape {shape_text(shape)}, which cannot be made: {error}"
        ) from error


def check_count(name: str, shape: Sequence[int], count: int) -> None:
    """Make sure that there are as many values as a shape asks for.

    Raises:
        InvalidRequest: There are not.
    """
    wanted = math.prod(shape)
    if wanted != count:
        raise InvalidRequest(
            f"input {name!r} has shape {shape_text(shape)} = {wanted} elements "
            f"but {count} were given"
        )


def shape_text(shape: Sequence[int]) -> str:
    """A shape as the protocol writes it."""
    return f"[{','.join(map(str, shape[: _MAX_DIMENSIONS + 1]))}]"


def _check_nesting(name: str, shape: Sequence[int], nesting: Sequence[int]) -> None:
    """Refuse rows and columns that are others than the shape says; sizes of 1 may be left out."""
    plain = [size for size in shape if size != 1]
    if len(nesting) > 1 and 0 not in shape and [it for it in nesting if it != 1] != plain:
        raise InvalidRequest(
            f"input {name!r} has shape {shape_text(shape)} but its data is nested as "
            f"{shape_text(nesting)}"
        )


def _flatten(name: str, values: Any) -> tuple[list[Any], list[int]]:
    """Values in row-major order, and the sizes that their lists had."""
    level: list[Any] = values if isinstance(values, list) else [values]
    nesting = [len(level)]
    while level and isinstance(level[0], list):
        if not all(isinstance(it, list) for it in level) or len(set(map(len, level))) > 1:
            raise InvalidRequest(f"input {name!r} has data that is unevenly nested")
        nesting.append(len(level[0]))
        level = list(chain.from_iterable(level))
    return level, nesting


def _convert(name: str, datatype: str, leaves: list[Any]) -> NDArray[Any]:
    if datatype == BYTES:
        return _texts(name, leaves)
    try:
        if datatype == "FP32" and leaves:
            # Unlike NumPy it makes infinity of what is too large without a word.
            return np.frombuffer(floats("f", leaves), np.float32)
        # What is too large for a float becomes infinite, as over TensorFlow Serving's protocol.
        with np.errstate(over="ignore"):
            return np.array(leaves, NUMPY[datatype])
    except OverflowError as error:
        raise InvalidRequest(
            f"input {name!r} has a value that is too large for {datatype}: {error}"
        ) from error


def _texts(name: str, leaves: Sequence[str]) -> NDArray[Any]:
    array = np.empty(len(leaves), object)
    try:
        array[:] = [it.encode() for it in leaves]
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"input {name!r} has a text that is no UTF-8") from error
    return array


def _wrong_value(
    name: str, datatype: str, leaves: Sequence[Any], types: frozenset[type], meaning: str
) -> InvalidRequest:
    index, value = next((i, it) for i, it in enumerate(leaves) if type(it) not in types)
    return InvalidRequest(
        f"input {name!r} has {shown(value)} as element {index}; {datatype} takes {meaning}"
    )


def _binary_only(place: str, datatype: str) -> InvalidRequest:
    return InvalidRequest(f"{place} has datatype {datatype}, which JSON cannot carry; use bytes")


def _strings(name: str, raw: bytes, shape: Sequence[int]) -> NDArray[Any]:
    found: list[bytes] = []
    count, offset = math.prod(shape), 0
    while offset < len(raw) and len(found) <= count:
        start = offset + _LENGTH_BYTES
        offset = start + int.from_bytes(raw[offset:start], "little")
        if start > len(raw) or offset > len(raw):
            raise InvalidRequest(
                f"input {name!r} has an element {len(found)} that ends behind its {len(raw)} bytes"
            )
        found.append(raw[start:offset])
    check_count(name, shape, len(found))
    array = np.empty(len(found), object)
    array[:] = found
    return array


def _with_length(value: bytes) -> bytes:
    return len(value).to_bytes(_LENGTH_BYTES, "little") + value


def _fit(tensor: Tensor, spec: TensorSpec) -> NDArray[Any]:
    """The array in the type that the model takes, where nothing but precision is lost by it."""
    array, wanted = tensor.array, spec.numpy_dtype
    if array.dtype == wanted:
        return array
    convertible = (
        wanted is not None
        and "O" not in array.dtype.kind + wanted.kind
        and (array.dtype.kind == "b") == (wanted.kind == "b")
        and (array.dtype.kind != "f" or wanted.kind == "f")
    )
    if not convertible:
        raise InvalidRequest(
            f"input {tensor.name!r} has datatype {tensor.datatype}, expected {datatype_of(spec)}"
        )
    with np.errstate(over="ignore"):
        fitted = array.astype(wanted)
    if fitted.dtype.kind in "iu" and not _same_numbers(array, fitted):
        raise InvalidRequest(
            f"input {tensor.name!r} has a value that is too large for {datatype_of(spec)}"
        )
    return fitted


def _same_numbers(before: NDArray[Any], after: NDArray[Any]) -> bool:
    """Whether whole numbers stayed what they were; -1 becomes no large number unseen."""
    same = (before.astype(after.dtype).astype(before.dtype) == before).all()
    return bool(same and ((before < 0) == (after < 0)).all())


def _from_columns(
    given: Mapping[str, Tensor], signature: Signature, feature_names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    name, spec = next(iter(signature.inputs.items()))
    if isinstance(feature_names, Columns) and given.keys() <= set(feature_names):
        values = {it: tensor.array.ravel().tolist() for it, tensor in given.items()}
        return {name: feature_names.stacked(values, "inputs")}
    if given.keys() != set(feature_names):
        raise _wrong_names("column", given, feature_names)
    columns = [_column(given[feature], spec) for feature in feature_names]
    if len(set(map(len, columns))) > 1:
        lengths = {it: len(column) for it, column in zip(feature_names, columns, strict=True)}
        raise InvalidRequest(f"the columns differ in number of rows: {lengths}")
    return {name: np.stack(columns, axis=1)}


def _column(tensor: Tensor, spec: TensorSpec) -> NDArray[Any]:
    array = _fit(tensor, spec)
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim != 1:
        raise InvalidRequest(
            f"column {tensor.name!r} has shape {shape_text(array.shape)}, expected [n] or [n,1]"
        )
    return array


def _wrong_names(kind: str, given: Iterable[str], wanted: Iterable[str]) -> InvalidRequest:
    sent, needed = list(given), list(wanted)
    unknown = [name for name in sent if name not in needed]
    if unknown:
        return InvalidRequest(f"there is no {kind} {unknown[0][:64]!r}; known: {_names(needed)}")
    missing = [name for name in needed if name not in sent]
    return InvalidRequest(f"{kind} {missing[0]!r} is missing; needed: {_names(needed)}")


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)[:512]
