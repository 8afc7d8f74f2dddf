"""The SavedModel executor: any SavedModel, through TensorFlow, imported here alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from service.errors import InvalidRequest, VersionRefused
from service.inference.executor import TENSORFLOW
from service.inference.signature import read_saved_model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from service.inference.executor import Tensors
    from service.inference.signature import Signature


class SavedModel:
    """Runs the signatures of a SavedModel, TF1 or TF2."""

    name = TENSORFLOW
    quick = False

    def __init__(self, version: Path) -> None:
        signatures = read_saved_model(version)
        self._tensorflow = _import_tensorflow()
        try:
            self._model = self._tensorflow.saved_model.load(str(version))
        except Exception as error:  # TensorFlow raises whatever the broken part raises
            raise VersionRefused(f"TensorFlow cannot load it: {_first_line(error)}") from error
        self._functions = dict(self._model.signatures)
        self.signatures: Mapping[str, Signature] = {
            name: signatures[name] for name in self._functions if name in signatures
        }

    def run(self, signature: str, inputs: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        """Compute a signature's outputs; see ``Executor.run``."""
        specs = self.signatures[signature].inputs
        constant = self._tensorflow.constant
        tensors = {name: constant(value, specs[name].dtype) for name, value in inputs.items()}
        try:
            outputs = self._functions[signature](**tensors)
        except (self._tensorflow.errors.OpError, ValueError, TypeError) as error:
            raise InvalidRequest(f"the model cannot take this input: {error}") from error
        return {name: value.numpy() for name, value in outputs.items()}


def _import_tensorflow() -> Any:
    # Before the import, or its native log has begun.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow  # noqa: ICN001, PLC0415 - 700 MB, only where a model needs it

    return tensorflow


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
