"""Signing a version with a private key, by the form of OpenSSF's model-signing.

The library is asked for in requirements/signing.in and imported here alone: it takes a
second to import, and nobody needs it who does not sign.

References:
    https://github.com/sigstore/model-transparency.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from service import contract
from training.errors import SigningError

if TYPE_CHECKING:
    from pathlib import Path


def check(key: Path) -> None:
    """Make sure, before anything is trained, that a key can be signed with.

    Args:
        key: The private key, PEM, of the curve P-256, P-384 or P-521, not encrypted.

    Raises:
        SigningError: It cannot, or the library is not installed.
    """
    _signer(key)


def sign(version: Path, key: Path) -> Path:
    """Sign every file of a version as it stands.

    Args:
        version: The version's folder.
        key: The private key; see ``check``.

    Returns:
        The signature, in the version's folder.

    Raises:
        SigningError: The key cannot be used, or the folder not be written.
    """
    from model_signing import hashing  # noqa: PLC0415 - see above

    signature = version / contract.SIGNATURE
    files = hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False)
    beside = version.parent / f".signature-{secrets.token_hex(4)}"
    signer = _signer(key).set_hashing_config(files)
    try:
        signer.sign(version, beside)
        signature.parent.mkdir(exist_ok=True)
        beside.replace(signature)
    except (OSError, ValueError) as error:
        raise SigningError(f"{version} cannot be signed: {error}") from error
    finally:
        beside.unlink(missing_ok=True)
    return signature


def _signer(key: Path) -> Any:
    try:
        from model_signing import signing  # noqa: PLC0415 - see above
    except ImportError as error:
        raise SigningError(
            "signing needs model-signing: pip install -r requirements/signing.txt"
        ) from error
    try:
        return signing.Config().use_elliptic_key_signer(private_key=key)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SigningError(f"{key} is no private key to sign with: {error}") from error
