"""What runs a model: the one interface of all executors, and which of them to take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from service.contract import LITERT_MODEL, SAVED_MODEL
from service.errors import VersionRefused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from service.inference.signature import Signature

    Tensors = Mapping[str, NDArray[Any]]

AUTO: Final = "auto"
LITERT: Final = "litert"
TENSORFLOW: Final = "tensorflow"
EXECUTORS: Final = (AUTO, LITERT, TENSORFLOW)


class Executor(Protocol):
    """Runs the signatures of one model version; safe to call from several threads.

    Attributes:
        name: ``litert`` or ``tensorflow``.
        signatures: What it can run, by name.
        quick: A small batch costs microseconds, so an event loop may run it in place.
    """

    name: str
    signatures: Mapping[str, Signature]
    quick: bool

    def run(self, signature: str, inputs: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        """Compute a signature's outputs.

        Args:
            signature: One of ``signatures``.
            inputs: An array of the right type for every input of the signature.

        Returns:
            An array for every output of the signature.

        Raises:
            InvalidRequest: The model cannot take arrays of these shapes.
        """


def open_executor(version: Path, wanted: str = AUTO) -> Executor:
    """Open the executor for what a version's folder holds.

    TensorFlow is imported only where it is the one to run.

    Args:
        version: The version's folder.
        wanted: ``litert``, ``tensorflow``, or ``auto``: LiteRT if its file is there.

    Raises:
        VersionRefused: The folder does not hold what the executor needs, or it is broken.
    """
    choice = wanted
    if wanted == AUTO:
        choice = _held(version)
    if choice == LITERT:
        _need(version, LITERT_MODEL)
        from service.inference.litert import LiteRT  # noqa: PLC0415 - one executor, one library

        return LiteRT(version / LITERT_MODEL)
    _need(version, SAVED_MODEL)
    from service.inference.savedmodel import SavedModel  # noqa: PLC0415 - imports TensorFlow

    return SavedModel(version)


def _held(version: Path) -> str:
    if (version / LITERT_MODEL).is_file():
        return LITERT
    if (version / SAVED_MODEL).is_file():
        return TENSORFLOW
    raise VersionRefused(f"there is neither {LITERT_MODEL} nor {SAVED_MODEL}")


def _need(version: Path, name: str) -> None:
    if not (version / name).is_file():
        raise VersionRefused(f"{name} is missing")
