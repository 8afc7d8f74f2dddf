"""From a version's folder to a version that may be served: opened, checked, tried."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec import structs

from service import contract as contracts
from service.contract import LOWER, SAVED_MODEL, UPPER, WARMUP, ContractError
from service.errors import HearthError, InvalidRequest, VersionRefused
from service.inference.batching import Batching
from service.inference.batching_parameters import BatchingParameters
from service.inference.choice import ExecutorOptions, open_executor
from service.inference.columns import Columns
from service.inference.described import Described, as_described
from service.inference.examples import to_examples
from service.inference.joining import try_joining
from service.inference.savedmodel import TABLES_AND_CHECKS, SavedModel
from service.inference.signature import DEFAULT_SIGNATURE, read_message, read_saved_model
from service.repository.storage import fingerprint
from service.repository.version import ModelVersion, takes_examples
from service.repository.warming import samples, warm
from service.security.graph_scan import check_graph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract import Background, Contract, Golden
    from service.inference.batching import BatchObserver
    from service.inference.executor import Executor, Tensors
    from service.inference.signature import Signature
    from service.repository.warming import Record


_log: Final = logging.getLogger("hearth.repository")

# Calls of a version to servers behind that are under way at once, where requests are joined.
_REMOTE_CALLS: Final = 4


@dataclass(frozen=True)
class LoadOptions:
    """How a version is loaded.

    Attributes:
        executor: What else decides on what runs it.
        read_warm_up: Reads the requests that a version brings along, given its signatures;
            None for no warm-up.
        warm_up_iterations: How often each of them is run.
        batching: How the requests for the version in a folder are joined, or None where that is
            to be found out; itself None for not at all.
        observer: Who is told of the batches of a version, by model and number.
        allowed_operations: Operations that a SavedModel may have though they reach beyond it.
        remote: Opens the executor of a version that runs elsewhere, by model and number; its
            folder holds what describes it, if anything. None where versions run here.
    """

    executor: ExecutorOptions = field(default_factory=ExecutorOptions)
    read_warm_up: Callable[[Path, Mapping[str, Signature]], Sequence[Record]] | None = None
    warm_up_iterations: int = 1
    batching: Callable[[Path], BatchingParameters | None] | None = None
    check: Callable[[Path], None] | None = None
    allowed_operations: frozenset[str] = frozenset()
    observer: Callable[[str, int], BatchObserver] | None = None
    remote: Callable[[str, int], Executor] | None = None


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
        VersionRefused: Files are missing, broken, not signed as asked, not those of the
            contract, the network does not give the golden rows' outputs, or fails on a
            warm-up request.
    """
    seen = fingerprint(path)
    contract = check_files_of(path, options)
    remote = None if options.remote is None else options.remote(model, number)
    declared = (
        _declared(path, options.executor.tags, options.allowed_operations)
        if remote is None
        else remote.signatures
    )
    records = () if options.read_warm_up is None else options.read_warm_up(path / WARMUP, declared)
    opened = remote or open_executor(
        path, executor, options.executor, described=contract is not None, samples=samples(records)
    )
    executed = opened if contract is None else as_described(opened, contract)
    version = ModelVersion(
        model=model,
        number=number,
        path=path,
        signatures=_signatures(declared, opened, executed),
        executor=executed,
        contract=contract,
        fingerprint=seen,
        loaded_at=time.time(),
        background=_background(path, contract),
    )
    golden = _golden(path) if contract is not None else None
    if contract is not None and golden is not None:
        _replay(version, contract, golden)
    warm_up = warm(version, records, options.warm_up_iterations)
    version = replace(version, warm_up=warm_up)
    if options.batching is None or opened.quick:
        return version
    asked = _asked(path, options.batching)
    known = {**samples(records), **_golden_samples(version, golden)}
    observer = None if options.observer is None else options.observer(model, number)
    return replace(version, executor=_batching(version, asked, known, observer))


def check_files_of(path: Path, options: LoadOptions) -> Contract | None:
    """Check that a version's files are signed as asked, and those of its contract.

    Args:
        path: The version's folder.
        options: How it is loaded.

    Returns:
        The contract, if it has one.

    Raises:
        VersionRefused: They are not.
    """
    if options.check is not None:
        options.check(path)
    return _described(path, whole=options.remote is None)


def _signatures(
    declared: Mapping[str, Signature], opened: Executor, executed: Executor
) -> Mapping[str, Signature]:
    """What metadata shows: what is declared, but for what is called as the contract says."""
    told = declared or opened.signatures
    return told if executed is opened else {**told, **executed.signatures}


def _asked(
    path: Path, read: Callable[[Path], BatchingParameters | None]
) -> BatchingParameters | None:
    try:
        return read(path)
    except InvalidRequest as error:
        raise VersionRefused(error.message) from error


def _batching(
    version: ModelVersion,
    asked: BatchingParameters | None,
    known: Mapping[str, Sequence[Tensors]],
    observer: BatchObserver | None,
) -> Executor:
    """The version's executor, its requests joined where they may be, and where it pays.

    Args:
        version: The version.
        asked: How they are joined; None to find out whether they are to be.
        known: Inputs to try it with, by signature.
        observer: Who is told of each batch.
    """
    opened, path = version.executor, version.path
    network = _network(opened)
    if isinstance(network, SavedModel):
        stateful = network.stateful_operations() - TABLES_AND_CHECKS
        if stateful:
            _log.log(
                logging.INFO if asked is None else logging.WARNING,
                "requests for %s are not joined: it has operations with a state: %s",
                path, ", ".join(sorted(stateful)),
            )  # fmt: skip
            return opened
    if asked is not None:
        return Batching(opened, asked, observer=observer)
    trials = try_joining(opened, known)
    for trial in trials:
        _log.info("%s version %d: %s", version.model, version.number, trial)
    alone = [it.signature for it in trials if not it.pays]
    if len(alone) == len(trials):
        return opened
    return Batching(opened, _found_out(opened), alone, observer)


