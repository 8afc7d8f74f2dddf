"""Writing the network in the forms that servers read: SavedModel, LiteRT and warm-up.

``serving_default`` takes ``features``, float32 ``[n, features]``; ``named`` takes one
float32 ``[n]`` a feature under its own name. Both answer ``price``, float32 ``[n]``.
``interval_80`` and its like take what ``serving_default`` takes and answer ``lower`` and
``upper`` beside the price; ``interval`` is the one of 90 %.
``regress``, in the SavedModel alone, takes serialised ``tf.Example`` messages ``[n]`` with
one float a feature, and answers ``outputs``, float32 ``[n]``.
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
    from pathlib import Path

    from numpy.typing import NDArray

    from training.conformal import Intervals, Spread

# A server warms what it will be asked for: one house, a few, and a full batch.
_WARM_UP_ROWS: Final = (1, 8, 64)


def write_saved_model(
    model: Any, features: tuple[str, ...], folder: Path, intervals: Intervals
) -> None:
    """Write the SavedModel with its signatures.

    Args:
        model: The trained ``keras.Model``.
        features: Its columns' names, in order.
        folder: The version's folder.
        intervals: How wide its intervals are.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    batch_of = [tf.TensorSpec([None, len(features)], tf.float32, name=INPUT)]
    archive.add_endpoint(
        BATCH, lambda batch: {OUTPUT: model(batch)[:, 0]}, input_signature=batch_of
    )
    archive.add_endpoint(
        NAMED,
        lambda columns: {OUTPUT: model(tf.stack([columns[it] for it in features], axis=1))[:, 0]},
        input_signature=[{it: tf.TensorSpec([None], tf.float32, name=it) for it in features}],
    )
    archive.add_endpoint(
        REGRESS,
        lambda examples: {VALUES: model(_parsed(examples, features))[:, 0]},
        input_signature=[tf.TensorSpec([None], tf.string, name=EXAMPLES)],
    )
    for signature, level in intervals.signatures.items():
        answer = _interval(model, intervals, level)
        archive.add_endpoint(signature, answer, input_signature=batch_of)
    archive.write_out(str(folder), verbose=False)


def write_litert(folder: Path, intervals: Intervals) -> None:
    """Convert the version's SavedModel to LiteRT, with the signatures that take numbers.

    Args:
        folder: The version's folder, with its SavedModel.
        intervals: As that was written with.
    """
    names = [BATCH, NAMED, *intervals.signatures]
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


def _parsed(examples: Any, features: tuple[str, ...]) -> Any:
    """The batch ``[n, features]`` that serialised ``tf.Example`` messages hold."""
    one_float = tf.io.FixedLenFeature([], tf.float32)
    columns = tf.io.parse_example(examples, dict.fromkeys(features, one_float))
    return tf.stack([columns[it] for it in features], axis=1)


def _predict_log(name: str, batch: NDArray[np.float32]) -> Any:
    spec = model_pb2.ModelSpec(name=name, signature_name=BATCH)
    inputs = {INPUT: tf.make_tensor_proto(batch)}
    request = predict_pb2.PredictRequest(model_spec=spec, inputs=inputs)
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )
