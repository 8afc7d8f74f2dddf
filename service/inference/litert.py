"""The LiteRT executor: a ``model.tflite``, microseconds a row, no TensorFlow."""

from __future__ import annotations

import os
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from service.errors import HearthError, InvalidRequest, VersionRefused
from service.inference.executor import LITERT
from service.inference.signature import DEFAULT_SIGNATURE, Signature, shape_text, spec_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.inference.signature import TensorSpec

# An interpreter keeps the memory of its largest batch: one that ran more rows than
# this is dropped afterwards instead of being kept ready.
_KEPT_ROWS: Final = 4096

# Rows that are run before other threads have their turn: some 0.1 ms of a small network.
_PIECE_ROWS: Final = 1024

# Bytes of a model up to which an interpreter is kept for every class of batch sizes: each
# holds the weights in a form of its own.
_CLASSED_BYTES: Final = 2**20

# A call of so many rows is timed when a model is opened, as often, and the best time counts.
_TIMED_ROWS: Final = 16
_TIMED_RUNS: Final = 3
# Seconds that such a call may take for an event loop to wait for it.
_QUICK_S: Final = 0.0005


class _Subgraph:
    """One signature of an interpreter, called past the runner that resizes at every call."""

    def __init__(self, interpreter: Any, index: int, tensors: Mapping[str, Any]) -> None:
        self._interpreter = interpreter
        self._set, self._invoke, self._get = (
            interpreter.SetTensor, interpreter.Invoke, interpreter.GetTensor,
        )  # fmt: skip
        self._index = index
        self._inputs: Sequence[tuple[str, int]] = list(tensors["inputs"].items())
        self._outputs: Sequence[tuple[str, int]] = list(tensors["outputs"].items())
        self._shapes: dict[str, tuple[int, ...]] = {}

    def run(self, inputs: Tensors, specs: Mapping[str, TensorSpec]) -> dict[str, NDArray[Any]]:
        """Run it.

        Args:
            inputs: An array for every input.
            specs: What each input takes; shapes that have just run are not looked at again.

        Raises:
            InvalidRequest: A shape is none that an input takes.
            ValueError: An array is of another type, or the graph takes no such shapes.
            RuntimeError: An operation failed.
        """
        index, shapes = self._index, self._shapes
        for name, _ in self._inputs:
            if shapes.get(name) != inputs[name].shape:
                self._resize(inputs, specs)
                break
        for name, tensor in self._inputs:
            self._set(tensor, inputs[name], index)
        self._invoke(index)
        # Copies: an interpreter cannot be resized while an array of its own memory is alive.
        outputs = {}
        for name, tensor in self._outputs:
            array = self._get(tensor, index)
            # Of an output that is a scalar it is no array.
            outputs[name] = array if type(array) is np.ndarray else np.asarray(array)
        return outputs

    def run_only(self, array: NDArray[Any], specs: Mapping[str, TensorSpec]) -> NDArray[Any]:
        """Run it where it has one input and one output; see ``run``."""
        name, tensor = self._inputs[0]
        if self._shapes.get(name) != array.shape:
            self._resize({name: array}, specs)
        self._set(tensor, array, self._index)
        self._invoke(self._index)
        output: NDArray[Any] = self._get(self._outputs[0][1], self._index)
        return output

    def _resize(self, inputs: Tensors, specs: Mapping[str, TensorSpec]) -> None:
        for name, spec in specs.items():
            _check_shape(name, inputs[name].shape, spec)
        self._shapes = {}
        for name, tensor in self._inputs:
            shape = np.array(inputs[name].shape, np.int32)
            self._interpreter.ResizeInputTensor(tensor, shape, False, self._index)  # noqa: FBT003 - the library's order
        self._interpreter.AllocateTensors(self._index)
        self._shapes = {name: inputs[name].shape for name, _ in self._inputs}


