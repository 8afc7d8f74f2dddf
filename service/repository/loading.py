"""From a version's folder to a version that may be served: opened, checked, tried."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from service import contract as contracts
from service.contract import SAVED_MODEL, WARMUP, ContractError
from service.errors import HearthError, VersionRefused
from service.inference.executor import ExecutorOptions, open_executor
from service.inference.signature import DEFAULT_SIGNATURE, read_saved_model
from service.repository.storage import fingerprint
from service.repository.version import ModelVersion
from service.repository.warming import samples, warm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from service.contract import Contract, Golden
    from service.inference.executor import Executor
    from service.inference.signature import Signature
    from service.repository.warming import Record


@dataclass(frozen=True)
class LoadOptions:
    """How a version is loaded.

    Attributes:
        executor: What else decides on what runs it.
        read_warm_up: Reads the requests that a version brings along; None for no warm-up.
        warm_up_iterations: How often each of them is run.
    """

    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
    read_warm_up: Callable[[Path], Sequence[Record]] | None = None
    warm_up_iterations: int = 1


def load_version(
    model: str, number: int, path: Path, executor: str, options: LoadOptions = LoadOptions()
) -> ModelVersion:
    """Load a version, check that it is what its contract says, and warm it up.

    Args:
        model: The model's name.
        number: The version's number.
        path: Its folder.
        executor: Which executor to take, one of ``EXECUTORS``.
        options: How to load it.

    Returns:
        The version, ready to be served.

    Raises:
        VersionRefused: Files are missing, broken, not those of the contract, the network
            does not give the golden rows' outputs, or fails on a warm-up request.
    """
    seen = fingerprint(path)
    contract = _described(path)
    records = options.read_warm_up(path / WARMUP) if options.read_warm_up is not None else ()
    opened = open_executor(
        path, executor, options.executor, described=contract is not None, samples=samples(records)
    )
    version = ModelVersion(
        model=model,
        number=number,
        path=path,
        signatures=_listed(path, opened, options.executor.tags),
        executor=opened,
        contract=contract,
        fingerprint=seen,
        loaded_at=time.time(),
    )
    if contract is not None:
        _replay(version, contract, _golden(path))
    warm(version, records, options.warm_up_iterations)
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


def _listed(path: Path, opened: Executor, tags: Sequence[str]) -> Mapping[str, Signature]:
    if (path / SAVED_MODEL).is_file():
        return read_saved_model(path, tags)
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
