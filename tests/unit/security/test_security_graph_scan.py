"""A graph that reaches beyond itself is refused; graphs here are written by hand."""

from __future__ import annotations

import pytest

from service.errors import VersionRefused
from service.messages import meta_graph_pb2, saved_model_pb2
from service.security.graph_scan import REFUSED, check_graph, scan


class Graph:
    """A SavedModel of one graph."""

    def __init__(self) -> None:
        self.model = saved_model_pb2.SavedModel()
        self.meta = self.model.meta_graphs.add()

    def node(self, name, op, *inputs, function=""):
        return self._add(self.meta.graph_def.node, name, op, inputs, function)

    def function(self, name, arguments, *nodes):
        made = self.meta.graph_def.library.function.add()
        made.signature.name = name
        for argument in arguments:
            made.signature.input_arg.add(name=argument)
        for node_name, op, *inputs in nodes:
            called = [it[1:] for it in inputs if it.startswith("@")]
            plain = [it for it in inputs if not it.startswith("@")]
            self._add(made.node_def, node_name, op, plain, called[0] if called else "")
        return made

    def signature(self, output):
        self.meta.signature_def["serving_default"].outputs["y"].name = output

    def asset(self, tensor, filename="words.txt"):
        added = self.meta.asset_file_def.add(filename=filename)
        added.tensor_info.name = tensor

    def _add(self, nodes, name, op, inputs, function):
        node = nodes.add(name=name, op=op, input=inputs)
        if function:
            node.attr["f"].func.name = function
        return node

    def found(self, *allowed):
        return scan(self.model, frozenset(allowed))


@pytest.fixture
def graph():
    made = Graph()
    made.node("x", "Placeholder")
    made.node("y", "Mul", "x", "x")
    made.signature("y:0")
    return made


def test_a_plain_graph_is_let_in(graph):
    assert graph.found() == []
    check_graph(graph.model)


@pytest.mark.parametrize(
    "operation", ["ReadFile", "WriteFile", "PrintV2", "MatchingFiles", "PyFunc"]
)
def test_an_operation_that_reaches_beyond_is_found_wherever_it_stands(graph, operation):
    graph.node("z", operation, "x")
    assert graph.found() == [operation]

    within = Graph()
    within.function("f", ["a"], ("z", operation, "a"))
    assert within.found() == [operation]


def test_saved_model_clis_own_list_is_among_what_is_refused():
    # tensorflow/python/tools/saved_model_cli.py, _OP_DENYLIST.
    assert {"ReadFile", "WriteFile", "PrintV2"} <= REFUSED


def test_every_graph_of_a_model_is_searched(graph):
    other = graph.model.meta_graphs.add()
    other.graph_def.node.add(name="z", op="ReadFile")

    assert graph.found() == ["ReadFile"]


def test_what_is_refused_is_named_with_the_flag_that_allows_it(graph):
    graph.node("z", "WriteFile", "x")
    graph.node("r", "ReadFile", "x")

    with pytest.raises(VersionRefused) as refused:
        check_graph(graph.model)
    assert "ReadFile, WriteFile; --allow_graph_operations" in refused.value.message


def test_operations_may_be_allowed_one_by_one_or_all(graph):
    graph.node("z", "WriteFile", "x")
    graph.node("r", "ReadFile", "x")

    assert graph.found("WriteFile") == ["ReadFile"]
    assert graph.found("WriteFile", "ReadFile") == []
    assert graph.found("all") == []


def add_saver(graph):
    """The standard saver, as tf.train.Saver writes it."""
    graph.node("save/Const", "Const")
    graph.node("save/SaveV2", "SaveV2", "save/Const")
    graph.node("save/RestoreV2", "RestoreV2", "save/Const")
    graph.node("save/restore_all", "NoOp", "^save/RestoreV2")
    graph.meta.saver_def.restore_op_name = "save/restore_all"
    graph.meta.saver_def.save_tensor_name = "save/SaveV2:0"


def test_the_standard_saver_is_let_in(graph):
    add_saver(graph)

    assert graph.found() == []


def test_a_saver_in_functions_is_let_in_where_only_the_saver_calls_it(graph):
    graph.function("save", ["prefix"], ("s", "SaveV2", "prefix"), ("m", "MergeV2Checkpoints", "s"))
    graph.function("restore", ["prefix"], ("r", "RestoreV2", "prefix"))
    graph.node("name", "Placeholder")
    graph.node("saving", "StatefulPartitionedCall", "name", function="save")
    graph.node("restoring", "StatefulPartitionedCall", "name", function="restore")
    graph.meta.saver_def.restore_op_name = "restoring"
    assert graph.found() == []

    graph.signature("saving:0")
    assert graph.found() == ["MergeV2Checkpoints", "SaveV2"]


def test_a_call_may_neither_save_nor_restore(graph):
    add_saver(graph)
    graph.signature("save/RestoreV2:0")
    assert graph.found() == ["RestoreV2"]

    graph.node("hidden", "Identity", "y", "^save/SaveV2")
    graph.signature("hidden:0")
    assert graph.found() == ["SaveV2"]


