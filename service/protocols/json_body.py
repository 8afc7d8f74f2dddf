"""JSON as TensorFlow Serving reads and writes it: NaN and Infinity are numbers too."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from service.errors import InvalidRequest

# What Python's parser says, and what TensorFlow Serving's (RapidJSON) says of the same.
_MESSAGES: Final = {
    "Expecting value": "Invalid value.",
    "Expecting ',' delimiter": "Missing a comma or a closing bracket after an element.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}

_LENIENT: Final = json.JSONDecoder()
_JSON_SPACE: Final = " \t\n\r"
_BOM: Final = b"\xef\xbb\xbf"


def parse(body: bytes) -> Any:
    """Parse a request's body.

    The tokens NaN, Infinity and -Infinity are accepted and bytes after the value
    ignored, as TensorFlow Serving does.

    Raises:
        InvalidRequest: It is not JSON; the message says where.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return _parse_leniently(body.removeprefix(_BOM))


def encode(value: Any) -> bytes:
    """Write an answer: dicts, lists, numbers, text and NumPy arrays of numbers.

    The caller must have made sure that no array holds NaN or infinity: see
    ``encode_leniently``.
    """
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_leniently(value: Any) -> bytes:
    """Write an answer of plain lists in which numbers may be NaN, Infinity or -Infinity."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _parse_leniently(body: bytes) -> Any:
    if not body.strip():
        raise InvalidRequest("JSON Parse error: The document is empty")
    try:
        text = body.decode()
        start = len(text) - len(text.lstrip(_JSON_SPACE))
        value, _ = _LENIENT.raw_decode(text, start)
    except json.JSONDecodeError as error:
        said = _MESSAGES.get(error.msg, f"{error.msg}.")
        raise InvalidRequest(f"JSON Parse error: {said} at offset: {error.pos}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"JSON Parse error: not UTF-8 ({error.reason}). at offset: {error.start}"
        ) from error
    except RecursionError as error:
        raise InvalidRequest("JSON Parse error: nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise InvalidRequest(f"JSON Parse error: {error}") from error
    return value
