"""What a SavedModel's graph may not do: read and write files, run Python, reach the network.

A SavedModel is a program, and TensorFlow runs whatever operations it names. The graph and
its functions are searched before TensorFlow is given any of it.

References:
    tensorflow/SECURITY.md, "TensorFlow models are programs"; ``saved_model_cli scan``, whose
    list is ReadFile, WriteFile and PrintV2; tensorflow/core/ops/{io,dataset,lookup,debug}_ops.cc.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from service.errors import VersionRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

ANY: Final = "all"

_FILES: Final = (
    "ReadFile", "WriteFile", "PrintV2", "MatchingFiles", "WholeFileReader", "WholeFileReaderV2",
    "TextLineReader", "TextLineReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2",
    "TFRecordReader", "TFRecordReaderV2", "LMDBReader", "TextLineDataset", "TFRecordDataset",
    "TFRecordDatasetV2", "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", "CSVDataset",
    "CSVDatasetV2", "ExperimentalCSVDataset", "SqlDataset", "ExperimentalSqlDataset",
    "LMDBDataset", "ExperimentalLMDBDataset", "MatchingFilesDataset",
    "ExperimentalMatchingFilesDataset", "CacheDataset", "CacheDatasetV2", "SnapshotDataset",
    "SnapshotDatasetV2", "SnapshotDatasetReader", "SnapshotNestedDatasetReader",
    "SnapshotChunkDataset", "SaveDataset", "SaveDatasetV2", "LoadDataset",
    "DistributedSave", "DatasetFromGraph", "ImmutableConst", "DecodeProtoV2", "EncodeProto",
    "CreateSummaryFileWriter", "CreateSummaryDbWriter", "DebugIdentity", "DebugIdentityV2",
    "DebugIdentityV3", "DebugNanCount", "DebugNumericSummary", "SaveSlices", "Save",
    "GenerateVocabRemapping", "LoadAndRemapMatrix",
)  # fmt: skip
_CODE: Final = (
    "PyFunc", "PyFuncStateless", "EagerPyFunc", "Abort", "XlaHostCompute",
    "RemoteFusedGraphExecute",
)  # fmt: skip
_NETWORK: Final = (
    "RemoteCall", "RpcCall", "RpcClient", "RpcServer", "RpcServerStart", "TryRpc", "Rpc",
    "DataServiceDataset", "DataServiceDatasetV2", "DataServiceDatasetV3", "DataServiceDatasetV4",
    "RegisterDataset", "RegisterDatasetV2", "GcsConfigureBlockCache", "GcsConfigureCredentials",
    "BigQueryReader", "CloudBigtableClient",
)  # fmt: skip
# Refused wherever they stand.
REFUSED: Final = frozenset({*_FILES, *_CODE, *_NETWORK})
# What the standard saver is made of. It writes when a model is saved and reads when it is
# loaded; nothing that callers or the loading run may write, and no call may read.
_WRITERS: Final = frozenset({"SaveV2", "MergeV2Checkpoints"})
_READERS: Final = frozenset({"RestoreV2", "Restore", "RestoreSlice"})
# What fills a table from a file, how functions are called, and what variables are used by.
_TABLES: Final = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_CALLS: Final = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_VARIABLES: Final = frozenset({"VarIsInitializedOp", "AssignVariableOp", "ReadVariableOp"})
_INITIALISERS: Final = ("saved_model_main_op", "legacy_init_op", "saved_model_train_op")


def scan(model: Any, allowed: frozenset[str] = frozenset()) -> list[str]:
    """Find the operations of a SavedModel that are refused.

    Args:
        model: A ``SavedModel`` message.
        allowed: Operations that it may have; ``all`` for any.

    Returns:
        Their names, in alphabetical order.
    """
    if ANY in allowed:
        return []
    found: set[str] = set()
    for graph in model.meta_graphs:
        found |= REFUSED.intersection(_operations(graph.graph_def))
        found |= _misplaced(graph)
        found |= _TableFiles(graph).misplaced()
    return sorted(found - allowed)


def check_graph(model: Any, allowed: frozenset[str] = frozenset()) -> None:
    """Refuse a SavedModel whose graph reaches beyond itself.

    Args:
        model: A ``SavedModel`` message.
        allowed: Operations that it may have; ``all`` for any.

    Raises:
        VersionRefused: It has operations that are refused, or names assets outside its folder.
    """
    found = scan(model, allowed)
    if found:
        raise VersionRefused(
            f"its graph has operations that reach beyond it: {', '.join(found)}; "
            "--allow_graph_operations allows them"
        )
    for graph in model.meta_graphs:
        for asset in graph.asset_file_def:
            _check_asset(asset.filename)


def _check_asset(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise VersionRefused(f"its asset {name!r} lies outside its folder")


def _operations(graph: Any) -> Iterator[str]:
    for nodes in (graph.node, *(it.node_def for it in graph.library.function)):
        for node in nodes:
            yield node.op


def _misplaced(graph: Any) -> AbstractSet[str]:
    """Operations of the saver that more than the saver runs."""
    called = set(_called(graph))
    saver = graph.saver_def
    reach = _Reach(graph.graph_def)
    by_calls = reach.operations(called)
    by_loading = reach.operations({saver.restore_op_name} - {""})
    by_functions = reach.operations_of_functions(_functions_of_objects(graph))
    return (
        ((_WRITERS | _READERS) & by_calls)
        | (_WRITERS & by_loading)
        | ((_WRITERS | _READERS) & by_functions)
    )


def _called(graph: Any) -> Iterator[str]:
    """The nodes that signatures and initialisers run."""
    for signature in graph.signature_def.values():
        for info in signature.outputs.values():
            yield from _tensors(info)
    for name in _INITIALISERS:
        yield from (
            graph.collection_def[name].node_list.value if name in graph.collection_def else ()
        )


def _tensors(info: Any) -> Iterator[str]:
    yield info.name
    sparse = info.coo_sparse
    yield from (sparse.values_tensor_name, sparse.indices_tensor_name)
    yield sparse.dense_shape_tensor_name
    for component in info.composite_tensor.components:
        yield from _tensors(component)


def _functions_of_objects(graph: Any) -> set[str]:
    """The functions that TensorFlow's own loader may call: methods and initialisers of objects."""
    names: set[str] = set()
    for node in graph.object_graph_def.nodes:
        names.update(node.function.concrete_functions)
        if node.bare_concrete_function.concrete_function_name:
            names.add(node.bare_concrete_function.concrete_function_name)
    return names


