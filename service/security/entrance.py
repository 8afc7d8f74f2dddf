"""All ways in, put together from the settings: who guards them, and what encrypts them."""

from __future__ import annotations

import ipaddress
import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from service.config_files import metrics_paths
from service.errors import InvalidRequest
from service.security.callers import Callers, read_callers
from service.security.certificates import Certificates
from service.security.guard import Guard, Rules
from service.security.limits import Limits
from service.security.scopes import ALL, Routes, Scope
from service.security.tokens import FileKeys, Provider, RemoteKeys, Tokens, open_keys
from service.security.watching import FileWatch

if TYPE_CHECKING:
    from service.settings import Settings

_log: Final = logging.getLogger("hearth.security")
_FILE: Final = "--api_key_file"
_KEYS: Final = "--jwt_keys"
_RPC_TLS: Final = "--ssl_config_file"
_REST_TLS: Final = "--rest_ssl_config_file"
# What somebody may do of whom nothing more is known, beyond this machine.
_ASK: Final = frozenset({Scope.PREDICT, Scope.READ})


class Entrance:
    """The ways in of one worker.

    Args:
        settings: The knobs.

    Attributes:
        rest: Guards REST and the pages.
        rpc: Guards gRPC.
        rest_tls: Encrypts REST; None for plain text.
        rpc_tls: Encrypts gRPC; None for plain text.

    Raises:
        InvalidRequest: A file cannot be used, or flags do not go together.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.rest_tls = _certificates(_REST_TLS, settings)
        self.rpc_tls = _certificates(_RPC_TLS, settings)
        self._keys = _keys(settings)
        self._watch = FileWatch()
        limits = Limits(settings.rate_limit, settings.rate_limit_burst, settings.workers)
        self.rest = self._guard(self.rest_tls, limits)
        self.rpc = self._guard(self.rpc_tls, limits)
        self._watch_files()

    def start(self) -> None:
        """Begin to watch files, and to fetch keys."""
        if isinstance(self._keys, RemoteKeys):
            self._keys.start(self._forget)
        self._watch.start()

    def stop(self) -> None:
        """End it."""
        if isinstance(self._keys, RemoteKeys):
            self._keys.stop()
        self._watch.stop()

    def _guard(self, tls: Certificates | None, limits: Limits) -> Guard:
        settings = self._settings
        tokens = None if self._keys is None else Tokens(_provider(settings), self._keys)
        return Guard(rules_of(settings, tls), _routes(settings), _callers(settings), tokens, limits)

    def _watch_files(self) -> None:
        if self._settings.api_key_file is not None:
            self._watch.add(self._settings.api_key_file, self._read_callers)
        if isinstance(self._keys, FileKeys):
            self._watch.add(self._keys.path, partial(self._read_keys, self._keys))
        for it in filter(None, (self.rest_tls, self.rpc_tls)):
            self._watch.add(it.path, it.read, it.named)

    def _read_callers(self) -> None:
        callers = _callers(self._settings)
        for guard in (self.rest, self.rpc):
            guard.know(callers)

    def _read_keys(self, keys: FileKeys) -> None:
        keys.read()
        self._forget()

    def _forget(self) -> None:
        """Whom keys have let in that are known no more does not stay."""
        for guard in (self.rest, self.rpc):
            guard.forget()


def check_entrance(settings: Settings) -> None:
    """Make sure, before anything is started, that nobody gets in whom nobody has asked in.

    Raises:
        InvalidRequest: A file cannot be used; or anybody who reaches the service could ask it,
            and nothing says that this is meant.
    """
    entrance = Entrance(settings)
    for flag, port, tls, guard in (
        ("--rest_api_port", settings.rest_api_port, entrance.rest_tls, entrance.rest),
        ("--port", settings.port, entrance.rpc_tls, entrance.rpc),
    ):
        if port and not is_loopback(settings.host):
            _check_way(settings, f"{flag}={port}", tls, guard)


def _check_way(settings: Settings, way: str, tls: Certificates | None, guard: Guard) -> None:
    known = has_credentials(settings, tls)
    if not known and not settings.allow_anonymous:
        raise InvalidRequest(
            f"{way} on {settings.host} would answer anybody: name its callers by {_FILE}, {_KEYS} "
            f"or client_verify in {_REST_TLS} and {_RPC_TLS}, or state by --allow_anonymous that "
            "anybody may ask, or listen on --host=127.0.0.1"
        )
    if not known and settings.allow_model_control:
        raise InvalidRequest(
            f"--allow_model_control: {way} on {settings.host} would let anybody change what is "
            f"served: name the callers who may by {_FILE} or {_KEYS}"
        )
    if known and tls is None and not guard.is_open:
        _log.warning("%s: keys come in plain text unless TLS ends in front of it", way)


def rules_of(settings: Settings, tls: Certificates | None) -> Rules:
    """What holds on a way in where the file of callers says nothing."""
    if has_credentials(settings, tls):
        certified = _ASK if settings.api_key_file is None and _verifies(tls) else frozenset()
        return Rules(anonymous=frozenset(), certified=certified)
    return Rules(anonymous=ALL if is_loopback(settings.host) else _ASK)


def has_credentials(settings: Settings, tls: Certificates | None) -> bool:
    """Whether callers have to show on a way in who they are."""
    return settings.api_key_file is not None or bool(settings.jwt_keys) or _verifies(tls)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _verifies(tls: Certificates | None) -> bool:
    return tls is not None and tls.tls.verify_client


def _certificates(flag: str, settings: Settings) -> Certificates | None:
    files = {_RPC_TLS: settings.ssl_config_file, _REST_TLS: settings.rest_ssl_config_file}
    file = files[flag]
    return None if file is None else Certificates(flag, file)


def _callers(settings: Settings) -> Callers:
    file = settings.api_key_file
    return Callers() if file is None else read_callers(_FILE, file)


def _keys(settings: Settings) -> FileKeys | RemoteKeys | None:
    if not settings.jwt_keys:
        return None
    if not settings.jwt_issuer or not settings.jwt_audience:
        raise InvalidRequest(f"{_KEYS} needs --jwt_issuer and --jwt_audience")
    return open_keys(_KEYS, _provider(settings))


def _provider(settings: Settings) -> Provider:
    return Provider(
        settings.jwt_keys, settings.jwt_issuer, settings.jwt_audience, settings.jwt_scope_claim
    )


def _routes(settings: Settings) -> Routes:
    open_paths = {settings.vertex_health_route} - {""}
    if settings.open_metrics:
        open_paths |= set(metrics_paths(settings.monitoring_config_file))
    return Routes(frozenset(open_paths), frozenset({settings.vertex_predict_route} - {""}))
