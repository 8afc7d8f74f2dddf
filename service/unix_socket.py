"""A Unix socket that one worker after the other listens on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def beside(path: Path) -> Path:
    """Where this process makes a socket before it takes its place."""
    return path.with_name(f"{path.name}.{os.getpid()}")
