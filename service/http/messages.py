"""HTTP requests and answers, before any web framework, and who answers them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

    from service.exchange import Exchange
    from service.inference.executor import Tensors
    from service.protocols.inference import Inference

    Shortcut = Callable[[bytes, Exchange], "Response | None"]
    from service.repository.version import ModelVersion

REQUEST_ID_HEADER: Final = "X-Request-Id"
# Where the answer stands in its caller's trace; the draft of W3C's second level names it so.
TRACE_HEADER: Final = "traceresponse"
VERSION_HEADER: Final = "X-Model-Version"
# Bytes of a body up to which reading and running it cost the loop well under a millisecond.
QUICK_BYTES: Final = 16 * 1024
JSON: Final = "application/json"
# Where what is noted of a request goes along with it.
EXCHANGE: Final = "hearth.exchange"
# Nobody is there any more to read such an answer: the status is for the log.
CLIENT_LEFT: Final = 499


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request, whole.

    Attributes:
        method: The HTTP method.
        path: The path, still percent-encoded.
        query: What stood behind the path's question mark, as it came.
        headers: Header values by lower-case name.
        body: The body, as it came.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Response(msgspec.Struct, frozen=True, gc=False):
    """An answer.

    Attributes:
        status: The HTTP status.
        body: The body.
        content_type: The body's type.
        headers: Names and values of further headers.
    """

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


class Prediction(msgspec.Struct, frozen=True):
    """An ``Inference`` whose answer is made of its outputs alone.

    Attributes:
        version: The version that runs.
        signature: The signature.
        inputs: An array for every input of the signature; or serialised ``tf.Example``
            messages, for a signature that takes those.
        encode: From the outputs to the answer.
        exchange: Who asks, where what was computed is noted and how long it took.
    """

    version: ModelVersion
    signature: str
    inputs: dict[str, NDArray[Any]] | list[bytes]
    encode: Callable[[Tensors], Response]
    exchange: Exchange

    def run(self) -> Response:
        """Run it in this thread; see ``ModelVersion.predict``."""
        if isinstance(self.inputs, dict):
            return self.encode(self.version.predict(self.signature, self.inputs, self.exchange))
        return self.encode(self.version.run_examples(self.signature, self.inputs, self.exchange))

    def submit(self) -> Future[dict[str, NDArray[Any]]]:
        """Let it be joined with others that wait; see ``ModelVersion.submit``."""
        if isinstance(self.inputs, dict):
            return self.version.submit(self.signature, self.inputs, self.exchange)
        return self.version.submit_examples(self.signature, self.inputs, self.exchange)

    def finish(self, outputs: Future[dict[str, NDArray[Any]]]) -> Response:
        """Make the answer of outputs that are there."""
        given = self.exchange.collect(outputs)
        return self.encode(given)


# What goes with a status: what a caller is to show; when to come again, in seconds: what waits
# now is done by then.
_HINTS: Final[Mapping[int, tuple[tuple[str, str], ...]]] = {
    HTTPStatus.UNAUTHORIZED: (("WWW-Authenticate", "Bearer"),),
    HTTPStatus.TOO_MANY_REQUESTS: (("Retry-After", "1"),),
}


def refusal(status: int, body: bytes) -> Response:
    """The answer to a request that is refused, with what its caller is to do."""
    return Response(status, body, headers=_HINTS.get(status, ()))


def not_before(response: Response, seconds: int) -> Response:
    """An answer that says after how many seconds to come again."""
    others = tuple(it for it in response.headers if it[0] != "Retry-After")
    return msgspec.structs.replace(response, headers=(*others, ("Retry-After", str(seconds))))


class Api(ABC):
    """One protocol's routes."""

    @abstractmethod
    def owns(self, path: str) -> bool:
        """Whether a path is one of this protocol's, known or not."""

    @abstractmethod
    def is_light(self, method: str, path: str, headers: Mapping[str, str]) -> bool:
        """Whether beginning a small request of such a head costs an event loop next to nothing."""

    def shortcut(self, _head: Request) -> Shortcut | None:
        """The short way of the usual small requests with such a head, if there is one.

        Args:
            head: A request without its body.

        Returns:
            From a body and its exchange to the answer that ``answer`` would give, or None for
            any that is unusual in any way; it raises nothing.
        """
        return None

    @abstractmethod
    def begin(self, request: Request, exchange: Exchange) -> Response | Inference[Response]:
        """Answer a request as far as it goes without a network's run.

        Args:
            request: The request.
            exchange: Where what is learnt of it is noted, for log and metrics.

        Raises:
            Exception: Anything; ``fail`` makes an answer of it.
        """

    @abstractmethod
    def fail(self, error: Exception, request: Request, exchange: Exchange) -> Response:
        """What is answered, in the protocol's form, when something went wrong."""

    def answer(self, request: Request, exchange: Exchange) -> Response:
        """Answer a request in this thread; whatever goes wrong is answered too."""
        try:
            step = self.begin(request, exchange)
            return step if isinstance(step, Response) else step.run()
        except Exception as error:  # noqa: BLE001 - the one boundary: every error gets its answer
            return self.fail(error, request, exchange)


@lru_cache(maxsize=1024)
def version_header(number: int) -> tuple[tuple[str, str], ...]:
    """The header that says which version has answered."""
    return ((VERSION_HEADER, str(number)),)


def find_api(apis: Sequence[Api], path: str) -> Api | None:
    """The protocol that a path is one of, if there is one."""
    return next((api for api in apis if api.owns(path)), None)
