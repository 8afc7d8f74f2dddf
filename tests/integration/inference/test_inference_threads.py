"""TensorFlow's pools have as many threads as asked for, by what the kernel counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT, running_service

# The names that TensorFlow gives the threads on which operations run at once.
INTER_OP = "tf_Compute"
LOAD = """
import sys
from pathlib import Path
from service.inference.savedmodel import SavedModel
from service.messages import config_pb2

config = config_pb2.ConfigProto(
    intra_op_parallelism_threads=int(sys.argv[2]), inter_op_parallelism_threads=int(sys.argv[3])
)
SavedModel(Path(sys.argv[1]), config=config)
names = [it.read_text().strip() for it in Path("/proc/self/task").glob("*/comm")]
print(len(names), names.count("tf_Compute"))
"""


def threads(model: Path, intra_op: int, inter_op: int) -> tuple[int, int]:
    """Threads of a process that has loaded a model, and those for operations at once."""
    command = [sys.executable, "-c", LOAD, str(model), str(intra_op), str(inter_op)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    total, inter = done.stdout.split()
    return int(total), int(inter)


def test_a_session_has_the_threads_of_its_config(zoo):
    model = zoo / "plain_half_plus_two" / "1"
    total, inter = threads(model, 1, 1)
    assert inter == 1

    assert threads(model, 1, 4) == (total + 3, 4)
    assert threads(model, 6, 1) == (total + 5, 1)


@pytest.mark.parametrize("by_file", [False, True])
def test_a_service_has_the_threads_of_its_flags(zoo, tmp_path, by_file):
    file = tmp_path / "session.config"
    file.write_text("inter_op_parallelism_threads: 5")
    flags = {"tensorflow_session_config_file": file} if by_file else {}
    flags = flags or {"tensorflow_inter_op_parallelism": 5}

    with running_service(
        zoo, name="plain_half_plus_two", executor="tensorflow", **flags
    ) as service:
        pid = service.process.pid
        (worker,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        names = [it.read_text().strip() for it in Path(f"/proc/{worker}/task").glob("*/comm")]

    assert names.count(INTER_OP) == 5
