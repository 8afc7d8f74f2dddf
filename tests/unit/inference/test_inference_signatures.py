"""Which signatures of a SavedModel are there, and which can be called."""

from __future__ import annotations

import pytest

from service.errors import VersionRefused
from service.inference.savedmodel import _plain
from service.inference.signature import callable_signatures, read_saved_model
from service.messages import saved_model_pb2


def write(folder, *tags: str, names: tuple[str, ...] = ("serving_default",)) -> None:
    model = saved_model_pb2.SavedModel()
    graph = model.meta_graphs.add()
    graph.meta_info_def.tags.extend(tags)
    for name in names:
        definition = graph.signature_def[name]
        for info in (definition.inputs["x"], definition.outputs["y"]):
            info.name, info.dtype = "t:0", 1
            info.tensor_shape.SetInParent()
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def test_the_graph_is_the_one_with_exactly_the_tags(tmp_path):
    write(tmp_path, "serve", "gpu")

    assert set(read_saved_model(tmp_path, ("gpu", "serve"))) == {"serving_default"}
    with pytest.raises(VersionRefused) as refused:
        read_saved_model(tmp_path)
    assert refused.value.message == (
        "saved_model.pb has no graph with the tags {serve}, only {gpu, serve}"
    )


def test_initialisers_are_listed_and_never_called(tmp_path):
    write(tmp_path, "serve", names=("serving_default", "__saved_model_init_op"))
    listed = read_saved_model(tmp_path)

    assert set(listed) == {"serving_default", "__saved_model_init_op"}
    assert set(callable_signatures(listed)) == {"serving_default"}


def test_a_signature_with_a_tensor_of_several_parts_cannot_be_called(tmp_path):
    write(tmp_path, "serve")
    model = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    sparse = model.meta_graphs[0].signature_def["sparse"]
    sparse.inputs["x"].coo_sparse.values_tensor_name = "values:0"
    sparse.outputs["y"].name = "y:0"
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())

    assert set(callable_signatures(read_saved_model(tmp_path))) == {"serving_default"}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "indices[0] = 7 is not in [0, 3)\n\t [[{{node GatherV2}}]]",
            "indices[0] = 7 is not in [0, 3)",
        ),
        ("bad\n\t [[{{function_node f}}{{node g}}]]\n\t[[h]]", "bad"),
        (
            "2 root error(s) found.\n  (0) INVALID_ARGUMENT: bad\n\t[[{{node a}}]]\n  (1) BAD: x",
            "bad",
        ),
        ("bad [Op:MatMul] name: ", "bad"),
        ("nothing to cut", "nothing to cut"),
    ],
)
def test_an_error_is_shown_in_tensorflows_words_without_its_nodes(said, shown):
    assert _plain(said) == shown
