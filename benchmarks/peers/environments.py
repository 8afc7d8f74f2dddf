"""The peers' environments: made on first use from ``requirements/NAME.txt``, pinned and hashed.

They lie below ``.venv-peers`` and are kept until that file changes. uv makes them: it
shares the files of packages that several have, of which TensorFlow alone is 2 GB.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.peers.peer import ROOT, find_command

if TYPE_CHECKING:
    from benchmarks.peers.peer import Peer

LISTS: Final = Path(__file__).with_name("requirements")
ENVIRONMENTS: Final = ROOT / ".venv-peers"
_TAIL: Final = 1500


class NotInstalled(RuntimeError):
    """A peer's packages, or a command that it needs, are not here and could not be installed."""


def missing_commands(peer: Peer) -> list[str]:
    """Commands of the system that a peer needs and that are not here."""
    return [name for name in peer.needs if find_command(name) is None]


def is_installed(peer: Peer) -> bool:
    """A peer could be started at once."""
    return not missing_commands(peer) and (
        not peer.environment or _installed(peer.environment) == _wanted(peer.environment)
    )


def python_of(peer: Peer) -> Path:
    """The interpreter of a peer's environment, which is made if it is not there.

    Raises:
        NotInstalled: It cannot be made, or a command is missing.
    """
    missing = missing_commands(peer)
    if missing:
        raise NotInstalled(f"not installed: {', '.join(missing)} (requirements/install-system)")
    if not peer.environment:
        return Path(sys.executable)
    ENVIRONMENTS.mkdir(exist_ok=True)
    with (ENVIRONMENTS / f"{peer.environment}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another run may be making it
        if not is_installed(peer):
            _make(peer)
    return _python(peer.environment)


def package_version(peer: Peer) -> str:
    """The version of a peer's package as it is installed; empty if it is not, or for none."""
    place = ENVIRONMENTS / peer.environment if peer.environment else Path(sys.prefix)
    folders = [str(path) for path in place.glob("lib/python*/site-packages")]
    found = (
        metadata.distributions(name=peer.distribution, path=folders) if peer.distribution else ()
    )
    return next((it.version for it in found), "")


def _make(peer: Peer) -> None:
    folder = ENVIRONMENTS / peer.environment
    shutil.rmtree(folder, ignore_errors=True)
    python = peer.interpreter or sys.executable
    _uv("venv", "--no-project", "--python", python, str(folder))
    packages = str(LISTS / f"{peer.environment}.txt")
    _uv("pip", "install", "--no-deps", "--require-hashes", "--python",
        str(folder / "bin" / "python"), "-r", packages)  # fmt: skip
    (folder / "installed").write_text(_wanted(peer.environment))


def _uv(*arguments: str) -> None:
    command = [str(Path(sys.executable).with_name("uv")), "--quiet", *arguments]
    environment = {key: it for key, it in os.environ.items() if key != "VIRTUAL_ENV"}
    done = subprocess.run(  # noqa: S603 - ours
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotInstalled(f"uv {arguments[0]} failed: {done.stderr.strip()[-_TAIL:]}")


def _python(name: str) -> Path:
    return ENVIRONMENTS / name / "bin" / "python"


def _installed(name: str) -> str:
    try:
        return (ENVIRONMENTS / name / "installed").read_text()
    except FileNotFoundError:
        return ""


def _wanted(name: str) -> str:
    return hashlib.sha256((LISTS / f"{name}.txt").read_bytes()).hexdigest()
