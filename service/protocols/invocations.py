"""``/invocations``: what MLflow's scoring server and SageMaker's containers take and give.

A body is JSON in one of MLflow's four forms, CSV, or JSON Lines. Whatever its form, it
becomes rows or columns, and these the arrays of a signature: columns go by name, in any
order, and columns that the model does not know are passed over, as MLflow does.

References:
    mlflow/pyfunc/scoring_server/__init__.py, mlflow/utils/proto_json_utils.py;
    SageMaker's developer guide, "Custom inference code with hosting services".
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service import errors
from service.errors import InvalidRequest
from service.inference.columns import Columns as FeatureColumns
from service.inference.signature import DEFAULT_SIGNATURE
from service.protocols import json_body, tensorflow_serving
from service.protocols.json_tensors import dtype_of, is_b64, shown, to_array, type_name
from service.protocols.levels import LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.executor import Tensors
    from service.inference.signature import Signature, TensorSpec

JSON: Final = "application/json"
CSV: Final = "text/csv"
JSON_LINES: Final = "application/jsonlines"
PLAIN: Final = "text/plain; charset=utf-8"

# Each class of error, its HTTP status and MLflow's name for it (ErrorCode in
# mlflow/protos/databricks.proto); a subclass without a row has its parent's.
STATUS_OF: Final[Mapping[type[errors.HearthError], tuple[int, str]]] = {
    errors.InvalidRequest: (400, "INVALID_PARAMETER_VALUE"),
    errors.PayloadTooLarge: (413, "BAD_REQUEST"),
    errors.RequestTimeout: (408, "BAD_REQUEST"),
    errors.NotSupported: (501, "NOT_IMPLEMENTED"),
    errors.Unauthenticated: (401, "UNAUTHENTICATED"),
    errors.Forbidden: (403, "PERMISSION_DENIED"),
    errors.NotFound: (404, "RESOURCE_DOES_NOT_EXIST"),
    errors.RouteNotFound: (405, "ENDPOINT_NOT_FOUND"),
    errors.NotReady: (503, "TEMPORARILY_UNAVAILABLE"),
    errors.Overloaded: (429, "REQUEST_LIMIT_EXCEEDED"),
    errors.DeadlineExceeded: (504, "DEADLINE_EXCEEDED"),
    errors.InternalError: (500, "INTERNAL_ERROR"),
    errors.VersionRefused: (503, "TEMPORARILY_UNAVAILABLE"),
}
_MALFORMED: Final = "BAD_REQUEST"

_FORMS: Final = ("dataframe_split", "dataframe_records", "instances", "inputs")
_SPLIT_KEYS: Final = frozenset({"columns", "index", "data"})
# As Python reads numbers, but for underscores and digits of other scripts.
_NUMBER: Final = re.compile(r"(?ai)\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d{1,9})?|nan|inf(inity)?)\s*")
_WHOLE: Final = re.compile(r"(?a)\s*[+-]?\d{1,30}\s*")
_BOOLEANS: Final = {"true": True, "false": False}
_TYPE_ALIASES: Final = {"application/x-jsonlines": JSON_LINES}


@dataclass(frozen=True)
class Content:
    """What a request's Content-Type says.

    Attributes:
        type: ``application/json``, ``text/csv`` or ``application/jsonlines``; empty if refused.
        refusal: Why it is refused; empty if it is not.
    """

    type: str
    refusal: str = ""


@dataclass(frozen=True)
class Columns:
    """A table: columns of equal length, by name.

    Attributes:
        values: Their values: JSON's, or cells of text.
        place: What to call the table in an error, such as ``dataframe_records``.
        is_text: Whether the values are cells of CSV, still to be read as numbers.
    """

    values: Mapping[str, Sequence[Any]]
    place: str
    is_text: bool = False


@dataclass(frozen=True)
class Rows:
    """Rows whose columns have no names: their order is the model's.

    Attributes:
        values: A list of values, or lists of them to any depth.
        place: What to call them in an error.
        is_text: Whether the values are cells of CSV.
    """

    values: Sequence[Any]
    place: str
    is_text: bool = False


@dataclass(frozen=True)
class Inputs:
    """Whole inputs, as TensorFlow Serving's column form has them: a value, or one a name."""

    values: Any


@dataclass(frozen=True)
class Invocation:
    """A request, understood as far as without the signature.

    Attributes:
        data: What to predict for.
        signature_name: The signature asked for.
        level: Of the intervals asked for, as it stands there; None where none are.
    """

    data: Columns | Rows | Inputs
    signature_name: str = DEFAULT_SIGNATURE
    level: Any = None


