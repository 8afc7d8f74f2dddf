"""What can go wrong when asking a server, by what the caller does next.

    HearthError
      InvalidRequest    mend the request: the same one fails again
      Denied            show another key: none was shown, or it may not do this
      NotFound          ask for another model, version or label: this one is not served
      Unavailable       ask again later: unreachable, too slow, too busy, not ready
      ServerFault       report it, with the request id: the server broke its promise

Which HTTP status belongs to which class is one table in ``client._answers``.
"""

from __future__ import annotations


class HearthError(Exception):
    """Anything that keeps a question from its answer.

    Attributes:
        message: What is wrong: place, value and limit.
        url: What was asked; None where nothing was sent.
        status: The HTTP status; None where no answer came.
        request_id: What the server's log calls the request; None where no answer came.
        row: The row it is about, counted from 0 in what was given; None where it is
            about no single row.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        row: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.url = url
        self.status = status
        self.request_id = request_id
        self.row = row

    def __str__(self) -> str:
        circumstances = ", ".join(self._circumstances())
        return f"{self.message} ({circumstances})" if circumstances else self.message

    def _circumstances(self) -> list[str]:
        found = [f"{self.status} from {self.url}" if self.status else self.url]
        if self.request_id:
            found.append(f"request id {self.request_id}")
        return [text for text in found if text]


class InvalidRequest(HearthError):
    """The request, or the address it went to, is wrong; the same one fails again."""


class Denied(HearthError):
    """No key was shown, or one that is not known, has ended, or may not do this."""


class NotFound(HearthError):
    """No such model, version, label or route."""


class Unavailable(HearthError):
    """No answer now, though there may be one later.

    Attributes:
        retry_after_s: How long the server asks to wait, seconds; None where it does not say.
        attempts: How often it was tried.
    """

    retry_after_s: float | None = None
    attempts: int = 1

    def _circumstances(self) -> list[str]:
        tried = [f"after {self.attempts} attempts"] if self.attempts > 1 else []
        return [*super()._circumstances(), *tried]


class ServerFault(HearthError):
    """The server failed, or answered what no such server answers."""
