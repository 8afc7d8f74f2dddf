"""The page of benchmarks shows what was measured, and its commands are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.report import markdown, results
from benchmarks.scenarios.targets import TARGETS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "benchmarks.md").read_text()
KEPT = results.read(DOCS / "benchmarks")
COMMANDS = sorted(set(re.findall(r"`python -m benchmarks (\S+?)[ `]", PAGE)))


def test_the_page_is_what_the_raw_results_give():
    assert markdown.page(KEPT) == PAGE


def test_the_page_has_every_target_as_it_stands_today():
    assert {it.name: (it.what, it.bound, it.sense) for it in KEPT.targets} == {
        name: (it.what, it.bound, it.sense) for name, it in TARGETS.items()
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_page_are_there(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert f"python -m benchmarks {command}" in capsys.readouterr().out


def test_every_part_says_its_command():
    assert {"throughput", "open-loop", "targets", "url"} <= set(COMMANDS)
