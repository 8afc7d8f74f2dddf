"""An MLServer runtime over ``tf.saved_model.load``."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Prices(MLModel):
    """Rows in, prices out."""

    async def load(self) -> bool:
        """Load the model, in the worker."""
        self.model = tf.saved_model.load(os.environ["MODEL"])
        self.run = self.model.signatures["serving_default"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Prices of the rows; MLServer joins requests that wait."""
        rows = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32)
        prices = self.run(features=tf.constant(rows))["price"].numpy()
        output = NumpyCodec.encode_output("price", prices)
        return InferenceResponse(model_name=self.name, outputs=[output])
