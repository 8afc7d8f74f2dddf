"""The Makefile lists its targets, and starts what its variables say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = ("setup", "train", "serve", "lessons", "test", "check", "bench", "up", "down", "clean")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*arguments: str) -> str:
    """What make prints; with ``-n`` it only tells what it would do."""
    # A make that runs these tests must not hand its own variables down.
    environment = {key: it for key, it in os.environ.items() if "MAKE" not in key}
    done = subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def help_lines() -> dict[str, str]:
    found = re.findall(r"^  make (\S+) +(\S.*)$", make(), flags=re.MULTILINE)
    return dict(found)


def listed() -> set[str]:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
    return set(phony[1].split()) if phony else set()


def test_make_alone_lists_every_target() -> None:
    assert set(help_lines()) == listed() - {"help", "system"}
    assert set(TARGETS) <= set(help_lines())


@pytest.mark.parametrize(
    ("variable", "flag"),
    [
        ("REST_PORT=9001", "--rest_api_port=9001"),
        ("PORT=9000", "--port=9000"),
        ("WORKERS=3", "--workers=3"),
        ("HOST=0.0.0.0", "--host=0.0.0.0"),
        ("MODELS=/m", "--model_config_file=/m/models.config"),
        ("ARGS=--access_log=all", "--access_log=all"),
    ],
)
def test_variables_become_flags_of_the_service(variable: str, flag: str) -> None:
    command = make("-n", "serve", variable).replace("\\\n", " ").split("exec ")[-1].split()

    assert flag in command


def test_serve_trains_nothing_where_a_version_is(tmp_path: Path) -> None:
    version = tmp_path / "housing" / "3"
    version.mkdir(parents=True)
    (version / "saved_model.pb").touch()

    assert "-m training --data" not in make("-n", "serve", f"MODELS={tmp_path}")


def test_lessons_are_exported_where_they_are_missing_and_all_served(tmp_path: Path) -> None:
    config = tmp_path / "lessons" / "models.config"
    missing = make("-n", "lessons", f"MODELS={tmp_path}", "REST_PORT=9001")
    config.parent.mkdir()
    config.touch()
    there = make("-n", "lessons", f"MODELS={tmp_path}", "REST_PORT=9001")

    assert f"-m lessons export --folder {config.parent}" in missing
    assert "-m lessons export" not in there
    for command in (missing, there):
        assert f"--model_config_file={config}" in command
        assert "--rest_api_port=9001" in command


def test_force_trains_again() -> None:
    assert "--force" not in make("-n", "train")
    assert "--force" in make("-n", "train", "FORCE=1")


def test_recipe_is_the_tutorials_unless_named() -> None:
    assert "--recipe" not in make("-n", "train")
    assert "--recipe best" in make("-n", "train", "RECIPE=best")


def test_serve_follows_the_labels_and_gives_stable_to_who_names_none() -> None:
    config, service = [it for it in make("-n", "serve").splitlines() if "bin/python" in it][-2:]
    whole = make("-n", "serve").replace("\\\n", " ")

    assert "-m training config --models models --name housing" in config
    assert "-m service" in service
    assert "--model_config_file_poll_wait_seconds=1" in whole
    assert "--default_version_label=stable" in whole


@pytest.mark.parametrize("name", ["promote", "rollback"])
def test_labels_are_moved_by_a_command(name: str) -> None:
    said = make("-n", name, "MODELS=/m", "ARGS=3")

    assert f"-m training {name} --models /m --name housing 3" in said


def test_clean_leaves_the_models(tmp_path: Path) -> None:
    commands = make("-n", "clean", f"MODELS={tmp_path}").splitlines()
    removing = [line for line in commands if line.startswith(("rm ", "find "))]

    assert removing
    assert not any(str(tmp_path) in line for line in removing)


def test_the_server_replaces_the_shell_so_that_signals_reach_it() -> None:
    assert re.search(r"^exec .*-m service", make("-n", "serve"), flags=re.MULTILINE)


def test_scripts_can_be_run() -> None:
    scripts = re.search(r"^SCRIPTS := ((?:.*\\\n)*.*)$", MAKEFILE, flags=re.MULTILINE)

    assert scripts
    for script in scripts[1].replace("\\\n", " ").split():
        assert (ROOT / script).stat().st_mode & 0o111, script
