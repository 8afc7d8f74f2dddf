"""What the page is told of each model and its versions, and the files of training reports."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from service.contract import REPORT
from service.errors import ModelNotFound

if TYPE_CHECKING:
    from pathlib import Path

    from service.repository.repository import Repository
    from service.repository.version import ModelVersion, VersionStatus

_REPORT_PATH: Final = re.compile(r"/report/([^/]+)/([0-9]{1,19})/(.+)")
_REPORT_PAGE: Final = "index.html"


@dataclass(frozen=True)
class VersionView:
    """What is told of one version.

    Attributes:
        number: Its number.
        state: Where it stands, in TensorFlow Serving's words.
        error: Why it could not be loaded; empty where nothing is wrong.
        labels: The labels that point to it, sorted.
        executor: What runs it; empty where it is not served.
        since: When it was loaded, ISO 8601 in UTC; empty where it is not served.
        described: Whether it carries a contract.
        report: Path of its training report; empty if it has none.
    """

    number: int
    state: str
    error: str = ""
    labels: tuple[str, ...] = ()
    executor: str = ""
    since: str = ""
    described: bool = False
    report: str = ""


@dataclass(frozen=True)
class ModelView:
    """What is told of one model.

    Attributes:
        name: The model's name.
        path: Where it is asked, percent-encoded.
        problem: Why no version is served; empty if one is.
        served: The version that answers where none is named, or None.
        versions: All that are known, newest first.
    """

    name: str
    path: str
    problem: str
    served: VersionView | None = None
    versions: tuple[VersionView, ...] = ()


def views(repository: Repository) -> list[ModelView]:
    """What is told of each model."""
    problems = repository.problems()
    return [_view(repository, name, problems.get(name, "")) for name in repository.names()]


def find_report(repository: Repository, path: str) -> tuple[Path, str]:
    """A file of a served version's training report.

    Args:
        repository: The models.
        path: ``/report/MODEL/VERSION/FILE``, percent-encoded.

    Returns:
        The report's folder, and the file's name as it was asked for: it may lead anywhere.

    Raises:
        ModelNotFound: The version is not served, or its contract lists no such file.
    """
    asked = _REPORT_PATH.fullmatch(path)
    if asked is None:
        raise ModelNotFound(f"{path} is no report; expected /report/MODEL/VERSION/FILE")
    model, version, name = unquote(asked[1]), int(asked[2]), unquote(asked[3])
    found = repository.find(model, version)
    if found.contract is None or f"{REPORT}/{name}" not in found.contract.files:
        raise ModelNotFound(f"the report of version {version} of {model} has no such file")
    return (found.path / REPORT).absolute(), name


def _view(repository: Repository, name: str, problem: str) -> ModelView:
    try:
        statuses = repository.statuses(name)
    except ModelNotFound:  # nothing was ever found of it
        statuses = []
    versions = tuple(_version(repository, name, status) for status in statuses)
    served = None
    if not problem:
        # The newest answers. It may have gone since the problems were asked for.
        served = max(filter(_is_served, versions), key=lambda it: it.number, default=None)
        problem = "" if served is not None else "no version of it is served"
    return ModelView(name, _path(name), problem, served, versions)


def _is_served(version: VersionView) -> bool:
    return version.executor != ""


def _version(repository: Repository, name: str, status: VersionStatus) -> VersionView:
    try:
        version = repository.find(name, status.version)
    except ModelNotFound:
        return VersionView(status.version, str(status.state), status.error)
    labels = [
        label for label, number in repository.labels(name).items() if number == status.version
    ]
    return VersionView(
        number=version.number,
        state=str(status.state),
        error=status.error,
        labels=tuple(sorted(labels)),
        executor=version.executor.name,
        since=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(version.loaded_at)),
        described=version.contract is not None,
        report=_report(version),
    )


def _report(version: ModelVersion) -> str:
    if version.contract is None or f"{REPORT}/{_REPORT_PAGE}" not in version.contract.files:
        return ""
    return f"/report/{_encoded(version.model)}/{version.number}/{_REPORT_PAGE}"


def _path(name: str) -> str:
    return f"/v1/models/{_encoded(name)}"


def _encoded(name: str) -> str:
    """A model's name as one part of a path, whatever characters it has."""
    return quote(name, safe="")
