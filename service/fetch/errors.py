"""What can go wrong with a fetch, by what its caller does next.

FetchError               it cannot be done as asked
  VersionMissing         there is no such version: ask for another
  Forbidden              the store says that we may not have it: mend that
  Unreachable            the store did not answer: what has come is kept, try again
  VersionUnsound         it is not what its contract or its signers say: nothing of it is kept
"""

from __future__ import annotations


class FetchError(Exception):
    """A version could not be fetched, with place and reason."""


class VersionMissing(FetchError):
    """The store does not have it."""


class Forbidden(FetchError):
    """The store refuses us."""


class Unreachable(FetchError):
    """The store did not give it."""


class VersionUnsound(FetchError):
    """It is not as it should be."""
