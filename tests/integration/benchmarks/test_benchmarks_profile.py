"""The table of where a request's time goes is made by its command."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.servers import ROOT


def test_the_profile_times_every_part(housing_models):
    command = [sys.executable, "-m", "benchmarks.profile", "--repeats", "1"]
    done = subprocess.run(
        [*command, f"--model_base_path={housing_models / 'housing'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    rows = re.findall(r"^\| (.+) \| ([0-9.]+) \|$", done.stdout, flags=re.MULTILINE)
    names = [name for name, _ in rows]
    assert names[:4] == [
        "TensorFlow Serving JSON",
        "TensorFlow Serving JSON, by name",
        "v2 JSON",
        "v2 binary",
    ]
    assert {"gRPC Predict", "gRPC ModelInfer", "- limits checked, network run"} <= set(names)
    assert all(float(time) > 0 for _, time in rows)
