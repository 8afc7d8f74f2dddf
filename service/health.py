"""Whether requests should be sent to this worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from service.repository.repository import Repository


class Health:
    """Readiness.

    Args:
        repository: Ready is who serves a version of some model; one that cannot be served
            must not take the others away.
        crashing: Says that workers crash again and again; empty while they do not.
        behind: Says that the servers behind cannot be reached; empty while they can.

    Attributes:
        draining: Set once the worker goes down: it still answers, but is not ready.
    """

    def __init__(
        self,
        repository: Repository,
        crashing: Callable[[], str] = str,
        behind: Callable[[], str] = str,
    ) -> None:
        self._repository = repository
        self.crashing = crashing
        self._behind = behind
        self.draining = False

    def problem(self) -> str:
        """Why the worker is not ready; empty if it is."""
        if self.draining:
            return "shutting down"
        if not self._repository.names():
            return "no model is configured"
        problems = self._repository.problems()
        if len(problems) < len(self._repository.names()):
            return self._behind()
        return "; ".join(f"model {name}: {problem}" for name, problem in problems.items())
