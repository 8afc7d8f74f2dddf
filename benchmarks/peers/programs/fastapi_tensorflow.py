"""FastAPI over ``tf.saved_model.load``: typed bodies, the call in FastAPI's threads."""

from __future__ import annotations

import os

import fastapi
import pydantic
import tensorflow as tf

MODEL = tf.saved_model.load(os.environ["MODEL"])
PREDICT = MODEL.signatures["serving_default"]


class Instances(pydantic.BaseModel):
    """A request's body."""

    instances: list[list[float]]


class Predictions(pydantic.BaseModel):
    """An answer's body."""

    predictions: list[float]


app = fastapi.FastAPI()


@app.post("/v1/models/housing:predict")
def predict(body: Instances) -> Predictions:
    """Prices of the instances."""
    outputs = PREDICT(features=tf.constant(body.instances, tf.float32))
    return Predictions(predictions=outputs["price"].numpy().tolist())
