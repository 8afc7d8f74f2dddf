"""TensorFlow Serving's REST: routes, predict requests and answers, status, metadata, errors.

Beyond it, an instance may be an object of feature names where the version carries a
contract.

References:
    tensorflow_serving/model_servers/http_rest_api_util.cc.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec
import numpy as np
import orjson
from google.protobuf import json_format

from service import errors
from service.errors import InvalidRequest
from service.inference.columns import Columns
from service.inference.signature import DEFAULT_SIGNATURE
from service.messages import types_pb2
from service.protocols import json_body
from service.protocols.examples import classification_arrays, regression_values, text_of
from service.protocols.json_tensors import (
    convert,
    dtype_of,
    is_b64,
    is_plain,
    shown,
    to_array,
    to_matrix,
    to_plain,
)
from service.protocols.levels import LEVEL
from service.protocols.number_block import WORTH_BYTES, NumberBlock, read_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.inference.signature import Signature, TensorSpec
    from service.repository.repository import Repository
    from service.repository.version import ModelVersion, VersionStatus

# Each class of error and its HTTP status; a subclass without a row has its parent's.
STATUS_OF: Final[Mapping[type[errors.HearthError], int]] = {
    errors.InvalidRequest: 400,
    errors.PayloadTooLarge: 413,
    errors.RequestTimeout: 408,
    errors.NotSupported: 501,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.NotReady: 503,
    errors.Overloaded: 429,
    errors.DeadlineExceeded: 504,
    errors.InternalError: 500,
    errors.VersionRefused: 503,
}

_POST: Final = re.compile(
    r"(?ai)/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
    r"(?-i::(classify|regress|predict|explain|feedback))"
)
_GET: Final = re.compile(
    r"(?ai)/v1/models(?:/([^/:]+))?(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
    r"(?:/(metadata|contract|partial_dependence|drift))?"
)
# The beginning of a request that may be one block of numbers and no more: the signature's
# name, the block's key and, of inputs, the input's name.
_ONE_BLOCK: Final = re.compile(
    rb'\s*\{\s*(?:"signature_name"\s*:\s*"([\w.:/-]*)"\s*,\s*)?'
    rb'"(instances|inputs)"\s*:\s*(?:\{\s*"([\w.:/-]+)"\s*:\s*)?\['
)
_MAX_VERSION: Final = 2**63 - 1
_MAX_DIGITS: Final = 100  # leading zeros count for nothing


@dataclass(frozen=True)
class Route:
    """What a path below ``/v1`` asks for.

    Attributes:
        verb: ``predict``, ``classify``, ``regress``, ``explain``, ``feedback``, ``status``,
            ``metadata``, ``contract``, ``partial_dependence``, ``drift`` or ``models``.
        model: The model's name; empty for ``models``.
        version: The version's number, where the path gives one.
        label: The version's label, where the path gives one.
    """

    verb: str
    model: str
    version: int | None = None
    label: str | None = None


class InferenceRequest(msgspec.Struct, frozen=True, gc=False):
    """A predict, classify or regress request, understood as far as without the signature.

    Attributes:
        signature_name: The signature asked for.
        document: The whole JSON object.
        level: Of the intervals asked for, as it stands there; None where none are.
    """

    signature_name: str
    document: Mapping[str, Any]
    level: Any = None

    @property
    def by_row(self) -> bool:
        """Whether it lists instances; else it names inputs."""
        return "instances" in self.document


# A service has few paths, and each request's is read once or twice.
@lru_cache(maxsize=1024)
def parse_route(method: str, path: str, query: str = "") -> Route:
    """Read method and path.

    Args:
        method: The HTTP method.
        path: The path as it came, still percent-encoded.
        query: What stood behind the question mark. TensorFlow Serving takes none.

    Raises:
        InvalidRequest: Neither a route of TensorFlow Serving nor one of the additions.
    """
    target = f"{path}?{query}" if query else path
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    match = pattern.fullmatch(target) if pattern is not None else None
    if match is None:
        raise InvalidRequest(f"Malformed request: {method} {target}")
    model, number, label, verb = match.groups()
    if number is not None and len(number) > _MAX_DIGITS:
        raise InvalidRequest(f"version {number} has over {_MAX_DIGITS} digits")
    if number is not None and int(number) > _MAX_VERSION:
        raise InvalidRequest(f"version {number} is over the limit {_MAX_VERSION}")
    if model is None:
        if number or label or verb:
            raise InvalidRequest("Missing model name in request.")
        return Route("models", "")
    return Route(
        verb=verb.lower() if verb else "status",
        model=unquote(model),
        version=None if number is None else int(number),
        label=None if label is None else unquote(label),
    )


def parse_inference(body: bytes) -> InferenceRequest:
    """Read a predict, classify or regress request as far as it can be without the signature.

    Whether it has instances or inputs is checked later, by ``to_inputs``: of an unknown
    model that is said first.

    Raises:
        InvalidRequest: It is not a JSON object, or its signature name no text.
    """
    document = _numbers_alone(body) or json_body.parse(body)
    if not isinstance(document, dict):
        raise InvalidRequest(f"JSON Value: {shown(document)} Is not object")
    name = document.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise InvalidRequest(
            f"JSON Value: {shown(document)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return InferenceRequest(name or DEFAULT_SIGNATURE, document, document.get(LEVEL))


def parse_rows(body: bytes, feature_names: Sequence[str]) -> NDArray[np.float32] | None:
    """Read a predict request of nothing but rows of as many numbers each, or of features by name.

    Returns:
        float32 ``[n, k]``, as ``to_inputs`` gives it for one input of this type; None for any
        other request, and for one that is no JSON.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if type(document) is not dict or len(document) != 1:
        return None
    rows = document.get("instances")
    if type(rows) is list and rows and type(rows[0]) is dict:
        rows = _ordered(rows, feature_names)
    return to_matrix(rows)


