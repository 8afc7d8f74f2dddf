"""The tutorial's blocks: what each language shows, and what belongs to what."""

from __future__ import annotations

import re
from typing import NamedTuple

from tests.servers import ROOT

LANGUAGES = {"English": "docs/tutorial.md", "Japanese": "docs/tutorial.ja.md"}


class Block(NamedTuple):
    """A fenced block: its language (``python``, ``text``, ``console``) and its lines."""

    kind: str
    text: str


def page(language: str) -> str:
    """The tutorial in one language."""
    return (ROOT / LANGUAGES[language]).read_text()


def blocks(language: str = "English") -> list[Block]:
    """Every fenced block, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page(language), re.DOTALL | re.MULTILINE)
    return [Block(*one) for one in found]


def snippets() -> list[tuple[str, str]]:
    """Each block of Python with what stands below it as its output; empty for nothing."""
    everything = blocks()
    following = [*everything[1:], Block("", "")]
    return [
        (block.text, after.text if after.kind == "text" else "")
        for block, after in zip(everything, following, strict=True)
        if block.kind == "python"
    ]


def sessions() -> list[tuple[str, str]]:
    """Each curl command, with the answer below it."""
    shown = "".join(block.text for block in blocks() if block.kind == "console")
    parts = re.findall(r"^\$ (.+)\n((?:[^$].*\n)*)", shown, re.MULTILINE)
    return [(command, answer) for command, answer in parts if "curl" in command]
