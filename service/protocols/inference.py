"""A request for inference on its way: read and checked, then computed here or elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

    from service.repository.version import ModelVersion

Answer_co = TypeVar("Answer_co", covariant=True)


class Inference(Protocol[Answer_co]):
    """A request that is read, checked, and not yet computed."""

    @property
    def version(self) -> ModelVersion:
        """What is to compute it."""

    def run(self) -> Answer_co:
        """Have it computed in this thread, and make the answer."""

    def submit(self) -> Future[Any]:
        """Have it computed, in no thread of this one's, by a version that joins."""

    def finish(self, outputs: Future[Any]) -> Answer_co:
        """Make the answer of what ``submit`` gave, once that is done."""
