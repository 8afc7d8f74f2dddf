"""One way to serve the model: what it needs, how it is started, what it can be asked."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.forms import Form
    from benchmarks.servers import Ports

ROOT: Final = Path(__file__).parents[2]
PROGRAMS: Final = Path(__file__).with_name("programs")

# Each peer here as its own documentation sets it up: one process that answers.
Command: TypeAlias = "Callable[[Launch], list[str]]"


@dataclass(frozen=True)
class Launch:
    """What a peer is told when it is started.

    Attributes:
        python: The interpreter of its environment.
        version: Folder of the model version to serve.
        ports: Where to listen.
        folder: A folder of its own to write to, its working folder too.
        workers: Worker processes.
        flags: Further flags, for Hearth alone.
    """

    python: Path
    version: Path
    ports: Ports
    folder: Path
    workers: int = 1
    flags: tuple[str, ...] = ()

    def tool(self, name: str) -> str:
        """Path of a command that came with the peer's packages."""
        return str(self.python.parent / name)


@dataclass(frozen=True)
class Peer:
    """One way to serve the model.

    Attributes:
        title: Its name in tables.
        setup: In a few words, how it is set up.
        command: The command line that serves the model; may write files it needs first.
        forms: How it is asked, the first one for comparisons.
        distribution: Its package, whose version is shown; empty for none.
        environment: Its list in ``peers/requirements``; empty for Hearth's own environment.
        interpreter: What its environment is made with; empty for what runs this.
        variables: Further environment variables.
        needs: Commands of the system that it needs.
    """

    title: str
    setup: str
    command: Command
    forms: tuple[Form, ...]
    distribution: str = ""
    environment: str = ""
    interpreter: str = ""
    variables: Callable[[Launch], Mapping[str, str]] = field(default=lambda _: {})
    needs: tuple[str, ...] = ()


def find_command(name: str) -> str | None:
    """Where a command of the system is; servers lie where not every user's path leads."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin")


def model_variables(launch: Launch) -> dict[str, str]:
    """What the programs of ``programs/`` read: the model's folder, ports, and their own place.

    What they write goes to a folder that is removed in the end.
    """
    return {
        "PATH": f"{launch.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(PROGRAMS),
        "BENTOML_HOME": str(launch.folder / "home"),
        "BENTOML_DO_NOT_TRACK": "True",
        "FOLDER": str(launch.folder),
        "FURTHER_PORT": str(launch.ports.further),
        "MODEL": str(launch.version),
        "HTTP_PORT": str(launch.ports.http),
        "GRPC_PORT": str(launch.ports.grpc),
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
