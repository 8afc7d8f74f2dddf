"""Writes a SavedModel: several outputs, examples, and a loop that takes as long as it is told.

``python export_several.py FOLDER``
"""

from __future__ import annotations

import sys

import tensorflow as tf

FLOATS = tf.TensorSpec([None], tf.float32, "x")
EXAMPLES = tf.TensorSpec([None], tf.string, "examples")


class Several(tf.Module):
    """y = x / 2 + 2, z = 3 x; and what else signatures may do."""

    @tf.function(input_signature=[FLOATS])
    def several(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x / 2 + 2, "z": x * 3}

    @tf.function(input_signature=[EXAMPLES])
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        x = _x(inputs)
        labels = tf.tile(tf.constant([["low", "high"]]), [tf.shape(x)[0], 1])
        return {"classes": labels, "scores": tf.stack([1 - x, x], axis=1)}

    @tf.function(input_signature=[EXAMPLES])
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": _x(inputs)[:, tf.newaxis] / 2 + 2}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, "rounds")])
    def slow(self, rounds: tf.Tensor) -> dict[str, tf.Tensor]:
        done = tf.while_loop(
            lambda i: i < rounds[0], lambda i: (i + 1,), [tf.constant(0, tf.int64)]
        )
        return {"rounds": done[0][tf.newaxis]}


def _x(serialised: tf.Tensor) -> tf.Tensor:
    return tf.io.parse_example(serialised, {"x": tf.io.FixedLenFeature([], tf.float32)})["x"]


if __name__ == "__main__":
    module = Several()
    signatures = {
        "serving_default": module.several,
        "classify": module.classify,
        "regress": module.regress,
        "slow": module.slow,
    }
    tf.saved_model.save(module, sys.argv[1], signatures)
