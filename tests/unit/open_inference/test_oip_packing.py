"""Answers are packed for those who ask, whatever they ask."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st

from service.http.encoding import pack

UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress, "": bytes}
LONG = b"0123456789" * 200
# What a header can hold: gunicorn decodes it as latin-1 and lets no control characters in.
HEADERS = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)


@given(body=st.binary(max_size=3000), accepted=st.sampled_from(["gzip", "deflate", "*", "br", ""]))
def test_what_is_packed_comes_out_again(body, accepted):
    packed, encoding = pack(body, accepted)

    assert UNPACK[encoding](packed) == body


@given(accepted=HEADERS | st.builds("gzip;q={}".format, HEADERS))
def test_no_header_however_mangled_is_an_error(accepted):
    packed, encoding = pack(LONG, accepted)

    assert UNPACK[encoding](packed) == LONG


def test_gzip_is_taken_where_both_will_do():
    assert pack(LONG, "gzip, deflate")[1] == "gzip"
    assert pack(LONG, "deflate, gzip")[1] == "gzip"


def test_an_answer_is_packed_alike_at_any_time(monkeypatch):
    packed = []
    for now_s in (1e9, 2e9):
        monkeypatch.setattr("time.time", lambda now_s=now_s: now_s)
        packed.append(pack(LONG, "gzip"))

    assert packed[0] == packed[1]
