"""The tutorial is the same in both languages, and shows the lessons' own code and pictures."""

from __future__ import annotations

import ast
import re

import pytest

from lessons import pictures
from tests.servers import ROOT
from tests.tutorial import LANGUAGES, blocks, page, snippets

MAKEFILE = (ROOT / "Makefile").read_text()
LESSONS = (
    "one_input", "two_inputs", "two_outputs", "forward_propagation", "many_inputs", "loss",
    "gradient_descent", "back_propagation",
)  # fmt: skip


def bare(function: ast.FunctionDef) -> str:
    """A function without docstring, types and imports, which the page leaves out."""
    for node in ast.walk(function):
        if isinstance(node, ast.arg):
            node.annotation = None
    function.returns = None
    kept = [
        ast.Assign([it.target], it.value) if isinstance(it, ast.AnnAssign) and it.value else it
        for it in function.body
        if not isinstance(it, ast.Import | ast.ImportFrom)
    ]
    described = isinstance(kept[0], ast.Expr) and isinstance(kept[0].value, ast.Constant)
    function.body = kept[1:] if described else kept
    return ast.unparse(ast.fix_missing_locations(function))


def functions(code: str) -> list[str]:
    return [bare(it) for it in ast.parse(code).body if isinstance(it, ast.FunctionDef)]


def test_both_languages_have_the_same_blocks():
    assert blocks("English") == blocks("Japanese")
    assert len(snippets()) > 12


@pytest.mark.parametrize("part", [r"^(#+) ", r"!\[.+?\]\((.+?)\)", r"^## (\d)\."])
def test_both_languages_have_the_same_structure(part):
    english, japanese = (re.findall(part, page(it), re.MULTILINE) for it in LANGUAGES)

    assert english == japanese
    assert len(english) > 4


def test_functions_shown_are_those_of_the_lessons_in_their_order():
    shown = [it for code, _ in snippets() for it in functions(code)]
    written = [functions((ROOT / "lessons" / f"{name}.py").read_text()) for name in LESSONS]

    assert sorted(shown) == sorted(it for lesson in written for it in lesson)
    assert [it for it in shown if it.startswith("def network")] == [
        it for lesson in written for it in lesson if it.startswith("def network")
    ]


def test_every_picture_is_shown():
    shown = re.findall(r"\(tutorial/(.+?)\.svg\)", page("English"))

    assert shown == list(pictures.PICTURES)
    assert {it.stem for it in (ROOT / "docs/tutorial").iterdir()} == set(shown)


@pytest.mark.parametrize("name", pictures.PICTURES)
def test_pictures_are_what_the_lessons_draw(name):
    assert (ROOT / "docs/tutorial" / f"{name}.svg").read_bytes() == pictures.svg(name)


@pytest.mark.parametrize("language", LANGUAGES)
def test_make_targets_of_the_tutorial_are_there(language):
    named = set(re.findall(r"(?:\$ |`)make (\w+)", page(language)))

    assert (
        {"lessons", "setup", "serve"}
        <= named
        <= set(re.findall(r"^(\w+):", MAKEFILE, re.MULTILINE))
    )