def read_content_type(header: str | None) -> Content:
    """Read a Content-Type; without one a body is taken for JSON.

    Args:
        header: The header's value.
    """
    kind, *parameters = [part.strip() for part in (header or JSON).split(";")]
    values = {
        name.strip().lower(): value.strip().strip('"').lower()
        for name, _, value in (part.partition("=") for part in parameters if part)
    }
    if values.pop("charset", "utf-8") != "utf-8":
        return Content("", "The scoring server only supports UTF-8")
    if values:
        return Content("", f"Unrecognized content type parameters: {shown(', '.join(values))}")
    kind = _TYPE_ALIASES.get(kind.lower(), kind.lower())
    if kind not in {JSON, CSV, JSON_LINES}:
        return Content(
            "",
            "This predictor only supports the following content types: "
            f"{JSON}, {CSV}, {JSON_LINES}. Got {shown(kind)}.",
        )
    return Content(kind)


def parse(body: bytes, content_type: str) -> Invocation:
    """Read a request as far as it can be without the signature.

    Args:
        body: The body.
        content_type: One that ``read_content_type`` gave.

    Raises:
        InvalidRequest: It is not of that type, or none of the forms.
    """
    if content_type == CSV:
        return Invocation(_parse_csv(_text(body)))
    if content_type == JSON_LINES:
        lines = [line for line in _text(body).split("\n") if line.strip()]
        return Invocation(_rows([json_body.parse(line.encode()) for line in lines], "lines"))
    return _parse_json(json_body.parse(body))


