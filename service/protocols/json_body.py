"""JSON as TensorFlow Serving reads and writes it: NaN and Infinity are numbers too."""

from __future__ import annotations

import json
import re
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

# Tokens that RapidJSON takes and Python does not. Strings are matched too, to be left alone;
# also one without an end, or each quote in it would be looked at as the beginning of one.
_TOKENS: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|-?\bInf\b|-NaN\b', re.DOTALL)
_SPELT_OUT: Final = {"Inf": "Infinity", "-Inf": "-Infinity", "-NaN": "NaN"}


def parse(body: bytes) -> Any:
    """Parse a request's body.

    As in TensorFlow Serving, the tokens NaN, Inf and Infinity are accepted, with a minus too,
    and bytes after the value ignored. A string need not be UTF-8: what is not stands in it
    as Python's ``surrogateescape`` has it.

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
    text = body.decode(errors="surrogateescape")
    try:
        return _decoded(text)
    except json.JSONDecodeError as error:
        if "Inf" not in text and "-NaN" not in text:
            raise _said(error, error.pos) from error
        spelt_out = _TOKENS.sub(lambda token: _SPELT_OUT.get(token[0], token[0]), text)
    try:
        return _decoded(spelt_out)
    except json.JSONDecodeError as error:
        raise _said(error, _original(error.pos, text)) from error


def _decoded(text: str) -> Any:
    start = len(text) - len(text.lstrip(_JSON_SPACE))
    try:
        value, _ = _LENIENT.raw_decode(text, start)
    except json.JSONDecodeError:
        raise
    except RecursionError as error:
        raise InvalidRequest("JSON Parse error: nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits
        raise InvalidRequest(f"JSON Parse error: {error}") from error
    return value


def _said(error: json.JSONDecodeError, offset: int) -> InvalidRequest:
    said = _MESSAGES.get(error.msg, f"{error.msg}.")
    return InvalidRequest(f"JSON Parse error: {said} at offset: {offset}")


def _original(offset: int, text: str) -> int:
    """Where an offset was before the tokens were spelt out."""
    growth = 0
    for token in _TOKENS.finditer(text):
        if token.start() + growth >= offset:
            break
        growth += len(_SPELT_OUT.get(token[0], token[0])) - len(token[0])
    return offset - growth