class _Prepared:
    """One interpreter; used by one thread at a time.

    Attributes:
        subgraphs: What runs each signature.
    """

    def __init__(self, content: bytes) -> None:
        # Kept: the interpreter reads its weights from there.
        self._owner = Interpreter(model_content=content, num_threads=1)
        self._interpreter = self._owner._interpreter  # noqa: SLF001 - the public names reach one subgraph only
        tensors = self._interpreter.GetSignatureDefs() or {}
        self.subgraphs = {
            name: _Subgraph(
                self._interpreter, self._interpreter.GetSubgraphIndexFromSignature(name), it
            )
            for name, it in tensors.items()
        }
        if not tensors:
            self.subgraphs[DEFAULT_SIGNATURE] = self._whole()

    def signatures(self) -> dict[str, Signature]:
        """Its signatures; of a model without any, one of all its inputs and outputs."""
        names = sorted(self._owner.get_signature_list() or {})
        if not names:
            inputs, outputs = self._owner.get_input_details(), self._owner.get_output_details()
            return {
                DEFAULT_SIGNATURE: Signature(
                    _specs({it["name"]: it for it in inputs}),
                    _specs({it["name"]: it for it in outputs}),
                )
            }
        runners = {name: self._owner.get_signature_runner(name) for name in names}
        return {
            name: Signature(_specs(it.get_input_details()), _specs(it.get_output_details()))
            for name, it in runners.items()
        }

    def _whole(self) -> _Subgraph:
        inputs, outputs = self._owner.get_input_details(), self._owner.get_output_details()
        tensors = {
            "inputs": {it["name"]: it["index"] for it in inputs},
            "outputs": {it["name"]: it["index"] for it in outputs},
        }
        return _Subgraph(self._interpreter, 0, tensors)


