"""Examples from JSON and from Input, and what comes of classify and regress signatures."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import HearthError, InvalidRequest
from service.inference.examples import to_batch
from service.messages import classification_pb2, example_pb2, input_pb2, regression_pb2
from service.protocols import examples, json_body
from service.protocols.examples import from_input, from_json
from service.protocols.tensorflow_serving import encode_classify, encode_regress
from service.protocols.tensorflow_serving_grpc import fill_classification, fill_regression
from tests.unit.rpc.parsers import example

if TYPE_CHECKING:
    from collections.abc import Mapping


def parsed(serialised: bytes) -> example_pb2.Example:
    return example_pb2.Example.FromString(serialised)


def refusal(document: object, method: str = "regress") -> str:
    with pytest.raises(InvalidRequest) as refused:
        from_json(document, method)
    return refused.value.message


def test_json_values_go_into_the_list_of_their_type():
    document = {
        "examples": [
            {"i": 80, "f": 80.0, "s": "ä", "b": {"b64": "AP8="}, "t": True, "many": [1.5, 2.5]},
        ]
    }

    (serialised,) = from_json(document, "classify")

    assert parsed(serialised) == example(
        i=80, f=80.0, s="ä".encode(), b=b"\x00\xff", t=1, many=[1.5, 2.5]
    )


def test_bytes_that_are_no_text_go_into_the_example_as_they_came():
    document = json_body.parse(b'{"examples": [{"s": "gr\xfcn"}]}')

    (serialised,) = from_json(document, "classify")

    assert parsed(serialised) == example(s=b"gr\xfcn")


def test_an_empty_list_is_a_feature_of_no_kind():
    (serialised,) = from_json({"examples": [{"x": []}]}, "classify")

    assert parsed(serialised).features.feature["x"].WhichOneof("kind") is None


def test_the_context_is_behind_every_example_and_the_example_wins():
    document = {"context": {"shared": 1.0, "x": 1.0}, "examples": [{"x": 2.0}, {"y": 3.0}]}

    first, second = from_json(document, "classify")

    assert parsed(first) == example(shared=1.0, x=2.0)
    assert parsed(second) == example(shared=1.0, x=1.0, y=3.0)


FEATURES = st.dictionaries(
    st.text(max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=3)
    | st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=3)
    | st.lists(st.binary(max_size=5), min_size=1, max_size=3),
    max_size=4,
)


@given(FEATURES, st.lists(FEATURES, min_size=1, max_size=3))
def test_a_context_is_merged_as_protobuf_merges(context, rows):
    message = input_pb2.Input()
    message.example_list_with_context.context.CopyFrom(example(**context))
    message.example_list_with_context.examples.extend(example(**row) for row in rows)

    merged = from_input(message)

    for row, serialised in zip(rows, merged, strict=True):
        expected = example(**context)
        expected.MergeFrom(example(**row))
        assert parsed(serialised) == expected


def test_a_list_of_examples_goes_through_as_it_is():
    message = input_pb2.Input()
    message.example_list.examples.extend([example(x=1.0), example(x=2.0)])

    assert [parsed(it) for it in from_input(message)] == [example(x=1.0), example(x=2.0)]


@pytest.mark.parametrize("kind", ["", "example_list", "example_list_with_context"])
def test_an_input_without_examples_is_empty(kind):
    message = input_pb2.Input()
    if kind:
        getattr(message, kind).SetInParent()

    with pytest.raises(InvalidRequest, match=r"^Input is empty\.$"):
        from_input(message)


# tensorflow_serving/util/json_tensor.cc and its tests.
@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "When method is regress, key 'examples' is expected and was not found"),
        ({"examples": 5}, "must be a list"),
        ({"examples": {}}, "must be a list"),
        ({"examples": []}, "must be a list with at least one example"),
        ({"examples": [[]]}, "Example must be JSON object but got JSON Array"),
        ({"examples": [None]}, "Example must be JSON object but got JSON Null"),
        ({"examples": [{}], "context": []}, "Example must be JSON object but got JSON Array"),
        (
            {"examples": [{"x": [1, 2.0]}]},
            "Unexpected element type in feature: x expecting type: int64",
        ),
        (
            {"examples": [{"x": [1.0, "a"]}]},
            "Unexpected element type in feature: x expecting type: float",
        ),
        (
            {"examples": [{"x": ["a", True]}]},
            "Unexpected element type in feature: x expecting type: bytes",
        ),
        (
            {"examples": [{"x": 2**63}]},
            "Feature: x has uint64_t element. Only int64_t is supported.",
        ),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        (
            {"examples": [{"x": {"y": 1}}]},
            "Feature: x has element with unexpected JSON type: Object",
        ),
        ({"examples": [{"x": {"b64": "*"}}]}, "Unable to base64 decode"),
    ],
)
def test_what_no_example_can_hold_is_refused_in_tensorflow_servings_words(document, said):
    assert said in refusal(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["examples", "context", "x"]), JSON)
    | st.fixed_dictionaries({"examples": st.lists(st.dictionaries(st.text(), JSON), min_size=1)})
)
def test_whatever_is_sent_gives_examples_or_an_error_to_show(document):
    try:
        made = from_json(document, "regress")
    except HearthError:
        return
    assert len(made) == len(document["examples"])
    for serialised in made:
        parsed(serialised)


# --- columns read from examples ---


def test_a_batch_has_the_features_in_the_order_asked_for():
    rows = [example(a=1.0, b=2.0, other=b"x"), example(b=4.0, a=3.0)]

    batch = to_batch([it.SerializeToString() for it in rows], ["b", "a"])

    assert batch.dtype == np.float32
    assert batch.tolist() == [[2.0, 1.0], [4.0, 3.0]]


# As tf.io.parse_example says it.
@pytest.mark.parametrize(
    ("row", "said"),
    [
        (example(b=1.0), "Feature: a (data type: float) is required but could not be found."),
        (example(a=1), "Data types don't match. Data type: int64 but expected type: float"),
        (example(a=b"1"), "Data types don't match. Data type: string but expected type: float"),
        (example(a=[1.0, 2.0]), "Number of float values != expected. Values size: 2"),
    ],
)
def test_an_example_that_lacks_a_number_is_refused_with_its_place(row, said):
    good = example(a=1.0).SerializeToString()

    with pytest.raises(InvalidRequest) as refused:
        to_batch([good, row.SerializeToString()], ["a"])

    assert refused.value.message.startswith("examples[1]: ")
    assert said in refused.value.message


def test_bytes_that_are_no_example_are_refused():
    with pytest.raises(InvalidRequest, match="Could not parse example input, value 0"):
        to_batch([b"\xff"], ["a"])


# --- what a classify or regress signature gave ---

LABELS = np.array([[b"no", b"yes"], [b"no", b"\xff"]], object)
SCORES = np.array([[0.25, 0.75], [1.0, 0.0]], np.float32)


def classification_result(outputs: Mapping[str, np.ndarray], count: int) -> Any:
    result = classification_pb2.ClassificationResult()
    fill_classification(result, outputs, count)
    return result


def regression_result(outputs: Mapping[str, np.ndarray], count: int) -> Any:
    result = regression_pb2.RegressionResult()
    fill_regression(result, outputs, count)
    return result


def classified(**outputs: np.ndarray) -> list[list[tuple[str, float]]]:
    result = classification_result(outputs, 2)
    return [[(it.label, it.score) for it in row.classes] for row in result.classifications]


def test_classes_have_labels_and_scores():
    both = classified(classes=LABELS, scores=SCORES)

    assert both == [[("no", 0.25), ("yes", 0.75)], [("no", 1.0), ("\ufffd", 0.0)]]
    assert classified(scores=SCORES) == [[("", 0.25), ("", 0.75)], [("", 1.0), ("", 0.0)]]
    assert classified(classes=LABELS)[0] == [("no", 0.0), ("yes", 0.0)]


def test_rest_writes_the_same_classes():
    answer = json.loads(encode_classify({"classes": LABELS, "scores": SCORES}, 2))

    assert answer == {"results": [[["no", 0.25], ["yes", 0.75]], [["no", 1.0], ["\ufffd", 0.0]]]}
    assert json.loads(encode_classify({"scores": SCORES}, 2))["results"][0] == [
        ["", 0.25],
        ["", 0.75],
    ]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"price": SCORES}, "to have at least one of classes or scores"),
        ({"scores": SCORES[0]}, "Expected Tensor scores of shape [2, classes], got [2]"),
        ({"scores": SCORES[:1]}, "Expected Tensor scores of shape [2, classes], got [1, 2]"),
        (
            {"classes": LABELS[:, :1], "scores": SCORES},
            "should have equal shapes, got [2, 1] and [2, 2]",
        ),
    ],
)
def test_outputs_of_no_classifier_are_refused(outputs, said):
    for write in (classification_result, encode_classify):
        with pytest.raises(InvalidRequest) as refused:
            write(outputs, 2)
        assert said in refused.value.message


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_regression_is_a_number_an_example(shape):
    outputs = {"outputs": np.array([1.5, math.inf], np.float32).reshape(shape)}

    assert [it.value for it in regression_result(outputs, 2).regressions] == [1.5, math.inf]
    assert json.loads(encode_regress(outputs, 2)) == {"results": [1.5, math.inf]}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"price": SCORES}, "No regression outputs found"),
        ({"outputs": SCORES}, "Expected Tensor outputs of shape [2] or [2, 1], got [2, 2]"),
        ({"outputs": SCORES[0, 0]}, "Expected Tensor outputs of shape [2] or [2, 1], got []"),
    ],
)
def test_outputs_of_no_regressor_are_refused(outputs, said):
    for write in (regression_result, encode_regress):
        with pytest.raises(InvalidRequest) as refused:
            write(outputs, 2)
        assert said in refused.value.message


def test_text_that_is_no_utf8_can_still_be_shown():
    assert examples.text_of(b"a\xff") == "a\ufffd"
