"""The message modules are what their .proto makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROTO = "service/protocols/open_inference.proto"


def test_the_modules_are_generated_from_the_proto_as_it_stands(tmp_path):
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}"]
    outputs = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", PROTO]

    done = subprocess.run(
        [*command, *outputs], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    for name in ("open_inference_pb2.py", "open_inference_pb2.pyi"):
        made = tmp_path / "service/protocols" / name
        assert made.read_text() == (ROOT / "service/protocols" / name).read_text(), name


@pytest.mark.parametrize("module", ["service.rpc.open_inference", "service.http.open_inference"])
def test_importing_them_does_not_start_tensorflow(module):
    check = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT, check=False).returncode == 0
