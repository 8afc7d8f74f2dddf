"""The one decision: may this caller do this? Asked by the fast lane, the front and gRPC alike."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from service.errors import Forbidden, Unauthenticated
from service.security.callers import ANONYMOUS, Caller, Callers
from service.security.limits import Limits
from service.security.scopes import ALL, Routes, Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from service.security.limits import Bucket
    from service.security.tokens import Tokens

KEY_HEADER: Final = "x-api-key"
TOKEN_HEADER: Final = "authorization"  # noqa: S105 - a header's name
_BEARER: Final = "bearer "
# Decisions that are kept; beyond, all are made anew.
_KEPT: Final = 4096


class Asked(NamedTuple):
    """What a decision depends on.

    Attributes:
        shown: What the caller shows, as ``shown`` gives it; empty for nothing.
        certificate: The names of its certificate.
        needed: What it asks for.
        client: Its address; empty where it makes no difference.
    """

    shown: str
    certificate: tuple[str, ...]
    needed: Scope
    client: str = ""


@dataclass(frozen=True, slots=True)
class _Grant:
    """A decision in favour.

    Attributes:
        name: The caller.
        until_s: Until when it holds, Unix time.
        bucket: What limits it.
    """

    name: str
    until_s: float
    bucket: Bucket | None


@dataclass(frozen=True)
class Rules:
    """What holds on one way in, where the file of callers says nothing.

    Attributes:
        anonymous: What callers may do who show nothing.
        certified: What callers may do whose certificate the clients' authority has signed.
    """

    anonymous: frozenset[Scope] = ALL
    certified: frozenset[Scope] = frozenset()


_NO_RULES: Final = Rules()
_ROUTES: Final = Routes()
_NOBODY: Final = Callers()


class Guard:
    """Decides who may do what on one way in.

    Args:
        rules: What holds where the file of callers says nothing.
        routes: Which scope each path needs.
        callers: Who is known.
        tokens: Checks tokens; None where there are none.
        limits: How often each may ask.
        clock: Unix time.
    """

    def __init__(
        self,
        rules: Rules = _NO_RULES,
        routes: Routes = _ROUTES,
        callers: Callers = _NOBODY,
        tokens: Tokens | None = None,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rules = rules
        self._routes = routes
        self._callers = callers
        self._tokens = tokens
        self._limits = Limits() if limits is None else limits
        self._clock = clock
        self._grants: dict[Asked, _Grant] = {}

    @property
    def is_open(self) -> bool:
        """Whether anybody may do anything as often as they like."""
        return self._rules.anonymous == ALL and self._knows_nobody

    @property
    def limits_addresses(self) -> bool:
        """Whether callers who show nothing are told apart by their addresses."""
        return self._limits.limited

    def needed(self, method: str, path: str) -> Scope | None:
        """The scope that a request needs, see ``Routes``; None for what anybody may ask."""
        scope = self._routes.needed(method, path)
        free = scope is not Scope.ADMIN and scope in self._rules.anonymous
        return None if free and self._knows_nobody else scope

    @property
    def _knows_nobody(self) -> bool:
        """Whether all are treated alike, and none is counted."""
        callers = self._callers
        known = callers.by_digest or callers.by_certificate or callers.anonymous
        return not known and self._tokens is None and not self._limits.limited

    def know(self, callers: Callers) -> None:
        """Know others from now on; what was decided is forgotten."""
        self._callers = callers
        self.forget()

    def forget(self) -> None:
        """Decide anew on everybody."""
        self._grants = {}

    def admit(self, asked: Asked) -> str:
        """Let a request in.

        Args:
            asked: Who asks for what.

        Returns:
            What logs call the caller.

        Raises:
            Unauthenticated: It is not known who asks.
            Forbidden: Who asks may not.
            RateLimited: It asks too often.
        """
        grant = self._grants.get(asked)
        if grant is None or grant.until_s <= self._clock():
            grant = self._decide(asked)
        if grant.bucket is not None:
            grant.bucket.take()
        return grant.name

    def _decide(self, asked: Asked) -> _Grant:
        grants = self._grants
        caller = self._identify(asked)
        if caller.expires_s <= self._clock():
            raise Unauthenticated("the key or token has expired")
        if asked.needed not in caller.scopes:
            raise _refusal(asked, caller)
        name = caller.name
        place = f"{name} {asked.client}" if name == ANONYMOUS else name
        grant = _Grant(name, caller.expires_s, self._limits.bucket(place, caller.rate))
        if len(grants) >= _KEPT:
            grants.clear()
        grants[asked] = grant
        return grant

    def _identify(self, asked: Asked) -> Caller:
        # Where there are no keys, one that a gateway passes on says nothing.
        if asked.shown and (self._callers.by_digest or self._tokens is not None):
            return self._by_shown(asked.shown)
        if asked.certificate:
            known = self._callers.find_certificate(asked.certificate)
            if known is not None:
                return known
            if self._rules.certified:
                return Caller(asked.certificate[0], self._rules.certified)
        if self._callers.anonymous is not None:
            return self._callers.anonymous
        return Caller(ANONYMOUS, self._rules.anonymous, math.inf)

    def _by_shown(self, shown: str) -> Caller:
        if shown[: len(_BEARER)].lower() != _BEARER:
            raise Unauthenticated("Authorization is not of the form: Bearer KEY")
        secret = shown[len(_BEARER) :].strip()
        known = self._callers.find_key(secret)
        if known is not None:
            return known
        if self._tokens is not None and secret.count(".") == 2:
            return self._tokens.check(secret)
        raise Unauthenticated("the key is not known")


def _refusal(asked: Asked, caller: Caller) -> Unauthenticated | Forbidden:
    if caller.name == ANONYMOUS and not asked.shown:
        return Unauthenticated(
            f"this needs the scope {asked.needed}: show a key that has it, as Authorization: "
            "Bearer KEY or X-API-Key: KEY"
        )
    return Forbidden(f"{caller.name} has not the scope {asked.needed}", caller.name)


def shown_by(headers: Mapping[str, str]) -> str:
    """What a request shows, as ``Authorization`` has it; empty for nothing.

    Args:
        headers: Values by lower-case name.
    """
    key = headers.get(KEY_HEADER)
    return headers.get(TOKEN_HEADER, "") if key is None else f"Bearer {key}"
