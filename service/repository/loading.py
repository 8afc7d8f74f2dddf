"""From a version's folder to a version that may be served: opened, checked, tried."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from service import contract as contracts
from service.contract import SAVED_MODEL, ContractError
from service.errors import HearthError, VersionRefused
from service.inference.executor import open_executor
from service.inference.signature import DEFAULT_SIGNATURE, read_saved_model
from service.repository.storage import fingerprint
from service.repository.version import ModelVersion

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from service.contract import Contract, Golden
    from service.inference.executor import Executor
    from service.inference.signature import Signature


def load_version(model: str, number: int, path: Path, executor: str) -> ModelVersion:
    """Load a version and check that it is what its contract says.

    Args:
        model: The model's name.
        number: The version's number.
        path: Its folder.
        executor: Which executor to take, one of ``EXECUTORS``.

    Returns:
        The version, ready to be served.

    Raises:
        VersionRefused: Files are missing, broken, not those of the contract, or the
            network does not give the golden rows' outputs.
    """
    seen = fingerprint(path)
    contract = _described(path)
    opened = open_executor(path, executor)
    version = ModelVersion(
        model=model,
        number=number,
        path=path,
        signatures=_listed(path, opened),
        executor=opened,
        contract=contract,
        fingerprint=seen,
        loaded_at=time.time(),
    )
    if contract is not None:
        _replay(version, contract, _golden(path))
    return version


def _described(path: Path) -> Contract | None:
    try:
        contract = contracts.read(path)
        if contract is not None:
            contracts.verify(path, contract)
    except ContractError as error:
        raise VersionRefused(str(error)) from error
    return contract


def _golden(path: Path) -> Golden:
    try:
        return contracts.read_golden(path)
    except ContractError as error:
        raise VersionRefused(str(error)) from error


def _listed(path: Path, opened: Executor) -> Mapping[str, Signature]:
    if (path / SAVED_MODEL).is_file():
        return read_saved_model(path)
    return opened.signatures


def _replay(version: ModelVersion, contract: Contract, golden: Golden) -> None:
    """Run the golden rows; refuse a version that answers otherwise than when it was made."""
    rows = np.array(golden.instances, np.float32)
    expected = np.array(golden.predictions, np.float64)
    try:
        outputs = version.predict(DEFAULT_SIGNATURE, {contract.input: rows})
    except HearthError as error:
        raise VersionRefused(f"the golden rows cannot be run: {error.message}") from error
    if contract.output not in outputs or outputs[contract.output].shape != expected.shape:
        shapes = {name: list(array.shape) for name, array in outputs.items()}
        raise VersionRefused(
            f"the golden rows give {shapes}, expected {contract.output} {list(expected.shape)}"
        )
    differences = np.abs(outputs[contract.output] - expected)
    # NaN fails the comparison: a network that gives none of its numbers is refused too.
    if not (differences <= contract.tolerance).all():
        row = int(np.argmax(~(differences <= contract.tolerance)))
        raise VersionRefused(
            f"golden row {row} gives {outputs[contract.output][row]:.6g}, "
            f"expected {expected[row]:.6g} within {contract.tolerance:g}"
        )
