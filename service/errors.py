"""What can go wrong, by who can mend it. No protocol's status numbers here.

    HearthError
      InvalidRequest          the caller mends the request
        PayloadTooLarge         it is larger than the limit
        RequestTimeout          it did not arrive in time
        SignatureNotFound       the model has no signature of this name
        NotSupported            nothing here can do this
        NotPossibleNow          it makes sense, but not as things stand
      Unauthenticated         it is not known who asks
      Forbidden               who asks may not do this
      NotFound                what was asked for is not there
        RouteNotFound           no such path, or not with this method
        ModelNotFound           no such model or version
      NotReady                it will be there: ask again soon
      Overloaded              too much is asked at once: ask again later
        RateLimited             one caller asks more often than it may
      DeadlineExceeded        the answer took longer than allowed
      InternalError           our fault; the log has the rest under the request id
      VersionRefused          a model version on disk cannot be served, and why

Each protocol has one table from these classes to its own numbers and bodies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# As TensorFlow Serving cuts its own: a caller's long name need not come back whole.
_MAX_MESSAGE: Final = 1024
_CUT: Final = "...TRUNCATED"


class HearthError(Exception):
    """Anything that the service says no to.

    Attributes:
        message: What is wrong, for the caller: place, value and limit.
    """

    def __init__(self, message: str) -> None:
        # What a caller sent may hold broken surrogates, which no wire and no log can carry.
        text = message[: _MAX_MESSAGE + 1].encode(errors="replace").decode()
        self.message = text if len(text) <= _MAX_MESSAGE else text[:_MAX_MESSAGE] + _CUT
        super().__init__(self.message)


class InvalidRequest(HearthError):
    """The request is wrong; the same one will fail again."""


class PayloadTooLarge(InvalidRequest):
    """The request's body is over the limit."""


class RequestTimeout(InvalidRequest):
    """The request's body did not arrive in time."""


class SignatureNotFound(InvalidRequest):
    """The model has no signature of this name.

    Attributes:
        name: The name asked for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(f'Serving signature name: "{name}" not found in signature def')
        self.name = name


class NotSupported(InvalidRequest):
    """Nothing here can do what is asked, with any model."""


class NotPossibleNow(InvalidRequest):
    """The request makes sense, but not in the state that things are in."""


class Unauthenticated(HearthError):
    """It is not known who asks: no key, token or certificate, or none that counts."""


class Forbidden(HearthError):
    """Who asks is known, or may stay unknown, but may not do this.

    Attributes:
        caller: Who asks; empty where that is not the reason.
    """

    def __init__(self, message: str, caller: str = "") -> None:
        super().__init__(message)
        self.caller = caller


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


class RateLimited(Overloaded):
    """One caller asks more often than it may.

    Attributes:
        retry_after_s: Whole seconds after which its next request is taken.
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(HearthError):
    """The answer took longer than the caller or the settings allow."""


class InternalError(HearthError):
    """Something unforeseen; only the request id reaches the caller."""


class VersionRefused(HearthError):
    """A model version on disk cannot be served."""


def kinds(of: type[HearthError] = HearthError) -> Iterator[type[HearthError]]:
    """All classes of errors below one."""
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)
