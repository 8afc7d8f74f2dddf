"""Keeps TensorFlow's native chatter off the terminal, and every error on it.

TensorFlow's C++ part writes remarks to the process's standard error before its log level
is read, and some with no level at all. While ``hushed``, standard error goes through a
process of its own that drops the known remarks and passes everything else on: what is
written last before a crash still arrives.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LEVEL: Final = "TF_CPP_MIN_LOG_LEVEL"

_KNOWN: Final = re.compile(
    rb"^[IW]\d{4} "  # information and warnings that the log level does not stop
    rb"|^WARNING: All log messages before absl::InitializeLog"
    rb"|^INFO: Created TensorFlow Lite"
    rb"|cuda_platform\.cc.* failed call to cuInit"  # there is no GPU
    rb"|(?:base_collective_executor|ring_alg)\.cc|^Additional GRPC error|^:UNKNOWN:Error received"
    rb"|^/job:|^The tasks have crashed|^The error could be from"  # a lost worker, told of by ours
    rb"|mentions attribute use_unbounded_threadpool"  # a slip inside TensorFlow 2.21
)


def is_chatter(line: bytes) -> bool:
    """Whether a line is one of the known remarks, of no use to who trains."""
    return _KNOWN.search(line) is not None


@contextmanager
def hushed() -> Iterator[None]:
    """Drop TensorFlow's chatter for a while, unless its log level is set: then show all."""
    if LEVEL in os.environ:
        yield
        return
    os.environ[LEVEL] = "2"  # errors and worse
    try:
        with _filtered():
            yield
    finally:
        del os.environ[LEVEL]


@contextmanager
def _filtered() -> Iterator[None]:
    terminal = os.dup(2)
    # A session of its own: a Ctrl-C ends this process first, and the filter at its end.
    command = [sys.executable, "-m", "training.chatter"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as through:  # noqa: S603 - this module
        if through.stdin is None:
            raise AssertionError("Popen gave no pipe where one was asked for")
        os.dup2(through.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)


def _pass_on() -> None:
    for line in iter(sys.stdin.buffer.readline, b""):
        if not is_chatter(line):
            sys.stderr.buffer.write(line)
            sys.stderr.flush()


if __name__ == "__main__":
    _pass_on()
