"""Writing the network in the forms that servers read: SavedModel, LiteRT and warm-up.

``serving_default`` takes ``features``, float32 ``[n, features]``; ``named`` takes one
float32 ``[n]`` a feature under its own name, or what ``contract.graph_names`` makes of it.
Both answer ``price``, float32 ``[n]``. ``interval_80`` and its like take what
``serving_default`` takes and answer ``lower`` and ``upper`` beside the price; ``interval`` is
the one of 90 %.
``regress``, in the SavedModel alone, takes serialised ``tf.Example`` messages ``[n]`` with
one float a feature, and answers ``outputs``, float32 ``[n]``.

In ``features`` a category is a number and a missing value NaN: see ``Column``. ``named`` and
``regress`` take a category as a string, and for a missing one the empty string. LiteRT
compares no strings, so that a model that reads categories has there ``serving_default`` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from service import contract
from training.signatures import BATCH, EXAMPLES, INPUT, NAMED, OUTPUT, REGRESS, VALUES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.columns import Column
    from training.conformal import Intervals, Spread

# A server warms what it will be asked for: one house, a few, and a full batch.
_WARM_UP_ROWS: Final = (1, 8, 64)


def write_saved_model(
    model: Any, columns: Sequence[Column], folder: Path, intervals: Intervals
) -> None:
    """Write the SavedModel with its signatures.

    Args:
        model: The trained ``keras.Model``.
        columns: What it reads, in order.
        folder: The version's folder.
        intervals: How wide its intervals are.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    named = dict(zip(contract.graph_names([it.name for it in columns]), columns, strict=True))
    batch_of = [tf.TensorSpec([None, len(columns)], tf.float32, name=INPUT)]
    archive.add_endpoint(
        BATCH, lambda batch: {OUTPUT: model(batch)[:, 0]}, input_signature=batch_of
    )
    archive.add_endpoint(
        NAMED,
        lambda given: {OUTPUT: model(_stacked([given[it] for it in named], columns))[:, 0]},
        input_signature=[
            {it: tf.TensorSpec([None], _type(of), name=it) for it, of in named.items()}
        ],
    )
    archive.add_endpoint(
        REGRESS,
        lambda examples: {VALUES: model(_stacked(_parsed(examples, columns), columns))[:, 0]},
        input_signature=[tf.TensorSpec([None], tf.string, name=EXAMPLES)],
    )
    for signature, level in intervals.signatures.items():
        answer = _interval(model, intervals, level)
        archive.add_endpoint(signature, answer, input_signature=batch_of)
    archive.write_out(str(folder), verbose=False)


def write_litert(folder: Path, columns: Sequence[Column], intervals: Intervals) -> None:
    """Convert the version's SavedModel to LiteRT, with the signatures that take numbers.

    Args:
        folder: The version's folder, with its SavedModel.
        columns: What the network reads.
        intervals: As that was written with.
    """
    takes_texts = any(it.is_category for it in columns)
    names = [BATCH, *([] if takes_texts else [NAMED]), *intervals.signatures]
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=names)
    (folder / contract.LITERT_MODEL).write_bytes(converter.convert())


def write_warm_up(name: str, batch: NDArray[np.float32], folder: Path) -> None:
    """Write requests for a server to answer before it takes any.

    Args:
        name: The model's name, which the requests carry.
        batch: Rows to ask for, ``[n, features]``.
        folder: The version's folder.

    References:
        https://www.tensorflow.org/tfx/serving/saved_model_warmup
    """
    path = folder / contract.WARMUP
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for rows in _WARM_UP_ROWS:
            writer.write(_predict_log(name, batch[:rows]).SerializeToString())


def _interval(model: Any, intervals: Intervals, level: float) -> Any:
    """What ``Intervals.bounds`` computes, as TensorFlow does."""

    def answer(batch: Any) -> dict[str, Any]:
        price = model(batch)[:, 0]
        reach = intervals.factors[level] * _spread(intervals.spread, price)
        lower = price - reach
        if intervals.minimum is not None:
            lower = tf.maximum(lower, tf.minimum(price, intervals.minimum))
        return {OUTPUT: price, contract.LOWER: lower, contract.UPPER: price + reach}

    return answer


def _spread(spread: Spread, price: Any) -> Any:
    """What ``Spread.at`` computes: the first error, and of each line the part that is passed."""
    ends, errors = np.array(spread.prices, np.float32), np.array(spread.errors, np.float32)
    passed = (price[:, tf.newaxis] - ends[:-1]) / np.diff(ends)
    return errors[0] + tf.reduce_sum(tf.clip_by_value(passed, 0, 1) * np.diff(errors), axis=1)


def _type(column: Column) -> Any:
    return tf.string if column.is_category else tf.float32


def _stacked(given: Sequence[Any], columns: Sequence[Column]) -> Any:
    """The batch ``[n, columns]`` of columns as callers give them."""
    numbers = [_numbers(values, it) for values, it in zip(given, columns, strict=True)]
    return tf.stack(numbers, axis=1)


def _numbers(values: Any, column: Column) -> Any:
    """A column ``[n]`` as the network reads it."""
    if not column.is_category:
        return values
    # Not a table: its initialiser would be all that keeps LiteRT from taking the model.
    names = tf.constant(list(column.categories), tf.string)
    equal = tf.equal(values[:, tf.newaxis], names)
    last = tf.ones_like(values[:, tf.newaxis], tf.bool)
    codes = tf.argmax(tf.cast(tf.concat([equal, last], axis=1), tf.int8), axis=1)
    numbers = tf.cast(codes, tf.float32)
    return tf.where(tf.equal(values, ""), float("nan"), numbers) if column.optional else numbers


def _parsed(examples: Any, columns: Sequence[Column]) -> list[Any]:
    """The columns that serialised ``tf.Example`` messages hold."""
    parsed = tf.io.parse_example(examples, {it.name: _one(it) for it in columns})
    return [parsed[it.name] for it in columns]


def _one(column: Column) -> Any:
    """How one value is read; one that may be missing has a default."""
    if not column.optional:
        return tf.io.FixedLenFeature([], _type(column))
    missing = "" if column.is_category else float("nan")
    return tf.io.FixedLenFeature([], _type(column), missing)


def _predict_log(name: str, batch: NDArray[np.float32]) -> Any:
    spec = model_pb2.ModelSpec(name=name, signature_name=BATCH)
    inputs = {INPUT: tf.make_tensor_proto(batch)}
    request = predict_pb2.PredictRequest(model_spec=spec, inputs=inputs)
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
