"""Bearer tokens of an identity provider: JWTs, signed by keys that are read and read again.

References:
    RFC 7519 (JWT), RFC 7517 (JWKS), RFC 9068 (scopes and audience of access tokens), RFC 8725
    (what to refuse).
"""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from service.errors import InvalidRequest, Unauthenticated
from service.security.callers import Caller
from service.security.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log: Final = logging.getLogger("hearth.security")

# Signatures of a private key alone: whoever can check them cannot make them.
ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip
# Seconds that clocks may differ.
_LEEWAY_S: Final = 30
_MAX_TOKEN: Final = 8192
_PREFIX: Final = "hearth:"
_FETCH_S: Final = 5.0
_MAX_DOCUMENT: Final = 1 << 20
# Seconds after which keys are fetched anew, and between tries for a key that is not known.
_FRESH_S: Final = 300.0
ASK_AGAIN_S: Final = 10.0
# What a document raises that is no key set.
_UNREADABLE: Final = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Provider:
    """Whose tokens count.

    Attributes:
        keys: A JWKS: a file's path, or an ``https`` address.
        issuer: The ``iss`` that tokens must have.
        audience: The ``aud`` that tokens must have.
        scope_claim: The claim that lists scopes, as text or a list.
    """

    keys: str
    issuer: str
    audience: str
    scope_claim: str = "scope"

    @property
    def is_remote(self) -> bool:
        """Whether the keys are fetched over the network."""
        return "://" in self.keys


class Tokens:
    """Checks tokens.

    Args:
        provider: Whose tokens count.
        keys: Finds the key of an id among those that are known now; None for none.
    """

    def __init__(self, provider: Provider, keys: Callable[[str], Any]) -> None:
        self._provider = provider
        self._keys = keys

    def check(self, token: str) -> Caller:
        """Who shows a token, and what it allows.

        Raises:
            Unauthenticated: It is no token, not signed by a known key, not for this service, or
                its time is over.
        """
        import jwt  # noqa: PLC0415 - only where tokens are used

        if len(token) > _MAX_TOKEN:
            raise Unauthenticated(f"the token has over {_MAX_TOKEN} characters")
        try:
            claims = self._claims(jwt, token)
        except (jwt.PyJWTError, ValueError) as error:
            # Its own words may quote the token.
            kind = type(error).__name__.removesuffix("Error")
            raise Unauthenticated(f"the token does not count: {kind}") from None
        return Caller(
            name=str(claims["sub"])[:64],
            scopes=_scopes(claims.get(self._provider.scope_claim)),
            expires_s=float(claims["exp"]) + _LEEWAY_S,
        )

    def _claims(self, jwt: Any, token: str) -> Mapping[str, Any]:
        header = jwt.get_unverified_header(token)
        key = self._keys(str(header.get("kid", "")))
        if key is None:
            raise jwt.InvalidKeyError
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            issuer=self._provider.issuer,
            audience=self._provider.audience,
            leeway=_LEEWAY_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        return claims


def _scopes(claim: Any) -> frozenset[Scope]:
    """The scopes of a claim that are ours; ``hearth:read`` is the same as ``read``."""
    words = claim.split() if isinstance(claim, str) else claim if isinstance(claim, list) else []
    bare = {str(word).removeprefix(_PREFIX) for word in words}
    return frozenset(scope for scope in Scope if scope in bare)


def parse_keys(place: str, text: str | bytes) -> dict[str, Any]:
    """The public keys of a JWKS by their ids.

    Args:
        place: What names it, for messages.
        text: The document.

    Raises:
        InvalidRequest: It is none, or holds no public key that can be used.
    """
    import jwt  # noqa: PLC0415 - only where tokens are used

    try:
        entries = json.loads(text)["keys"]
        public = [it for it in entries if it.get("kty") != "oct" and it.get("use") != "enc"]
        keys = {it.key_id or "": it for it in jwt.PyJWKSet.from_dict({"keys": public}).keys}
    except (*_UNREADABLE, jwt.PyJWTError) as error:
        raise InvalidRequest(
            f"{place} is no JWKS with a public key: {type(error).__name__}"
        ) from error
    return keys


