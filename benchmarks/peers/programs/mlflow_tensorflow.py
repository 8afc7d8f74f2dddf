"""The SavedModel as an MLflow model: ``mlflow_tensorflow.py SAVED_MODEL FOLDER`` writes it."""

from __future__ import annotations

import sys
from typing import Any

import mlflow
import numpy as np
import tensorflow as tf


class Prices(mlflow.pyfunc.PythonModel):
    """Rows in, prices out."""

    def load_context(self, context: Any) -> None:
        """Load the model, in the server."""
        self.model = tf.saved_model.load(context.artifacts["saved_model"])
        self.run = self.model.signatures["serving_default"]

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's interface
        """Prices of the rows."""
        rows = tf.constant(np.asarray(model_input, np.float32))
        return self.run(features=rows)["price"].numpy()


def save(saved_model: str, folder: str) -> None:
    """Write the MLflow model, with the signature that its documentation asks for."""
    schema = mlflow.types.Schema([mlflow.types.TensorSpec(np.dtype(np.float32), (-1, 3))])
    mlflow.pyfunc.save_model(
        folder,
        python_model=Prices(),
        artifacts={"saved_model": saved_model},
        signature=mlflow.models.ModelSignature(inputs=schema),
        pip_requirements=[],
    )


if __name__ == "__main__":
    save(sys.argv[1], sys.argv[2])
