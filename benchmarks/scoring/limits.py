"""What the machine can do at most: bytes a second through memory, and products a second."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from threadpoolctl import threadpool_limits

from service.contract import LITERT_MODEL
from service.inference.litert import LiteRT
from service.inference.signature import DEFAULT_SIGNATURE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_COPIED_BYTES: Final = 2**28
_SIDE: Final = 1024
_TIMES: Final = 5
_PIECES: Final = (256, 1024, 2048, 4096, 16384, 65536)
_PIECE_ROWS: Final = 2**17


def copied_bytes_s() -> float:
    """Bytes a second that one core reads and writes when it copies an array (STREAM's copy)."""
    source, target = (
        np.ones(_COPIED_BYTES // 4, np.float32),
        np.empty(_COPIED_BYTES // 4, np.float32),
    )
    return 2 * _COPIED_BYTES / _best(lambda: np.copyto(target, source))


def product_flops() -> float:
    """Floating point operations a second of a float32 matrix product on one core."""
    matrix = np.ones((_SIDE, _SIDE), np.float32)
    with threadpool_limits(1):
        return 2 * _SIDE**3 / _best(lambda: matrix @ matrix)


def network_rows_s(version: Path, features: int) -> dict[int, float]:
    """Rows a second of the network alone, by how many of them it is given at once."""
    executor = LiteRT(version / LITERT_MODEL)
    batch = np.random.default_rng(0).uniform(0, 50, (_PIECE_ROWS, features)).astype(np.float32)

    def run(rows: int) -> None:
        for start in range(0, _PIECE_ROWS, rows):
            executor.run(DEFAULT_SIGNATURE, {"features": batch[start : start + rows]})

    return {rows: _PIECE_ROWS / _best(_with(run, rows)) for rows in _PIECES}


def _with(run: Callable[[int], None], rows: int) -> Callable[[], Any]:
    return lambda: run(rows)


def _best(call: Callable[[], Any]) -> float:
    """The least CPU seconds of some calls: others on the machine make none shorter."""
    taken = []
    for _ in range(_TIMES):
        began_s = time.process_time()
        call()
        taken.append(time.process_time() - began_s)
    return min(taken)
