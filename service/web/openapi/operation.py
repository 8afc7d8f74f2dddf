"""One operation of the document, and what many of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

JSON: Final = "application/json"
ERROR: Final = {"$ref": "#/components/schemas/Error"}
_MLFLOW_ERROR: Final = {"$ref": "#/components/schemas/MLflowError"}


def record(properties: Mapping[str, Any], *, optional: Container[str] = ()) -> dict[str, Any]:
    """The form of an object that has all of these properties but the optional ones."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
    }


SHARED_SCHEMAS: Final[Mapping[str, Any]] = {
    "Error": record({"error": {"type": "string", "description": "Place, value and limit."}}),
    "MLflowError": record({"error_code": {"type": "string"}, "message": {"type": "string"}}),
}

_REASONS: Final = {
    400: "The request is wrong: the message says place, value and limit.",
    401: "A key or token is needed, where callers are named.",
    403: "This caller may not do this.",
    404: "What was asked for is not there.",
    408: "The body did not arrive in time.",
    413: "The body is over the limit.",
    429: "Too much is asked at once: come again after Retry-After.",
    500: "A fault of the service; the message has the request id.",
    501: "Nothing here can do what is asked.",
    503: "Not ready.",
    504: "The answer took longer than allowed.",
}


def _response(status: int, schema: Any) -> dict[str, Any]:
    return {"description": _REASONS[status], "content": {JSON: {"schema": schema}}}


SHARED_RESPONSES: Final[Mapping[str, Any]] = {
    **{f"Error{status}": _response(status, ERROR) for status in _REASONS},
    **{f"MLflowError{status}": _response(status, _MLFLOW_ERROR) for status in _REASONS},
}
_ALWAYS: Final = (401, 403, 408, 413, 500, 504)


def errors(*statuses: int, form: str = "Error") -> dict[str, Any]:
    """Responses of the errors that a route may answer, and of those that any may."""
    return {
        str(status): {"$ref": f"#/components/responses/{form}{status}"}
        for status in sorted({*statuses, *_ALWAYS})
    }


def answer(description: str, schema: Any = None, example: Any = None) -> dict[str, Any]:
    """A JSON response.

    Args:
        description: What it is.
        schema: Its form; None for any.
        example: One of it, or None.
    """
    content: dict[str, Any] = {"schema": {} if schema is None else schema}
    if example is not None:
        content["example"] = example
    return {"description": description, "content": {JSON: content}}


def json_body(schema: Any, example: Any = None) -> dict[str, Any]:
    """A required JSON body."""
    content = {"schema": schema} | ({} if example is None else {"example": example})
    return {"required": True, "content": {JSON: content}}


def operation(
    tag: str,
    identifier: str,
    summary: str,
    responses: Mapping[str, Any],
    *,
    body: Mapping[str, Any] | None = None,
    parameters: Sequence[Any] = (),
) -> dict[str, Any]:
    """One operation.

    Args:
        tag: The protocol that it belongs to.
        identifier: Its name, unique in the document.
        summary: One sentence.
        responses: By status.
        body: The request's body.
        parameters: What varies in its path.
    """
    made: dict[str, Any] = {
        "tags": [tag],
        "operationId": identifier,
        "summary": summary,
        "responses": dict(responses),
    }
    if parameters:
        made["parameters"] = list(parameters)
    if body is not None:
        made["requestBody"] = dict(body)
    return made


def in_path(name: str, schema: Any, description: str) -> dict[str, Any]:
    """A parameter of a path."""
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": schema,
    }