class _Reach:
    """Which operations run when nodes or functions do.

    Args:
        graph: A ``GraphDef``.
    """

    def __init__(self, graph: Any) -> None:
        self._nodes = {node.name: node for node in graph.node}
        self._functions = {it.signature.name: it for it in graph.library.function}

    def operations(self, names: Iterable[str]) -> set[str]:
        """The operations that nodes of the graph lead to, those of functions included."""
        waiting, nodes = [_node(name) for name in names], set[str]()
        while waiting:
            name = waiting.pop()
            if name in nodes or name not in self._nodes:
                continue
            nodes.add(name)
            waiting += [_node(it) for it in self._nodes[name].input]
        found = [self._nodes[name] for name in nodes]
        called = {it for node in found for it in _functions(node.attr, self._functions)}
        called |= {node.op for node in found}  # an operation may be a function's name
        return {node.op for node in found} | self.operations_of_functions(called)

    def operations_of_functions(self, names: Iterable[str]) -> set[str]:
        """The operations of functions, and of those that they call."""
        waiting, seen, operations = list(names), set[str](), set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in self._functions:
                continue
            seen.add(name)
            for node in self._functions[name].node_def:
                operations.add(node.op)
                waiting += [node.op, *_functions(node.attr, self._functions)]
        return operations


