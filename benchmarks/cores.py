"""Which cores the servers get and which the load, so that neither takes the other's time."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass


@dataclass(frozen=True)
class Cores:
    """A division of this machine's cores.

    Attributes:
        server: Cores of the servers; empty for any.
        load: Cores of whatever sends requests; empty for any.
    """

    server: tuple[int, ...] = ()
    load: tuple[int, ...] = ()

    def serving(self, command: list[str]) -> list[str]:
        """A server's command, kept to the servers' cores."""
        return _pinned(self.server, command)

    def loading(self, command: list[str]) -> list[str]:
        """A load's command, kept to its cores."""
        return _pinned(self.load, command)

    def __str__(self) -> str:
        if not self.server:
            return "servers and load share all cores"
        return f"servers on {_named(self.server)}, load on {_named(self.load)}"


def apart() -> Cores:
    """Half of the cores that this process may use for servers, the rest for the load.

    On a single core, or without ``taskset``, nothing is pinned.
    """
    available = sorted(os.sched_getaffinity(0))
    half = len(available) // 2
    if not half or shutil.which("taskset") is None:
        return Cores()
    return Cores(tuple(available[:half]), tuple(available[half:]))


def _pinned(cores: tuple[int, ...], command: list[str]) -> list[str]:
    return ["taskset", "-c", ",".join(map(str, cores)), *command] if cores else command


def _named(cores: tuple[int, ...]) -> str:
    return f"core{'s' if len(cores) > 1 else ''} {', '.join(map(str, cores))}"
