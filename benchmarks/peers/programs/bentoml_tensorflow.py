"""A BentoML service over ``tf.saved_model.load``, with adaptive batching."""

from __future__ import annotations

import os

import bentoml
import numpy as np
import tensorflow as tf


@bentoml.service(workers=1)
class Prices:
    """Rows in, prices out."""

    def __init__(self) -> None:
        """Load the model."""
        self.model = tf.saved_model.load(os.environ["MODEL"])
        self.run = self.model.signatures["serving_default"]

    @bentoml.api(batchable=True)
    def predict(self, features: np.ndarray) -> np.ndarray:
        """Prices of the rows."""
        rows = tf.constant(features.astype(np.float32))
        prices: np.ndarray = self.run(features=rows)["price"].numpy()
        return prices
