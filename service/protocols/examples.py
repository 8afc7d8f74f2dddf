"""Classify and regress: ``tf.Example`` messages in, classes, scores or values out.

References:
    tensorflow_serving/util/json_tensor.cc (MakeExampleFromJsonValue).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from service.errors import InvalidRequest
from service.messages import example_pb2
from service.protocols.json_tensors import decode_b64, is_b64, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.messages import input_pb2

_INT64: Final = (-(2**63), 2**63 - 1)
_JSON_NAMES: Final[Mapping[type, str]] = {dict: "Object", list: "Array", type(None): "Null"}
_TYPE_NAMES: Final = {"int64_list": "int64", "float_list": "float", "bytes_list": "bytes"}


def from_input(message: input_pb2.Input) -> list[bytes]:
    """Serialised examples of an ``Input``, each behind the context that they share.

    Raises:
        InvalidRequest: There are none.
    """
    kind = message.WhichOneof("kind")
    if kind == "example_list":
        examples = [it.SerializeToString() for it in message.example_list.examples]
    elif kind == "example_list_with_context":
        shared = message.example_list_with_context.context.SerializeToString()
        # Two messages one behind the other are read as one, the later fields added.
        examples = [
            shared + it.SerializeToString() for it in message.example_list_with_context.examples
        ]
    else:
        examples = []
    if not examples:
        raise InvalidRequest("Input is empty.")
    return examples


def from_json(document: Mapping[str, Any], method: str) -> list[bytes]:
    """Serialised examples of a classify or regress request.

    Args:
        document: The request.
        method: ``classify`` or ``regress``, for error messages.

    Raises:
        InvalidRequest: There are none, or a feature has a value that no Example can hold.
    """
    examples = document.get("examples")
    if examples is None:
        raise InvalidRequest(
            f"JSON Value: {shown(document)} When method is {method}, key 'examples' is expected "
            "and was not found"
        )
    if not isinstance(examples, list) or not examples:
        raise InvalidRequest(
            f"JSON Value: {shown(document)} 'examples' must be a list with at least one example"
        )
    shared = _serialised(document["context"]) if "context" in document else b""
    return [shared + _serialised(it) for it in examples]


def classification_arrays(
    outputs: Tensors, count: int
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Classes and scores ``[count, classes]`` of a classify signature's outputs.

    Raises:
        InvalidRequest: Neither is there, or their shapes are wrong.
    """
    classes, scores = outputs.get("classes"), outputs.get("scores")
    if classes is None and scores is None:
        raise InvalidRequest(
            f"Expected classification signature outputs Map {{{','.join(outputs)}}} to have at "
            "least one of classes or scores"
        )
    for name, array in (("classes", classes), ("scores", scores)):
        if array is not None and (array.ndim != 2 or array.shape[0] != count):
            raise InvalidRequest(
                f"Expected Tensor {name} of shape [{count}, classes], got {list(array.shape)}"
            )
    if classes is not None and scores is not None and classes.shape != scores.shape:
        raise InvalidRequest(
            f"Tensors class and score should have equal shapes, got {list(classes.shape)} "
            f"and {list(scores.shape)}"
        )
    return classes, scores


def regression_values(outputs: Tensors, count: int) -> NDArray[Any]:
    """The values ``[count]`` of a regress signature's outputs.

    Raises:
        InvalidRequest: They are not there, or their shape is wrong.
    """
    values = outputs.get("outputs")
    if values is None:
        raise InvalidRequest(f"No regression outputs found in SignatureDef: {','.join(outputs)}")
    if values.shape not in {(count,), (count, 1)}:
        raise InvalidRequest(
            f"Expected Tensor outputs of shape [{count}] or [{count}, 1], got {list(values.shape)}"
        )
    return values.reshape(count)


def text_of(value: Any) -> str:
    """A string tensor's element as text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _serialised(example: Any) -> bytes:
    if not isinstance(example, dict):
        kind = _JSON_NAMES.get(type(example), type(example).__name__)
        raise InvalidRequest(f"Example must be JSON object but got JSON {kind}")
    message = example_pb2.Example()
    for name, value in example.items():
        values = value if isinstance(value, list) else [value]
        _fill(message.features.feature[_utf8(name)], name, values)
    serialised: bytes = message.SerializeToString()
    return serialised


def _fill(feature: Any, name: str, values: Sequence[Any]) -> None:
    field = None
    for value in values:
        kind, plain = _typed(name, value)
        if field is not None and kind != field:
            raise InvalidRequest(
                f"Unexpected element type in feature: {name} expecting type: {_TYPE_NAMES[field]}"
            )
        field = kind
        getattr(feature, kind).value.append(plain)


def _typed(name: str, value: Any) -> tuple[str, Any]:
    """The list that a JSON value goes into, and what goes there."""
    if isinstance(value, bool):
        return "int64_list", int(value)
    if isinstance(value, int):
        if not _INT64[0] <= value <= _INT64[1]:
            raise InvalidRequest(
                f"Feature: {name} has uint64_t element. Only int64_t is supported."
            )
        return "int64_list", value
    if isinstance(value, float):
        return "float_list", value
    if isinstance(value, str):
        return "bytes_list", _bytes(value)
    if is_b64(value):
        return "bytes_list", decode_b64(value["b64"])
    kind = _JSON_NAMES.get(type(value), type(value).__name__)
    raise InvalidRequest(f"Feature: {name} has element with unexpected JSON type: {kind}")


def _bytes(text: str) -> bytes:
    """A text's bytes as they came; a lone surrogate, which has none, is replaced."""
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="replace")


def _utf8(name: str) -> str:
    """A name that a message can hold: lone surrogates replaced."""
    return name.encode(errors="replace").decode()
