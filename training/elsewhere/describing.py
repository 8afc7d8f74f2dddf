"""A contract for a network that was trained elsewhere, from a table and the network's own answers.

The network lies in a folder, or runs in servers behind. The table names its columns and shows
what values make sense; its rows need not have taught the network. Where it has the target too,
of rows that the network has not learned from, it shows how far the network errs: half of them
say how wide intervals are, the other half how often the truth lies within.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
import pandas as pd

from service import contract
from service.contract import CATEGORY, Lineage, Network
from service.errors import HearthError
from training import (
    background,
    chunks,
    coverage,
    describe,
    description,
    evaluate,
    fingerprint,
    measures,
    own,
    publish,
    split,
)
from training.columns import Column, Schema
from training.errors import DescribeError, TableError
from training.signatures import INPUT
from training.split import Rows
from training.survey import Survey, values
from training.table import LEAST_ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from service.contract import Contract, Golden
    from service.network import Asked
    from training.chunks import Source
    from training.coverage import Found
    from training.own import Place
    from training.survey import Look

# How far executors' answers may differ, of the predictions' standard deviation; and at least so
# much of the largest one, since float32 has 7 digits.
_TOLERANCE: Final = 0.001
_ROUNDING: Final = 1e-5
_SEED: Final = 113  # of the order in which rows are taken
_BATCH: Final = 2  # dimensions of an input that takes rows


@dataclass(frozen=True)
class Wanted:
    """What is to be described, and how.

    Attributes:
        name: The model's name.
        place: The table.
        target: Its column with what the network should say; empty for none.
        features: Its columns that the network reads, in the network's order; none to find out.
        output: The network's output; empty for its only one.
    """

    name: str
    place: Place
    target: str = ""
    features: tuple[str, ...] = ()
    output: str = ""


@dataclass(frozen=True)
class Described:
    """A description.

    Attributes:
        contract: The contract, but for the checksums.
        rows: The rows that were used, with what is true of them, or predicted where nobody knows.
        left_out: How many were not, since a value is missing.
        predicted: What the network gives for them, ``[n]``.
        golden: Rows to be replayed.
        found: Intervals; none without a target, or where there are too few rows.
        is_measured: Whether it is known what is true of the rows.
    """

    contract: Contract
    rows: Rows
    left_out: int
    predicted: NDArray[np.float32]
    golden: Golden
    found: Found
    is_measured: bool


def describe_network(asked: Asked, wanted: Wanted) -> Described:
    """Describe a network by a table and its own answers.

    Args:
        asked: The network.
        wanted: The table, and how it goes with the network.

    Raises:
        TableError: The table cannot be used.
        DescribeError: They do not go together.
    """
    output = _output(asked, wanted.output)
    source = chunks.source(wanted.place.path)
    _require_columns(wanted, source, [*wanted.features, *_target(wanted)])
    names, inputs = _features(asked, wanted, source.names)
    survey, frame = _read(wanted, source, names)
    network = Network(inputs, output)
    predicted = _predict(asked, network, frame[[*names]].to_numpy(np.float32))
    if not wanted.target:
        frame = frame.assign(**{output: predicted.astype(np.float64)})
    rows = Rows(frame, names, wanted.target or output)
    schema = _schema(survey, wanted, rows)
    if wanted.target:
        _require_of_use(rows, predicted)
    measured = rows.prices if wanted.target else rows.prices[:0]
    found = coverage.of_unseen(predicted[: len(measured)], measured, schema.minimum)
    lines = describe.golden_rows(rows, rows)
    golden = describe.golden(
        lines, _predict(asked, network, lines.astype(np.float32)), found.intervals
    )
    told = _contract(wanted, schema, rows, predicted, found)
    return Described(
        _called(told, asked, network),
        rows,
        survey.rows + survey.dropped - len(frame),
        predicted,
        golden,
        found,
        is_measured=bool(wanted.target),
    )


def write(described: Described, version: Path) -> None:
    """Write a description beside a version's files, the contract last.

    Args:
        described: The description.
        version: The version's folder; made where it is missing.

    Raises:
        PublishError: Nothing can be written there.
        DescribeError: Likewise.
    """
    try:
        with publish.hidden_folder(version.parent) as folder:
            contract.write_background(folder, background.background(described.rows))
            if described.is_measured:
                rows = describe.held_out(described.rows, described.predicted)
                contract.write_held_out(folder, rows)
            (version / contract.HELD_OUT).unlink(missing_ok=True)
            contract.write(folder, described.contract, described.golden, beside=version)
            for file in sorted(_files(folder), key=lambda it: it.name == contract.CONTRACT):
                place = version / file.relative_to(folder)
                place.parent.mkdir(parents=True, exist_ok=True)
                publish.write_beside(place, file.read_bytes())
    except OSError as error:
        raise DescribeError(f"{version} cannot be written: {error.strerror}") from error


def _output(asked: Asked, wanted: str) -> str:
    """The output that holds the numbers.

    Raises:
        DescribeError: There is none of that name, or it holds no number a row.
    """
    names = sorted(asked.outputs)
    if not wanted and len(names) > 1:
        raise DescribeError(f"the network gives {', '.join(names)}: say which with --output")
    if wanted and wanted not in names:
        raise DescribeError(f"the network gives no {wanted}, but {', '.join(names)}")
    name = wanted or names[0]
    shape = asked.outputs[name].shape
    if shape is not None and [it for it in shape[1:] if it != 1]:
        raise DescribeError(f"{name} has shape {_shown(shape)}, expected one number a row")
    return name


def _features(
    asked: Asked, wanted: Wanted, columns: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The columns that the network reads, in order, and the inputs that take them.

    Raises:
        DescribeError: They cannot be found out.
    """
    there = [it for it in columns if it != wanted.target]
    if len(asked.inputs) == 1:
        return _of_one_input(asked, wanted, there)
    plain = dict(zip(contract.graph_names(there), there, strict=True)) | {it: it for it in there}
    lacking = [it for it in sorted(asked.inputs) if it not in plain]
    if lacking:
        raise DescribeError(
            f"the network takes {', '.join(lacking)}, which {wanted.place.path} lacks; there are "
            f"{', '.join(there)}"
        )
    inputs = {plain[it]: it for it in asked.inputs}
    names = wanted.features or tuple(it for it in there if it in inputs)
    if set(names) != inputs.keys():
        raise DescribeError(f"--features must be those of the network: {', '.join(sorted(inputs))}")
    return names, tuple(inputs[it] for it in names)