def to_inputs(
    data: Columns | Rows | Inputs, signature: Signature, feature_names: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Turn what a request holds into the arrays that a signature takes.

    Args:
        data: The request's rows or columns.
        signature: The signature.
        feature_names: The contract's features, in the order of the batch's columns.

    Returns:
        An array for every input of the signature.

    Raises:
        InvalidRequest: Something does not fit the signature; the message says where.
    """
    if isinstance(data, Columns):
        return _from_columns(data, signature, feature_names)
    if isinstance(data, Rows):
        return _from_rows(data, signature, feature_names)
    return _from_inputs(data.values, signature, feature_names)


def encode(outputs: Tensors, content_type: str) -> bytes:
    """Write an answer: a prediction a row.

    Args:
        outputs: An array for every output.
        content_type: JSON, CSV (no header, an output's values one after another), or JSON
            Lines (a prediction a line).

    Raises:
        InvalidRequest: The outputs cannot be cut into rows.
    """
    answer = tensorflow_serving.encode_predict(outputs, by_row=True)
    if content_type == JSON:
        return answer
    predictions = json_body.parse(answer)["predictions"]
    if content_type == JSON_LINES:
        return b"".join(json_body.encode_leniently(it) + b"\n" for it in predictions)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(list(_cells(it)) for it in predictions)
    return text.getvalue().encode()


def encode_error(error: errors.HearthError, *, malformed: bool = False) -> tuple[int, bytes]:
    """The HTTP status and the body of an error, in MLflow's form without its stack trace.

    Args:
        error: The error.
        malformed: Whether the body could not be read at all, which MLflow tells from a
            body that does not suit the model.
    """
    status, code = next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)
    code = _MALFORMED if malformed and status == 400 else code
    return status, json_body.encode({"error_code": code, "message": error.message})


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8 at byte {error.start}") from error


def _parse_json(document: Any) -> Invocation:
    required = (
        "The input must be a JSON dictionary with exactly one of the input fields "
        f"{', '.join(_FORMS)}."
    )
    if not isinstance(document, dict):
        raise InvalidRequest(f"{required} Received {_kind(document)}.")
    given = [form for form in _FORMS if form in document]
    if len(given) != 1:
        names = shown(", ".join(document))
        raise InvalidRequest(f"{required} Received dictionary with input fields: {names}.")
    data = _READERS[given[0]](document[given[0]])
    asked = {**document, **_params(document)}
    return Invocation(data, _signature_name(asked), asked.get(LEVEL))


def _params(document: Mapping[str, Any]) -> Mapping[str, Any]:
    params = document.get("params")
    if params is not None and not isinstance(params, dict):
        raise InvalidRequest(f"params is {_kind(params)}, not an object")
    return params or {}


def _signature_name(asked: Mapping[str, Any]) -> str:
    name = asked.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(name, str):
        raise InvalidRequest(f"signature_name is {_kind(name)}, not a string")
    return name or DEFAULT_SIGNATURE


def _read_split(split: Any) -> Columns | Rows:
    place = "dataframe_split"
    if not isinstance(split, dict) or "data" not in split or not split.keys() <= _SPLIT_KEYS:
        got = shown(", ".join(split)) if isinstance(split, dict) else _kind(split)
        raise InvalidRequest(f"{place} must have data, and may have columns and index; got {got}")
    rows, names = split["data"], split.get("columns")
    _check_rows(rows, f"{place}.data")
    if names is None:
        return Rows(rows, f"{place}.data")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(f"{place}.columns must be a list of names, got {shown(names)}")
    return _named(names, rows, f"{place}.data")


def _read_records(records: Any) -> Columns | Rows:
    _check_rows(records, "dataframe_records")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise InvalidRequest(f"dataframe_records[{index}] is {_kind(record)}, not an object")
    return _records(records, "dataframe_records")


def _read_instances(instances: Any) -> Columns | Rows:
    _check_rows(instances, "instances")
    return _rows(instances, "instances")


def _read_inputs(inputs: Any) -> Columns | Rows | Inputs:
    if isinstance(inputs, list) and inputs and isinstance(inputs[0], dict):
        return _rows(inputs, "inputs")
    return Inputs(inputs)


_READERS: Final[Mapping[str, Callable[[Any], Columns | Rows | Inputs]]] = {
    "dataframe_split": _read_split,
    "dataframe_records": _read_records,
    "instances": _read_instances,
    "inputs": _read_inputs,
}


def _parse_csv(text: str) -> Columns | Rows:
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise InvalidRequest(f"the body is not CSV: {error}") from error
    if not lines:
        raise InvalidRequest("the CSV is empty")
    # MLflow's clients send names first; SageMaker's, by its custom, numbers only.
    if all(_NUMBER.fullmatch(cell) for cell in lines[0]):
        return Rows(lines, "rows", is_text=True)
    names, rows = [name.strip() for name in lines[0]], lines[1:]
    if not rows:
        raise InvalidRequest("the CSV has no row below its header")
    return _named(names, rows, "rows", is_text=True)


def _named(
    names: Sequence[str], rows: Sequence[Any], place: str, *, is_text: bool = False
) -> Columns:
    """Rows of equal width as columns."""
    if len(set(names)) < len(names):
        twice = next(name for name, times in Counter(names).items() if times > 1)
        raise InvalidRequest(f"the column {shown(twice)} is named more than once")
    for index, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(names):
            got = f"{len(row)} values" if isinstance(row, list) else _kind(row)
            raise InvalidRequest(f"{place}[{index}] has {got}, expected {len(names)} values")
    values = zip(*rows, strict=True)
    return Columns(dict(zip(names, values, strict=True)), place, is_text)


def _rows(rows: Sequence[Any], place: str) -> Columns | Rows:
    """Rows that may be objects or lists, but not both."""
    if not rows:
        raise InvalidRequest(f"there are no {place}")
    objects = [isinstance(row, dict) for row in rows]
    if any(objects) and not all(objects):
        wrong = objects.index(not objects[0])
        expected = "an object" if objects[0] else "a list"
        raise InvalidRequest(f"{place}[{wrong}] is {_kind(rows[wrong])}, not {expected}")
    # An object with the one name b64 stands for bytes.
    if not objects[0] or rows[0].keys() == {"b64"}:
        return Rows(rows, place)
    return _records(rows, place)


def _records(records: Sequence[Mapping[str, Any]], place: str) -> Columns:
    """Objects as columns; what only later ones have is passed over."""
    columns: dict[str, list[Any]] = {}
    for name in records[0]:
        for index, record in enumerate(records):
            if name not in record:
                raise InvalidRequest(f"{place}[{index}] lacks the column {shown(name)}")
        columns[name] = [record[name] for record in records]
    return Columns(columns, place)


def _check_rows(rows: Any, place: str) -> None:
    if not isinstance(rows, list):
        raise InvalidRequest(f"{place} is {_kind(rows)}, not a list")
    if not rows:
        raise InvalidRequest(f"{place} has no rows")


def _from_columns(
    table: Columns, signature: Signature, feature_names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    specs = signature.inputs
    if specs.keys() <= table.values.keys():
        return {name: _column(table, name, spec) for name, spec in specs.items()}
    if isinstance(feature_names, FeatureColumns):
        return {next(iter(specs)): feature_names.stacked(table.values, table.place)}
    wanted = _wanted(table, signature, feature_names)
    missing = [name for name in wanted if name not in table.values]
    if missing:
        raise InvalidRequest(f"missing columns: {', '.join(missing)}; needed: {', '.join(wanted)}")
    name, spec = next(iter(specs.items()))
    columns = [_column(table, column, spec) for column in wanted]
    for column, array in zip(wanted, columns, strict=True):
        if array.ndim != 1:
            raise InvalidRequest(f"{table.place}[0].{column} is a list, not a value")
    return {name: np.stack(columns, axis=1)}


def _cell(text: str) -> Any:
    """A cell without a column's name: a number if it looks like one, as in a batch."""
    return float(text) if _NUMBER.fullmatch(text) else text


def _wanted(table: Columns, signature: Signature, feature_names: Sequence[str]) -> Sequence[str]:
    """The columns that make the batch, or the inputs to say that they are missing."""
    if feature_names:
        return feature_names
    specs = list(signature.inputs.values())
    if len(specs) == 1 and specs[0].shape is not None and len(specs[0].shape) == 2:
        return list(table.values)  # a batch for whose columns the model has no names
    return list(signature.inputs)


def _column(table: Columns, name: str, spec: TensorSpec) -> NDArray[Any]:
    values: Sequence[Any] = list(table.values[name])
    if table.is_text:
        values = [
            _read_cell(cell, spec, f"{table.place}[{index}].{name}")
            for index, cell in enumerate(values)
        ]
    return _array(values, spec, lambda row: f"{table.place}[{row}].{name}: ")


def _from_rows(
    rows: Rows, signature: Signature, feature_names: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    if len(signature.inputs) != 1:
        raise InvalidRequest(
            f"{rows.place} has no column names; needed: {', '.join(signature.inputs)}"
        )
    name, spec = next(iter(signature.inputs.items()))
    values = rows.values
    if isinstance(feature_names, FeatureColumns):
        values = [[_cell(it) for it in row] for row in values] if rows.is_text else values
        values = feature_names.rows(values, rows.place)
    elif rows.is_text:
        values = [
            [_read_cell(cell, spec, f"{rows.place}[{index}]") for cell in row]
            for index, row in enumerate(values)
        ]
    return {name: _array(values, spec, lambda row: f"{rows.place}[{row}]: ")}


def _from_inputs(
    values: Any, signature: Signature, feature_names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    specs = signature.inputs
    if isinstance(values, dict) and specs.keys() <= values.keys():
        return {
            name: _array(values[name], spec, lambda row, name=name: f"inputs.{name}[{row}]: ")  # type: ignore[misc]
            for name, spec in specs.items()
        }
    if isinstance(values, dict) and not is_b64(values):
        return _from_columns(_columns(values), signature, feature_names)
    if len(specs) != 1:
        raise InvalidRequest(f"inputs is {_kind(values)}; needed: {', '.join(specs)}")
    name, spec = next(iter(specs.items()))
    return {name: _array(values, spec, lambda row: f"inputs[{row}]: ")}


def _columns(values: Mapping[str, Any]) -> Columns:
    for name, column in values.items():
        if not isinstance(column, list):
            raise InvalidRequest(f"inputs.{name} is {_kind(column)}, not a list")
    lengths = {name: len(column) for name, column in values.items()}
    if len(set(lengths.values())) > 1:
        raise InvalidRequest(f"the columns of inputs differ in length: {shown(lengths)}")
    return Columns(values, "inputs")


def _array(values: Any, spec: TensorSpec, place: Callable[[int], str]) -> NDArray[Any]:
    """An array of the input's type; a number that the type cannot hold is refused."""
    array = to_array(values, spec, place)
    if array.dtype.kind == "f" and np.isinf(array).any():
        lost = np.isinf(array) & np.isfinite(np.array(values, np.float64))
        if lost.any():
            row = int(np.argwhere(lost)[0][0]) if lost.ndim else 0
            raise InvalidRequest(f"{place(row)}a number is too large for type {type_name(spec)}")
    return array


def _read_cell(cell: str, spec: TensorSpec, place: str) -> Any:
    kind = dtype_of(spec).kind
    if kind == "f" and _NUMBER.fullmatch(cell):
        return float(cell)
    if kind in "iu" and _WHOLE.fullmatch(cell):
        return int(cell)
    if kind == "b" and cell.strip().lower() in _BOOLEANS:
        return _BOOLEANS[cell.strip().lower()]
    if kind == "O":
        return cell
    raise InvalidRequest(f"{place} is {shown(cell)}, not of type {type_name(spec)}")


def _cells(prediction: Any) -> Iterator[Any]:
    """The values of a prediction, however nested, one after another."""
    if isinstance(prediction, dict):
        prediction = list(prediction.values())
    if not isinstance(prediction, list):
        yield prediction
        return
    for value in prediction:
        yield from _cells(value)


def _kind(value: Any) -> str:
    """What a JSON value is, without showing it."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