class _TableFiles:
    """Whether tables are filled from the model's own assets, and from no other file.

    The name of a table's file is followed back through functions and variables, as far as
    TensorFlow writes them, to where it comes from.

    Args:
        graph: A ``MetaGraphDef``.
    """

    def __init__(self, graph: Any) -> None:
        self._nodes = {node.name: node for node in graph.graph_def.node}
        self._functions = {it.signature.name: it for it in graph.graph_def.library.function}
        self._assets = {_node(it.tensor_info.name) for it in graph.asset_file_def}
        self._objects = graph.object_graph_def

    def misplaced(self) -> set[str]:
        """The operations that read another file, or one that is not found out."""
        return {
            node.op
            for function, node in self._everywhere()
            if node.op in _TABLES and not self._is_asset(function, node.input[1], frozenset())
        }

    def _everywhere(self) -> Iterator[tuple[Any, Any]]:
        """Each node with its function; None for the graph's own."""
        yield from ((None, node) for node in self._nodes.values())
        for function in self._functions.values():
            yield from ((function, node) for node in function.node_def)

    def _is_asset(self, function: Any, tensor: str, seen: frozenset[tuple[str, str]]) -> bool:
        name = _node(tensor)
        place = ("" if function is None else function.signature.name, name)
        if place in seen:
            return False
        seen |= {place}
        if function is not None:
            return self._is_asset_argument(function, name, seen)
        node = self._nodes.get(name)
        if node is None or name in self._assets:
            return node is not None
        if node.op == "Identity":
            return self._is_asset(None, node.input[0], seen)
        return node.op == "ReadVariableOp" and self._holds_asset(node, seen)

    def _is_asset_argument(
        self, function: Any, name: str, seen: frozenset[tuple[str, str]]
    ) -> bool:
        """Whether all who call a function give an asset for this argument."""
        arguments = [it.name for it in function.signature.input_arg]
        if name not in arguments:
            return False
        index, own = arguments.index(name), function.signature.name
        callers = [
            (where, node)
            for where, node in self._everywhere()
            if own == node.op or own in _functions(node.attr, self._functions)
        ]
        if not all(node.op in {*_CALLS, own} for _, node in callers):
            return False
        bound = self._bound(own, len(arguments))
        return bound.get(index, True) and all(
            self._is_asset(where, node.input[index], seen) for where, node in callers
        )

    def _bound(self, function: str, arguments: int) -> dict[int, bool]:
        """Which of a function's last arguments are assets, of those that a loader gives it."""
        if function not in self._objects.concrete_functions:
            return {}
        inputs: Sequence[int] = self._objects.concrete_functions[function].bound_inputs
        kinds = [self._objects.nodes[it].WhichOneof("kind") == "asset" for it in inputs]
        return dict(enumerate(kinds, start=arguments - len(kinds)))

    def _holds_asset(self, read: Any, seen: frozenset[tuple[str, str]]) -> bool:
        """Whether a variable holds an asset's name, and nothing else may be put there."""
        variable = _node(read.input[0])
        users = [it for it in self._nodes.values() if variable in map(_node, it.input)]
        assigned = [it for it in users if it.op == "AssignVariableOp"]
        before = {_node(it) for it in read.input[1:]}
        return (
            all(it.op in _VARIABLES for it in users)
            and any(it.name in before for it in assigned)
            and all(self._is_asset(None, it.input[1], seen) for it in assigned)
        )


def _node(tensor: str) -> str:
    """The node of ``name``, ``name:1`` or ``^name``."""
    return tensor.removeprefix("^").partition(":")[0]


def _functions(attributes: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[str]:
    """The functions that a node's attributes name."""
    for value in attributes.values():
        kind = value.WhichOneof("value")
        if kind == "func":
            yield value.func.name
        elif kind == "list":
            yield from (it.name for it in value.list.func)
        elif kind == "s":  # some operations name functions as text
            yield from {value.s.decode("latin-1")} & known.keys()
