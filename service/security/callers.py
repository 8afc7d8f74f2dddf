"""The file of callers: API keys by their hashes, client certificates by their names.

A line a key or certificate:

    # caller    scopes        what it shows                      options
    shop        predict       sha256:3c59dc048e8850243be8079...  expires=2027-01-31 rate=100
    shop        predict       sha256:b0a1f6a5c9d5e8b2c1f0a7d...
    dashboards  read          certificate:grafana.example
    anonymous   read          -

Keys are random and long, so that SHA-256 is enough: there is no shorter way to a key than
to try them all. A caller may have several lines, each with scopes of its own: while a key is
changed for a new one both count.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import math
import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from service.errors import InvalidRequest
from service.security.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

ANONYMOUS: Final = "anonymous"
_PREFIX: Final = "hearth_"
_RANDOM_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_KEY: Final = "sha256:"
_CERTIFICATE: Final = "certificate:"
_NOTHING: Final = "-"


@dataclass(frozen=True)
class Caller:
    """Somebody who may do something.

    Attributes:
        name: What logs call it.
        scopes: What it may do.
        expires_s: From when on it may not, Unix time.
        rate: Requests a second that it may make; None for what the settings say.
    """

    name: str
    scopes: frozenset[Scope]
    expires_s: float = math.inf
    rate: float | None = None


@dataclass(frozen=True)
class Callers:
    """Who is known.

    Attributes:
        by_digest: Callers by the SHA-256 of their keys.
        by_certificate: Callers by a name that their certificates have.
        anonymous: What callers may do who show nothing; None for nothing.
    """

    by_digest: Mapping[bytes, Caller] = field(default_factory=dict)
    by_certificate: Mapping[str, Caller] = field(default_factory=dict)
    anonymous: Caller | None = None

    def find_key(self, key: str) -> Caller | None:
        """The caller whose key this is, expired or not."""
        shown = hashlib.sha256(key.encode()).digest()
        # All are compared, each in constant time: how long it takes says nothing of any key.
        found = [it for digest, it in self.by_digest.items() if hmac.compare_digest(digest, shown)]
        return found[0] if found else None

    def find_certificate(self, names: Iterable[str]) -> Caller | None:
        """The caller whose certificate has one of these names."""
        found = (self.by_certificate.get(name) for name in names)
        return next((it for it in found if it is not None), None)


def new_key() -> str:
    """A new API key: 256 random bits, with a beginning by which scanners know it."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def digest_of(key: str) -> str:
    """What stands for a key in the file."""
    return _KEY + hashlib.sha256(key.encode()).hexdigest()


def read_callers(flag: str, path: Path) -> Callers:
    """Read the file.

    Args:
        flag: The flag that names it.
        path: The file.

    Raises:
        InvalidRequest: It cannot be read, or a line makes no sense; the message names the line
            and holds nothing of what it shows.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise InvalidRequest(f"{flag}: {path} cannot be read: {reason}") from error
    return parse_callers(flag, text)


def parse_callers(place: str, text: str) -> Callers:
    """Read the lines of a file of callers; see ``read_callers``."""
    digests: dict[bytes, Caller] = {}
    certificates: dict[str, Caller] = {}
    anonymous: list[Caller] = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            _add(words, digests, certificates, anonymous)
        except ValueError as error:
            raise InvalidRequest(f"{place}: line {number}: {error}") from None
    return Callers(digests, certificates, anonymous[0] if anonymous else None)


def _add(
    words: list[str],
    digests: dict[bytes, Caller],
    certificates: dict[str, Caller],
    anonymous: list[Caller],
) -> None:
    if len(words) < 3:
        raise ValueError("expected a caller, its scopes and a sha256: or certificate:")
    name, scopes, shown, *options = words
    caller = _caller(name, scopes, options)
    if (shown == _NOTHING) != (name == ANONYMOUS):
        raise ValueError(f"{ANONYMOUS} shows {_NOTHING!r}, and nobody else does")
    if shown == _NOTHING:
        if anonymous:
            raise ValueError(f"{ANONYMOUS} is there twice")
        anonymous.append(caller)
    elif shown.startswith(_CERTIFICATE):
        _put(certificates, shown.removeprefix(_CERTIFICATE), caller)
    elif shown.startswith(_KEY) and _DIGEST.fullmatch(shown.removeprefix(_KEY)):
        _put(digests, bytes.fromhex(shown.removeprefix(_KEY)), caller)
    else:
        # It may be a key in plain text, which no log should have.
        raise ValueError(f"its key is not {_KEY} and 64 digits of 0-9a-f, nor a {_CERTIFICATE}")


def _put(known: dict[Any, Caller], shown: bytes | str, caller: Caller) -> None:
    if not shown or shown in known:
        raise ValueError("its key or certificate is there twice, or empty")
    known[shown] = caller


def _caller(name: str, scopes: str, options: list[str]) -> Caller:
    if not _NAME.fullmatch(name):
        raise ValueError("its name has other characters than A-Z a-z 0-9 . _ @ -, or over 64")
    expires_s, rate = math.inf, None
    for option in options:
        key, _, value = option.partition("=")
        if key == "expires":
            expires_s = parse_expiry(value)
        elif key == "rate":
            rate = _rate(value)
        else:
            raise ValueError("an option is neither expires= nor rate=")
    return Caller(name, parse_scopes(scopes), expires_s, rate)


def parse_scopes(text: str) -> frozenset[Scope]:
    """Scopes, joined by commas.

    Raises:
        ValueError: One is not known.
    """
    known = ", ".join(Scope)
    try:
        return frozenset(Scope(word) for word in text.split(","))
    except ValueError:
        raise ValueError(f"its scopes are not of {known}, joined by commas") from None


def parse_expiry(text: str) -> float:
    """A day or a time of ISO 8601 as Unix time; UTC unless it says otherwise.

    Raises:
        ValueError: It is none.
    """
    try:
        when = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("expires= is no day or time such as 2027-01-31") from None
    return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp()


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < math.inf:
        raise ValueError("rate= is no number of requests a second over 0")
    return rate
