"""PyTriton: Triton's server before ``tf.saved_model.load``, with its dynamic batching."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import tensorflow as tf
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

MODEL = tf.saved_model.load(os.environ["MODEL"])
RUN = MODEL.signatures["serving_default"]


@batch
def prices(features: Any) -> dict[str, Any]:
    """Prices of the rows, float32 ``[n]``."""
    return {"price": RUN(features=tf.constant(features))["price"].numpy().reshape(-1, 1)}


if __name__ == "__main__":
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(os.environ["HTTP_PORT"]),
        grpc_address="127.0.0.1",
        grpc_port=int(os.environ["GRPC_PORT"]),
        metrics_port=int(os.environ["FURTHER_PORT"]),
    )
    with Triton(config=config, workspace=os.environ["FOLDER"] + "/triton") as triton:
        triton.bind(
            model_name="housing",
            infer_func=prices,
            inputs=[Tensor(name="features", dtype=np.float32, shape=(3,))],
            outputs=[Tensor(name="price", dtype=np.float32, shape=(1,))],
            config=ModelConfig(max_batch_size=16384),
        )
        triton.serve()
