"""Where versions are kept: object storage, a web server, a folder, or what else fsspec knows."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from service.fetch.errors import FetchError, Forbidden, Unreachable, VersionMissing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_OBJECTS: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "azure", "abfs", "abfss", "adl"})
_ALIASES: Final = {"gcs": "gs"}  # as fsspec calls it too, and obstore does not
_WEB: Final = frozenset({"http", "https"})
_CHUNK_BYTES: Final = 8 * 2**20
_TIMEOUT: Final = "3600s"  # of one request: a large file takes its time
_SILENCE: Final = "60s"  # in which a store that has something to send sends some of it
_MOST_TRIES: Final = 1000  # the time is what limits them
_REASON_CHARACTERS: Final = 500
# Variables by which stores are told of an endpoint of one's own.
_ENDPOINTS: Final = ("AWS_", "AZURE_", "GOOGLE_")
_REFUSALS: Final = frozenset({"PermissionDeniedError", "UnauthenticatedError"})  # obstore's
# How obstore tells of a request that was answered with an error; a token's is about who we are.
_ANSWERED: Final = re.compile(r"performing (\w+) request.*non-2xx status code: (\d{3})", re.DOTALL)
_DEBUG: Final = "\n\nDebug source:"  # obstore says everything a second time behind it
_TAG: Final = re.compile(r"<[^<>]*>")
_LINK: Final = re.compile(r"""href=["'](?:[^"'?#]*/)?(\d+)/["']""", re.IGNORECASE)


class Store(Protocol):
    """A model's folder somewhere. Names are paths below it, with ``/``.

    Attributes:
        url: Where it is.
    """

    url: str

    def versions(self) -> list[int]:
        """The numbers of its versions, ascending.

        Raises:
            FetchError: It cannot be listed.
        """

    def files(self, version: int) -> list[str]:
        """Names of a version's files, below the version.

        Raises:
            FetchError: They cannot be listed.
        """

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's content.

        Raises:
            VersionMissing: There is no such file.
            Unreachable: It did not come, or not to its end.
        """


def open_store(url: str, retry_s: float) -> Store:
    """The store that a URL, or a local path, names.

    Args:
        url: A model's folder, such as ``s3://models/housing``.
        retry_s: Seconds for which what fails is tried again.

    Raises:
        FetchError: Nobody here knows such a place.
    """
    scheme = urlsplit(url).scheme if "://" in url else ""
    try:
        if scheme in _OBJECTS:
            return _Objects(url, retry_s)
        return _Web(url, retry_s) if scheme in _WEB else _Files(url)
    except FetchError:
        raise
    except Exception as error:
        raise FetchError(f"{url} cannot be opened: {reason(error)}") from error


def reason(error: BaseException | None) -> str:
    """What an error says, on one line, without the tags of an answer in XML."""
    said = _TAG.sub(" ", str(error).partition(_DEBUG)[0])
    return " ".join(said.split())[:_REASON_CHARACTERS] or type(error).__name__


class _Objects:
    """S3, Google Cloud Storage and Azure, with the variables and identities that each knows."""

    def __init__(self, url: str, retry_s: float) -> None:
        from obstore.store import from_url  # noqa: PLC0415 - it is not needed for folders

        self.url = url.rstrip("/")
        scheme, _, place = self.url.partition("://")
        self._store: Any = from_url(
            f"{_ALIASES.get(scheme, scheme)}://{place}",
            client_options={
                "timeout": _TIMEOUT,
                "read_timeout": _SILENCE,
                "allow_http": _is_plain(self.url),
            },
            retry_config={
                "max_retries": _MOST_TRIES,
                "retry_timeout": timedelta(seconds=retry_s),
            },
        )

    def versions(self) -> list[int]:
        with _told(self.url):
            return _numbers(self._store.list_with_delimiter()["common_prefixes"])

    def files(self, version: int) -> list[str]:
        folder = f"{version}/"
        with _told(f"{self.url}/{version}"):
            found = [it["path"] for batch in self._store.list(folder) for it in batch]
        return [it.removeprefix(folder) for it in found]

    def chunks(self, name: str) -> Iterator[bytes]:
        with _told(f"{self.url}/{name}"):
            for chunk in self._store.get(name).stream(min_chunk_size=_CHUNK_BYTES):
                yield bytes(chunk)


