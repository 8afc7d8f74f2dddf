"""Whether two executors give the same answers: what to ask them, and how far they may differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.inference.signature import Signature, TensorSpec

# One row, a few, and a number that is no multiple of a processor's vector.
BATCH_SIZES: Final = (1, 2, 7)
# Nothing, small, ordinary and large: what saturates or overflows shows at one of them.
MAGNITUDES: Final = (0.0, 0.01, 1.0, 100.0)
_SEED: Final = 20_260_101
_FREE_SIZE: Final = 3  # of an axis, not the first, that takes any size

# float32 keeps 7 digits. Executors add in different orders, which costs up to two of them
# in sums over layers of a thousand, and more of a number that is left where larger ones
# cancel: that one is measured by the largest number of its output.
RELATIVE: Final = 1e-4
OF_LARGEST: Final = 1e-5
ABSOLUTE: Final = 1e-6
# float16 keeps 3 digits.
_HALF_FACTOR: Final = 100.0


def synthesise(signature: Signature) -> Iterator[dict[str, NDArray[Any]]]:
    """Inputs for a signature, the same ones every time.

    Args:
        signature: Its inputs are numbers or bools, of known rank.

    Yields:
        An array for every input, of each batch size and magnitude.
    """
    random = np.random.default_rng(_SEED)
    for size in BATCH_SIZES:
        for magnitude in MAGNITUDES:
            yield {
                name: _values(random, spec, size, magnitude)
                for name, spec in signature.inputs.items()
            }


def other_form(inputs: Tensors) -> dict[str, NDArray[Any]] | None:
    """A column ``[n, 1]`` as plain numbers ``[n]``, and the reverse; None if it is neither.

    A graph that works number by number takes both, whatever it declares.
    """
    if inputs and all(it.ndim == 2 and it.shape[1] == 1 for it in inputs.values()):
        return {name: it.reshape(-1) for name, it in inputs.items()}
    if inputs and all(it.ndim == 1 for it in inputs.values()):
        return {name: it.reshape(-1, 1) for name, it in inputs.items()}
    return None


def same_numbers(expected: Tensors, actual: Tensors) -> bool:
    """Whether outputs have the same numbers, in whatever shape."""
    return expected.keys() == actual.keys() and all(
        it.size == actual[name].size
        and not difference({name: it.ravel()}, {name: actual[name].ravel()})
        for name, it in expected.items()
    )


def difference(expected: Tensors, actual: Tensors) -> str:
    """What differs in two executors' outputs; empty if nothing does that matters."""
    if expected.keys() != actual.keys():
        return f"the outputs are {sorted(actual)}, expected {sorted(expected)}"
    for name, array in expected.items():
        found = _difference(array, actual[name])
        if found:
            return f"{name} {found}"
    return ""


def _difference(expected: NDArray[Any], actual: NDArray[Any]) -> str:
    if expected.dtype != actual.dtype:
        return f"has type {actual.dtype}, expected {expected.dtype}"
    if expected.shape != actual.shape:
        return f"has shape {list(actual.shape)}, expected {list(expected.shape)}"
    close = _close(expected, actual)
    if close.all():
        return ""
    place = tuple(int(it) for it in np.argwhere(~close)[0])
    return f"{list(place)} is {actual[place]}, expected {expected[place]}"


def _close(expected: NDArray[Any], actual: NDArray[Any]) -> NDArray[np.bool_]:
    if expected.dtype.kind != "f":
        return np.asarray(expected == actual)
    factor = _HALF_FACTOR if expected.dtype.itemsize == 2 else 1.0
    numbers = expected.astype(np.float64)
    largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0)
    return np.isclose(
        actual.astype(np.float64),
        numbers,
        rtol=RELATIVE * factor,
        atol=(ABSOLUTE + OF_LARGEST * largest) * factor,
        equal_nan=True,
    )


def _values(
    random: np.random.Generator, spec: TensorSpec, size: int, magnitude: float
) -> NDArray[Any]:
    shape = tuple(
        it if it >= 0 else (_FREE_SIZE if axis else size)
        for axis, it in enumerate(spec.shape or ())
    )
    dtype = np.dtype(spec.numpy_dtype)
    if dtype.kind == "f":
        return np.asarray(random.normal(0.0, 1.0, shape) * magnitude, dtype)
    if dtype.kind == "b":
        return np.asarray(random.integers(0, 2, shape), dtype)
    # Positive but at the largest: most whole numbers are counts and places.
    low = -int(magnitude) if dtype.kind == "i" and magnitude == max(MAGNITUDES) else 0
    return np.asarray(random.integers(low, int(magnitude) + 1, shape), dtype)
