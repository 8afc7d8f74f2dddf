"""The table of how long an explanation takes is made by its command."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.servers import ROOT


def test_a_version_and_a_network_are_timed(housing_models):
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.explaining", "--rounds", "2"]
    version = housing_models / "housing" / "1"
    done = subprocess.run(
        [*command, "--features", "2", "--version", str(version)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    rows = re.findall(
        r"^\| (.+) \| (\d+) \| (\d+) \| (exact) \| ([\d.]+) \| ([\d.]+) \|$",
        done.stdout,
        re.MULTILINE,
    )
    # A hundred background rows and all coalitions but the empty one and the whole.
    assert [row[:4] for row in rows] == [
        ("64, 64", "2", str(100 * 2 + 1), "exact"),
        (str(version), "3", str(100 * 6 + 1), "exact"),
    ]
    assert all(float(median) >= float(best) > 0 for *_, median, best in rows)
