"""What a model takes and gives: its signatures, read without running it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from service.contract import SAVED_MODEL
from service.errors import VersionRefused
from service.messages import saved_model_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

DEFAULT_SIGNATURE: Final = "serving_default"
PREDICT_METHOD: Final = "tensorflow/serving/predict"
DEFAULT_TAGS: Final = ("serve",)

# What TensorFlow itself calls when it loads a SavedModel: no way to call the model.
_INITIALISERS: Final = frozenset({"__saved_model_init_op", "__saved_model_train_op"})

# TensorFlow's DataType numbers (tensorflow/core/framework/types.proto) and NumPy's types.
DTYPES: Final[Mapping[int, np.dtype[Any]]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.float64),
    3: np.dtype(np.int32),
    4: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    6: np.dtype(np.int8),
    7: np.dtype(object),
    9: np.dtype(np.int64),
    10: np.dtype(np.bool_),
    17: np.dtype(np.uint16),
    19: np.dtype(np.float16),
    22: np.dtype(np.uint32),
    23: np.dtype(np.uint64),
}
_NUMBERS: Final = {dtype: number for number, dtype in DTYPES.items()}
_UNKNOWN: Final = 0  # DT_INVALID
_STRING: Final = _NUMBERS[np.dtype(object)]


@dataclass(frozen=True)
class TensorSpec:
    """One input or output.

    Attributes:
        name: The tensor's name in the graph, such as ``serving_default_features:0``.
        dtype: TensorFlow's DataType number.
        shape: Sizes, -1 where any size is taken; None where the rank is unknown.
    """

    name: str
    dtype: int
    shape: tuple[int, ...] | None

    @cached_property
    def numpy_dtype(self) -> np.dtype[Any] | None:
        """The NumPy type of the same numbers; strings are object; None where there is none."""
        return DTYPES.get(self.dtype)

    @cached_property
    def is_float32(self) -> bool:
        """Whether it holds numbers of single precision."""
        return self.numpy_dtype == np.float32

    @property
    def is_text(self) -> bool:
        """Whether it holds strings: bytes of any length."""
        return self.dtype == _STRING


@dataclass(frozen=True)
class Signature:
    """One way to call a model: named inputs to named outputs.

    Attributes:
        inputs: What it takes, by name.
        outputs: What it gives, by name.
        method_name: TensorFlow Serving's name of what it is for.
        defaults: What stands for inputs that a caller leaves out: a ``TensorProto`` by name.
    """

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method_name: str = PREDICT_METHOD
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def only_input(self) -> tuple[str, TensorSpec] | None:
        """Name and form of the one input; None if there are several, or none."""
        return next(iter(self.inputs.items())) if len(self.inputs) == 1 else None


def read_saved_model(version: Path, tags: Iterable[str] = DEFAULT_TAGS) -> dict[str, Signature]:
    """Read the signatures of a SavedModel from its ``saved_model.pb``.

    Args:
        version: The folder that holds it.
        tags: The tags, all and no others, of the graph to serve.

    Returns:
        Signatures by name, those of initialisers included, as TensorFlow Serving lists them.

    Raises:
        VersionRefused: The file is missing, not a SavedModel, or has no graph to serve.
    """
    model = read_message(version)
    wanted = set(tags)
    for graph in model.meta_graphs:
        if set(graph.meta_info_def.tags) == wanted:
            return read_definitions(graph.signature_def)
    there = " or ".join(_tags_text(graph.meta_info_def.tags) for graph in model.meta_graphs)
    raise VersionRefused(
        f"{SAVED_MODEL} has no graph with the tags {_tags_text(wanted)}, only {there or 'none'}"
    )


def read_definitions(definitions: Mapping[str, Any]) -> dict[str, Signature]:
    """Signatures by name, from ``SignatureDef`` messages."""
    return {name: _signature(it) for name, it in definitions.items()}


def read_message(version: Path) -> Any:
    """Read the ``SavedModel`` message of ``saved_model.pb``.

    Args:
        version: The folder that holds it.

    Raises:
        VersionRefused: The file is missing, or not a SavedModel.
    """
    try:
        content = (version / SAVED_MODEL).read_bytes()
    except OSError as error:
        raise VersionRefused(f"{SAVED_MODEL} cannot be read: {error.strerror}") from error
    try:
        return saved_model_pb2.SavedModel.FromString(content)
    except DecodeError as error:
        raise VersionRefused(f"{SAVED_MODEL} is not a SavedModel: {error}") from error


def callable_signatures(signatures: Mapping[str, Signature]) -> dict[str, Signature]:
    """Those that can be called: not initialisers, and of plain tensors alone."""
    return {
        name: it
        for name, it in signatures.items()
        if name not in _INITIALISERS
        and it.outputs
        # A sparse or composite tensor has no name of its own.
        and all(spec.name for spec in (*it.inputs.values(), *it.outputs.values()))
    }


def spec_of(name: str, dtype: Any, shape: tuple[int, ...]) -> TensorSpec:
    """Describe a tensor that is known by its NumPy type."""
    kind = np.dtype(dtype)
    known = np.dtype(object) if kind.kind in "SU" else kind
    return TensorSpec(name, _NUMBERS.get(known, _UNKNOWN), shape)


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape for people: ``[n, 3]`` where any number of rows is taken."""
    return f"[{', '.join('n' if size == -1 else str(size) for size in shape)}]"


def _tags_text(tags: Iterable[str]) -> str:
    return f"{{{', '.join(sorted(tags))}}}"


def _signature(definition: Any) -> Signature:
    return Signature(
        inputs={name: _tensor(info) for name, info in definition.inputs.items()},
        outputs={name: _tensor(info) for name, info in definition.outputs.items()},
        method_name=definition.method_name,
        defaults=dict(definition.defaults),
    )


def _tensor(info: Any) -> TensorSpec:
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
    return TensorSpec(info.name, info.dtype, sizes)
