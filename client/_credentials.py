"""What a client shows, and whom it trusts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Credentials:
    """What a client shows to a server, and whom it trusts.

    Attributes:
        api_key: An API key, or a token of an identity provider; sent with every request.
        ca_file: Certificates of the authorities to trust, PEM; None: the system's.
        certificate_file: The client's own certificate, PEM.
        key_file: Its private key, PEM; None: it is in ``certificate_file``.

    Raises:
        ValueError: The key cannot be sent, a file is not there, or a key has no certificate.
    """

    api_key: str | None = field(default=None, repr=False)
    ca_file: str | Path | None = None
    certificate_file: str | Path | None = None
    key_file: str | Path | None = None

    def __post_init__(self) -> None:
        key = self.api_key
        if key is not None and (not key.isascii() or not key.isprintable() or not key.strip()):
            raise ValueError("api_key is empty, or has characters that no header may have")
        if self.key_file is not None and self.certificate_file is None:
            raise ValueError("key_file needs certificate_file")
        for name in ("ca_file", "certificate_file", "key_file"):
            file = getattr(self, name)
            if file is not None and not Path(file).is_file():
                raise ValueError(f"{name} is {str(file)!r}, which is no file")

    @property
    def headers(self) -> dict[str, str]:
        """What goes with every request."""
        return {} if self.api_key is None else {"Authorization": f"Bearer {self.api_key}"}

    @property
    def tls(self) -> dict[str, Any]:
        """The settings of urllib3's pool."""
        files = {
            "ca_certs": self.ca_file,
            "cert_file": self.certificate_file,
            "key_file": self.key_file,
        }
        return {name: str(file) for name, file in files.items() if file is not None}
