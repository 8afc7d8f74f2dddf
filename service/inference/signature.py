"""What a model takes and gives: its signatures, read without running it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from google.protobuf.message import DecodeError

from service.contract import SAVED_MODEL
from service.errors import VersionRefused
from service.messages import saved_model_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DEFAULT_SIGNATURE: Final = "serving_default"
PREDICT_METHOD: Final = "tensorflow/serving/predict"
_SERVE_TAG: Final = "serve"

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

    @property
    def numpy_dtype(self) -> np.dtype[Any] | None:
        """The NumPy type of the same numbers; strings are object; None where there is none."""
        return DTYPES.get(self.dtype)


@dataclass(frozen=True)
class Signature:
    """One way to call a model: named inputs to named outputs."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    method_name: str = PREDICT_METHOD


def read_saved_model(version: Path) -> dict[str, Signature]:
    """Read the signatures of a SavedModel from its ``saved_model.pb``.

    Args:
        version: The folder that holds it.

    Returns:
        Signatures by name, those of initialisers included, as TensorFlow Serving lists them.

    Raises:
        VersionRefused: The file is missing, not a SavedModel, or has no graph to serve.
    """
    path = version / SAVED_MODEL
    try:
        content = path.read_bytes()
    except OSError as error:
        raise VersionRefused(f"{SAVED_MODEL} cannot be read: {error.strerror}") from error
    try:
        model = saved_model_pb2.SavedModel.FromString(content)
    except DecodeError as error:
        raise VersionRefused(f"{SAVED_MODEL} is not a SavedModel: {error}") from error
    for graph in model.meta_graphs:
        if _SERVE_TAG in graph.meta_info_def.tags:
            return {name: _signature(it) for name, it in graph.signature_def.items()}
    raise VersionRefused(f"{SAVED_MODEL} has no graph with the tag {_SERVE_TAG!r}")


def spec_of(name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> TensorSpec:
    """Describe a tensor that is known by its NumPy type."""
    return TensorSpec(name, _NUMBERS[np.dtype(dtype)], shape)


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape for people: ``[n, 3]`` where any number of rows is taken."""
    return f"[{', '.join('n' if size == -1 else str(size) for size in shape)}]"


def _signature(definition: Any) -> Signature:
    return Signature(
        inputs={name: _tensor(info) for name, info in definition.inputs.items()},
        outputs={name: _tensor(info) for name, info in definition.outputs.items()},
        method_name=definition.method_name,
    )


def _tensor(info: Any) -> TensorSpec:
    shape = info.tensor_shape
    sizes = None if shape.unknown_rank else tuple(dim.size for dim in shape.dim)
    return TensorSpec(info.name, info.dtype, sizes)
