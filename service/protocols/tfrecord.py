"""TFRecord files: records one behind the other, each with checksums.

References:
    tensorflow/core/lib/io/record_reader.h: length uint64, masked CRC32C of the length,
    the record, masked CRC32C of the record; little-endian.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_HEAD: Final = struct.Struct("<QI")
_TAIL: Final = struct.Struct("<I")
_POLYNOMIAL: Final = 0x82F63B78  # Castagnoli's, its bits in reverse
_MASK_DELTA: Final = 0xA282EAD8
_32_BITS: Final = 0xFFFFFFFF
# Records of one length from which NumPy's steps cost less than Python's.
_SIDE_BY_SIDE: Final = 16


def read_records(content: bytes) -> Iterator[bytes]:
    """Read one record after the other.

    Args:
        content: A whole file.

    Raises:
        ValueError: A record is cut off, or is not what its checksum says.
    """
    place, number = 0, 0
    while place < len(content):
        record, place = _read(content, place, f"record {number} at byte {place}")
        number += 1
        yield record


def framed(records: Sequence[bytes]) -> bytes:
    """Records as they stand in a file, one behind the other."""
    lengths = [len(it).to_bytes(8, "little") for it in records]
    parts: list[bytes] = []
    for length, length_crc, record, crc in zip(
        lengths, masked_crcs(lengths), records, masked_crcs(records), strict=True
    ):
        parts += (length, _TAIL.pack(length_crc), record, _TAIL.pack(crc))
    return b"".join(parts)


def masked_crc(data: bytes) -> int:
    """The CRC32C of bytes, rotated and shifted so that it may be stored among them."""
    crc = _32_BITS
    table = _table()
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return _masked(crc ^ _32_BITS)


def masked_crcs(several: Sequence[bytes]) -> list[int]:
    """``masked_crc`` of each; those of one length are worked out side by side."""
    by_length: dict[int, list[int]] = {}
    for place, data in enumerate(several):
        by_length.setdefault(len(data), []).append(place)
    found = [0] * len(several)
    for length, places in by_length.items():
        if len(places) < _SIDE_BY_SIDE:
            crcs = [masked_crc(several[it]) for it in places]
        else:
            joined = b"".join(several[it] for it in places)
            rows = np.frombuffer(joined, np.uint8).reshape(len(places), length)
            crcs = [_masked(it ^ _32_BITS) for it in _crc_of_rows(rows).tolist()]
        for place, crc in zip(places, crcs, strict=True):
            found[place] = crc
    return found


def _crc_of_rows(rows: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The CRC of each row, its last step left out."""
    table = np.array(_table(), np.uint32)
    crcs = np.full(len(rows), _32_BITS, np.uint32)
    for column in np.ascontiguousarray(rows.T):
        crcs = table[(crcs ^ column) & 0xFF] ^ (crcs >> 8)
    return crcs


def _masked(crc: int) -> int:
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & _32_BITS


def _read(content: bytes, place: int, what: str) -> tuple[bytes, int]:
    begin = place + _HEAD.size
    if begin > len(content):
        raise ValueError(f"{what} is cut off")
    length, length_crc = _HEAD.unpack_from(content, place)
    if masked_crc(content[place : place + 8]) != length_crc:
        raise ValueError(f"{what} has a wrong checksum of its length")
    end = begin + length
    if end + _TAIL.size > len(content):
        raise ValueError(f"{what} is cut off: {length} bytes expected")
    record = content[begin:end]
    if masked_crc(record) != _TAIL.unpack_from(content, end)[0]:
        raise ValueError(f"{what} has a wrong checksum")
    return record, end + _TAIL.size


@functools.cache
def _table() -> tuple[int, ...]:
    """The checksum of every byte."""
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)
