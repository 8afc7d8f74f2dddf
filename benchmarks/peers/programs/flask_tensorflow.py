"""The service that one writes first: Flask, gunicorn and ``tf.saved_model.load``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import flask
import tensorflow as tf


def create_app() -> flask.Flask:
    """Load the version named by the variable MODEL and serve it."""
    app = flask.Flask(__name__)
    model = tf.saved_model.load(str(Path(os.environ["MODEL"])))
    predict = model.signatures["serving_default"]

    @app.post("/v1/models/housing:predict")
    def answer() -> dict[str, Any]:
        instances = flask.request.get_json(force=True)["instances"]
        outputs = predict(features=tf.constant(instances, tf.float32))
        return {"predictions": outputs["price"].numpy().tolist()}

    return app
