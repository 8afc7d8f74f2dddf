"""TFRecord files are read as TensorFlow writes them, and damage is noticed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.protocols.tfrecord import masked_crc, read_records


def written(*records: bytes) -> bytes:
    content = b""
    for record in records:
        length = struct.pack("<Q", len(record))
        content += length + struct.pack("<I", masked_crc(length))
        content += record + struct.pack("<I", masked_crc(record))
    return content


def test_the_checksum_is_castagnolis():
    # The check value of CRC-32C (RFC 3720) is 0xE3069283 for the digits 1 to 9.
    crc = 0xE3069283
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF

    assert masked_crc(b"123456789") == (rotated + 0xA282EAD8) & 0xFFFFFFFF


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_records_come_back_as_they_were_written(records):
    assert list(read_records(written(*records))) == records


def test_a_file_cut_off_anywhere_is_noticed():
    content = written(b"one", b"three")
    whole = {0, len(written(b"one")), len(content)}

    for end in set(range(len(content))) - whole:
        with pytest.raises(ValueError, match="is cut off"):
            list(read_records(content[:end]))


@given(st.data())
def test_a_changed_bit_is_noticed(data):
    content = bytearray(written(b"a record", b"another"))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(ValueError, match=r"record [01] at byte"):
        list(read_records(bytes(content)))
