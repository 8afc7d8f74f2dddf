"""Key and certificates of one way in, and the names in a caller's certificate."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, Self

from service.config_files import check_tls, read_tls, tls_context
from service.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class Certificates:
    """What an SSL config says, read again when it or a file that it names changes.

    Args:
        flag: The flag that names the config.
        path: The config.

    Attributes:
        tls: What it says now.
        path: The config.

    Raises:
        InvalidRequest: It cannot be used.
    """

    def __init__(self, flag: str, path: Path) -> None:
        self._flag = flag
        self.path = path
        self.tls = read_tls(flag, path)
        check_tls(flag, self.tls)
        self._context: ssl.SSLContext | None = None

    def named(self) -> tuple[Path, ...]:
        """The files that it names now."""
        return self.tls.files

    def read(self) -> None:
        """Read it anew, for the connections to come.

        Raises:
            InvalidRequest: It cannot be used, or asks for what only a start can do.
        """
        tls = read_tls(self._flag, self.path)
        check_tls(self._flag, tls)
        if tls.verify_client != self.tls.verify_client:
            raise InvalidRequest(f"{self._flag}: client_verify changes with a restart alone")
        if self._context is not None:
            self._context = tls_context(tls)
        self.tls = tls

    def current(self) -> ssl.SSLContext:
        """What a connection that comes now is encrypted with."""
        if self._context is None:
            self._context = tls_context(self.tls)
        return self._context

    def context(self) -> ssl.SSLContext:
        """What a listening socket is given: it always takes what is current."""
        self.current()
        return _Current(self)


class _Current(ssl.SSLContext):
    """Wraps each connection in the context that is current when it comes.

    Key, certificates and authority of a context that is in use can be added to but not taken
    away, so that a new context takes the place of the old one.
    """

    def __new__(cls, certificates: Certificates) -> Self:
        made = super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)
        made.certificates = certificates
        return made

    certificates: Certificates

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """Begin a connection."""
        return self.certificates.current().wrap_bio(*args, **kwargs)


def names_of(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """The names in a certificate that has been verified.

    Args:
        certificate: As ``ssl`` gives it; None or empty where there is none.

    Returns:
        The subject's common name, then the alternative names.
    """
    if not certificate:
        return ()
    parts = [pair for part in certificate.get("subject", ()) for pair in part]
    common = [value for key, value in parts if key == "commonName"]
    others = [value for _, value in certificate.get("subjectAltName", ()) if value]
    return (*common, *others)


def names_of_call(context: Mapping[str, Iterable[bytes]]) -> tuple[str, ...]:
    """The same of a gRPC call, from its authentication context."""
    keys = ("x509_common_name", "x509_subject_alternative_name")
    return tuple(value.decode("latin-1") for key in keys for value in context.get(key, ()))
