from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LIMIT_S = 30  # much less than a program sleeps that does not hear
BEGIN = """
import os, signal, sys, time, weakref
from training import stopping
stopping.insist()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

class Row:
    pass

def stop(_):
    os.kill(os.getpid(), {number})
    time.sleep(0)  # the handler is called here at the latest, and what it raises is dropped

"""
IN_A_DESTRUCTOR = "Row.__del__ = stop; row = Row(); del row"
IN_A_CALLBACK = "row = Row(); noted = weakref.ref(row, stop); del row"
GO_ON = "\nprint('went on', flush=True)\ntime.sleep(600)"


def ended(program: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", program]
    return subprocess.run(
        line, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


@pytest.mark.parametrize("place", [IN_A_DESTRUCTOR, IN_A_CALLBACK])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)]
)
def test_stop_that_python_drops_is_asked_for_again(place, number, code):
    run = ended(BEGIN.format(number=int(number)) + place + GO_ON)

    assert (run.returncode, run.stdout) == (code, "went on\n")


def test_other_exceptions_that_python_drops_are_shown_as_ever():
    run = ended(
        "from training import stopping; stopping.insist()\n"
        "class Row:\n    def __del__(self):\n        raise ValueError('a row')\nRow()"
    )

    assert run.returncode == 0
    assert "Exception ignored in: <function Row.__del__" in run.stderr
    assert "ValueError: a row" in run.stderr