class _Web(_Objects):
    """A web server: it lists versions as links, if at all, and never their files."""

    def versions(self) -> list[int]:
        page = b"".join(self.chunks(""))
        found = sorted({int(it) for it in _LINK.findall(page.decode(errors="replace"))})
        if not found:
            raise VersionMissing(f"{self.url}/ links to no versions; name one with --version")
        return found

    def files(self, version: int) -> list[str]:
        raise FetchError(
            f"{self.url}/{version}: over HTTP only a contract tells which files there are"
        )


class _Files:
    """A local folder, or whatever fsspec has a package for."""

    def __init__(self, url: str) -> None:
        import fsspec  # noqa: PLC0415 - object storage does without
        from fsspec.implementations.local import LocalFileSystem  # noqa: PLC0415

        self._system, root = fsspec.core.url_to_fs(url, skip_instance_cache=True)
        self._root = str(root).rstrip("/")
        self.url = url.rstrip("/")
        self._is_local = isinstance(self._system, LocalFileSystem)

    def versions(self) -> list[int]:
        with _told(self.url):
            entries = self._system.ls(self._root, detail=True)
        return _numbers(it["name"] for it in entries if it["type"] == "directory")

    def files(self, version: int) -> list[str]:
        folder = f"{self._root}/{version}"
        with _told(f"{self.url}/{version}"):
            found = self._system.find(folder)
        return [it.removeprefix(f"{folder}/") for it in found]

    def chunks(self, name: str) -> Iterator[bytes]:
        path = f"{self._root}/{name}"
        self._check_link(path)
        with _told(f"{self.url}/{name}"), self._system.open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def _check_link(self, path: str) -> None:
        if self._is_local and not Path(path).resolve().is_relative_to(Path(self._root).resolve()):
            raise FetchError(f"{path} is a link that leads out of {self._root}")


class _told:  # noqa: N801 - read as a word: with _told(place)
    """Turns whatever a store's library raises into an error that names the place."""

    def __init__(self, place: str) -> None:
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, FetchError):
            return
        status, said = _answer(error)
        if status in {401, 403}:
            raise Forbidden(f"{self._place} may not be read: {said}") from error
        if status == 404:
            raise VersionMissing(f"{self._place} is not there") from error
        raise Unreachable(f"{self._place}: {said}") from error


def _answer(error: Exception) -> tuple[int, str]:
    """The number with which a store has answered, 0 for none, and what was said.

    Libraries tell it by the error's class, by an HTTP response (Hugging Face's, mostly as the cause
    of a ``FileNotFoundError``), or in words.
    """
    for it in (error, error.__cause__):
        status = getattr(getattr(it, "response", None), "status_code", 0)
        if status:
            return status, reason(it)
    if isinstance(error, FileNotFoundError):
        return 404, reason(error)
    if isinstance(error, PermissionError) or type(error).__name__ in _REFUSALS:
        return 403, reason(error)
    return _told_in_words(str(error)), reason(error)


def _told_in_words(said: str) -> int:
    found = _ANSWERED.search(said)
    if not found:
        return 0
    status = int(found[2])
    return 401 if found[1] == "token" and status < 500 else status


def _numbers(names: Iterable[str]) -> list[int]:
    last = (it.rstrip("/").rpartition("/")[2] for it in names)
    return sorted(int(it) for it in last if it.isascii() and it.isdigit() and str(int(it)) == it)


def _is_plain(url: str) -> bool:
    """Whether it was asked for without TLS, by URL or by variable."""
    told = (it for name, it in os.environ.items() if name.startswith(_ENDPOINTS))
    return any(it.startswith("http://") for it in (url, *told))
