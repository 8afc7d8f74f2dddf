"""Whether this worker lives, and whether requests should be sent to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.http.exchange import Response
from service.protocols import json_body

if TYPE_CHECKING:
    from service.repository.repository import Repository


class Health:
    """Liveness and readiness.

    Args:
        repository: Ready is who serves a version of every model.

    Attributes:
        draining: Set once the worker goes down: it still answers, but is not ready.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self.draining = False

    def live(self) -> Response:
        """The process answers: that is all that liveness says."""
        return Response(200, json_body.encode({"live": True}))

    def ready(self) -> Response:
        """200 if every model has a version that is served and the worker stays, else 503."""
        if self.draining:
            return _not_ready("shutting down")
        problems = self._repository.problems()
        if problems:
            reason = "; ".join(f"model {name}: {problem}" for name, problem in problems.items())
            return _not_ready(reason)
        return Response(200, json_body.encode({"ready": True}))


def _not_ready(reason: str) -> Response:
    return Response(503, json_body.encode({"ready": False, "reason": reason}))
