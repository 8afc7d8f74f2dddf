"""The folder in which the workers of one service share their numbers."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


@contextlib.contextmanager
def shared_between_workers() -> Iterator[None]:
    """Make the folder, empty whatever came before, and tell prometheus_client of it.

    To be entered before ``prometheus_client`` is first imported, which reads the variable
    then. Workers are forked inside and leave it too, on their own way out: only the
    process that made the folder removes it.
    """
    owner = os.getpid()
    folder = tempfile.mkdtemp(prefix="hearth-metrics-")
    os.environ[FOLDER_VARIABLE] = folder
    try:
        yield
    finally:
        if os.getpid() == owner:
            shutil.rmtree(folder, ignore_errors=True)