def _network(opened: Executor) -> Executor:
    return opened.network if isinstance(opened, Described) else opened


def _found_out(opened: Executor) -> BatchingParameters:
    """How requests are joined where nobody says how."""
    if isinstance(_network(opened), SavedModel):
        # One call takes all CPUs; what comes meanwhile makes the next batch the larger. The
        # threads are for other signatures, which need not wait for this one's.
        threads = len(opened.signatures)
        return BatchingParameters(
            num_batch_threads=threads, run_large_whole=True, batch_by_batch=True
        )
    if opened.joins:
        # The calls that are under way at once; what comes meanwhile makes the next the larger.
        return BatchingParameters(num_batch_threads=_REMOTE_CALLS, run_large_whole=True)
    return BatchingParameters(run_large_whole=True)


def _golden_samples(version: ModelVersion, golden: Golden | None) -> dict[str, list[Tensors]]:
    """The golden rows as the signatures take them."""
    if version.contract is None or golden is None:
        return {}
    names = version.contract.feature_names
    rows = np.array(golden.rows, np.float32)
    found: dict[str, list[Tensors]] = {DEFAULT_SIGNATURE: [{version.contract.input: rows}]}
    if isinstance(version.feature_names(version.signature(DEFAULT_SIGNATURE)), Columns):
        return found  # texts are read here, and the executor gets the batch
    for name, signature in version.executor.signatures.items():
        if takes_examples(signature):
            (only,) = signature.inputs
            found[name] = [{only: np.array(to_examples(rows, names), object)}]
        elif signature.inputs.keys() == set(names):
            found[name] = [{it: rows[:, column] for column, it in enumerate(names)}]
    return found


def _described(path: Path, *, whole: bool) -> Contract | None:
    """The contract, if there is one; of a version that is not whole, what is there must be its."""
    try:
        contract = contracts.read(path)
        if contract is not None:
            there = {it: sha for it, sha in contract.files.items() if whole or (path / it).exists()}
            contracts.verify(path, structs.replace(contract, files=there))
    except ContractError as error:
        raise VersionRefused(str(error)) from error
    return contract


def _golden(path: Path) -> Golden:
    try:
        return contracts.read_golden(path)
    except ContractError as error:
        raise VersionRefused(str(error)) from error


def _background(path: Path, contract: Contract | None) -> Background | None:
    try:
        return None if contract is None else contracts.read_background(path, contract)
    except ContractError as error:
        raise VersionRefused(str(error)) from error


def _declared(path: Path, tags: Sequence[str], allowed: frozenset[str]) -> Mapping[str, Signature]:
    """The signatures of the SavedModel, where there is one; its graph is looked at first."""
    if not (path / SAVED_MODEL).is_file():
        return {}
    check_graph(read_message(path), allowed)
    return read_saved_model(path, tags)


def _replay(version: ModelVersion, contract: Contract, golden: Golden) -> None:
    """Run the golden rows; refuse a version that answers otherwise than when it was made."""
    inputs = {contract.input: np.array(golden.rows, np.float32)}
    expected = {DEFAULT_SIGNATURE: {contract.output: np.array(golden.predictions, np.float64)}}
    for signature, bounds in golden.bounds.items():
        lower, upper = np.array(bounds, np.float64).T
        expected[signature] = expected[DEFAULT_SIGNATURE] | {LOWER: lower, UPPER: upper}
    for signature, outputs in expected.items():
        _compare(version, signature, inputs, outputs, contract.tolerance)


def _compare(
    version: ModelVersion, signature: str, inputs: Tensors, expected: Tensors, tolerance: float
) -> None:
    of_it = "" if signature == DEFAULT_SIGNATURE else f" of {signature}"
    try:
        version.signature(signature)  # says so if there is none
        _require_inputs(version, signature, inputs)
        outputs = version.predict(signature, inputs)
    except HearthError as error:
        raise VersionRefused(f"the golden rows{of_it} cannot be run: {error.message}") from error
    for name, values in expected.items():
        if name not in outputs or outputs[name].shape != values.shape:
            shapes = {it: list(array.shape) for it, array in outputs.items()}
            raise VersionRefused(
                f"the golden rows{of_it} give {shapes}, expected {name} {list(values.shape)}"
            )
        of_which = f" as {name}{of_it}" if of_it else ""
        _require_alike(of_which, outputs[name], values, tolerance)


def _require_inputs(version: ModelVersion, signature: str, inputs: Tensors) -> None:
    """Refuse a network that takes something else than the contract says."""
    runs = version.executor.signatures.get(signature)
    if runs is not None and runs.inputs.keys() != inputs.keys():
        raise InvalidRequest(f"the network takes {sorted(runs.inputs)}, not {sorted(inputs)}")


def _require_alike(
    of_which: str, given: NDArray[Any], expected: NDArray[Any], tolerance: float
) -> None:
    differences = np.abs(given - expected)
    # NaN fails the comparison: a network that gives none of its numbers is refused too.
    if not (differences <= tolerance).all():
        row = int(np.argmax(~(differences <= tolerance)))
        raise VersionRefused(
            f"golden row {row} gives {given[row]:.6g}{of_which}, "
            f"expected {expected[row]:.6g} within {tolerance:g}"
        )
