"""The manifests, put together by kubectl as a cluster would be sent them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"

Resource = dict[str, Any]


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Resource]]:
    """The resources of each way to run it; ``watched`` is that of the volume, with monitoring."""
    _check_kubectl()
    watched = tmp_path_factory.mktemp("watched")
    (watched / "kustomization.yml").write_text(
        yaml.safe_dump(
            {
                "resources": [os.path.relpath(FOLDER / "overlays" / "volume", watched)],
                "components": [os.path.relpath(FOLDER / "components" / "monitoring", watched)],
            }
        )
    )
    return {
        "volume": _render(FOLDER / "overlays" / "volume"),
        "object-storage": _render(FOLDER / "overlays" / "object-storage"),
        "watched": _render(watched),
        "kserve": _render(FOLDER / "kserve"),
    }


def _check_kubectl() -> None:
    done = _kubectl("version", "--client", "--output=json")
    if "kustomizeVersion" not in json.loads(done):
        pytest.skip("not run: kubectl is older than 1.24, and does not know components")


def _render(folder: Path) -> list[Resource]:
    return list(yaml.safe_load_all(_kubectl("kustomize", str(folder))))


def _kubectl(*arguments: str) -> str:
    done = subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
