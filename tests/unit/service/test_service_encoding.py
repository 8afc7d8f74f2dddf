"""Compressed bodies are inflated up to the limit and never past it."""

from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import HearthError, InvalidRequest, PayloadTooLarge
from service.http.encoding import inflate

LIMIT = 1000


def bare(body: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflating.compress(body) + deflating.flush()


PACK = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "GZIP", " gzip "])
@given(body=st.binary(max_size=LIMIT))
def test_what_was_packed_comes_out_again(encoding, body):
    packed = PACK[encoding.strip().lower()](body)

    assert inflate(packed, encoding, LIMIT) == body


@given(body=st.binary(min_size=1, max_size=LIMIT))
def test_a_bare_deflate_stream_is_taken_too(body):
    packed = bare(body)
    if packed[0] & 0x0F == 8 and int.from_bytes(packed[:2], "big") % 31 == 0:
        return  # by chance it looks like zlib's form, which then must be taken for it

    assert inflate(packed, "deflate", LIMIT) == body


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_a_plain_body_stays_as_it_is(encoding):
    assert inflate(b"\x1f\x8b plain", encoding, 1) == b"\x1f\x8b plain"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_is_stopped_at_the_limit(encoding):
    bomb = PACK[encoding](bytes(50_000_000))

    with pytest.raises(PayloadTooLarge, match="more than 1000 bytes when inflated"):
        inflate(bomb, encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_lies_behind_the_end_is_not_passed_over_in_silence(encoding):
    packed = PACK[encoding](b"6.1,91.7,18.7\n")

    with pytest.raises(InvalidRequest, match=f"{len(packed)} bytes lie behind its end"):
        inflate(packed * 2, encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_ends_too_early_is_refused(encoding):
    packed = PACK[encoding](b"0123456789" * 50)

    with pytest.raises(InvalidRequest, match="it ends too early"):
        inflate(packed[:-6], encoding, LIMIT)


def test_an_encoding_that_is_not_known_is_named():
    with pytest.raises(InvalidRequest, match="Content-Encoding is 'br'; known: gzip, deflate"):
        inflate(b"", "br", LIMIT)


@given(body=st.binary(max_size=200), encoding=st.sampled_from(["gzip", "deflate"]))
def test_no_body_however_mangled_raises_anything_else(body, encoding):
    with contextlib.suppress(HearthError):
        assert len(inflate(body, encoding, LIMIT)) <= LIMIT