def _of_one_input(
    asked: Asked, wanted: Wanted, there: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    ((name, spec),) = asked.inputs.items()
    shape = (-1, -1) if spec.shape is None else spec.shape
    names = wanted.features or tuple(there)
    width = 1 if len(shape) < _BATCH else shape[1]
    if len(shape) > _BATCH:
        raise DescribeError(f"{name} has shape {_shown(shape)}, expected rows of numbers")
    if width not in {-1, len(names)}:
        besides = f" besides {wanted.target}" if wanted.target else ""
        raise DescribeError(
            f"{name} takes {width} columns, and {len(names)} are given{besides}: "
            f"{', '.join(names)}; say which with --features, in the network's order"
        )
    return names, (name,)


def _read(wanted: Wanted, source: Source, names: tuple[str, ...]) -> tuple[Survey, pd.DataFrame]:
    """What the columns hold, and the rows that have all values, shuffled.

    Raises:
        TableError: The table cannot be used.
    """
    place = wanted.place
    asked = [*names, *_target(wanted)]
    _require_columns(wanted, source, asked)
    said = description.read(place.described, f"the description of {place.path.name}", source.names)
    survey = Survey(asked, wanted.target or names[0], source.place, said)
    kept = []
    for chunk in source.chunks(asked):
        survey.add(chunk)
        kept.append(pd.DataFrame({it: values(chunk[it]).numbers for it in asked}))
    frame = pd.concat(kept).dropna() if kept else pd.DataFrame()
    problems = [*_unlike(survey, names), *survey.problems(asked)]
    if not problems and len(frame) < LEAST_ROWS:
        problems = [f"it has {len(frame)} rows without a missing value, {LEAST_ROWS} are needed"]
    if problems:
        raise TableError(str(place.path), problems)
    return survey, frame.iloc[split.order(len(frame), _SEED)]


def _target(wanted: Wanted) -> list[str]:
    return [wanted.target] if wanted.target else []


def _require_columns(wanted: Wanted, source: Source, names: Sequence[str]) -> None:
    """Refuse a table that lacks a column, or has it twice.

    Raises:
        TableError: It does.
    """
    there = source.names
    problems = [
        f"column {it} is there {there.count(it)} times, once is right; there are {', '.join(there)}"
        for it in names
        if there.count(it) != 1
    ]
    if problems:
        raise TableError(str(wanted.place.path), problems)


def _unlike(survey: Survey, names: Sequence[str]) -> Iterator[str]:
    """Why columns are not what a network's inputs of numbers take."""
    for name, look in survey.looks.items():
        if look.kind == CATEGORY:
            yield f"{name} holds texts, such as {min(look.texts)!r}: only numbers can be described"
        elif name in names and look.numbers and len(set(own.limits(look))) == 1:
            yield (
                f"{name} is {look.minimum:g} in every row: say what makes sense of it in --columns "
                "(minimum, maximum)"
            )


def _schema(survey: Survey, wanted: Wanted, rows: Rows) -> Schema:
    features = {it: _column(survey.looks[it]) for it in rows.features}
    if wanted.target:
        look = survey.looks[wanted.target]
        return Schema(features, _column(look), price=look.name, minimum=own.least(look))
    low, high = float(rows.prices.min()), float(rows.prices.max())
    return Schema(features, Column(rows.target, rows.target, "", low, high), price=rows.target)


def _column(look: Look) -> Column:
    return Column(look.name, look.said.meaning or look.name, look.said.unit, *own.limits(look))


def _predict(asked: Asked, network: Network, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    try:
        predicted = asked.predict(network, batch)
    except HearthError as error:
        raise DescribeError(error.message) from error
    wrong = np.flatnonzero(~np.isfinite(predicted))
    if len(wrong):
        given = ", ".join(f"{it:g}" for it in batch[wrong[0]])
        raise DescribeError(f"the network gives {predicted[wrong[0]]} for the row {given}")
    return predicted


def _require_of_use(rows: Rows, predicted: NDArray[np.float32]) -> None:
    """Refuse a table that does not go with the network.

    Raises:
        DescribeError: The network says less of the target than its mean does.
    """
    r2 = evaluate.measure(rows.prices, predicted)["r2"]
    if not r2 > 0:
        raise DescribeError(
            f"the network says less of {rows.target} than its mean does (R2 {r2:.3g}): are the "
            f"columns in the network's order ({', '.join(rows.features)}; see --features), and is "
            f"{rows.target} what it predicts, in its unit?"
        )


def _contract(
    wanted: Wanted, schema: Schema, rows: Rows, predicted: NDArray[np.float32], found: Found
) -> Contract:
    sha256 = fingerprint.hash_data(wanted.place.path)
    largest = float(np.abs(predicted).max())
    made = describe.Made(
        wanted.name,
        schema,
        rows,
        predicted,
        max(_TOLERANCE * float(predicted.std()), _ROUNDING * largest, _ROUNDING),
        {"test": {"network": evaluate.measure(rows.prices, predicted)}} if wanted.target else {},
        fingerprint.Fingerprint({}, sha256, "", {}),
    )
    created = datetime.now(UTC).isoformat(timespec="seconds")
    told = describe.contract(made, Lineage(created, wanted.place.path.name, sha256, "", {}))
    slices: list[contract.Slice] = []
    if wanted.target:
        kinds = measures.kinds(rows.frame, rows.prices, ())
        slices = measures.slices(kinds, rows.prices, predicted)
    return msgspec.structs.replace(told, intervals=found.described, slices=tuple(slices))


def _called(told: Contract, asked: Asked, network: Network) -> Contract:
    """The contract with how the network is called; under the network's own names, if it can be."""
    spec, given = asked.inputs[network.inputs[0]], asked.outputs[network.output]
    is_one = len(network.inputs) == 1
    plain = is_one and spec.is_float32 and len(spec.shape or ()) == _BATCH
    as_said = plain and len(given.shape or ()) == 1 and given.is_float32
    return msgspec.structs.replace(
        told,
        input=network.inputs[0] if is_one else INPUT,
        output=network.output,
        network=None if as_said else network,
    )


def _shown(shape: Sequence[int]) -> str:
    return f"[{', '.join('n' if it == -1 else str(it) for it in shape)}]"


def _files(folder: Path) -> list[Path]:
    return [it for it in folder.rglob("*") if it.is_file()]
