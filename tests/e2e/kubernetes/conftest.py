"""The manifests, put together by kubectl as a cluster would be sent them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "deploy" / "kubernetes"
DOCS = ROOT / "docs" / "kubernetes.md"

Resource = dict[str, Any]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of each way to run it.

    ``watched`` is that of the volume, with monitoring; ``own`` is the docs' own kustomization, with
    models in object storage.
    """
    _check_kubectl()
    watched, own = (tmp_path_factory.mktemp(it) for it in ("watched", "own"))
    (watched / "kustomization.yml").write_text(
        yaml.safe_dump(
            {
                "resources": [os.path.relpath(FOLDER / "overlays" / "volume", watched)],
                "components": [os.path.relpath(FOLDER / "components" / "monitoring", watched)],
            }
        )
    )
    documented = DOCS.read_text().replace("overlays/volume]", "overlays/object-storage]")
    (own / "kustomization.yml").write_text(
        "".join(re.findall(r"```yaml\n(.*?)```", documented, re.DOTALL))
    )
    (own / "hearth").symlink_to(ROOT)
    return {
        "volume": FOLDER / "overlays" / "volume",
        "object-storage": FOLDER / "overlays" / "object-storage",
        "watched": watched,
        "own": own,
        "kserve": FOLDER / "kserve",
    }


@pytest.fixture(scope="session")
def rendered(folders: dict[str, Path]) -> dict[str, list[Resource]]:
    """The resources of each way to run it."""
    return {name: _render(it) for name, it in folders.items()}


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
