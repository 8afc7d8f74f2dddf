"""Mangles bytes as strangers and broken clients do, and keeps what leads somewhere new."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import HearthError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

SEEDS = Path(__file__).parent / "seeds"
MAX_BYTES = 20_000
# Pieces that mean something to one parser or another.
WORDS = (
    b"", b"\x00", b"\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff\xff\xff\xff\xff", b"{", b"}",
    b"[", b"]", b"[[[[[[[[", b'"', b",", b":", b"\\u0000", b"\\ud800", b"null", b"true", b"NaN",
    b"-Infinity", b"1e999", b"-0", b"9" * 40, b"1.", b"0x1", b"\r\n", b"\r\n\r\n", b"\n", b"%2F",
    b"%00", b"..", b"/../", b"//", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"instances", b"inputs",
    b"b64", b"signature_name", b"shape", b"datatype", b"data", b"parameters", b"binary_data_size",
    b"Content-Length: ", b"Transfer-Encoding: chunked", b"HTTP/1.1", b"POST ", b"/load", b"/infer",
    b"/v2/repository/models/", b"/v1/models/", b"sha256:", b"anonymous", b"=", b" ", b"\t", b"#",
)  # fmt: skip


@dataclass
class Search:
    """A search for what a target cannot take.

    Attributes:
        target: What is tried.
        seeds: Inputs to begin with.
        chance: Where mutations come from.
        tried: Inputs tried.
        places: What inputs led to: answers by their kind, errors by where they were raised. An
            input that leads to a new one is mutated further.
        found: Inputs that did harm, and how.
    """

    target: Callable[[bytes], str | None]
    seeds: list[bytes]
    chance: random.Random
    tried: int = 0
    places: set[tuple[str, ...]] = field(default_factory=set)
    found: dict[str, bytes] = field(default_factory=dict)

    def try_seeds(self) -> None:
        """Try the seeds as they are."""
        for seed in list(self.seeds):
            self.attempt(seed)

    def step(self) -> None:
        """Try one more input."""
        self.attempt(mutated(self.chance, self.seeds))

    def attempt(self, data: bytes) -> None:
        """Try an input, and note where it led."""
        self.tried += 1
        try:
            place: tuple[str, ...] = ("taken", self.target(data) or "")
        except HearthError as error:
            place = _place(error)
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            place = _place(error)
            self.found.setdefault(" ".join(place), data)
        if place not in self.places:
            self.places.add(place)
            self.seeds.append(data)


def _place(error: Exception) -> tuple[str, ...]:
    """The last lines of ours that an error came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f"{Path(it.filename).name}:{it.lineno}" for it in frames if "/service/" in it.filename]
    return (type(error).__name__, *ours[-3:])


def seeds_of(name: str) -> list[bytes]:
    """The seeds of a target that are kept, in the order of their names."""
    return [path.read_bytes() for path in sorted((SEEDS / name).iterdir())]


def mutated(chance: random.Random, seeds: list[bytes]) -> bytes:
    """One of the seeds, changed in one to six places."""
    data = chance.choice(seeds)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        data = chance.choice(_CHANGES)(chance, data, seeds)
    return data[:MAX_BYTES]


def _flip(chance: random.Random, data: bytes, _seeds: list[bytes]) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << chance.randrange(8))]) + data[place + 1 :]


def _put(chance: random.Random, data: bytes, _seeds: list[bytes]) -> bytes:
    start, end = _span(chance, data)
    word = chance.choice(WORDS) if chance.random() < 0.7 else chance.randbytes(chance.randrange(6))
    return data[:start] + word + data[chance.choice((start, end)) :]


def _cut(chance: random.Random, data: bytes, _seeds: list[bytes]) -> bytes:
    start, end = _span(chance, data)
    return data[:start] + data[end:]


def _repeat(chance: random.Random, data: bytes, _seeds: list[bytes]) -> bytes:
    start, end = _span(chance, data)
    return data[:end] + data[start:end] * chance.choice((1, 2, 50)) + data[end:]


def _join(chance: random.Random, data: bytes, seeds: list[bytes]) -> bytes:
    other = chance.choice(seeds)
    return data[: _span(chance, data)[0]] + other[_span(chance, other)[0] :]


def _span(chance: random.Random, data: bytes) -> tuple[int, int]:
    start = chance.randint(0, len(data))
    return start, min(len(data), start + chance.choice((1, 1, 2, 4, 16, 64)))


_CHANGES = (_flip, _put, _put, _cut, _repeat, _join)
