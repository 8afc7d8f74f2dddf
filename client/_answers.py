"""What an answer means: JSON where it is good, the right error where it is not."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from client._errors import (
    Denied,
    HearthError,
    InvalidRequest,
    NotFound,
    ServerFault,
    Unavailable,
)
from client._intervals import Interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client._transport import Request, Response

# Statuses that mean something else than their hundred does.
ERROR_OF: Final[Mapping[int, type[HearthError]]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    408: Unavailable,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}

# How servers name a row: "instances[3].RM ...", "... process element: 3 of ...".
_ROW: Final = re.compile(r"(?P<lead>instances\[|element: |item )(?P<row>\d+)")
_EXCERPT_CHARACTERS: Final = 200


def check(request: Request, response: Response) -> None:
    """Raise the error that a response stands for, if it does.

    Raises:
        HearthError: Of the class that the status belongs to.
    """
    if 200 <= response.status < 300:
        return
    message = _message(response)
    error = _class_of(response.status)(
        message,
        url=request.url,
        status=response.status,
        request_id=response.header("X-Request-Id"),
        row=_row(message),
    )
    if isinstance(error, Unavailable):
        error.retry_after_s = _retry_after_s(response)
    raise error


def decode(request: Request, response: Response) -> Any:
    """Read a good response's JSON.

    Raises:
        ServerFault: It is not JSON.
    """
    try:
        return json.loads(response.body)
    except ValueError as error:
        kind = response.header("Content-Type") or "an unnamed type"
        raise fault(
            request, response, f"the answer is {kind}, not JSON: is the address right?"
        ) from error


def prices(request: Request, response: Response, count: int) -> list[float]:
    """Read the predictions of a good response.

    Args:
        request: What was asked.
        response: What was answered.
        count: How many rows were sent.

    Returns:
        One price a row, in the target's unit.

    Raises:
        ServerFault: There are not as many, or they are not numbers.
    """
    found = listed(request, response, "predictions", count)
    try:
        return [_number(value) for value in found]
    except TypeError as error:
        raise fault(request, response, f"a prediction is not one number: {error}") from error


def intervals(request: Request, response: Response, count: int) -> list[Interval]:
    """Read the predictions of a good response to a question for intervals.

    Args:
        request: What was asked.
        response: What was answered.
        count: How many rows were sent.

    Returns:
        One a row, in the target's unit.

    Raises:
        ServerFault: There are not as many, or they have no bounds.
    """
    found = listed(request, response, "predictions", count)
    try:
        return [Interval.of(value) for value in found]
    except (KeyError, TypeError, ValueError) as error:
        excerpt = json.dumps(found[:1])[:_EXCERPT_CHARACTERS]
        message = f"the answer has no price with lower and upper bound: {excerpt}"
        raise fault(request, response, message) from error


def listed(request: Request, response: Response, key: str, count: int) -> list[Any]:
    """Read a list of a good response.

    Args:
        request: What was asked.
        response: What was answered.
        key: The list's key.
        count: How many rows were sent.

    Raises:
        ServerFault: It is not there, or not as long.
    """
    document = decode(request, response)
    found = document.get(key) if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) != count:
        held = len(found) if isinstance(found, list) else "no"
        raise fault(request, response, f"the answer holds {held} {key} for {count} rows")
    return found


def fault(request: Request, response: Response, message: str) -> ServerFault:
    """The error for an answer that no such server gives."""
    return ServerFault(
        message,
        url=request.url,
        status=response.status,
        request_id=response.header("X-Request-Id"),
    )


def renumber(error: HearthError, first: int) -> None:
    """Turn a chunk's row numbers, in an error about it, into the caller's.

    Args:
        error: What the server, or the encoder, said of the chunk; changed in place.
        first: The caller's number of the chunk's first row.
    """
    if error.row is None:
        return
    error.row += first
    error.message = _ROW.sub(
        lambda found: f"{found['lead']}{int(found['row']) + first}", error.message
    )


def _class_of(status: int) -> type[HearthError]:
    return ERROR_OF.get(status, ServerFault if status >= 500 else InvalidRequest)


def _message(response: Response) -> str:
    if 300 <= response.status < 400:
        return f"moved to {response.header('Location')}: use that address"
    try:
        return str(json.loads(response.body)["error"])
    except (ValueError, KeyError, TypeError):
        text = response.body[:_EXCERPT_CHARACTERS].decode("utf-8", "replace")
        return " ".join(text.split()) or "an answer without a body"


def _row(message: str) -> int | None:
    found = _ROW.search(message)
    return int(found["row"]) if found else None


def _retry_after_s(response: Response) -> float | None:
    value = response.header("Retry-After")
    try:
        return None if value is None else Retry().parse_retry_after(value)
    except InvalidHeader:
        return None


def _number(value: Any) -> float:
    """One price; networks that end in ``Dense(1)`` give a list of one."""
    if isinstance(value, list) and len(value) == 1:
        return _number(value[0])
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(repr(value)[:_EXCERPT_CHARACTERS])
    return float(value)
