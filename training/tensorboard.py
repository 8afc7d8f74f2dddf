"""TensorBoard's logs of a run, laid out and named as by Keras's own callback."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from training.progress import Watcher

_PREFIXES: Final = {"train": "", "validation": "val_"}


@contextmanager
def logs(folder: Path) -> Iterator[Watcher]:
    """Write loss and MAE of each epoch below a folder, in a subfolder named after the time.

    Args:
        folder: What ``tensorboard --logdir`` is given; made where it is missing.

    Yields:
        A watcher that writes what it is told.
    """
    run = folder / datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    with ExitStack() as opened:
        writers = {side: tf.summary.create_file_writer(str(run / side)) for side in _PREFIXES}
        for writer in writers.values():
            opened.callback(writer.close)
        yield lambda epoch, measured: _write(writers, epoch, measured)


def _write(
    writers: dict[str, tf.summary.SummaryWriter], epoch: int, measured: dict[str, float]
) -> None:
    for side, prefix in _PREFIXES.items():
        with writers[side].as_default(step=epoch - 1):  # Keras counts from 0
            for name in ("loss", "mae"):
                tf.summary.scalar(f"epoch_{name}", measured[prefix + name])
