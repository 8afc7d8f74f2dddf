"""Whether a version was signed by somebody who is trusted, in the form of OpenSSF's model-signing.

The library takes a second and 60 MB to import, so it is imported in a process of its own that
checks one version and ends; ``python -m service.repository.signatures VERSION KEY...`` is it.

References:
    https://github.com/sigstore/model-transparency.
"""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from service.contract import SIGNATURE
from service.errors import InvalidRequest, VersionRefused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROOT: Final = Path(__file__).resolve().parents[2]
_LIMIT_S: Final = 300.0  # large models take their time to be hashed
# What the library begins with where files differ; a list of sentences follows, as Python writes it.
_MISMATCH: Final = "Signature mismatch: "
_HASHES: Final = ": Expected 'Digest"  # with this a sentence goes on to tell bytes
_ANY_KEY: Final = "-"  # in the place of a version: check the keys alone


class Signatures:
    """Refuses versions that none of some keys has signed.

    Args:
        keys: Public keys, PEM; several while one takes another's place.
    """

    def __init__(self, keys: Sequence[Path]) -> None:
        self._keys = [key.absolute() for key in keys]

    def check_keys(self) -> None:
        """Make sure that library and keys can be used.

        Raises:
            InvalidRequest: One cannot.
        """
        if importlib.util.find_spec("model_signing") is None:
            raise InvalidRequest(
                "--verify_versions_with needs model-signing: "
                "pip install -r requirements/signing.txt"
            )
        problem = self._ask(_ANY_KEY)
        if problem:
            raise InvalidRequest(f"--verify_versions_with: {problem}")

    def check(self, version: Path) -> None:
        """Refuse a version with a file that is not as it was signed.

        Args:
            version: Its folder.

        Raises:
            VersionRefused: It is not signed, or not by one of the keys, or files have been
                changed, added or removed since.
        """
        problem = self._ask(str(version.resolve()))
        if problem:
            raise VersionRefused(problem)

    def _ask(self, version: str) -> str:
        """Have the process look; what is wrong, or nothing."""
        command = [sys.executable, "-m", "service.repository.signatures", version]
        command += [str(key) for key in self._keys]
        try:
            done = subprocess.run(  # noqa: S603 - our own module; paths are arguments of it
                command, cwd=_ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"the signature cannot be checked: {error}"
        if done.returncode == 0:
            return ""
        said = done.stdout.strip() or done.stderr.strip()[-300:]
        return said or f"the signature's check ended with {done.returncode}"


def main(arguments: Sequence[str]) -> int:
    """Check one version, and say on standard output what is wrong with it.

    Args:
        arguments: The version's folder, or ``-`` for none, and public keys.

    Returns:
        0 where nothing is wrong.
    """
    version, *keys = arguments
    checked = _keys(keys) if version == _ANY_KEY else _problems(Path(version), keys)
    problems = list(checked)
    print("; ".join(dict.fromkeys(problems)))
    return 1 if problems else 0


def _keys(keys: Sequence[str]) -> Iterator[str]:
    """What is wrong with keys."""
    for key in keys:
        try:
            _verifier(key)
        except Exception as error:  # noqa: BLE001 - whatever the library says of a key
            yield f"{key} is no public key to check with: {error}"


def _problems(version: Path, keys: Sequence[str]) -> Iterator[str]:
    """What is wrong with a version; nothing where one key has signed all that is there."""
    signature = version / SIGNATURE
    if not signature.is_file():
        yield f"it is not signed: {SIGNATURE} is missing"
        return
    problems = []
    for key in keys:
        try:
            _verifier(key).set_hashing_config(_files(signature)).verify(version, signature)
        except Exception as error:  # noqa: BLE001 - no key may be trusted for an error's sake
            problems.append(_told(error, Path(key).name))
        else:
            return
    yield from problems


def _verifier(key: str) -> Any:
    from model_signing import verifying  # noqa: PLC0415 - in this process alone

    return verifying.Config().use_elliptic_key_verifier(public_key=key)


def _files(signature: Path) -> Any:
    """Every file counts but the signature itself."""
    from model_signing import hashing  # noqa: PLC0415 - in this process alone

    return hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False)


def _told(error: Exception, key: str) -> str:
    reason = " ".join(str(error).split()) or type(error).__name__
    if reason.startswith(_MISMATCH):
        reason = "; ".join(it.partition(_HASHES)[0] for it in _listed(reason))
    return f"its signature does not hold with {key}: {reason}"


def _listed(reason: str) -> list[str]:
    try:
        return list(ast.literal_eval(reason.removeprefix(_MISMATCH)))
    except (SyntaxError, ValueError):
        return [reason]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