def test_loading_may_not_save(graph):
    add_saver(graph)
    graph.node("both", "NoOp", "^save/RestoreV2", "^save/SaveV2")
    graph.meta.saver_def.restore_op_name = "both"

    assert graph.found() == ["SaveV2"]


def test_an_initialiser_may_neither_save_nor_restore(graph):
    add_saver(graph)
    graph.meta.collection_def["saved_model_main_op"].node_list.value.append("save/SaveV2")

    assert graph.found() == ["SaveV2"]


@pytest.mark.parametrize("how", ["attribute", "name"])
def test_a_function_is_followed_however_deep_it_is_called(graph, how):
    graph.function("inner", ["p"], ("s", "SaveV2", "p"))
    if how == "attribute":
        graph.function("outer", ["p"], ("call", "PartitionedCall", "@inner", "p"))
        graph.node("z", "PartitionedCall", "x", function="outer")
    else:
        graph.function("outer", ["p"], ("call", "inner", "p"))
        graph.node("z", "outer", "x")
    assert graph.found() == []
    graph.signature("z:0")

    assert graph.found() == ["SaveV2"]


def test_a_method_of_an_object_may_not_save(graph):
    graph.function("init", [], ("s", "SaveV2", "s"))
    graph.meta.object_graph_def.nodes.add().function.concrete_functions.append("init")

    assert graph.found() == ["SaveV2"]


def test_functions_that_call_themselves_end_the_search(graph):
    graph.function("f", ["p"], ("call", "PartitionedCall", "@f", "p"))
    graph.node("z", "PartitionedCall", "x", function="f")
    graph.signature("z:0")

    assert graph.found() == []


TABLE = "InitializeTableFromTextFileV2"


def test_a_table_is_filled_from_an_asset_alone(graph):
    graph.node("table", "HashTableV2")
    graph.node("asset", "Const")
    graph.node("fill", TABLE, "table", "asset")
    assert graph.found() == [TABLE]

    graph.asset("asset:0")
    assert graph.found() == []

    graph.node("other", "Const")
    graph.node("fill2", TABLE, "table", "other")
    assert graph.found() == [TABLE]


def with_table_function(graph, source):
    """TF2's form: a function that is given the file's name."""
    graph.node("table", "HashTableV2")
    graph.node("asset", "Placeholder")
    graph.asset("asset:0")
    graph.function("fill", ["file", "handle"], ("init", TABLE, "handle", "file"))
    graph.node("call", "StatefulPartitionedCall", source, "table", function="fill")


def test_a_table_in_a_function_is_followed_to_its_callers(graph):
    with_table_function(graph, "asset")
    assert graph.found() == []

    graph.node("evil", "Const")
    graph.node("again", "StatefulPartitionedCall", "evil", "table", function="fill")
    assert graph.found() == [TABLE]


def test_a_name_that_is_made_in_a_function_is_no_asset(graph):
    graph.node("asset", "Placeholder")
    graph.asset("asset:0")
    graph.function(
        "fill", ["handle"], ("asset", "Const"), ("init", TABLE, "handle", "asset:output:0")
    )

    assert graph.found() == [TABLE]


def with_variable(graph, *assigned, before=True):
    graph.node("v", "VarHandleOp")
    for number, source in enumerate(assigned):
        graph.node(f"assign{number}", "AssignVariableOp", "v", source)
    graph.node("read", "ReadVariableOp", "v", *(["^assign0"] if before and assigned else []))
    with_table_function(graph, "read")


def test_a_name_kept_in_a_variable_is_an_asset_if_nothing_else_is_put_there(graph):
    with_variable(graph, "asset")
    assert graph.found() == []


@pytest.mark.parametrize("assigned", [(), ("x",), ("asset", "x")])
def test_a_variable_that_may_hold_another_name_is_no_asset(graph, assigned):
    with_variable(graph, *assigned)
    assert graph.found() == [TABLE]


def test_a_variable_that_may_be_read_before_or_given_away_is_no_asset(graph):
    with_variable(graph, "asset", before=False)
    assert graph.found() == [TABLE]

    other = Graph()
    with_variable(other, "asset")
    other.node("away", "StatefulPartitionedCall", "v", function="somewhere")
    assert other.found() == [TABLE]


def test_what_a_loader_gives_a_function_must_be_an_asset_too(graph):
    with_table_function(graph, "asset")
    nodes = graph.meta.object_graph_def.nodes
    nodes.add().constant.operation = "x"
    nodes.add().asset.asset_file_def_index = 0
    bound = graph.meta.object_graph_def.concrete_functions["fill"].bound_inputs
    bound.extend([1, 0])
    assert graph.found() == []

    bound[0] = 0
    assert graph.found() == [TABLE]


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/../../b", ".."])
def test_an_asset_outside_the_models_folder_is_refused(graph, name):
    graph.asset("x:0", name)

    with pytest.raises(VersionRefused, match="lies outside its folder"):
        check_graph(graph.model)


def test_an_asset_below_the_models_folder_is_let_in(graph):
    graph.asset("x:0", "words/a..b.txt")

    check_graph(graph.model)


def test_an_empty_graph_has_nothing_to_find():
    assert scan(saved_model_pb2.SavedModel(meta_graphs=[meta_graph_pb2.MetaGraphDef()])) == []
