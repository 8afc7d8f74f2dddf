"""Levels: which signature gives intervals that so large a share of new rows' truths lies within."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from service.errors import InvalidRequest
from service.inference.signature import DEFAULT_SIGNATURE
from service.protocols.json_tensors import shown

if TYPE_CHECKING:
    from service.repository.version import ModelVersion

LEVEL: Final = "level"
_SIGNATURE: Final = re.compile(r"(?a)interval_(\d{1,2}(?:\.\d{1,9})?)")


def known(version: ModelVersion) -> dict[float, str]:
    """The levels that a version gives intervals of, ascending, with the signature of each."""
    found = ((_SIGNATURE.fullmatch(name), name) for name in version.executor.signatures)
    return dict(sorted((float(f"{match[1]}e-2"), name) for match, name in found if match))


def signature_name(version: ModelVersion, named: str, level: Any) -> str:
    """The signature that a request is for.

    Args:
        version: What is to answer.
        named: The signature that the request names, or the default one.
        level: What the request gives as level: a number, or a text of one where its protocol
            may have no numbers there; None where it gives none.

    Returns:
        The named one, or that of the level.

    Raises:
        InvalidRequest: The version does not know the level, or another signature is named.
    """
    if level is None:
        return named
    signature = _find(version, _number(level))
    if named not in {DEFAULT_SIGNATURE, signature}:
        raise InvalidRequest(
            f"signature_name is {shown(named)}, but level {shown(level)} is answered by {signature}"
        )
    return signature


def _find(version: ModelVersion, level: float) -> str:
    there = known(version)
    if level in there:
        return there[level]
    if not there:
        raise InvalidRequest(
            f"level is {level:g}, but {version.model} version {version.number} gives no intervals"
        )
    raise InvalidRequest(f"level is {level:g}, known: {', '.join(f'{one:g}' for one in there)}")


def _number(level: Any) -> float:
    if isinstance(level, int | float | str) and not isinstance(level, bool):
        try:
            return float(level)
        except (ValueError, OverflowError):
            pass
    raise InvalidRequest(f"level is {shown(level)}, not a number such as 0.9")
