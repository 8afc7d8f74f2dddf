"""Which version of a model scores, and loading it once a process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from service import contract as contracts
from service.contract import CONTRACT, LITERT_MODEL, SAVED_MODEL, ContractError
from service.errors import HearthError, InvalidRequest
from service.inference.executor import AUTO
from service.repository.config import parse_config
from service.repository.loading import LoadOptions, load_version
from service.repository.signatures import Signatures
from service.repository.storage import find_versions
from service.score.chatter import hushed
from service.score.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from service.contract import Contract
    from service.repository.version import ModelVersion

_CONFIG: Final = "models.config"
_STABLE: Final = "stable"
_MARKS: Final = (CONTRACT, SAVED_MODEL, LITERT_MODEL)


def find(base_path: str | Path, number: int | None = None, label: str | None = None) -> Path:
    """The folder of a version.

    Args:
        base_path: The model's folder, with versions in it; or a version's own.
        number: The version's number.
        label: Or its label. Without either it is the stable version, which is what callers of
            a server get, and where nothing says which that is, the newest.

    Raises:
        TableError: There is none.
    """
    base_path = Path(base_path)
    if any((base_path / it).is_file() for it in _MARKS):
        return base_path.resolve()
    try:
        found = find_versions(base_path)
    except OSError as error:
        raise TableError(f"no model: {base_path}: {error.strerror}") from error
    if not found:
        raise TableError(f"no model: {base_path} holds no version: make train")
    wanted = _number(base_path, label) if number is None else number
    chosen = max(found) if wanted is None else wanted
    if chosen not in found:
        there = ", ".join(str(it) for it in sorted(found))
        raise TableError(f"no version {chosen} in {base_path}: there are {there}")
    return found[chosen].resolve()


def check(version: Path, keys: Sequence[Path]) -> None:
    """Refuse a version that none of some keys has signed; without keys any will do.

    Args:
        version: Its folder.
        keys: Public keys, PEM.

    Raises:
        TableError: It is refused, or a key cannot be used.
    """
    if not keys:
        return
    signatures = Signatures(keys)
    try:
        signatures.check_keys()
        signatures.check(version)
    except InvalidRequest as error:
        raise TableError(error.message) from error
    except HearthError as error:
        raise TableError(f"{version} cannot be used: {error.message}") from error


def describe(version: Path) -> Contract:
    """A version's contract.

    Raises:
        TableError: It has none, or one that is not as it should be.
    """
    try:
        found = contracts.read(version)
    except ContractError as error:
        raise TableError(f"{version}: {error}") from error
    if found is None:
        raise TableError(f"{version} has no contract ({CONTRACT}), which names the columns")
    return found


@lru_cache(maxsize=2)
def opened(version: Path, keys: tuple[Path, ...] = ()) -> ModelVersion:
    """Load a version as the service does: its files and golden rows are checked.

    Args:
        version: Its folder.
        keys: Public keys, one of which must have signed it; none for no signature.

    Raises:
        TableError: It is refused.
    """
    number = int(version.name) if version.name.isdigit() else 1
    try:
        with hushed():
            return load_version(version.parent.name, number, version, AUTO, _options(keys))
    except HearthError as error:
        raise TableError(f"{version} cannot be used: {error.message}") from error


def _options(keys: tuple[Path, ...]) -> LoadOptions:
    return LoadOptions(check=Signatures(keys).check if keys else None)


def _number(base_path: Path, label: str | None) -> int | None:
    """The number that a label stands for in the models' config beside; None without one."""
    config = base_path.resolve().parent / _CONFIG
    labels: dict[str, int] = {}
    if config.is_file():
        try:
            configs = parse_config(config.read_text())
        except HearthError as error:
            raise TableError(f"{config}: {error.message}") from error
        for it in configs:
            if it.base_path.name == base_path.resolve().name:
                labels.update(it.labels)
    if label is None:
        return labels.get(_STABLE)
    if label not in labels:
        known = ", ".join(labels) or "none"
        raise TableError(f"no version has the label {label}: {config} knows {known}")
    return labels[label]
