"""Serialised ``tf.Example`` messages as columns of numbers, as ``tf.io.parse_example`` reads them.

A LiteRT model takes no such messages; with the contract's feature names they become the
batch that it does take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf.message import DecodeError

from service.errors import InvalidRequest
from service.inference.columns import Columns
from service.messages import example_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_KIND_NAMES = {"bytes_list": "string", "float_list": "float", "int64_list": "int64"}


def to_batch(examples: Iterable[bytes], feature_names: Sequence[str]) -> NDArray[np.float32]:
    """Read one number a feature from each example; of categories, one string.

    Args:
        examples: Serialised ``tf.Example`` messages.
        feature_names: The features to read, in the order of the columns; others that an
            example holds are passed over.

    Returns:
        float32 ``[n_examples, n_features]``.

    Raises:
        InvalidRequest: A message is no Example, or a feature is missing, of another type,
            or not one value.
    """
    rows = [_row(index, _parse(index, it), feature_names) for index, it in enumerate(examples)]
    return np.array(rows, np.float32).reshape(len(rows), len(feature_names))


def to_examples(batch: NDArray[np.float32], feature_names: Sequence[str]) -> list[bytes]:
    """Write rows as ``tf.Example`` messages: the reverse of ``to_batch``.

    Args:
        batch: float32 ``[n_examples, n_features]``.
        feature_names: The columns' names.

    Returns:
        A serialised message a row.
    """
    examples = []
    for row in batch.tolist():
        example = example_pb2.Example()
        for name, value in zip(feature_names, row, strict=True):
            example.features.feature[name].float_list.value.append(value)
        examples.append(example.SerializeToString())
    return examples


def _parse(index: int, serialised: bytes) -> Any:
    try:
        return example_pb2.Example.FromString(serialised).features.feature
    except DecodeError as error:
        raise InvalidRequest(f"Could not parse example input, value {index}") from error


def _row(index: int, features: Any, feature_names: Sequence[str]) -> list[float]:
    columns = feature_names if isinstance(feature_names, Columns) else None
    row = []
    for name in feature_names:
        expected, default = columns.example(name) if columns else ("float_list", None)
        value = _value(index, features, name, expected, default)
        if columns is not None:
            value = columns.column(name, [value], f"examples[{index}]").item()
        row.append(value)
    return row


def _value(index: int, features: Any, name: str, expected: str, default: Any) -> Any:
    """One feature's one value."""
    feature = features[name] if name in features else None  # noqa: SIM401 - a message map's get adds
    kind = feature.WhichOneof("kind") if feature is not None else None
    wanted = _KIND_NAMES[expected]
    if feature is None or kind is None:
        if default is not None:
            return default
        raise InvalidRequest(
            f"examples[{index}]: Feature: {name} (data type: {wanted}) is required but "
            "could not be found."
        )
    if kind != expected:
        raise InvalidRequest(
            f"examples[{index}]: Key: {name}. Data types don't match. "
            f"Data type: {_KIND_NAMES[kind]} but expected type: {wanted}"
        )
    values = getattr(feature, expected).value
    if len(values) != 1:
        raise InvalidRequest(
            f"examples[{index}]: Key: {name}. Number of {wanted} values != expected. "
            f"Values size: {len(values)} but output shape: []"
        )
    return values[0]
