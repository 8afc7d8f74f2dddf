"""Work in a process of its own: whatever becomes of it, the service goes on.

The process gives way to the service: it is slower, the first to go where memory ends, and
gone when the service is gone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# The exit code of a process that says on standard output why it will not.
REFUSED: Final = 3
# Somebody wants this process gone; it was not its work that ended it.
STOPPED: Final = frozenset({-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP})

_NICENESS: Final = 10
_LOOK_S: Final = 0.02
_OUT_OF_MEMORY_FIRST: Final = "1000"
_PACKAGE_ROOT: Final = Path(__file__).resolve().parents[2]


class TookTooMuch(Exception):
    """A process that ran apart took more time or memory than it had; the message says which."""


@dataclass(frozen=True)
class Limits:
    """What a process that runs apart may take.

    Attributes:
        seconds: Time.
        memory_bytes: Memory that it holds; None for any.
    """

    seconds: float
    memory_bytes: int | None = None


def run_apart(
    module: str, arguments: Sequence[str], limits: Limits
) -> subprocess.CompletedProcess[str]:
    """Run one of our modules in a process of its own, and wait for its end.

    Args:
        module: Its name; it is to call ``give_way`` first.
        arguments: Its command line.
        limits: What it may take.

    Returns:
        How it ended, and what it said.

    Raises:
        TookTooMuch: It went over a limit, and was ended.
        OSError: It cannot be started.
    """
    # The process ends when the other end of its standard input is closed: with this one.
    read_end, write_end = os.pipe()
    try:
        with subprocess.Popen(  # noqa: S603 - our own module, with paths of the models' folder
            [sys.executable, "-m", module, *arguments],
            stdin=read_end,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=_PACKAGE_ROOT,
            # Ctrl-C in a terminal is not for it.
            start_new_session=True,
        ) as process:
            try:
                output, errors = _wait(process, limits)
            finally:
                process.kill()  # nothing, where it has ended
            return subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    finally:
        os.close(read_end)
        os.close(write_end)


def give_way() -> None:
    """Give way to the service, in the process that runs apart."""
    os.nice(_NICENESS)
    with contextlib.suppress(OSError):  # not on every system
        Path("/proc/self/oom_score_adj").write_text(_OUT_OF_MEMORY_FIRST)
    threading.Thread(target=_end_with_service, daemon=True).start()


def _wait(process: subprocess.Popen[str], limits: Limits) -> tuple[str, str]:
    """Wait for a process's end and look after its limits.

    A limit that the system keeps would not do: an allocation that fails is a bad input to
    LiteRT, and goes well where there is no limit.
    """
    deadline_s = time.monotonic() + limits.seconds
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_LOOK_S)
        if time.monotonic() > deadline_s:
            raise TookTooMuch(f"took longer than {limits.seconds:g} s")
        if limits.memory_bytes is not None and _held_bytes(process.pid) > limits.memory_bytes:
            raise TookTooMuch(f"took more than {limits.memory_bytes} bytes of memory")


def _held_bytes(pid: int) -> int:
    """Bytes of memory that a process holds; 0 if it has ended."""
    try:
        _, resident, *_ = Path(f"/proc/{pid}/statm").read_text().split()
    except (OSError, ValueError):
        return 0
    return int(resident) * os.sysconf("SC_PAGE_SIZE")


def _end_with_service() -> None:
    # The service holds the other end and never writes: this returns when it has gone.
    sys.stdin.read()
    os._exit(REFUSED + 1)
