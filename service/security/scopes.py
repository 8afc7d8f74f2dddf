"""What a caller may be allowed to do, and what each path and call asks for."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


class Scope(enum.StrEnum):
    """One thing that a caller may be allowed to do; none holds another.

    Attributes:
        PREDICT: Have a model compute, and tell what became of it.
        READ: See models, pages, documents and metrics.
        ADMIN: Change what is served.
    """

    PREDICT = "predict"
    READ = "read"
    ADMIN = "admin"


ALL: Final = frozenset(Scope)
# What gRPC's calls have in place of a method.
RPC: Final = "gRPC"

_OPEN: Final = frozenset(
    {"/livez", "/readyz", "/ping", "/health", "/v2/health/live", "/v2/health/ready"}
    # The page without what it shows: it asks for a key.
    | {"/page", "/favicon.ico"}
)
_PAGE_FILES: Final = "/static/"
# A browser's question whether it may ask comes without a key, by the standard of CORS.
_ASKING: Final = "OPTIONS"
_READING: Final = frozenset({"GET", "HEAD"})
_PREDICTING: Final = re.compile(
    r"(?s)(?i:/v1/models/).+:(predict|classify|regress|explain|feedback)"
    r"|/v2/models/.+/infer"
    r"|/invocations"
)
# It changes nothing: the protocol has it as a POST since it may have a body.
_READ_BY_POST: Final = "/v2/repository/index"
_CALLS: Final[Mapping[str, Scope | None]] = {
    **dict.fromkeys(("Check", "Watch", "List", "ServerLive", "ServerReady")),
    **dict.fromkeys(
        ("Predict", "Classify", "Regress", "MultiInference", "ModelInfer"), Scope.PREDICT
    ),
    **dict.fromkeys(
        (
            "GetModelMetadata", "GetModelStatus", "ServerMetadata", "ModelReady", "ModelMetadata",
            "ModelConfig", "ModelStatistics", "RepositoryIndex", "ServerReflectionInfo",
        ),
        Scope.READ,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Routes:
    """Which scope each path and call needs.

    What changes something and is not known needs ``admin``: a route that somebody adds is
    closed until it is named here.

    Attributes:
        open: Further paths that anybody may read.
        predicting: Further paths that have a model compute.
    """

    open: frozenset[str] = frozenset()
    predicting: frozenset[str] = frozenset()

    def needed(self, method: str, path: str) -> Scope | None:
        """The scope that a request needs.

        Args:
            method: The HTTP method, or ``gRPC``.
            path: The path as it came, percent-encoded; of a call ``/SERVICE/METHOD``.

        Returns:
            The scope; None where none is needed.
        """
        if method == RPC:
            return _CALLS.get(path.rpartition("/")[2], Scope.ADMIN)
        if method == _ASKING:
            return None
        if method in _READING:
            anybody = path in _OPEN or path in self.open or path.startswith(_PAGE_FILES)
            return None if anybody else Scope.READ
        if method == "POST" and (path in self.predicting or _PREDICTING.fullmatch(path)):
            return Scope.PREDICT
        return Scope.READ if path == _READ_BY_POST else Scope.ADMIN
