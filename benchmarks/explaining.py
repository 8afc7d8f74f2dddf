"""``python -m benchmarks.explaining``: how long it takes to explain one price.

Networks of the tutorial's size (64 and 64 units) with ever more features, in LiteRT and in
process, against a hundred background rows that share no value with the instance: the most
that there can be to do. With ``--version`` a trained version is timed too, on its golden rows.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.inference.explaining import Shapley

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from service.inference.explaining import Model

_FEATURES: Final = (3, 6, 9, 12, 13, 20)
_BACKGROUND_ROWS: Final = 100
_ROUNDS: Final = 30
# Seconds after which no further round is begun.
_ENOUGH_S: Final = 5.0
_SEED: Final = 1


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        name: What was explained.
        features: Its features.
        rows: The most rows that the network runs for one price.
        exact: Whether every coalition is tried.
        median_ms: Median time of one explanation, milliseconds.
        best_ms: The best time.
    """

    name: str
    features: int
    rows: int
    exact: bool
    median_ms: float
    best_ms: float


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explaining")
    parser.add_argument("--features", type=int, nargs="*", default=_FEATURES)
    parser.add_argument("--version", type=Path, nargs="*", default=[], help="folders of versions")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    print("| network | features | rows of the network | values | median, ms | best, ms |")
    print("|---|---|---|---|---|---|")
    for features in options.features:
        _show(measure(features, options.rounds))
    for version in options.version:
        _show(measure_version(version, options.rounds))
    return 0


def measure(features: int, rounds: int = _ROUNDS) -> Line:
    """Time explanations of an untrained network.

    Args:
        features: How many it takes.
        rounds: How many prices are explained.
    """
    random = np.random.default_rng(_SEED)
    with tempfile.TemporaryDirectory() as folder:
        model = _network(features, Path(folder))
    shapley = Shapley(model, _normal(random, _BACKGROUND_ROWS, features))
    batches = [_normal(random, 1, features) for _ in range(rounds)]
    seconds = _seconds([lambda it=it: shapley.explain(it) for it in batches])  # type: ignore[misc]
    return _line("64, 64", shapley, seconds)


def measure_version(version: Path, rounds: int = _ROUNDS) -> Line:
    """Time explanations of a version's golden rows, as a request has them made.

    Args:
        version: Its folder.
        rounds: How many prices are explained.
    """
    from service import contract  # noqa: PLC0415 - LiteRT after the parser's --help
    from service.inference.signature import DEFAULT_SIGNATURE  # noqa: PLC0415
    from service.repository.loading import load_version  # noqa: PLC0415

    loaded = load_version(version.parent.name, int(version.name), version.absolute(), "auto")
    explainer = loaded.explainer(DEFAULT_SIGNATURE)
    rows = np.array(contract.read_golden(version).instances, np.float32)
    batches = [rows[it % len(rows)][None] for it in range(rounds)]
    calls = [lambda it=it: explainer.explain({"features": it}) for it in batches]
    return _line(str(version), explainer.shapley, _seconds(calls))


def _line(name: str, shapley: Shapley, seconds: Sequence[float]) -> Line:
    return Line(
        name,
        shapley.background.shape[1],
        shapley.rows,
        shapley.is_exact,
        statistics.median(seconds) * 1e3,
        min(seconds) * 1e3,
    )


def _show(line: Line) -> None:
    kind = "exact" if line.exact else "estimated"
    print(
        f"| {line.name} | {line.features} | {line.rows:,} | {kind} | {line.median_ms:.2f} | "
        f"{line.best_ms:.2f} |",
        flush=True,
    )


def _seconds(calls: Sequence[Callable[[], Any]]) -> list[float]:
    calls[0]()  # what is made once counts no more
    found: list[float] = []
    for call in calls:
        started_s = time.perf_counter()
        call()
        found.append(time.perf_counter() - started_s)
        if sum(found) > _ENOUGH_S:
            break
    return found


def _network(features: int, folder: Path) -> Model:
    """A network that was never trained, in LiteRT."""
    import keras  # noqa: PLC0415 - TensorFlow, after the parser's --help
    import tensorflow as tf  # noqa: PLC0415

    from service.contract import LITERT_MODEL  # noqa: PLC0415
    from service.inference.litert import LiteRT  # noqa: PLC0415

    keras.utils.set_random_seed(_SEED)
    dense = keras.layers.Dense
    network = keras.Sequential(
        [keras.Input((features,)), dense(64, "relu"), dense(64, "relu"), dense(1)]
    )
    network.export(str(folder), verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder))
    (folder / LITERT_MODEL).write_bytes(converter.convert())
    executor = LiteRT(folder / LITERT_MODEL, cuts=True)
    (name, signature), *_ = executor.signatures.items()
    ((taken, _),), (given, *_) = signature.inputs.items(), signature.outputs
    return lambda batch: executor.run(name, {taken: batch})[given][:, 0]


def _normal(random: np.random.Generator, rows: int, features: int) -> NDArray[np.float32]:
    return random.normal(size=(rows, features)).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
