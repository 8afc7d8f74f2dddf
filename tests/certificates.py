"""Certificates made for a test, and the config that gives them to a server."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certified:
    """A key and its certificate, PEM."""

    key: Path
    certificate: Path


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certify(folder: Path, name: str, authority: Certified | None = None) -> Certified:
    """Make a key and a certificate for ``localhost``, signed by the authority or by itself."""
    made = Certified(folder / f"{name}.key", folder / f"{name}.crt")
    signed = (
        []
        if authority is None
        else ["-CA", str(authority.certificate), "-CAkey", str(authority.key)]
    )
    is_authority = "critical,CA:TRUE" if authority is None else "critical,CA:FALSE"
    openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", str(made.key), "-out", str(made.certificate), "-days", "2"),
        *("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        *("-addext", f"basicConstraints={is_authority}"),
        *signed,
    )
    return made


def ssl_config(folder: Path, pair: Certified, authority: Certified | None, *, verify: bool) -> Path:
    """An SSLConfig in text form, as TensorFlow Serving's users write it."""

    def quoted(path: Path) -> str:
        return '"' + path.read_text().replace("\n", "\\n") + '"'

    lines = [f"server_key: {quoted(pair.key)}", f"server_cert: {quoted(pair.certificate)}"]
    if authority is not None:
        lines.append(f"custom_ca: {quoted(authority.certificate)}")
    lines.append(f"client_verify: {str(verify).lower()}")
    path = folder / "ssl.config"
    path.write_text("\n".join(lines))
    return path
