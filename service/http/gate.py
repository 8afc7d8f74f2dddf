"""Asks the guard about HTTP's requests, and answers those that it refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from service.errors import Forbidden, HearthError, RateLimited
from service.http.messages import not_before, refusal
from service.protocols.tensorflow_serving import encode_error
from service.security.guard import Asked, shown_by
from service.security.scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from service.exchange import Exchange
    from service.http.messages import Api, Request, Response
    from service.security.guard import Guard


def enter(
    guard: Guard,
    exchange: Exchange,
    headers: Mapping[str, str],
    certificate: tuple[str, ...] = (),
) -> None:
    """Let a request in.

    Args:
        guard: Who decides.
        exchange: The request, by its method and path; the caller's name is noted there.
        headers: Its headers by lower-case name.
        certificate: The names of the caller's certificate.

    Raises:
        HearthError: It may not come in.
    """
    needed = guard.needed(exchange.method, exchange.path)
    if needed is None:
        return
    exchange.audited = needed is Scope.ADMIN
    client = exchange.client if guard.limits_addresses else ""
    shown = shown_by(headers)
    exchange.caller = guard.admit(Asked(shown, certificate, needed, client))
    if needed is Scope.ADMIN and not shown and "origin" in headers:
        # Somebody's page, in a browser that reaches this service while its owner may not.
        raise Forbidden("pages of other origins may not change what is served")


def refuse(api: Api | None, error: HearthError, request: Request, exchange: Exchange) -> Response:
    """The answer to a request that may not come in, in the form of its protocol.

    Args:
        api: The protocol; None where the path is none of a protocol.
        error: Why.
        request: The request, as far as it is known.
        exchange: What is noted of it.
    """
    if api is None:
        response = refusal(*encode_error(exchange.failed(error)))
    else:
        response = api.fail(error, request, exchange)
    if isinstance(error, RateLimited):
        return not_before(response, error.retry_after_s)
    return response
