"""LitServe over ``tf.saved_model.load``: one worker, and the queue meant for high rates."""

from __future__ import annotations

import os
from typing import Any

import litserve
import numpy as np
import tensorflow as tf


class Prices(litserve.LitAPI):
    """Rows in, prices out."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's interface
        """Load the model, in the worker."""
        self.model = tf.saved_model.load(os.environ["MODEL"])
        self.run = self.model.signatures["serving_default"]

    # LitServe reads the annotation of a request as its schema; without one it takes any JSON.
    def decode_request(self, request):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """The rows of one request."""
        return np.asarray(request["instances"], np.float32)

    def predict(self, x: Any) -> Any:
        """Prices of the rows."""
        return self.run(features=tf.constant(x))["price"].numpy()

    def encode_response(self, output: Any) -> Any:
        """The body of an answer."""
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Prices(api_path="/predict"),
        accelerator="cpu", devices=1, workers_per_device=1,
        fast_queue=True,
    )  # fmt: skip
    server.run(
        host="127.0.0.1",
        port=int(os.environ["HTTP_PORT"]),
        num_api_servers=1,
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
