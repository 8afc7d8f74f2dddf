"""Compressed bodies: inflated up to a limit, and never past it; answers packed where asked."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Final

from werkzeug.http import parse_accept_header

from service.errors import InvalidRequest, PayloadTooLarge

if TYPE_CHECKING:
    from collections.abc import Mapping

_GZIP: Final = 16 + zlib.MAX_WBITS
_ZLIB: Final = zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
# Bytes below which an answer fits one packet anyway.
_WORTH_PACKING: Final = 1024
# Of zlib's levels the one that costs least: an answer waits for it.
_LEVEL: Final = 1


def inflate(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Undo a request's ``Content-Encoding``.

    Args:
        body: The body as it came.
        encoding: The header's value; empty and ``identity`` leave the body as it is.
        limit_bytes: The most that the body may have when inflated.

    Returns:
        The body as it was before it was compressed.

    Raises:
        InvalidRequest: The encoding is neither gzip nor deflate, or the body is not that.
        PayloadTooLarge: It is more than the limit.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if "gzip" in name:  # TensorFlow Serving takes application/gzip too
        return _inflate(body, name, _GZIP, limit_bytes)
    if name == "deflate":
        # The standard means zlib's form; some clients send the bare stream.
        bare = len(body) < 2 or body[0] & 0x0F != 8 or (body[0] * 256 + body[1]) % 31 != 0
        return _inflate(body, name, _RAW if bare else _ZLIB, limit_bytes)
    raise InvalidRequest(f"Content-Encoding is {name[:32]!r}; known: gzip, deflate")


def _inflate(body: bytes, name: str, window_bits: int, limit_bytes: int) -> bytes:
    inflating = zlib.decompressobj(window_bits)
    try:
        inflated = inflating.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not {name}: {error}") from error
    if len(inflated) > limit_bytes:
        raise PayloadTooLarge(f"the body has more than {limit_bytes} bytes when inflated")
    if not inflating.eof:
        raise InvalidRequest(f"the body is not {name}: it ends too early")
    if inflating.unused_data:  # further rows, perhaps: gzip may come in several parts
        more = len(inflating.unused_data)
        raise InvalidRequest(f"the body is not {name} in one part: {more} bytes lie behind its end")
    return inflated


def plain_body(headers: Mapping[str, str], body: bytes, limit_bytes: int) -> bytes:
    """A request's body without its ``Content-Encoding``; see ``inflate``."""
    encoding = headers.get("content-encoding", "")
    return inflate(body, encoding, limit_bytes) if encoding else body


def pack(body: bytes, accepted: str) -> tuple[bytes, str]:
    """Compress an answer, where its caller takes that and it is worth the time.

    Args:
        body: The answer's body.
        accepted: The request's ``Accept-Encoding``; empty where there is none.

    Returns:
        The body to send, and its ``Content-Encoding``; empty if it is as it was.
    """
    if not accepted or len(body) < _WORTH_PACKING:
        return body, ""
    quality = parse_accept_header(accepted).quality
    name = max(("gzip", "deflate"), key=quality)
    if quality(name) <= 0:
        return body, ""
    packed = gzip.compress(body, _LEVEL, mtime=0) if name == "gzip" else zlib.compress(body, _LEVEL)
    return packed, name
