"""The SavedModel executor: any SavedModel, through TensorFlow, imported here alone.

A SavedModel is opened in a session and called by the names of its tensors, as TensorFlow
Serving calls it: TF1 and TF2 alike, with tables and state, and with no check of shapes but
the graph's own.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service import errors
from service.errors import InvalidRequest, NotSupported, VersionRefused
from service.inference.executor import TENSORFLOW
from service.inference.signature import DEFAULT_TAGS, callable_signatures, read_saved_model
from service.messages import config_pb2, types_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.inference.signature import Signature, TensorSpec

_log: Final = logging.getLogger("hearth.inference")

# TensorFlow's errors that say something else than that we are at fault.
_ERRORS: Final[Mapping[str, type[errors.HearthError]]] = {
    "InvalidArgumentError": InvalidRequest,
    "OutOfRangeError": InvalidRequest,
    "ResourceExhaustedError": errors.Overloaded,
    "DeadlineExceededError": errors.DeadlineExceeded,
    "UnimplementedError": NotSupported,
    "FailedPreconditionError": errors.NotPossibleNow,
    "AbortedError": errors.NotPossibleNow,
    "UnavailableError": errors.NotReady,
}
# What TensorFlow adds to its own words: nodes of the graph and where they were made.
_NOISE: Final = re.compile(r"\s*(\[\[\{\{|\[\[node |\[Op:|Original stack trace)")
_FIRST_ROOT: Final = re.compile(r"\d+ root error\(s\) found\.\s*\(0\) [\w ]+: ")

# Operations with a state that running them does not change.
_READERS: Final = frozenset(
    {
        "Case", "If", "While", "PartitionedCall", "StatefulPartitionedCall", "Placeholder",
        "ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VarHandleOp", "Variable",
        "VariableV2",
    }
)  # fmt: skip
# The same: tables, and checks that fail.
TABLES_AND_CHECKS: Final = frozenset(
    {
        "Assert", "HashTable", "HashTableV2", "LookupTableFind", "LookupTableFindV2",
        "LookupTableSize", "LookupTableSizeV2",
    }
)  # fmt: skip


def is_installed() -> bool:
    """Whether TensorFlow itself is here, and not its message modules alone."""
    spec = importlib.util.find_spec("tensorflow")
    return spec is not None and spec.origin is not None


def import_tensorflow() -> Any:
    """TensorFlow: 700 MB and seconds, only where a model needs it.

    Raises:
        VersionRefused: It is not installed.
    """
    if not is_installed():
        raise VersionRefused(
            "it needs TensorFlow, which is not installed here: install it, or put a "
            "model.tflite beside it, made where TensorFlow is by "
            "'python -m service.inference.conversion VERSION VERSION/model.tflite'"
        )
    # Before the import, or its native log has begun.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow  # noqa: ICN001, PLC0415 - see above

    # Its notes on deprecated calls are for those who write models.
    tensorflow.get_logger().setLevel("ERROR")
    return tensorflow


@dataclass(frozen=True)
class _Call:
    """A signature as the session calls it.

    Attributes:
        inputs: Name and type of each array, in the order of the arguments.
        outputs: Name of each output, and where its tensor stands in the result.
        run: From arrays to arrays.
    """

    inputs: Sequence[tuple[str, TensorSpec]]
    outputs: Sequence[tuple[str, int]]
    run: Callable[..., Sequence[Any]]


class SavedModel:
    """Runs the signatures of a SavedModel, TF1 or TF2.

    Args:
        version: The folder that holds it.
        tags: The tags of the graph to serve.
        config: The ``ConfigProto`` of its session. Threads are TensorFlow's for the whole
            process: the first session says how many.

    Attributes:
        session: The session that holds its graph and its variables.

    Raises:
        VersionRefused: It cannot be loaded, or TensorFlow is not installed.
    """

    name = TENSORFLOW
    quick = False
    joins = False

    def __init__(
        self,
        version: Path,
        tags: Sequence[str] = DEFAULT_TAGS,
        config: config_pb2.ConfigProto | None = None,
    ) -> None:
        declared = callable_signatures(read_saved_model(version, tags))
        self._tensorflow = import_tensorflow()
        try:
            self.session = _open(self._tensorflow, version, tags, config)
        except Exception as error:  # TensorFlow raises whatever the broken part raises
            raise VersionRefused(f"TensorFlow cannot load it: {_plain(str(error))}") from error
        self._calls = self._prepare(declared)
        self.signatures: Mapping[str, Signature] = {name: declared[name] for name in self._calls}

    def run(self, signature: str, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Compute a signature's outputs; see ``Executor.run``."""
        call = self._calls[signature]
        specs = self.signatures[signature].outputs
        for name, spec in specs.items():
            _check_type("output", name, spec)
        arrays = [_to_feed(name, inputs[name], spec) for name, spec in call.inputs]
        try:
            values = call.run(*arrays)
        except self._tensorflow.errors.OpError as error:
            raise _translated(error) from error
        except (ValueError, TypeError) as error:
            raise InvalidRequest(f"the model cannot take this input: {error}") from error
        return {name: _to_array(values[place], specs[name]) for name, place in call.outputs}

    def stateful_operations(self) -> set[str]:
        """Operations with a state that some output depends on, variables that stay apart.

        A variable that is assigned, a random number, a table, a check that fails.
        """
        graph = self.session.graph
        wanted = [
            spec.name.partition(":")[0]
            for signature in self.signatures.values()
            for spec in signature.outputs.values()
        ]
        found = _operations(graph.as_graph_def(), wanted) - _READERS
        return {name for name in found if graph.op_def_for_type(name).is_stateful}

    def _prepare(self, declared: Mapping[str, Signature]) -> dict[str, _Call]:
        calls = {}
        for name, signature in declared.items():
            try:
                calls[name] = self._call(signature)
            except (self._tensorflow.errors.OpError, ValueError) as error:
                # TensorFlow Serving loads such a model too, and answers its other signatures.
                _log.warning("signature %s cannot be called: %s", name, _plain(str(error)))
        return calls

    def _call(self, signature: Signature) -> _Call:
        fetched = list(dict.fromkeys(spec.name for spec in signature.outputs.values()))
        run = self.session._make_callable_from_options(  # noqa: SLF001 - the public one checks shapes that the graph need not
            config_pb2.CallableOptions(
                feed=[spec.name for spec in signature.inputs.values()], fetch=fetched
            )
        )
        places = [(name, fetched.index(spec.name)) for name, spec in signature.outputs.items()]
        return _Call(list(signature.inputs.items()), places, run)


