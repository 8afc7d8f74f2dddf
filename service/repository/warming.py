"""Requests that a model version brings along, run before it takes any other."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from service.errors import HearthError, InvalidRequest, VersionRefused
from service.repository.version import WarmUp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from service.inference.executor import Tensors
    from service.inference.signature import Signature
    from service.repository.version import ModelVersion


@dataclass(frozen=True)
class Record:
    """One request.

    Attributes:
        place: Where it stands, for messages.
        method: ``predict``, ``classify`` or ``regress``.
        signature: Name of the signature.
        inputs: The arrays of a predict request.
        examples: The serialised ``tf.Example`` messages of the others.
    """

    place: str
    method: str
    signature: str
    inputs: Tensors = field(default_factory=dict)
    examples: Sequence[bytes] = ()


def warm(version: ModelVersion, records: Sequence[Record], iterations: int) -> WarmUp:
    """Run requests on a version that is not served yet.

    Args:
        version: The version.
        records: The requests.
        iterations: How often each is run.

    Returns:
        How many there were, and how long they took.

    Raises:
        VersionRefused: One of them fails.
    """
    started_s = time.perf_counter()
    for record in records:
        try:
            for _ in range(iterations):
                _run(version, record)
        except HearthError as error:
            raise VersionRefused(
                f"{record.place} ({record.method} {record.signature}) fails: {error.message}"
            ) from error
    return WarmUp(len(records), time.perf_counter() - started_s)


def samples(records: Iterable[Record]) -> Mapping[str, list[Tensors]]:
    """The arrays of the predict requests, by signature."""
    found: dict[str, list[Tensors]] = {}
    for record in records:
        if record.method == "predict":
            found.setdefault(record.signature, []).append(record.inputs)
    return found


def _run(version: ModelVersion, record: Record) -> None:
    if record.method == "predict":
        _check(version.signature(record.signature), record.inputs)
        version.predict(record.signature, record.inputs)
        return
    name = version.example_signature(record.signature, record.method)
    version.run_examples(name, record.examples)


def _check(signature: Signature, inputs: Tensors) -> None:
    if inputs.keys() != signature.inputs.keys():
        raise InvalidRequest(f"it has the inputs {sorted(inputs)}, not {sorted(signature.inputs)}")
    for name, spec in signature.inputs.items():
        if inputs[name].dtype != spec.numpy_dtype:
            raise InvalidRequest(
                f"input {name} has type {inputs[name].dtype}, expected {spec.numpy_dtype}"
            )
