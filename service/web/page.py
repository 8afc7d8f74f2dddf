"""What the page shows of each model; made from the contract, so any model has its page."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import msgspec

from service.contract import REPORT
from service.errors import ModelNotFound

if TYPE_CHECKING:
    from pathlib import Path

    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

_REPORT_PATH: Final = re.compile(r"/report/([^/]+)/([0-9]{1,19})/(.+)")


@dataclass(frozen=True)
class ModelView:
    """What the page shows of one model.

    Attributes:
        name: The model's name.
        path: Where it is asked, percent-encoded.
        problem: Why no version is served; empty if one is.
        version: The served version's number, or None.
        executor: What runs it.
        since: When it was loaded, UTC.
        report: Path of its training report; empty if it has none.
        contract: The contract as plain data, or None.
    """

    name: str
    path: str
    problem: str
    version: int | None = None
    executor: str = ""
    since: str = ""
    report: str = ""
    contract: dict[str, Any] | None = None


def views(repository: Repository) -> list[ModelView]:
    """What the page shows of each model."""
    problems = repository.problems()
    return [
        _absent(name, problems[name]) if name in problems else _view(repository, name)
        for name in repository.names()
    ]


def find_report(repository: Repository, path: str) -> tuple[Path, str]:
    """A file of a served version's training report.

    Args:
        repository: The models.
        path: ``/report/MODEL/VERSION/FILE``, percent-encoded.

    Returns:
        The report's folder, and the file's name as it was asked for: it may lead anywhere.

    Raises:
        ModelNotFound: The version is not served, or has no report.
    """
    asked = _REPORT_PATH.fullmatch(path)
    if asked is None:
        raise ModelNotFound(f"{path} is no report; expected /report/MODEL/VERSION/FILE")
    model, version, name = unquote(asked[1]), int(asked[2]), unquote(asked[3])
    folder = repository.find(model, version).path / REPORT
    if not folder.is_dir():
        raise ModelNotFound(f"version {version} of {model} has no report")
    return folder.absolute(), name


def _view(repository: Repository, name: str) -> ModelView:
    try:
        version = repository.find(name)
    except ModelNotFound as error:  # it went since the problems were asked for
        return _absent(name, error.message)
    return ModelView(
        name=name,
        path=_path(name),
        problem="",
        version=version.number,
        executor=version.executor.name,
        since=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(version.loaded_at)),
        report=_report(version),
        contract=msgspec.to_builtins(version.contract),
    )


def _report(version: ModelVersion) -> str:
    if not (version.path / REPORT / "index.html").is_file():
        return ""
    return f"/report/{_encoded(version.model)}/{version.number}/index.html"


def _absent(name: str, problem: str) -> ModelView:
    return ModelView(name, _path(name), problem)


def _path(name: str) -> str:
    return f"/v1/models/{_encoded(name)}"


def _encoded(name: str) -> str:
    """A model's name as one part of a path, whatever characters it has."""
    return quote(name, safe="")
