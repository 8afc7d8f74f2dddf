"""What can go wrong, by who can mend it. No protocol's status numbers here.

    HearthError
      InvalidRequest          the caller mends the request
        PayloadTooLarge         it is larger than the limit
        RequestTimeout          it did not arrive in time
      NotFound                what was asked for is not there
        RouteNotFound           no such path, or not with this method
        ModelNotFound           no such model or version
      NotReady                it will be there: ask again soon
      Overloaded              too much is asked at once: ask again later
      DeadlineExceeded        the answer took longer than allowed
      InternalError           our fault; the log has the rest under the request id
      VersionRefused          a model version on disk cannot be served, and why

Each protocol has one table from these classes to its own numbers and bodies.
"""

from __future__ import annotations


class HearthError(Exception):
    """Anything that the service says no to.

    Attributes:
        message: What is wrong, for the caller: place, value and limit.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidRequest(HearthError):
    """The request is wrong; the same one will fail again."""


class PayloadTooLarge(InvalidRequest):
    """The request's body is over the limit."""


class RequestTimeout(InvalidRequest):
    """The request's body did not arrive in time."""


class NotFound(HearthError):
    """What was asked for is not there."""


class RouteNotFound(NotFound):
    """No such path, or not with this method."""


class ModelNotFound(NotFound):
    """No such model, version or label is served."""


class NotReady(HearthError):
    """What was asked for is being loaded, or the service is going down."""


class Overloaded(HearthError):
    """More is asked at once than the limits allow."""


class DeadlineExceeded(HearthError):
    """The answer took longer than the caller or the settings allow."""


class InternalError(HearthError):
    """Something unforeseen; only the request id reaches the caller."""


class VersionRefused(HearthError):
    """A model version on disk cannot be served."""
