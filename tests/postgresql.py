"""Debian's PostgreSQL as a process of its own, on a socket in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER = "postgres"  # Debian's package makes it; the server refuses to run as root
_DEADLINE_S = 60.0
_PAUSE_S = 0.05


@dataclass
class PostgreSql:
    """A server, which may be stopped and started again.

    Attributes:
        programs: The folder of its programs.
        folder: Where its socket is.
        process: The process, if it runs.
    """

    programs: Path
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        line = [
            self.programs / "postgres", "-D", self.folder / "data", "-F",
            "-c", "listen_addresses=", "-c", f"unix_socket_directories={self.folder}",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(line, stderr=log, cwd=self.folder, **_owner())
        _wait(self.programs, self.folder, self.process)

    def stop(self) -> None:
        """Stop it in the midst of whatever it does."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)  # SIGTERM would wait for clients
            self.process.wait(_DEADLINE_S)
        self.process = None

    def database(self, name: str) -> str:
        """Make an empty database, and give its URL."""
        line = [self.programs / "createdb", "-h", self.folder, "-U", _USER, name]
        subprocess.run(line, check=True)
        return f"postgresql+psycopg://{_USER}@/{name}?host={self.folder}"


def programs() -> Path | None:
    """The folder of the newest server's programs; None where none is installed."""
    found = [it.parent for it in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if (command := shutil.which("initdb")) is not None:
        found.append(Path(command).resolve().parent)
    return max(found, default=None)


@contextlib.contextmanager
def running(programs: Path) -> Iterator[PostgreSql]:
    """Start a server that listens on no port; stopped and removed in the end."""
    owner = _owner()
    # A socket's path may have a hundred characters, which pytest's folders exceed.
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        folder = Path(name)
        if owner:
            shutil.chown(folder, _USER)
        data = folder / "data"
        made = [
            programs / "initdb", "-D", data, "-U", _USER, "-A", "trust", "-N",
            "--no-locale", "-E", "UTF8",
        ]  # fmt: skip
        subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=folder, **owner)
        server = PostgreSql(programs, folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _owner() -> dict[str, Any]:
    """Whom to run it as, where that is not this process's own user."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(_USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _wait(programs: Path, folder: Path, process: subprocess.Popen[bytes]) -> None:
    line = [programs / "pg_isready", "-q", "-h", folder, "-U", _USER]
    deadline = time.monotonic() + _DEADLINE_S
    while subprocess.run(line, check=False).returncode:
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(_PAUSE_S)