class LiteRT:
    """Runs a LiteRT model; any number of threads, an interpreter each.

    The file's content is read once and kept, so that a file changed in place can
    neither change answers nor end the process.

    Args:
        path: The file.
        declared: Signatures of the SavedModel that it was made from and compared with. A
            converter writes signatures that are one function once: for one that the file
            lacks, the first of the same form answers.
        quick_s: Seconds that a small batch may take for an event loop to wait for it.
        cuts: Large batches are run piece by piece, so that others have the processor between
            the pieces: of a model whose rows do not depend on each other.

    Raises:
        VersionRefused: It is no LiteRT model, or one with operations that are not known.
    """

    name = LITERT
    joins = False

    def __init__(
        self,
        path: Path,
        declared: Mapping[str, Signature] = MappingProxyType({}),
        quick_s: float = _QUICK_S,
        *,
        cuts: bool = False,
    ) -> None:
        try:
            self._content = path.read_bytes()
            prepared = _Prepared(self._content)
            written = prepared.signatures()
        except OSError as error:
            raise VersionRefused(f"{path.name} cannot be read: {error.strerror}") from error
        except (ValueError, RuntimeError) as error:
            raise VersionRefused(f"{path.name} is not a LiteRT model: {error}") from error
        self._cuts = cuts
        self._written = {name: name for name in written} | _stand_ins(declared, written)
        self.signatures: Mapping[str, Signature] = {
            name: written[it] for name, it in self._written.items()
        }
        self._has_classes = len(self._content) <= _CLASSED_BYTES
        # The last class is that of batches after which an interpreter is not kept.
        self._idle: Sequence[list[_Prepared]] = [[] for _ in range(_KEPT_ROWS.bit_length() + 2)]
        self._idle[self._size_class({})].append(prepared)
        self.quick = all(self._cost_s(name) <= quick_s for name in self.signatures)

    def run(self, signature: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Compute a signature's outputs; see ``Executor.run``."""
        rows = {it.shape[0] if it.ndim else 1 for it in inputs.values()} if self._cuts else ()
        if len(rows) == 1 and max(rows) > _PIECE_ROWS:
            return self._run_pieces(signature, inputs, max(rows))
        return self._run(signature, inputs)

    def _run_pieces(self, signature: str, inputs: Tensors, rows: int) -> dict[str, NDArray[Any]]:
        """Run a large batch so that the kernel may let other threads run in between."""
        pieces = []
        for start in range(0, rows, _PIECE_ROWS):
            piece = {name: it[start : start + _PIECE_ROWS] for name, it in inputs.items()}
            pieces.append(self._run(signature, piece))
            os.sched_yield()
        return {name: np.concatenate([it[name] for it in pieces]) for name in pieces[0]}

    def _run(self, signature: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        idle = self._idle[self._size_class(inputs)]
        try:
            prepared = idle.pop()
        except IndexError:
            prepared = _Prepared(self._content)
        subgraph = prepared.subgraphs[self._written[signature]]
        try:
            outputs = subgraph.run(inputs, self.signatures[signature].inputs)
        except InvalidRequest:
            idle.append(prepared)
            raise
        except (ValueError, RuntimeError) as error:
            # An interpreter that failed halfway is not used again.
            raise InvalidRequest(f"the model cannot take this input: {error}") from error
        if idle is not self._idle[-1]:
            idle.append(prepared)
        return outputs

    def only(self, signature: str) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
        """A quicker way to run a signature of one input and one output of some dimensions."""
        declared, written = self.signatures[signature], self._written[signature]
        if any(not it.shape for it in declared.outputs.values()):
            return None

        specs, classes = declared.inputs, self._idle
        few, class_of = self._has_classes, self._class_of

        def run(array: NDArray[Any]) -> NDArray[Any]:
            rows = array.shape[0]
            idle = classes[rows.bit_length() if few and rows <= _KEPT_ROWS else class_of(rows)]
            try:
                prepared = idle.pop()
            except IndexError:
                prepared = _Prepared(self._content)
            try:
                result = prepared.subgraphs[written].run_only(array, specs)
            except (ValueError, RuntimeError) as error:
                raise InvalidRequest(f"the model cannot take this input: {error}") from error
            if idle is not classes[-1]:
                idle.append(prepared)
            return result

        return run

    def _size_class(self, inputs: Tensors) -> int:
        """The class of a batch; see ``_class_of``."""
        return self._class_of(
            max((it.shape[0] if it.ndim else 1 for it in inputs.values()), default=0)
        )

    def _class_of(self, rows: int) -> int:
        """Which interpreters are ready for a batch: each class holds twice the rows of the last.

        To change an interpreter's number of rows costs more than to run a small batch.
        """
        if rows > _KEPT_ROWS:
            return -1
        return rows.bit_length() if self._has_classes else 0

    def _cost_s(self, name: str) -> float:
        """Seconds that a small batch of zeros takes at best; none if it cannot be told."""
        inputs = {key: _zeros(it) for key, it in self.signatures[name].inputs.items()}
        times = []
        for _ in range(_TIMED_RUNS):
            started_s = time.perf_counter()
            try:
                self.run(name, inputs)
            except HearthError:
                return 0.0  # what is refused costs nothing either
            times.append(time.perf_counter() - started_s)
        return min(times)


def _stand_ins(
    declared: Mapping[str, Signature], written: Mapping[str, Signature]
) -> dict[str, str]:
    forms = {_form(written[name]): name for name in sorted(written, reverse=True)}
    missing = {name: _form(it) for name, it in declared.items() if name not in written}
    return {name: forms[form] for name, form in missing.items() if form in forms}


def _form(signature: Signature) -> frozenset[tuple[str, str, int]]:
    """Names and types of a signature's inputs and outputs."""
    return frozenset(
        (role, name, spec.dtype)
        for role, specs in (("in", signature.inputs), ("out", signature.outputs))
        for name, spec in specs.items()
    )


def _zeros(spec: TensorSpec) -> NDArray[Any]:
    shape = spec.shape or ()
    sizes = [_TIMED_ROWS if not axis else 1 for axis in range(len(shape))]
    known = tuple(it if it >= 0 else size for it, size in zip(shape, sizes, strict=True))
    return np.full(known, b"", object) if spec.is_text else np.zeros(known, spec.numpy_dtype)


def _check_shape(name: str, shape: tuple[int, ...], spec: TensorSpec) -> None:
    """Refuse a shape that the interpreter would read past, or take for another."""
    expected = spec.shape or ()
    if len(shape) == len(expected):
        for size, actual in zip(expected, shape, strict=True):
            if size not in {-1, actual}:
                break
        else:
            return
    raise InvalidRequest(f"{name} has shape {list(shape)}, expected {shape_text(expected)}")


def _specs(details: Mapping[str, Any]) -> dict[str, TensorSpec]:
    return {
        name: spec_of(it["name"], it["dtype"], tuple(int(n) for n in it["shape_signature"]))
        for name, it in details.items()
    }
