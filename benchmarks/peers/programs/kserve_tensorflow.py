"""A custom model for KServe's model server over ``tf.saved_model.load``."""

from __future__ import annotations

import os
import uuid
from typing import Any

import kserve
import numpy as np
import tensorflow as tf


class Prices(kserve.Model):
    """Rows in, prices out, in V1 and v2."""

    def load(self) -> bool:
        """Load the model."""
        self.model = tf.saved_model.load(os.environ["MODEL"])
        self.run = self.model.signatures["serving_default"]
        self.ready = True
        return self.ready

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:  # noqa: ARG002 - KServe's interface
        """Prices of the rows, in the protocol of the request."""
        if isinstance(payload, dict):
            return {"predictions": self._prices(payload["instances"]).tolist()}
        prices = self._prices(payload.inputs[0].as_numpy())
        output = kserve.InferOutput("price", list(prices.shape), "FP32")
        output.set_data_from_numpy(prices, binary_data=payload.from_grpc)
        return kserve.InferResponse(payload.id or str(uuid.uuid4()), self.name, [output])

    def _prices(self, rows: Any) -> Any:
        return self.run(features=tf.constant(np.asarray(rows, np.float32)))["price"].numpy()


if __name__ == "__main__":
    model = Prices("housing")
    model.load()
    kserve.ModelServer(
        http_port=int(os.environ["HTTP_PORT"]),
        grpc_port=int(os.environ["GRPC_PORT"]),
        workers=1,
        enable_latency_logging=False,
        access_log_format=None,
    ).start([model])