def _ordered(rows: Sequence[Any], names: Sequence[str]) -> list[list[Any]] | None:
    """The values of rows that have all features and no more, in their order; else None."""
    try:
        if not names or any(len(row) != len(names) for row in rows):
            return None
        return [[row[name] for name in names] for row in rows]
    except (KeyError, TypeError):
        return None


def encode_rows(output: NDArray[Any]) -> bytes | None:
    """Write what ``encode_predict`` writes by row of one output; None if it is unusual."""
    text = json_body.encode({"predictions": output})
    return None if b"null" in text else text


def _numbers_alone(body: bytes) -> dict[str, Any] | None:
    """A large predict request of nothing but a block of numbers; None for any other."""
    if len(body) < WORTH_BYTES:
        return None
    match = _ONE_BLOCK.match(body)
    if match is None or body.count(b'"', match.end()):
        return None
    signature, key, name = (it.decode() for it in match.groups(default=b""))

    def plain() -> Any:
        value = json_body.parse(body)[key]
        return value[name] if name else value

    block = read_block(body, *filter(None, (key, name)), plain=plain)
    if block is None:
        return None
    return {"signature_name": signature, key: {name: block} if name else block}


def to_inputs(
    request: InferenceRequest, signature: Signature, feature_names: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Turn a request into the arrays that a signature takes.

    Args:
        request: The request.
        signature: The signature that it names.
        feature_names: The contract's features, in the order of the batch's columns;
            instances may then be objects of these names.

    Returns:
        An array for every input of the signature.

    Raises:
        InvalidRequest: Something in it does not fit the signature; the message says where.
    """
    document = request.document
    if "inputs" in document and "instances" in document:
        raise InvalidRequest(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist "
        )
    if isinstance(feature_names, Columns):
        document = _read(document, signature, feature_names)
    if "instances" in document:
        return _from_rows(document["instances"], signature, feature_names)
    if "inputs" in document:
        return _from_columns(document["inputs"], signature, feature_names)
    raise InvalidRequest("Missing 'inputs' or 'instances' key")


def written(request: InferenceRequest, feature_names: Sequence[str], row: int, column: int) -> str:
    """What a request that ``to_inputs`` has read has in one place of the batch, as text.

    Args:
        request: The request.
        feature_names: As for ``to_inputs``.
        row: The row of the batch.
        column: Its column.
    """
    name = feature_names[column]
    given: Any = request.document.get("instances", request.document.get("inputs"))
    if isinstance(given, dict):
        if name in given:
            return str(given[name][row])
        (given,) = given.values()
    one = (given.plain() if isinstance(given, NumberBlock) else given)[row]
    if isinstance(one, dict) and name not in one:
        (one,) = one.values()
    return str(one[name] if isinstance(one, dict) else one[column])


def encode_predict(outputs: Tensors, *, by_row: bool) -> bytes:
    """Write a predict answer.

    Args:
        outputs: An array for every output.
        by_row: One entry an instance; else one entry an output.

    Raises:
        InvalidRequest: The outputs cannot be cut into rows.
    """
    if by_row:
        _check_rows(outputs)
    if all([is_plain(it) for it in outputs.values()]):  # noqa: C419 - a generator costs more
        text = json_body.encode(_predicted(outputs, by_row=by_row))
        if b"null" not in text:
            return text
    # Strings, or numbers that are not finite: standard JSON has none of the latter.
    plain = {name: to_plain(name, it) for name, it in outputs.items()}
    return json_body.encode_leniently(_predicted(plain, by_row=by_row))


def encode_classify(outputs: Tensors, count: int) -> bytes:
    """Write a classify answer: for each example its pairs of label and score.

    Raises:
        InvalidRequest: The outputs are not those of a classifier.
    """
    classes, scores = classification_arrays(outputs, count)
    shape = classes.shape if classes is not None else scores.shape  # type: ignore[union-attr]
    labels = np.full(shape, "", object) if classes is None else classes
    numbers = to_plain("scores", scores if scores is not None else np.zeros(shape, np.float32))
    results = [
        [[text_of(label), number] for label, number in zip(*row, strict=True)]
        for row in zip(labels.tolist(), numbers, strict=True)
    ]
    return json_body.encode_leniently({"results": results})


def encode_regress(outputs: Tensors, count: int) -> bytes:
    """Write a regress answer: a number for each example.

    Raises:
        InvalidRequest: The outputs are not those of a regressor.
    """
    values = regression_values(outputs, count)
    return json_body.encode_leniently({"results": to_plain("outputs", values)})


def find_version(
    repository: Repository, model: str, version: int | None, label: str | None = None
) -> ModelVersion:
    """The version that answers a request.

    Args:
        repository: The models.
        model: The model's name.
        version: A number. OpenVINO's clients send 0 for the default version, so that 0
            stands for None unless a version 0 is served.
        label: A label instead of a number.

    Raises:
        ModelNotFound: It is not served.
        InvalidRequest: The label is not known.
    """
    try:
        return repository.find(model, version, label)
    except errors.ModelNotFound:
        if version != 0:
            raise
    return repository.find(model)


def find_statuses(repository: Repository, model: str, version: int | None) -> list[VersionStatus]:
    """Where the versions of a model stand, newest first; 0 is as in ``find_version``.

    Raises:
        ModelNotFound: Nothing is known of the model or of this version.
    """
    try:
        return repository.statuses(model, version)
    except errors.ModelNotFound:
        if version != 0:
            raise
    return repository.statuses(model)


def encode_status(
    statuses: Iterable[VersionStatus], readiness: Mapping[str, Any] | None = None
) -> bytes:
    """Write the answer to a status request, versions in the order given.

    Args:
        statuses: Where each version stands.
        readiness: What KServe's V1 protocol has in the same place, beside it.
    """
    return json_body.encode(
        {
            **(readiness or {}),
            "model_version_status": [
                {
                    "version": str(status.version),
                    "state": str(status.state),
                    "status": {
                        "error_code": "UNKNOWN" if status.error else "OK",
                        "error_message": status.error,
                    },
                }
                for status in statuses
            ],
        }
    )


def encode_metadata(model: str, version: int, signatures: Mapping[str, Signature]) -> bytes:
    """Write the answer to a metadata request, as protobuf's own JSON has it."""
    definitions = {
        name: {
            "inputs": {alias: _tensor_info(it) for alias, it in signature.inputs.items()},
            "outputs": {alias: _tensor_info(it) for alias, it in signature.outputs.items()},
            "method_name": signature.method_name,
            "defaults": {alias: _tensor(it) for alias, it in signature.defaults.items()},
        }
        for name, signature in signatures.items()
    }
    return json_body.encode(
        {
            "model_spec": {"name": model, "signature_name": "", "version": str(version)},
            "metadata": {"signature_def": {"signature_def": definitions}},
        }
    )


def encode_error(error: errors.HearthError) -> tuple[int, bytes]:
    """The HTTP status and the body of an error."""
    status = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    return status, json_body.encode({"error": error.message})


def _from_rows(
    rows: Any, signature: Signature, feature_names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    if isinstance(rows, NumberBlock):
        return _from_plain_rows(rows, signature)
    if signature.only_input is not None:
        name, spec = signature.only_input
        matrix = to_matrix(rows) if spec.is_float32 else None
        if matrix is not None:
            return {name: matrix}
    if not isinstance(rows, list):
        raise InvalidRequest(f"JSON Value: {shown(rows)} Expecting 'instances' to be an list/array")
    if not rows:
        raise InvalidRequest("JSON Value: [] No values in 'instances' array")
    if not _are_objects(rows, signature):
        return _from_plain_rows(rows, signature)
    if feature_names and len(signature.inputs) == 1 and not set(rows[0]) & set(signature.inputs):
        return _from_feature_rows(rows, signature, feature_names)
    return _from_object_rows(rows, signature)


def _read(document: Mapping[str, Any], signature: Signature, columns: Columns) -> dict[str, Any]:
    """A request with categories and missing values in the form of one without."""
    read = {"instances": _read_rows, "inputs": _read_inputs}
    return {
        key: read[key](value, signature, columns) if key in read else value
        for key, value in document.items()
    }


def _read_rows(rows: Any, signature: Signature, columns: Columns) -> Any:
    """Rows with categories and missing values as the signature takes them."""
    if len(signature.inputs) == 1:
        return columns.rows(rows, "instances")
    if not isinstance(rows, list):
        return rows
    return [columns.filled(row) if isinstance(row, dict) else row for row in rows]


def _are_objects(rows: Sequence[Any], signature: Signature) -> bool:
    """Whether each row is an object of inputs; rows of both kinds are refused."""
    # For a lone input of strings, {"b64": ...} is a value and no row object.
    text = (
        len(signature.inputs) == 1 and dtype_of(next(iter(signature.inputs.values()))).kind == "O"
    )
    flags = [isinstance(row, dict) and not (text and is_b64(row)) for row in rows]
    if not all(flags) and any(flags):
        wrong = flags.index(not flags[0])
        expected = "object but got list" if flags[0] else "value/list but got object"
        raise InvalidRequest(f"Expecting {expected} at item {wrong} of input list")
    return flags[0]


def _from_plain_rows(
    rows: Sequence[Any] | NumberBlock, signature: Signature
) -> dict[str, NDArray[Any]]:
    if not signature.inputs:
        raise InvalidRequest("instances is a plain list, but the signature takes no inputs")
    if len(signature.inputs) > 1:
        raise InvalidRequest(
            "instances is a plain list, but expecting list of objects as multiple input "
            "tensors required as per tensorinfo_map"
        )
    name, spec = next(iter(signature.inputs.items()))
    return {
        name: to_array(
            rows,
            spec,
            lambda row: (
                f"Failed to process element: {row} of 'instances' list. Error: INVALID_ARGUMENT: "
            ),
        )
    }


def _from_object_rows(
    rows: Sequence[Mapping[str, Any]], signature: Signature
) -> dict[str, NDArray[Any]]:
    names = signature.inputs.keys()
    for index, row in enumerate(rows):
        if row.keys() != names:
            _refuse_keys(index, row, signature)
    return {
        name: to_array(
            [row[name] for row in rows],
            spec,
            lambda row, name=name: (
                f"Failed to process element: {row} key: {name} of 'instances' "  # type: ignore[misc]
                "list. Error: INVALID_ARGUMENT: "
            ),
        )
        for name, spec in signature.inputs.items()
    }


def _refuse_keys(index: int, row: Mapping[str, Any], signature: Signature) -> None:
    start = f"Failed to process element: {index} of 'instances' list. JSON object: "
    for name in row:
        if name not in signature.inputs:
            raise InvalidRequest(f"{start}does not have named input: {name}")
    raise InvalidRequest(f"{start}{shown(row)} keys must be equal to: {','.join(signature.inputs)}")


def _from_feature_rows(
    rows: Sequence[Mapping[str, Any]], signature: Signature, feature_names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    name, spec = next(iter(signature.inputs.items()))
    known = set(feature_names)
    for index, row in enumerate(rows):
        if row.keys() != known:
            _refuse_features(index, row, feature_names)
    batch = [[row[feature] for feature in feature_names] for row in rows]
    for index, values in enumerate(batch):
        if not {float, int}.issuperset(map(type, values)):
            _refuse_non_number(index, values, feature_names)
    matrix = to_matrix(batch) if spec.is_float32 else None
    return {name: convert(batch, spec) if matrix is None else matrix}


def _refuse_features(index: int, row: Mapping[str, Any], feature_names: Sequence[str]) -> None:
    place = f"instances[{index}]"
    names = ", ".join(feature_names)
    unknown = [name for name in row if name not in feature_names]
    if unknown:
        raise InvalidRequest(f"{place} has the unknown feature {unknown[0][:64]}; known: {names}")
    missing = [name for name in feature_names if name not in row]
    raise InvalidRequest(f"{place} lacks the feature {missing[0]}; needed: {names}")


def _refuse_non_number(index: int, values: Sequence[Any], feature_names: Sequence[str]) -> None:
    for feature, value in zip(feature_names, values, strict=True):
        if type(value) not in {float, int}:
            raise InvalidRequest(f"instances[{index}].{feature} is {shown(value)}, not a number")


def _from_columns(
    columns: Any, signature: Signature, feature_names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    specs = signature.inputs
    if len(specs) == 1:
        name, spec = next(iter(specs.items()))
        bare = not isinstance(columns, dict) or (dtype_of(spec).kind == "O" and is_b64(columns))
        if bare:
            return {name: to_array(columns, spec, lambda _: "")}
        if feature_names and columns.keys() == set(feature_names):
            return {name: _from_feature_columns(columns, spec, feature_names)}
    if not isinstance(columns, dict):
        raise InvalidRequest(
            "inputs is a plain value/list, but expecting an object as multiple input tensors "
            "required as per tensorinfo_map"
        )
    for name in specs:
        if name not in columns:
            raise InvalidRequest(f"Missing named input: {name} in 'inputs' object.")
    return {name: to_array(columns[name], spec, lambda _: "") for name, spec in specs.items()}


def _read_inputs(given: Any, signature: Signature, columns: Columns) -> Any:
    """Inputs with categories and missing values as the signature takes them."""
    if len(signature.inputs) > 1:
        return columns.filled(given) if isinstance(given, dict) else given
    name = next(iter(signature.inputs))
    if not isinstance(given, dict):
        return columns.rows(given, "inputs")
    by_column = all(isinstance(it, list) for it in given.values())
    if given and given.keys() <= set(columns) and by_column:
        return columns.stacked(given, "inputs").tolist()
    return {it: columns.rows(rows, name) if it == name else rows for it, rows in given.items()}


def _from_feature_columns(
    columns: Mapping[str, Any], spec: TensorSpec, feature_names: Sequence[str]
) -> NDArray[Any]:
    values = [
        to_array(columns[name], spec, lambda _, name=name: f"inputs.{name}: ")  # type: ignore[misc]
        for name in feature_names
    ]
    shapes = {name: list(it.shape) for name, it in zip(feature_names, values, strict=True)}
    if values[0].ndim != 1 or any(it.shape != values[0].shape for it in values):
        raise InvalidRequest(f"inputs has columns of the shapes {shapes}, expected [n] each")
    return np.stack(values, axis=1)


def _check_rows(outputs: Tensors) -> None:
    length = None
    for name, array in outputs.items():
        if array.ndim == 0:
            raise InvalidRequest(f"Tensor name: {name} has no shape information ")
        if length is not None and len(array) != length:
            raise InvalidRequest(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {length}"
            )
        length = len(array)


def _predicted(outputs: Mapping[str, Any], *, by_row: bool) -> dict[str, Any]:
    return {"predictions": _to_rows(outputs)} if by_row else {"outputs": _only(outputs)}


def _to_rows(outputs: Mapping[str, Any]) -> Any:
    if len(outputs) == 1:
        return _only(outputs)
    names = list(outputs)
    return [dict(zip(names, row, strict=True)) for row in zip(*outputs.values(), strict=True)]


def _only(outputs: Mapping[str, Any]) -> Any:
    """A lone output goes without its name."""
    return next(iter(outputs.values())) if len(outputs) == 1 else dict(outputs)


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    dims = [{"size": str(size), "name": ""} for size in spec.shape or ()]
    return {
        "dtype": types_pb2.DataType.Name(spec.dtype),
        "tensor_shape": {"dim": dims, "unknown_rank": spec.shape is None},
        "name": spec.name,
    }


def _tensor(proto: Any) -> dict[str, Any]:
    """A tensor as protobuf's own JSON has it, empty fields included."""
    tensor: dict[str, Any] = json_format.MessageToDict(
        proto, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )
    return tensor
