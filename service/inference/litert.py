"""The LiteRT executor: a ``model.tflite``, microseconds a row, no TensorFlow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ai_edge_litert.interpreter import Interpreter

from service.errors import InvalidRequest, VersionRefused
from service.inference.executor import LITERT
from service.inference.signature import DEFAULT_SIGNATURE, Signature, shape_text, spec_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from service.inference.executor import Tensors
    from service.inference.signature import TensorSpec

# An interpreter keeps the memory of its largest batch: one that ran more rows than
# this is dropped afterwards instead of being kept ready.
_KEPT_ROWS: Final = 4096


class _Prepared:
    """One interpreter with a runner a signature; used by one thread at a time."""

    def __init__(self, content: bytes) -> None:
        self.interpreter = Interpreter(model_content=content, num_threads=1)
        self.signature_names = sorted(self.interpreter.get_signature_list())
        self._runners = {
            name: self.interpreter.get_signature_runner(name) for name in self.signature_names
        }

    def signature(self, name: str) -> Signature:
        runner = self._runners[name]
        return Signature(
            inputs=_specs(runner.get_input_details()),
            outputs=_specs(runner.get_output_details()),
        )

    def run(self, name: str, inputs: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        result: dict[str, np.ndarray[Any, Any]] = self._runners[name](**inputs)
        return result


class LiteRT:
    """Runs a LiteRT model; any number of threads, an interpreter each.

    The file's content is read once and kept, so that a file changed in place can
    neither change answers nor end the process.
    """

    name = LITERT
    quick = True

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()
        try:
            prepared = _Prepared(self._content)
        except (ValueError, RuntimeError) as error:
            raise VersionRefused(f"{path.name} is not a LiteRT model: {error}") from error
        if not prepared.signature_names:
            raise VersionRefused(f"{path.name} has no signature, {DEFAULT_SIGNATURE!r} expected")
        self.signatures: Mapping[str, Signature] = {
            name: prepared.signature(name) for name in prepared.signature_names
        }
        self._idle = [prepared]

    def run(self, signature: str, inputs: Tensors) -> dict[str, np.ndarray[Any, Any]]:
        """Compute a signature's outputs; see ``Executor.run``."""
        for name, spec in self.signatures[signature].inputs.items():
            _check_shape(name, inputs[name].shape, spec)
        prepared = self._take()
        try:
            outputs = prepared.run(signature, inputs)
        except (ValueError, RuntimeError) as error:
            # An interpreter that failed halfway is not used again.
            raise InvalidRequest(f"the model cannot take this input: {error}") from error
        if all(_rows(array) <= _KEPT_ROWS for array in inputs.values()):
            self._idle.append(prepared)
        return outputs

    def _take(self) -> _Prepared:
        try:
            return self._idle.pop()
        except IndexError:
            return _Prepared(self._content)


def _check_shape(name: str, shape: tuple[int, ...], spec: TensorSpec) -> None:
    """Refuse a shape that the interpreter would read past, or take for another."""
    expected = spec.shape or ()
    fits = len(shape) == len(expected) and all(
        size in {-1, actual} for size, actual in zip(expected, shape, strict=True)
    )
    if not fits:
        raise InvalidRequest(f"{name} has shape {list(shape)}, expected {shape_text(expected)}")


def _rows(array: np.ndarray[Any, Any]) -> int:
    return array.shape[0] if array.ndim else 1


def _specs(details: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: spec_of(it["name"], it["dtype"], tuple(int(n) for n in it["shape_signature"]))
        for name, it in details.items()
    }
