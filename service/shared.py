"""The folder that the workers of one service share: their metrics and what they agree on."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    """Make the folder, empty whatever came before, and tell prometheus_client of it.

    To be entered before ``prometheus_client`` is first imported, which reads the variable
    then. Workers are forked inside and leave it too, on their own way out: only the
    process that made the folder removes it.
    """
    owner = os.getpid()
    folder = Path(tempfile.mkdtemp(prefix="hearth-"))
    (folder / "metrics").mkdir()
    os.environ[METRICS_VARIABLE] = str(folder / "metrics")
    try:
        yield folder
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
