"""The page of capacity shows what was measured, and the command says what the page does."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from benchmarks.capacity import figures, internet, page
from benchmarks.capacity.__main__ import _parser, main

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "capacity.md").read_text()
KEPT = figures.read(DOCS / "capacity.json")


def test_the_page_is_what_the_figures_give():
    assert page.page(KEPT) == PAGE


def test_the_day_is_what_the_fluid_gives():
    cost = page.costs(KEPT)[KEPT.costs[0].protocol]

    assert internet.day(cost, page.memory(KEPT)) == KEPT.day


def test_the_picture_shows_both_kinds_of_requests_and_the_day(tmp_path):
    page.draw(KEPT, tmp_path / "picture.svg")

    assert (tmp_path / "picture.svg").stat().st_size > 10_000
    assert (DOCS / "capacity.svg").is_file()


def test_the_command_says_what_the_page_shows(capsys):
    line, said = re.search(r"\$ \S+ -m benchmarks.capacity (--.+)\n(.+)\n", PAGE).groups()

    assert main([*line.split(), "--output", str(DOCS / "capacity.md")]) == 0
    assert capsys.readouterr().out.strip() == said


def test_what_cannot_be_is_refused_and_other_models_are_counted(capsys):
    at = ["--output", str(DOCS / "capacity.md")]

    assert main(["--p99_ms", "0.001", *at]) == 1
    assert "--p99_ms is 0.001" in capsys.readouterr().err
    assert main(["--requests_per_second", "600", "--request_us", "1000", "--row_us", "0", *at]) == 0
    assert capsys.readouterr().out.startswith("8 cores, 8 workers, 2 replicas")


def test_costs_are_divided_into_request_and_rows():
    one = figures.Cost("any", one_us=30.0, many_us=529.5, rows=1000)

    assert (one.row_us, one.request_us) == pytest.approx((0.5, 29.5))
    assert msgspec.json.decode(msgspec.json.encode(one), type=figures.Cost) == one


def test_every_flag_for_planning_is_on_the_page():
    planning = {it for action in _parser()._actions for it in action.option_strings} - {
        "-h", "--help", "--rounds", "--seconds", "--model_base_path", "--output",
    }  # fmt: skip

    assert {it for it in planning if it not in PAGE} == set()
