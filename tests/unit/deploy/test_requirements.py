"""The pinned lists: complete, hashed, agreed among themselves, and silent about any registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "requirements"
LISTS = sorted(FOLDER.glob("*.txt"))
PINNED = [path for path in LISTS if path.name != "system.txt"]
# A distribution's name, its version, and on which platforms.
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+?))? \\$")


def pins(path: Path) -> dict[tuple[str, str], str]:
    """Version by name and platform marker."""
    found = (PIN.match(line) for line in path.read_text().splitlines())
    return {(pin["name"], pin["marker"] or ""): pin["version"] for pin in found if pin}


def wanted(path: Path) -> set[str]:
    """The names that a list was made from, as the index spells them."""
    names: set[str] = set()
    for line in path.read_text().splitlines():
        words = line.partition("#")[0].split()
        if words[:1] == ["-r"]:
            names |= wanted(path.parent / words[1])
        elif words:
            names.add(re.split(r"[<>=\[;]", words[0])[0].lower())
    return names


def entries(path: Path) -> list[str]:
    """The logical lines: a pin with its hashes is one."""
    text = re.sub(r"^ *#.*\n?", "", path.read_text(), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def test_every_short_list_has_its_pinned_one() -> None:
    assert {path.stem for path in FOLDER.glob("*.in")} == {path.stem for path in PINNED}


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_every_package_is_pinned_with_hashes(path: Path) -> None:
    for entry in entries(path):
        assert re.match(r"^[a-z0-9-]+==\S+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+ *$", entry), (
            entry
        )


@pytest.mark.parametrize("path", [*LISTS, *FOLDER.glob("*.in")], ids=lambda path: path.name)
def test_no_list_names_a_place_to_fetch_from(path: Path) -> None:
    text = path.read_text().lower()

    for word in ("://", "index-url", "find-links", "trusted-host", "--extra"):
        assert word not in text


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_every_list_has_the_versions_of_the_whole(path: Path) -> None:
    whole = pins(FOLDER / "dev.txt")

    for (name, marker), version in pins(path).items():
        # What one list needs on some platforms the whole may need on all.
        assert whole.get((name, marker), whole.get((name, ""))) == version, name


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_everything_asked_for_is_in_the_list(path: Path) -> None:
    names = {name for name, _ in pins(path)}

    assert wanted(path.with_suffix(".in")) <= names


def test_the_serving_list_holds_no_tensorflow_and_no_pandas() -> None:
    names = {name for name, _ in pins(FOLDER / "service.txt")}

    assert not names & {"tensorflow", "tensorflow-serving-api", "keras", "pandas", "scikit-learn"}
    assert {"flask", "gunicorn", "ai-edge-litert"} <= names


def test_the_protocol_list_holds_the_message_modules_alone() -> None:
    assert {name for name, _ in pins(FOLDER / "protocol.txt")} == {
        "tensorflow",
        "tensorflow-serving-api",
    }
