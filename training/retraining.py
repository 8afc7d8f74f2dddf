"""Making a version again from what it says of itself, and comparing the weights bit for bit."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import tensorflow as tf

from training import fingerprint, reading, run
from training.errors import CompareError
from training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from rich.console import Console

    from service.contract import Contract
    from training.comparison import Version
    from training.flags import Order

_VARIABLES: Final = "variables/variables"
_SUFFIX: Final = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclass(frozen=True)
class Verdict:
    """What came of making a version again.

    Attributes:
        other: What is not as it was then: code and packages.
        variables: How many variables were compared.
        unequal: Those whose bytes differ, and by how much.
    """

    other: tuple[str, ...]
    variables: int
    unequal: tuple[str, ...]


def recipe_of(described: Contract) -> Recipe:
    """The recipe that a version was made by.

    Raises:
        CompareError: It has knobs that this code does not know, or several workers made it.
        RecipeError: A knob has a value that it cannot have.
    """
    workers = described.recipe.get(fingerprint.WORKERS, 1)
    if workers > 1:
        raise CompareError(
            f"{workers} workers trained it together: one process, which adds up in another order, "
            "does not make the same bytes"
        )
    knobs: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in described.recipe.items()
        if name not in fingerprint.BESIDE
    }
    try:
        return Recipe(**knobs)
    except TypeError as error:
        raise CompareError(f"its recipe is not one of this code's: {error}") from error


def require_same_data(described: Contract, data: bytes, name: str) -> None:
    """Refuse to make a version again from another table.

    Args:
        described: Its contract.
        data: The table's bytes.
        name: What messages call the table.

    Raises:
        CompareError: The version was made from another.
    """
    now, then = fingerprint.hash_data(data), described.lineage
    if now != then.data_sha256:
        raise CompareError(
            f"{name} has SHA-256 {now[:12]}…, the version was made from "
            f"{then.data} with {then.data_sha256[:12]}…: --data gives another table"
        )


def differences(described: Contract, now: fingerprint.Fingerprint) -> list[str]:
    """What a version was made with that is not so now.

    Args:
        described: Its contract.
        now: What it would be made from now.
    """
    then = fingerprint.of(described)
    names = sorted(then.packages.keys() | now.packages.keys())
    versions = [(it, then.packages.get(it, "none"), now.packages.get(it, "none")) for it in names]
    found = [f"{name} is {new}, was {old}" for name, old, new in versions if old != new]
    if then.code_sha256 != now.code_sha256:
        found.insert(0, f"the code is {now.code_sha256[:12]}…, was {then.code_sha256[:12]}…")
    return found


def again(version: Version, order: Order, console: Console) -> Verdict:
    """Train a version again in a folder of its own, and compare.

    Args:
        version: Which.
        order: Where its table is, with the version's own recipe.
        console: Where progress is shown.

    Raises:
        TrainingError: It cannot be made.
    """
    made_from = reading.fingerprint_of(order)
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="hearth-verify-") as folder:
        rows = reading.read(order, stack)
        run.build(order, rows, made_from, console, Path(folder), judged=False)
        before, now = _variables(version.folder), _variables(Path(folder))
    unequal = tuple(_unequal(before, now))
    return Verdict(tuple(differences(version.described, made_from)), len(before), unequal)


def _variables(version: Path) -> dict[str, NDArray[Any]]:
    """The variables of a SavedModel's checkpoint, by their places in the Keras model.

    What begins with ``_`` is bookkeeping, and the same variables again in an order of chance.
    """
    read = tf.train.load_checkpoint(str(version / _VARIABLES))
    names = sorted(it for it in read.get_variable_to_dtype_map() if not it.startswith("_"))
    return {name.removesuffix(_SUFFIX): np.asarray(read.get_tensor(name)) for name in names}


def _unequal(before: dict[str, NDArray[Any]], now: dict[str, NDArray[Any]]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        one, other = before.get(name), now.get(name)
        if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
            yield f"{name} is {_form(other)}, was {_form(one)}"
        elif one.tobytes() != other.tobytes():
            yield f"{name}: {_difference(one, other)}"


def _form(values: NDArray[Any] | None) -> str:
    return "not there" if values is None else f"{values.dtype} {list(values.shape)}"


def _difference(one: NDArray[Any], other: NDArray[Any]) -> str:
    where = np.flatnonzero(one.ravel() != other.ravel())
    if not where.size:
        return "the bytes differ, the values do not"
    place = [int(it) for it in np.unravel_index(where[0], one.shape)]
    largest = np.max(np.abs(one.astype(np.float64) - other.astype(np.float64)))
    return f"{where.size} of {one.size} values differ, first at {place}, by at most {largest:.3g}"
