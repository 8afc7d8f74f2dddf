"""Real rows of a version, to begin from and to hold its predictions against the truth."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from service import contract as contracts
from service.errors import ModelNotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from service.contract import Contract
    from service.repository.repository import Repository
    from service.repository.version import ModelVersion

_PATH: Final = re.compile(r"/examples/([^/]+)/([0-9]{1,19})")


def find_examples(repository: Repository, path: str) -> Mapping[str, Any]:
    """The rows that a served version brings along.

    Args:
        repository: The models.
        path: ``/examples/MODEL/VERSION``, percent-encoded.

    Returns:
        ``source``: ``test``, or ``golden`` where the version has no test rows; ``instances``,
        an object of features each; ``predictions`` and, of test rows, ``truths``, in the
        target's unit.

    Raises:
        ModelNotFound: The version is not served, or brings no rows.
    """
    asked = _PATH.fullmatch(path)
    if asked is None:
        raise ModelNotFound(f"{path} is no examples; expected /examples/MODEL/VERSION")
    version = repository.find(unquote(asked[1]), int(asked[2]))
    try:
        found = _test_rows(version) or _golden_rows(version)
    except contracts.ContractError as error:
        raise ModelNotFound(f"version {version.number} of {version.model}: {error}") from error
    if found is None:
        raise ModelNotFound(f"version {version.number} of {version.model} has no contract")
    return found


def _test_rows(version: ModelVersion) -> Mapping[str, Any] | None:
    if version.contract is None or contracts.HELD_OUT not in version.contract.files:
        return None
    rows = contracts.read_held_out(version.path)
    return {
        "source": "test",
        "instances": _by_name(version.contract, rows.instances),
        "predictions": rows.predictions,
        "truths": rows.truths,
    }


def _golden_rows(version: ModelVersion) -> Mapping[str, Any] | None:
    if version.contract is None:
        return None
    golden = contracts.read_golden(version.path)
    return {
        "source": "golden",
        "instances": _by_name(version.contract, golden.instances),
        "predictions": golden.predictions,
    }


def _by_name(contract: Contract, rows: Iterable[Sequence[float | None]]) -> list[dict[str, Any]]:
    """Rows as callers write them."""
    features = contract.features
    return [
        {it.name: it.written(value) for it, value in zip(features, row, strict=True)}
        for row in rows
    ]