def _operations(graph: Any, wanted: Iterable[str]) -> set[str]:
    """The operations that outputs depend on, those in functions included."""
    functions = {it.signature.name: it.node_def for it in graph.library.function}
    waiting = _reached(graph, wanted)
    found: set[str] = set()
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        found.add(node.op)
        called = (_functions(node) & functions.keys()) - seen
        seen |= called
        for name in called:
            waiting.extend(functions[name])
    return found - functions.keys()


def _reached(graph: Any, wanted: Iterable[str]) -> list[Any]:
    """The nodes of the graph itself that outputs depend on."""
    nodes = {node.name: node for node in graph.node}
    reached: dict[str, Any] = {}
    names = list(wanted)
    while names:
        name = names.pop()
        if name not in reached:
            reached[name] = nodes[name]
            names.extend(it.removeprefix("^").partition(":")[0] for it in nodes[name].input)
    return list(reached.values())


def _functions(node: Any) -> set[str]:
    names = {node.op}
    for value in node.attr.values():
        names |= {value.func.name, *(it.name for it in value.list.func)}
    return names


def _open(
    tensorflow: Any, version: Path, tags: Sequence[str], config: config_pb2.ConfigProto | None
) -> Any:
    """A session with the graph, its variables restored and its initialisers run."""
    v1 = tensorflow.compat.v1
    merged = v1.ConfigProto(allow_soft_placement=True)
    if config is not None:
        merged.MergeFrom(config)
    session = v1.Session(graph=v1.Graph(), config=merged)
    with session.graph.as_default():
        v1.saved_model.load(session, list(tags), str(version))
    return session


def _to_feed(name: str, value: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    _check_type("input", name, spec)
    return np.asarray(value, spec.numpy_dtype)


def _check_type(role: str, name: str, spec: TensorSpec) -> None:
    if spec.numpy_dtype is None:
        kind = types_pb2.DataType.Name(spec.dtype)
        raise NotSupported(f"{role} {name} has type {kind}, which cannot be carried")


def _to_array(value: Any, spec: TensorSpec) -> NDArray[Any]:
    # A tensor without dimensions comes back as a number, or as bytes.
    return np.asarray(value, object) if spec.is_text else np.asarray(value)


def _translated(error: Any) -> Exception:
    """TensorFlow's error as ours; as it is where nobody but us is at fault."""
    kind = _ERRORS.get(type(error).__name__)
    translated: Exception = error if kind is None else kind(_plain(error.message))
    return translated


def _plain(message: str) -> str:
    """TensorFlow's own words, without nodes and traces."""
    text = _FIRST_ROOT.sub("", message, count=1)
    return _NOISE.split(text, maxsplit=1)[0].strip() or message.strip()
