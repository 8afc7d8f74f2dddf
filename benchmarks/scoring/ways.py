"""``python -m benchmarks.scoring.ways``: one way to score a table, in a process and on a core.

What is done once (imports, the model, the first call) is done before the clocks start.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

HEARTH: Final = "hearth"
LOOP: Final = "loop"
_BATCH_ROWS: Final = 2**16
_INPUT: Final = "features"
_PRICE: Final = "price"


def main(arguments: Sequence[str]) -> int:
    """Score a table; prints seconds and CPU seconds as JSON."""
    way, table, output, version = arguments
    pa.set_cpu_count(1)
    call = {HEARTH: _hearth, LOOP: _loop}[way](Path(table), Path(output), Path(version))
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    call()
    taken = {
        "seconds": time.perf_counter() - began_s, "cpu_s": time.process_time() - began_cpu_s,
    }  # fmt: skip
    print(json.dumps(taken))
    return 0


def _hearth(table: Path, output: Path, version: Path) -> Callable[[], object]:
    from service.score import Options, opened, score  # noqa: PLC0415 - one way's alone

    opened(version)
    return lambda: score(table, output, version, Options(keep="none"))


def _loop(table: Path, output: Path, version: Path) -> Callable[[], object]:
    """What one writes who has pandas and TensorFlow."""
    import tensorflow as tf  # noqa: PLC0415 - as above

    from service import contract  # noqa: PLC0415 - as above

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    described = contract.read(version)
    if described is None:
        raise ValueError(f"{version} has no contract")
    names = list(described.feature_names)
    model = tf.saved_model.load(str(version)).signatures["serving_default"]
    model(**{_INPUT: tf.zeros((_BATCH_ROWS, len(names)))})

    def priced(frame: Any) -> NDArray[Any]:
        batch = tf.constant(frame.to_numpy(np.float32))
        prices: NDArray[Any] = model(**{_INPUT: batch})[_PRICE].numpy()
        return prices

    return lambda: _looped(table, output, names, priced)


def _looped(
    table: Path, output: Path, names: list[str], priced: Callable[[Any], NDArray[Any]]
) -> None:
    schema = pa.schema([(_PRICE, pa.float32())])
    output.parent.mkdir(parents=True, exist_ok=True)
    with parquet.ParquetWriter(output, schema, use_dictionary=False) as file:
        for batch in parquet.ParquetFile(table).iter_batches(_BATCH_ROWS, columns=names):
            file.write_table(pa.table({_PRICE: priced(batch.to_pandas())}, schema=schema))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
