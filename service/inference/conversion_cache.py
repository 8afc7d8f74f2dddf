"""Conversions to LiteRT, each made once: kept by the content of what was converted.

<key>.tflite    a conversion that gives TensorFlow's answers
<key>.refused   why there is none
lock            held by the process that is making one of the two
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service.contract import LITERT_MODEL, SAVED_MODEL, WARMUP
from service.inference.apart import REFUSED, STOPPED, Limits, TookTooMuch, run_apart
from service.inference.conversion import NotConvertible, check_types, write_samples
from service.inference.signature import callable_signatures, read_saved_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from service.inference.executor import Tensors

    Samples = Mapping[str, Sequence[Tensors]]
    Convert = Callable[[Path, Path, Sequence[str], Path], None]

# To be raised when other rules decide what may be served by LiteRT.
_RULES: Final = 1
# Seconds; a network of tabular data takes ten, most of them TensorFlow's import.
TIME_LIMIT_S: Final = 180.0
_KEPT: Final = 256
_ABANDONED_S: Final = 86_400.0
_DONE: Final = ".tflite"
_REFUSED: Final = ".refused"
_MAKING: Final = "making-"
_PACKAGES: Final = ("tensorflow", "ai-edge-litert")

_log: Final = logging.getLogger("hearth.inference")


class Interrupted(NotConvertible):
    """The conversion was ended from outside: it says nothing about the version."""


class ConversionCache:
    """Finds the conversion of a version, or makes it.

    Args:
        folders: Where conversions are kept: the first of these that can be written to.
        convert: Makes one, from the version's folder to a file, with tags and samples.
    """

    def __init__(self, folders: Sequence[Path], convert: Convert | None = None) -> None:
        self._folders = folders
        self._convert = convert if convert is not None else convert_apart

    def find(self, version: Path, tags: Sequence[str], samples: Samples) -> Path:
        """The LiteRT model that gives a SavedModel's answers.

        Args:
            version: The version's folder.
            tags: The tags of the graph to serve.
            samples: Inputs to compare with, by signature.

        Raises:
            NotConvertible: There is none, and why.
            VersionRefused: The SavedModel cannot be read.
        """
        check_types(callable_signatures(read_saved_model(version, tags)))
        folder = _usable(self._folders)
        entry = folder / _key(version, tags, with_samples=bool(samples))
        found = _kept(entry)
        if found is not None:
            return found
        with _locked(folder / "lock"):
            # Another process may have made it meanwhile.
            return _kept(entry) or self._make(version, tags, samples, entry)

    def _make(self, version: Path, tags: Sequence[str], samples: Samples, entry: Path) -> Path:
        started_s = time.monotonic()
        done = entry.with_suffix(_DONE)
        with tempfile.TemporaryDirectory(prefix=_MAKING, dir=entry.parent) as making:
            made, asked = Path(making, "made"), Path(making, "samples.npz")
            write_samples(asked, samples)
            try:
                self._convert(version, made, tags, asked)
            except Interrupted:
                raise
            except NotConvertible as error:
                made.write_text(str(error))
                made.replace(entry.with_suffix(_REFUSED))
                raise
            made.replace(done)
        _prune(entry.parent)
        _log.info("converted %s for LiteRT in %.1f s", version, time.monotonic() - started_s)
        return done


def convert_apart(
    version: Path, output: Path, tags: Sequence[str], samples: Path, limit_s: float = TIME_LIMIT_S
) -> None:
    """Convert in a process of its own, whatever happens to it.

    Args:
        version: The version's folder.
        output: Where the LiteRT model goes.
        tags: The tags of the graph to serve.
        samples: File of inputs to compare with.
        limit_s: Seconds after which it is given up.

    Raises:
        NotConvertible: There is none, and why.
    """
    arguments = [
        str(version.resolve()), str(output.resolve()), f"--saved_model_tags={','.join(tags)}",
        f"--samples={samples.resolve()}", "--for_service",
    ]  # fmt: skip
    try:
        done = run_apart("service.inference.conversion", arguments, Limits(limit_s))
    except TookTooMuch as error:
        raise NotConvertible(f"the conversion {error}") from error
    if done.returncode == REFUSED:
        raise NotConvertible(done.stdout.strip().rpartition("\n")[2])
    if done.returncode in STOPPED:
        raise Interrupted("the conversion was stopped")
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2][:300]
        raise NotConvertible(f"the conversion ended with {done.returncode}: {last}")


def _kept(entry: Path) -> Path | None:
    """A conversion that was made before, its use noted.

    Raises:
        NotConvertible: It was tried, and there is none.
    """
    for path in (entry.with_suffix(_DONE), entry.with_suffix(_REFUSED)):
        try:
            os.utime(path)
        except FileNotFoundError:
            continue
        if path.suffix == _REFUSED:
            raise NotConvertible(f"{path.read_text()} (as found before)")
        return path
    return None


def _key(version: Path, tags: Sequence[str], *, with_samples: bool) -> str:
    """The hash of all that a conversion depends on."""
    digest = hashlib.sha256(repr((_RULES, sorted(tags), with_samples, _versions())).encode())
    files = [version / SAVED_MODEL, version / LITERT_MODEL]
    if with_samples:
        files.append(version / WARMUP)
    for folder in ("variables", "assets"):
        files.extend(sorted((version / folder).rglob("*")))
    for file in files:
        if file.is_file():
            digest.update(repr((file.relative_to(version).as_posix(), _hash(file))).encode())
    return digest.hexdigest()


def _hash(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _versions() -> list[str]:
    found = []
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{package} {importlib.metadata.version(package)}")
    return found


def _usable(folders: Sequence[Path]) -> Path:
    for folder in folders:
        if _is_usable(folder):
            return folder
    raise Interrupted(f"no conversion can be kept in {' or '.join(map(str, folders))}")


def _is_usable(folder: Path) -> bool:
    """Whether we can write there; and, in a place that all share, nobody else: a model is code."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stat = folder.stat()
    except OSError:
        return False
    shared = folder.parent == Path(tempfile.gettempdir())
    ours = stat.st_uid == os.getuid() and not stat.st_mode & 0o022
    return os.access(folder, os.W_OK) and (ours or not shared)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given up by the system when its holder ends
        yield


def _prune(folder: Path) -> None:
    """Keep the conversions that were used last, and nothing that was left half made."""
    entries = [it for it in folder.iterdir() if it.suffix in {_DONE, _REFUSED}]
    for old in sorted(entries, key=lambda it: it.stat().st_mtime)[:-_KEPT]:
        old.unlink(missing_ok=True)
    for left in folder.glob(f"{_MAKING}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
