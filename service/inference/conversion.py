"""From a SavedModel to LiteRT, served only if it gives TensorFlow's answers.

A process of its own, since TensorFlow is heavy and a converter may crash:

    python -m service.inference.conversion VERSION OUTPUT

writes the LiteRT model to OUTPUT and ends with 0; or it says on standard output why there
is none, and ends with 3.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.contract import LITERT_MODEL
from service.errors import HearthError, VersionRefused
from service.inference.apart import REFUSED, give_way
from service.inference.comparison import difference, other_form, same_numbers, synthesise
from service.inference.litert import LiteRT
from service.inference.savedmodel import SavedModel, import_tensorflow
from service.inference.signature import (
    DEFAULT_TAGS,
    callable_signatures,
    read_saved_model,
    shape_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from service.inference.executor import Executor, Tensors
    from service.inference.signature import Signature

_REASON_LENGTH: Final = 300

_LACKING: Final = re.compile(r"(?:TF Select|Custom) ops: (.+)")


class NotConvertible(Exception):
    """A version stays with TensorFlow, and why."""


def check_types(signatures: Mapping[str, Signature]) -> None:
    """Make sure that LiteRT has types and ranks for all signatures.

    Raises:
        NotConvertible: It has not.
    """
    if not signatures:
        raise NotConvertible("it has no signature")
    for name, signature in signatures.items():
        for alias, spec in (*signature.inputs.items(), *signature.outputs.items()):
            if spec.numpy_dtype is None or spec.is_text:
                kind = "strings" if spec.is_text else "numbers LiteRT lacks"
                raise NotConvertible(f"signature {name} has {kind} in {alias}")
        for alias, spec in signature.inputs.items():
            if spec.shape is None:
                raise NotConvertible(f"signature {name} takes {alias} of any rank")


def convert(
    version: Path, output: Path, tags: Sequence[str], samples: Mapping[str, Sequence[Tensors]]
) -> None:
    """Write a LiteRT model that answers all that the SavedModel does, and alike.

    A ``model.tflite`` that lies there already is compared and taken instead.

    Args:
        version: The version's folder.
        output: Where the LiteRT model goes.
        tags: The tags of the graph to serve.
        samples: Inputs to compare with, by signature; synthesised where there are none.

    Raises:
        NotConvertible: There is no such LiteRT model.
    """
    signatures = callable_signatures(read_saved_model(version, tags))
    check_types(signatures)
    model = SavedModel(version, tags)
    if model.signatures.keys() != signatures.keys():
        raise NotConvertible("TensorFlow cannot call all of its signatures")
    _check_operations(model)
    shipped = version / LITERT_MODEL
    content = shipped.read_bytes() if shipped.is_file() else _converted(version, tags, signatures)
    output.write_bytes(content)
    litert = LiteRT(output, signatures)
    for name, signature in signatures.items():
        _check_form(name, signature, litert)
        asked = [it for it in samples.get(name, ()) if it.keys() == signature.inputs.keys()]
        _compare(name, model, litert, asked or list(synthesise(signature)))


def _check_operations(model: SavedModel) -> None:
    """Refuse a graph whose answers may depend on more than the request."""
    stateful = sorted(model.stateful_operations())
    if stateful:
        raise NotConvertible(f"it has operations with a state: {', '.join(stateful)}")


def _converted(version: Path, tags: Sequence[str], signatures: Iterable[str]) -> bytes:
    tensorflow = import_tensorflow()
    try:
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(
            str(version), signature_keys=sorted(signatures), tags=set(tags)
        )
        content: bytes = converter.convert()
    except Exception as error:  # the converter raises whatever its parts raise
        raise NotConvertible(f"the converter says: {_reason(str(error))}") from error
    return content


def _reason(message: str) -> str:
    lacking = _LACKING.search(message)
    if lacking is not None:
        return f"LiteRT lacks {lacking.group(1)}"[:_REASON_LENGTH]
    return message.strip().partition("\n")[0][:_REASON_LENGTH]


def _check_form(name: str, expected: Signature, litert: LiteRT) -> None:
    found = litert.signatures.get(name)
    if found is None:
        raise NotConvertible(f"the LiteRT model has no signature {name}")
    for role, ours, theirs in (
        ("inputs", expected.inputs, found.inputs),
        ("outputs", expected.outputs, found.outputs),
    ):
        if ours.keys() != theirs.keys():
            raise NotConvertible(
                f"the LiteRT model's {name} has the {role} {sorted(theirs)}, not {sorted(ours)}"
            )


def _compare(name: str, model: SavedModel, litert: LiteRT, inputs: Sequence[Tensors]) -> None:
    compared = 0
    for batch in inputs:
        expected = _run(model, name, batch)
        found = _run(litert, name, batch)
        if expected is None:
            if found is not None:
                raise NotConvertible(f"{name}: LiteRT answers what TensorFlow refuses")
            continue
        _check_same(name, expected, found, model, batch)
        compared += 1
    if not compared:
        raise NotConvertible(f"{name}: TensorFlow took none of the inputs to compare with")


def _check_same(
    name: str,
    expected: Tensors,
    found: Tensors | None,
    model: SavedModel,
    batch: Tensors,
) -> None:
    if found is None:
        raise NotConvertible(f"{name}: LiteRT refuses what TensorFlow answers")
    differs = difference(expected, found)
    if differs:
        raise NotConvertible(f"{name}: LiteRT differs from TensorFlow: {differs}")
    again = _run(model, name, batch)
    if again is None or difference(expected, again):
        raise NotConvertible(f"{name}: TensorFlow itself answers differently the second time")
    other = other_form(batch)
    loose = _run(model, name, other) if other is not None else None
    if other is not None and loose is not None and same_numbers(expected, loose):
        alias, array = next(iter(other.items()))
        raise NotConvertible(
            f"{name} takes {alias} of shape {shape_text((-1, *array.shape[1:]))} too, "
            "beside the declared one that LiteRT keeps to"
        )


def _run(executor: Executor, name: str, inputs: Tensors) -> dict[str, NDArray[Any]] | None:
    try:
        return executor.run(name, inputs)
    except HearthError:
        return None


def write_samples(path: Path, samples: Mapping[str, Sequence[Tensors]]) -> None:
    """Write the arrays of numbers for the process that compares; see ``read_samples``."""
    arrays: dict[str, NDArray[Any]] = {}
    index: list[tuple[str, dict[str, str]]] = []
    for signature, batches in samples.items():
        for batch in batches:
            keys = {}
            for name, array in batch.items():
                if array.dtype != object:
                    keys[name] = f"a{len(arrays)}"
                    arrays[keys[name]] = array
            index.append((signature, keys))
    arrays["index"] = np.array(json.dumps(index))
    np.savez(path, allow_pickle=False, **arrays)


def read_samples(path: Path) -> dict[str, list[Tensors]]:
    """Read what ``write_samples`` wrote."""
    samples: dict[str, list[Tensors]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for signature, keys in json.loads(str(stored["index"])):
            batch = {name: stored[key] for name, key in keys.items()}
            samples.setdefault(signature, []).append(batch)
    return samples


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one version; see the module."""
    parser = argparse.ArgumentParser(prog="python -m service.inference.conversion")
    parser.add_argument("version", type=Path, help="folder of the SavedModel")
    parser.add_argument("output", type=Path, help="where the LiteRT model goes")
    parser.add_argument("--saved_model_tags", default=",".join(DEFAULT_TAGS))
    parser.add_argument("--samples", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--for_service", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.for_service:
        give_way()
    samples = {} if given.samples is None else read_samples(given.samples)
    tags = given.saved_model_tags.split(",")
    try:
        with _removed_on_failure(given.output):
            convert(given.version, given.output, tags, samples)
    except (NotConvertible, VersionRefused) as error:
        sys.stdout.write(f"{error}\n")
        return REFUSED
    return 0


@contextlib.contextmanager
def _removed_on_failure(output: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        output.unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    sys.exit(main())
