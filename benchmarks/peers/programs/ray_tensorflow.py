"""A Ray Serve deployment over ``tf.saved_model.load``, with its dynamic batching."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import ray
import starlette.requests
import tensorflow as tf
from ray import serve

OPTIONS: dict[str, Any] = {"num_replicas": 1, "max_ongoing_requests": 100}


class Prices:
    """Rows in, prices out; requests that wait are run as one batch."""

    def __init__(self) -> None:
        """Load the model, in the replica."""
        self.model = tf.saved_model.load(os.environ["MODEL"])
        self.run = self.model.signatures["serving_default"]

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0)
    async def prices(self, requests: list[Any]) -> list[Any]:
        """Prices of each request's rows."""
        lengths = [len(rows) for rows in requests]
        rows = tf.constant(np.concatenate(requests))
        prices = self.run(features=rows)["price"].numpy()
        return np.split(prices, np.cumsum(lengths)[:-1])

    async def __call__(self, request: starlette.requests.Request) -> dict[str, Any]:
        """Answer one request."""
        body = await request.json()
        prices = await self.prices(np.asarray(body["instances"], np.float32))
        return {"predictions": prices.tolist()}


if __name__ == "__main__":
    ray.init(include_dashboard=False, _temp_dir=os.environ["FOLDER"])
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["HTTP_PORT"])})
    serve.run(serve.deployment(Prices, **OPTIONS).bind(), blocking=True)
