"""The folder in which the workers of one service share their numbers."""

from __future__ import annotations

import os
import tempfile
from typing import Final

FOLDER_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


def share_between_workers() -> tempfile.TemporaryDirectory[str]:
    """Make the folder, empty whatever came before, and tell prometheus_client of it.

    To be called before ``prometheus_client`` is first imported, which reads the variable
    then.

    Returns:
        The folder, which is removed with this object.
    """
    folder = tempfile.TemporaryDirectory(prefix="hearth-metrics-")
    os.environ[FOLDER_VARIABLE] = folder.name
    return folder
