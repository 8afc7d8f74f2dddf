"""Whether what lies on the disk answers as the network in memory does."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from service import contract
from training.columns import TARGET
from training.errors import DisagreementError
from training.signatures import BATCH, EXAMPLES, INPUT, NAMED, OUTPUT, REGRESS, VALUES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from training.columns import Column

    # Arrays by the name of an input or output.
    Answer = Mapping[str, NDArray[Any]]
    Ask = Callable[[Answer], Answer]


def measure(
    folder: Path,
    columns: Sequence[Column],
    batch: NDArray[np.float32],
    expected: NDArray[np.float32],
    intervals: Mapping[str, Answer] = MappingProxyType({}),
) -> dict[str, float]:
    """Read a version back from the disk and compare its answers with the network's.

    Args:
        folder: The version's folder, with SavedModel and LiteRT model.
        columns: What the network reads, in order.
        batch: Rows to ask for, ``[n, columns]``.
        expected: What Keras predicts for them, ``[n]``, in the target's unit.
        intervals: By signature that gives intervals, its outputs for them, ``[n]`` each.

    Returns:
        The largest difference, in the same unit, by executor and signature; NaN where an
        answer is no number or of another shape.
    """
    names = contract.graph_names([it.name for it in columns])
    inputs: dict[str, dict[str, NDArray[Any]]] = {
        BATCH: {INPUT: batch},
        NAMED: {name: _given(batch[:, i], columns[i]) for i, name in enumerate(names)},
        REGRESS: {EXAMPLES: np.array(_examples(batch, columns), object)},
        **{signature: {INPUT: batch} for signature in intervals},
    }
    wanted: dict[str, Answer] = {
        BATCH: {OUTPUT: expected},
        NAMED: {OUTPUT: expected},
        REGRESS: {VALUES: expected},
        **intervals,
    }
    return {
        f"{executor} {signature}": _differ(ask(inputs[signature]), wanted[signature])
        for executor, signature, ask in _signatures(folder, intervals)
    }


def _differ(answered: Answer, expected: Answer) -> float:
    """The largest difference of any output; NaN where others are given than are expected."""
    if answered.keys() != expected.keys():
        return float("nan")
    # NumPy's maximum is NaN where any is, unlike Python's.
    return float(np.max([largest_difference(answered[it], expected[it]) for it in expected]))


def largest_difference(answered: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """The largest difference of two vectors; NaN where one is no number or of another shape."""
    if answered.shape != expected.shape:
        return float("nan")
    return float(np.max(np.abs(answered.astype(np.float64) - expected)))


def require(
    measured: dict[str, float], tolerance: float, unit: str = TARGET.unit, knob: float | None = None
) -> None:
    """Refuse a version whose parts do not agree.

    Args:
        measured: As ``measure`` gives it.
        tolerance: The largest difference allowed.
        unit: The unit of both.
        knob: What ``--tolerance`` was, where it is in another unit.

    Raises:
        DisagreementError: One is larger, or is no number.
    """
    allowed = f"--tolerance {tolerance:g}"
    if knob is not None:
        allowed = f"{tolerance:.3g} (--tolerance {knob:g} of the standard deviation)"
    for place, difference in measured.items():
        if not difference <= tolerance:
            raise DisagreementError(
                f"{place} differs from Keras by {difference:.3g} {unit}, more than {allowed}"
            )


def _signatures(folder: Path, intervals: Iterable[str]) -> Iterator[tuple[str, str, Ask]]:
    loaded = tf.saved_model.load(str(folder))
    interpreter = Interpreter(str(folder / contract.LITERT_MODEL), num_threads=1)
    for signature in (BATCH, NAMED, *intervals):
        yield "SavedModel", signature, _ask_saved_model(loaded.signatures[signature])
        if signature in interpreter.get_signature_list():
            yield "LiteRT", signature, _ask_litert(interpreter.get_signature_runner(signature))
    # LiteRT knows no messages: there a server reads them itself.
    yield "SavedModel", REGRESS, _ask_saved_model(loaded.signatures[REGRESS])


def _given(codes: NDArray[np.float32], column: Column) -> NDArray[Any]:
    """A column as callers give it by name: numbers, or categories as texts."""
    return np.array([_text(it, column) for it in codes], object) if column.is_category else codes


def _text(code: np.float32, column: Column) -> bytes:
    if np.isnan(code):
        return b""
    known = int(code) < len(column.categories)
    return column.categories[int(code)].encode() if known else column.unknown.encode()


def _examples(batch: NDArray[np.float32], columns: Sequence[Column]) -> list[bytes]:
    return [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    it.name: _feature(value, it) for it, value in zip(columns, row, strict=True)
                }
            )
        ).SerializeToString()
        for row in batch
    ]


def _feature(value: np.float32, column: Column) -> Any:
    if column.is_category:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[_text(value, column)]))
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))


def _ask_saved_model(function: Any) -> Ask:
    def ask(inputs: Answer) -> Answer:
        tensors = {name: tf.constant(values) for name, values in inputs.items()}
        return {name: values.numpy() for name, values in function(**tensors).items()}

    return ask


def _ask_litert(runner: Any) -> Ask:
    return lambda inputs: dict(runner(**inputs))
