"""One version: brought beside its place, checked there, and renamed into it.

A version that has begun to come is ``.7.part`` beside ``7``, which no service takes for a version.
When a fetch ends early, what of it is whole is kept, and the next goes on from there.
"""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from service import contract
from service.contract import CONTRACT, SIGNATURE, ContractError
from service.errors import VersionRefused
from service.fetch.errors import FetchError, Unreachable, VersionMissing, VersionUnsound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from service.contract import Contract
    from service.fetch.store import Store
    from service.repository.signatures import Signatures

_AT_ONCE: Final = 8
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0
_MOST_CONTRACT_BYTES: Final = 64 * 2**20
_PART: Final = ".part"


class Fetcher:
    """Fetches versions of one model.

    Args:
        store: Where they are kept.
        destination: The model's folder here.
        signatures: Who must have signed them; None for nobody.
        allow_unchecked: Take versions too that have no contract, and so no checksums.
        retry_s: Seconds for which a file that does not come is asked for again.
        tell: Called with a line for each file that has come.
    """

    def __init__(
        self,
        store: Store,
        destination: Path,
        signatures: Signatures | None = None,
        *,
        allow_unchecked: bool = False,
        retry_s: float = 0.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._destination = destination
        self._signatures = signatures
        self._allow_unchecked = allow_unchecked
        self._retry_s = retry_s
        self._tell = tell

    def fetch(self, version: int) -> Path | None:
        """Bring one version, unless it is there.

        Args:
            version: Its number.

        Returns:
            Its folder; None where it was there already.

        Raises:
            FetchError: It did not come, or is not as it should be. Then there is nothing new
                at its place.
        """
        place = self._destination / str(version)
        if os.path.lexists(place):
            return None
        part = self._begin(version)
        try:
            self._fill(version, part)
            self._check_signature(part)
        except VersionUnsound:
            shutil.rmtree(part)
            raise
        part.rename(place)
        return place

    def tidy(self, wanted: Sequence[int]) -> None:
        """Remove what earlier fetches have left of versions that nobody wants any more."""
        names = {f".{it}{_PART}" for it in wanted}
        for part in self._destination.glob(f".*{_PART}"):
            if part.name not in names and part.is_dir() and not part.is_symlink():
                shutil.rmtree(part)

    def _begin(self, version: int) -> Path:
        part = self._destination / f".{version}{_PART}"
        if part.is_symlink():
            raise FetchError(f"{part} is a link: a version is put together in a folder alone")
        part.mkdir(parents=True, exist_ok=True)
        for link in [it for it in part.rglob("*") if it.is_symlink()]:
            link.unlink()
        return part

    def _fill(self, version: int, part: Path) -> None:
        described = self._contract(version, part)
        if described is None:
            shutil.rmtree(part)  # nothing says what of it is whole
            self._download(version, part, self._unchecked(version))
            return
        _check_names(f"{self._store.url}/{version}/{CONTRACT}", described.files)
        _drop(part, described.files)
        missing = [it for it in described.files if not (part / it).exists()]
        self._download(version, part, missing)
        self._bring_signature(version, part)
        try:
            contract.verify(part, described)
        except ContractError as error:
            raise VersionUnsound(f"{self._store.url}/{version}: {error}") from error

    def _contract(self, version: int, part: Path) -> Contract | None:
        """The version's description; it comes first, and anew at each try."""
        name = f"{version}/{CONTRACT}"
        try:
            self._bring(name, part / CONTRACT, most_bytes=_MOST_CONTRACT_BYTES)
        except VersionMissing:
            (part / CONTRACT).unlink()
            return None
        try:
            return contract.read(part)
        except ContractError as error:
            raise VersionUnsound(f"{self._store.url}/{name}: {error}") from error

    def _unchecked(self, version: int) -> list[str]:
        """The files of a version that nothing describes."""
        place = f"{self._store.url}/{version}"
        if not self._allow_unchecked:
            raise VersionMissing(
                f"{place}/{CONTRACT} is not there, so that nothing of it could be checked; "
                "--allow_unchecked takes it all the same"
            )
        names = self._store.files(version)
        if not names:
            raise VersionMissing(f"{place} is not there")
        _check_names(place, names)
        return names

    def _bring_signature(self, version: int, part: Path) -> None:
        try:
            self._bring(f"{version}/{SIGNATURE}", part / SIGNATURE)
        except VersionMissing:
            (part / SIGNATURE).unlink()  # whether it must be signed is asked later

    def _check_signature(self, part: Path) -> None:
        if self._signatures is None:
            return
        try:
            self._signatures.check(part)
        except VersionRefused as error:
            raise VersionUnsound(
                f"{self._store.url}/{part.name[1 : -len(_PART)]}: {error}"
            ) from error

    def _download(self, version: int, part: Path, names: Sequence[str]) -> None:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            coming = [pool.submit(self._bring, f"{version}/{it}", part / it) for it in names]
            try:
                for count, (name, it) in enumerate(zip(names, coming, strict=True), 1):
                    size = it.result()
                    self._tell(f"{version}/{name}: {size} bytes, {count} of {len(names)} files")
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _bring(self, name: str, path: Path, most_bytes: float = float("inf")) -> int:
        """Bring one file, if need be with several tries; its size in bytes."""
        until_s, pause_s = time.monotonic() + self._retry_s, _FIRST_PAUSE_S
        while True:
            try:
                return self._write(name, path, most_bytes)
            except Unreachable:
                if time.monotonic() + pause_s > until_s:
                    raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _write(self, name: str, path: Path, most_bytes: float) -> int:
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with path.open("wb") as file:
            for chunk in self._store.chunks(name):
                size += file.write(chunk)
                if size > most_bytes:
                    raise VersionUnsound(
                        f"{self._store.url}/{name} has more than {most_bytes:.0f} bytes"
                    )
        return size


def _drop(part: Path, sums: Mapping[str, str]) -> None:
    """Remove what an earlier try has left, but for files that have these checksums."""
    for name, actual in contract.checksums(part).items():
        if sums.get(name) != actual:
            (part / name).unlink()


def _check_names(place: str, names: Iterable[str]) -> None:
    """Refuse names that are no paths inside a version.

    Raises:
        VersionUnsound: One is not.
    """
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or set(name) & set("\\\0"):
            raise VersionUnsound(f"{place}: {name!r} lies outside the version's folder")