class FileKeys:
    """The keys of a file.

    Args:
        flag: The flag that names it.
        path: The file.

    Raises:
        InvalidRequest: It cannot be read, or is no JWKS.
    """

    def __init__(self, flag: str, path: Path) -> None:
        self._flag = flag
        self.path = path
        self.read()

    def __call__(self, key_id: str) -> Any:
        """The key of this id; None if there is none."""
        return self._known.get(key_id)

    def read(self) -> None:
        """Read the file anew."""
        try:
            text = self.path.read_bytes()
        except OSError as error:
            raise InvalidRequest(
                f"{self._flag}: {self.path} cannot be read: {error.strerror}"
            ) from error
        self._known = parse_keys(f"{self._flag}: {self.path}", text)


class RemoteKeys:
    """The keys of an address, fetched in a thread of their own and kept when that fails.

    Args:
        flag: The flag that names it.
        url: The address.

    Attributes:
        fetched: Set when keys were there for the first time.
    """

    def __init__(self, flag: str, url: str) -> None:
        self._place = f"{flag}: {url}"
        self._url = url
        self._known: dict[str, Any] = {}
        self._wanted = threading.Event()
        self._stopped = False
        self._tried_s = -ASK_AGAIN_S
        self._changed: Callable[[], None] = lambda: None
        self.fetched = threading.Event()

    def __call__(self, key_id: str) -> Any:
        """The key of this id; None if there is none: it is asked for, not too often."""
        key = self._known.get(key_id)
        if key is None and time.monotonic() - self._tried_s > ASK_AGAIN_S:
            self._wanted.set()
        return key

    def start(self, changed: Callable[[], None] = lambda: None) -> None:
        """Begin to fetch; the first keys are waited for, but not for ever.

        Args:
            changed: Called when keys have come, which may be others.
        """
        self._changed = changed
        threading.Thread(target=self._run, name="jwks", daemon=True).start()
        self.fetched.wait(_FETCH_S)

    def stop(self) -> None:
        """Fetch no more."""
        self._stopped = True
        self._wanted.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wanted.clear()
            self._run_once()
            self._wanted.wait(_FRESH_S if self._known else ASK_AGAIN_S)

    def _run_once(self) -> None:
        self._tried_s = time.monotonic()
        try:
            self._known = parse_keys(self._place, fetch(self._url))
        except (OSError, HTTPException, InvalidRequest) as error:
            _log.warning("%s: keys cannot be fetched: %s", self._place, error)
        else:
            self._changed()
            self.fetched.set()


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leads nowhere: another address may have another owner."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Make no request of a redirection."""


def fetch(url: str) -> bytes:
    """Fetch a small document.

    Raises:
        OSError: It cannot be had.
    """
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(url, timeout=_FETCH_S) as response:
        document: bytes = response.read(_MAX_DOCUMENT + 1)
    if len(document) > _MAX_DOCUMENT:
        raise OSError(f"over {_MAX_DOCUMENT} bytes")
    return document


def check_address(flag: str, url: str) -> None:
    """Make sure that keys from an address can be trusted.

    Raises:
        InvalidRequest: It is neither ``https``, nor ``http`` to this machine.
    """
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.scheme != "https" and not local:
        raise InvalidRequest(f"{flag}: {url} is not https")


def open_keys(flag: str, provider: Provider) -> FileKeys | RemoteKeys:
    """Where the keys of a provider come from.

    Raises:
        InvalidRequest: They can come from there not at all.
    """
    if provider.is_remote:
        check_address(flag, provider.keys)
        return RemoteKeys(flag, provider.keys)
    return FileKeys(flag, Path(provider.keys))
