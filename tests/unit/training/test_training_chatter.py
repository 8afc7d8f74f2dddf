from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from training.chatter import is_chatter
from training.progress import watch

ROOT = Path(__file__).parents[3]
REMARK = "I0000 00:00:1795485511.611612   15522 port.cc:153] oneDNN custom operations are on."
FATAL = "F0000 00:00:1795485511.611612 cpu_feature_guard.cc:86] compiled to use AVX instructions"
MEASURED = {"loss": 16.014, "mae": 2.82, "val_loss": 24.5, "val_mae": 3.409}


def said(program: str, **environment: str) -> tuple[int, str]:
    """Exit code and standard error of a program that writes as TensorFlow does: to fd 2."""
    begin = "import os, sys; from training.chatter import hushed\n"
    settings = {name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", begin + program],
        cwd=ROOT,
        env=settings | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_remarks_are_dropped_and_errors_kept_in_order():
    program = f"""
with hushed():
    os.write(2, b'{REMARK}\\nE0000 something failed\\n')
    print('from python', file=sys.stderr)
os.write(2, b'{REMARK} after\\n')
"""
    assert said(program) == (0, f"E0000 something failed\nfrom python\n{REMARK} after\n")


def test_last_words_before_a_crash_arrive():
    program = f"""
with hushed():
    os.write(2, b'{REMARK}\\n{FATAL}\\n')
    os.abort()
"""
    assert said(program) == (-6, f"{FATAL}\n")


def test_traceback_arrives():
    code, text = said("with hushed():\n    1 / 0")

    assert code == 1
    assert text.endswith("ZeroDivisionError: division by zero\n")


def test_everything_is_shown_to_who_sets_the_log_level():
    program = f"with hushed(): os.write(2, b'{REMARK}\\n')"

    assert said(program, TF_CPP_MIN_LOG_LEVEL="0") == (0, f"{REMARK}\n")


@pytest.mark.parametrize("line", [FATAL, "E0000 00:00:1 a.cc:1] no memory", "WARNING: disk full"])
def test_error_is_no_chatter(line):
    assert not is_chatter(line.encode())


def test_log_gets_a_line_every_tenth_of_the_run_and_at_its_end():
    written = io.StringIO()
    with watch(25, Console(file=written)) as watcher:
        for epoch in range(1, 26):
            watcher(epoch, MEASURED)

    lines = written.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [f"{i}/25" for i in (*range(2, 25, 2), 25)]
    assert lines[-1] == "epoch 25/25  loss 16.01 MAE 2.82, validation 24.50 3.41"


def test_terminal_gets_a_bar_with_epoch_loss_and_error():
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=100)
    with watch(3, console) as watcher:
        for epoch in range(1, 4):
            watcher(epoch, MEASURED)

    assert "3/3" in written.getvalue()
    assert "loss 16.01 MAE 2.82, validation 24.50 3.41" in written.getvalue()
