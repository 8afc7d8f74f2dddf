"""``python -m client score``: a table priced on this machine, without a server.

The work is the service's: its packages, and those of ``requirements/scoring.txt``, are needed
for this command alone, and imported for it alone.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client._csv import TableError
from client._progress import progress

if TYPE_CHECKING:
    import argparse

    from client._progress import Progress


def score(given: argparse.Namespace) -> int:
    """Run the command.

    Args:
        given: Its settings.

    Returns:
        The exit code.

    Raises:
        TableError: Packages are not installed, or table, model, output or settings are at fault.
    """
    scoring = _scoring()
    try:
        result = _scored(scoring, given)
    except scoring.TableError as error:
        raise TableError(str(error)) from error
    except KeyboardInterrupt:
        print("interrupted: the same command goes on", file=sys.stderr)
        raise
    _tell(result)
    return 0


def _scoring() -> Any:
    try:
        from service import score as scoring  # noqa: PLC0415 - for this command alone
    except ModuleNotFoundError as error:
        raise TableError(
            f"{error}: score needs the packages of requirements/service.txt and "
            "requirements/scoring.txt, and the code of service/"
        ) from error
    return scoring


def _scored(scoring: Any, given: argparse.Namespace) -> Any:
    base_path = Path(given.model_base_path or Path("models", given.model))
    model = scoring.find(base_path, given.version_number, given.label)
    options = _options(scoring, given)
    engine = None if given.scheduler is None else scoring.Dask(given.scheduler)
    with _Shown(Path(given.output).name) as shown:
        return scoring.score(given.table, given.output, model, options, engine, shown.show)


class _Shown(contextlib.ExitStack):
    """Progress, shown from the moment that it is known how much there is to do.

    Args:
        name: What is being worked on.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name
        self._progress: Progress | None = None

    def show(self, now: Any) -> None:
        """Show how far the work is."""
        if self._progress is None:
            self._progress = self.enter_context(progress(self._name, now.total, sys.stderr))
        self._progress.show(now.rows, now.size)


def _options(scoring: Any, given: argparse.Namespace) -> Any:
    return scoring.Options(
        level=given.level,
        columns=dict(given.column),
        keep=given.keep,
        format=given.format,
        processes=given.processes or len(os.sched_getaffinity(0)),
        memory_bytes=given.memory,
        unit_rows=given.unit_rows,
        restart=given.restart,
        verify_versions_with=given.verify_versions_with,
    )


def _tell(result: Any) -> None:
    earlier = f", {result.earlier:,} of them by an earlier run" if result.earlier else ""
    version = Path(result.version)
    print(
        f"{result.output}: {result.rows:,} rows scored by {version.parent.name} version "
        f"{version.name}{earlier}",
        file=sys.stderr,
    )
    if result.bad:
        which = "1 row has" if result.bad == 1 else f"{result.bad:,} rows have"
        print(
            f"{which} no price: {result.bad_rows} says why; the first: {result.example}",
            file=sys.stderr,
        )
