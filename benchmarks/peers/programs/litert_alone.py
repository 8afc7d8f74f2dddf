"""LiteRT without a server: rows a second of one batch, one thread: MODEL ROWS SECONDS."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def rate(model: Path, rows: int, seconds: float) -> float:
    """Rows a second: the batch goes in, the network runs, the prices come out, over and over."""
    network = Interpreter(str(model), num_threads=1).get_signature_runner("serving_default")
    batch = np.full((rows, network.get_input_details()["features"]["shape"][-1]), 6.0, np.float32)
    network(features=batch)
    calls, start_s = 0, time.perf_counter()
    while time.perf_counter() < start_s + seconds:
        network(features=batch)
        calls += 1
    return calls * rows / (time.perf_counter() - start_s)


if __name__ == "__main__":
    print(rate(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
