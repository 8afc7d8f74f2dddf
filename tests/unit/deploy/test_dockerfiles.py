"""The promises of the Dockerfiles and of what is sent to the engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FILES = ("service/Dockerfile", "training/Dockerfile")
# What each image may hold of this project.
COPIED = {
    "service/Dockerfile": {
        "deploy/message_modules.py",
        "requirements/fetch.txt",
        "requirements/hub.txt",
        "requirements/install-python-parts",
        "requirements/protocol.txt",
        "requirements/service.txt",
        "requirements/signing.txt",
        "requirements/traces.txt",
        "service",
    },
    "training/Dockerfile": {
        "data/boston_housing.card.toml",
        "data/boston_housing.csv",
        "requirements/training.txt",
        "service/__init__.py",
        "service/contract.py",
        "training",
    },
}


def instructions(name: str) -> list[tuple[str, str]]:
    """Each instruction with its arguments on one line, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / name).read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    words = (line.split(maxsplit=1) for line in lines if line.strip())
    return [(instruction, arguments) for instruction, arguments in words]


def arguments_of(name: str, instruction: str) -> list[str]:
    return [arguments for word, arguments in instructions(name) if word == instruction]


def copied(name: str) -> set[str]:
    """What is copied out of the project, not out of an earlier stage."""
    lines = [line.split() for line in arguments_of(name, "COPY")]
    return {path for words in lines if not words[0].startswith("--") for path in words[:-1]}


def sent() -> set[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return {line.removeprefix("!") for line in lines if line.startswith("!")}


@pytest.mark.parametrize("name", FILES)
def test_images_hold_only_what_they_need(name: str) -> None:
    assert copied(name) == COPIED[name]


def test_the_engine_is_sent_what_is_copied_and_nothing_else() -> None:
    needed = {path for name in FILES for path in copied(name)}
    whole_folders = {"service", "training"}

    assert sent() - whole_folders == {
        path for path in needed if path.partition("/")[0] not in whole_folders
    }
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


@pytest.mark.parametrize("name", FILES)
def test_every_path_that_is_copied_is_there(name: str) -> None:
    for path in copied(name):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", FILES)
def test_containers_run_as_a_numbered_user_that_is_not_root(name: str) -> None:
    assert arguments_of(name, "USER") == ["10001:10001"]


@pytest.mark.parametrize("name", FILES)
def test_the_process_itself_gets_the_signals(name: str) -> None:
    (entry,) = arguments_of(name, "ENTRYPOINT")

    assert entry.startswith('["python", "-m",')


@pytest.mark.parametrize("name", FILES)
def test_packages_are_installed_by_hash(name: str) -> None:
    for line in arguments_of(name, "RUN"):
        installs = re.findall(r"pip\b[^&]*\b(?:install|download)\b[^&]*", line)
        assert all("--require-hashes" in command for command in installs)


@pytest.mark.parametrize("name", FILES)
def test_the_classic_builder_can_build_it(name: str) -> None:
    text = (ROOT / name).read_text()

    for newer in ("--mount", "--chmod", "--link", "<<", "# syntax"):
        assert newer not in text


def test_the_serving_image_holds_nothing_optional_unless_asked() -> None:
    (extras,) = arguments_of("service/Dockerfile", "ARG")
    (installs,) = (it for it in arguments_of("service/Dockerfile", "RUN") if "venv" in it)

    assert extras == "EXTRAS="
    assert "for list in service $EXTRAS;" in installs


def test_the_serving_image_behaves_as_tensorflow_servings() -> None:
    name = "service/Dockerfile"
    environment = arguments_of(name, "ENV")[-1].split()

    assert arguments_of(name, "EXPOSE") == ["8500 8501"]
    assert arguments_of(name, "STOPSIGNAL") == ["SIGTERM"]
    assert {"MODEL_NAME=housing", "MODEL_BASE_PATH=/models"} <= set(environment)
    assert '["python", "-m", "service.probe", "8501"]' in arguments_of(name, "HEALTHCHECK")[0]
