"""The bill of materials names what is installed, and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.deploy.test_requirements import FOLDER, pins

TOOL = Path(sys.executable).with_name("cyclonedx-py")


def test_the_bill_names_every_package_with_its_version_and_hashes(tmp_path):
    made = tmp_path / "client.cdx.json"
    listed = FOLDER / "client.txt"
    subprocess.run(
        [TOOL, "requirements", "--output-reproducible", "-o", made, listed],
        check=True, capture_output=True,
    )  # fmt: skip

    bill = json.loads(made.read_text())
    named = {(it["name"], it["version"]) for it in bill["components"]}
    assert bill["bomFormat"] == "CycloneDX"
    assert named == {(name, version) for (name, _), version in pins(listed).items()}
    assert all(it["externalReferences"][0]["hashes"] for it in bill["components"])


def test_the_makefile_writes_one_for_each_part():
    told = subprocess.run(
        ["make", "-n", "sbom"], cwd=FOLDER.parent, capture_output=True, text=True, check=True
    ).stdout

    assert "for list in service training client" in told
    assert "cyclonedx-py requirements" in told
