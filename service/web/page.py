"""What the page shows of each model; made from the contract, so any model has its page."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from service.contract import REPORT
from service.errors import ModelNotFound

if TYPE_CHECKING:
    from pathlib import Path

    from service.repository.repository import Repository
    from service.repository.version import ModelVersion


@dataclass(frozen=True)
class ModelView:
    """What the page shows of one model.

    Attributes:
        name: The model's name.
        problem: Why no version is served; empty if one is.
        version: The served version's number, or None.
        executor: What runs it.
        since: When it was loaded, UTC.
        report: Path of its training report; empty if it has none.
        contract: The contract as plain data, or None.
    """

    name: str
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
        ModelView(name, problems[name]) if name in problems else _view(repository, name)
        for name in repository.names()
    ]


def report_folder(repository: Repository, model: str, version: int) -> Path:
    """Folder of a served version's training report.

    Raises:
        ModelNotFound: The version is not served, or has no report.
    """
    folder = repository.find(model, version).path / REPORT
    if not folder.is_dir():
        raise ModelNotFound(f"version {version} of {model} has no report")
    return folder.absolute()


def _view(repository: Repository, name: str) -> ModelView:
    try:
        version = repository.find(name)
    except ModelNotFound as error:  # it went since the problems were asked for
        return ModelView(name, error.message)
    return ModelView(
        name=name,
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
    return f"/report/{version.model}/{version.number}/index.html"
