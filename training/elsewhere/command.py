"""The command that describes a network from elsewhere: its flags, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from service import contract, network
from service.errors import HearthError
from training import flags
from training.elsewhere import describing
from training.elsewhere.describing import Wanted
from training.errors import DescribeError, TableError
from training.own import Place

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from service.network import Asked
    from training.elsewhere.describing import Described


def describe(given: argparse.Namespace) -> Iterator[str]:
    """Describe a network, and write that down.

    Args:
        given: The command's flags.

    Yields:
        What to tell of it, in lines.

    Raises:
        TrainingError: Nothing was written.
    """
    folder = Path(given.network)
    if folder.is_dir():
        _require_room(folder, force=given.force)
        asked, version = _in_folder(folder)
    else:
        asked, version = _behind(given)
        _require_room(version, force=given.force)
    name = given.name or (version.parent.name if version.name.isdecimal() else version.name)
    described = describing.describe_network(asked, _wanted(given, name))
    describing.write(described, version)
    yield from _said(described)
    yield f"Described {version / contract.CONTRACT}"


def _in_folder(folder: Path) -> tuple[Asked, Path]:
    try:
        return network.in_folder(folder), folder.resolve()
    except HearthError as error:
        raise DescribeError(error.message) from error


def _behind(given: argparse.Namespace) -> tuple[Asked, Path]:
    servers = given.network.split(",")
    if not given.name:
        raise DescribeError(
            f"{given.network} is no folder; of servers, --name says which model is meant"
        )
    try:
        asked = network.behind(
            servers, given.name, given.version, given.remote_protocol, given.remote_config_file
        )
    except HearthError as error:
        raise DescribeError(f"{given.network}: {error.message}") from error
    return asked, given.models / given.name / str(asked.number)


def _require_room(version: Path, *, force: bool) -> None:
    """Refuse to write over a contract that training has written.

    Raises:
        DescribeError: There is one.
    """
    try:
        there = contract.read(version)
    except contract.ContractError:
        return
    if there is not None and there.recipe and not force:
        raise DescribeError(f"{version} has a contract of its training: --force takes its place")


def _wanted(given: argparse.Namespace, name: str) -> Wanted:
    columns = given.columns or flags.described_beside(given.table)
    try:
        said = b"" if columns is None else columns.read_bytes()
    except OSError as error:
        raise TableError(str(columns), [f"{error.strerror}"]) from error
    features = tuple(it.strip() for it in given.features.split(",") if it.strip())
    return Wanted(name, Place(given.table, said), given.target, features, given.output)


def _said(described: Described) -> Iterator[str]:
    told = described.contract
    yield f"{told.model} reads {', '.join(told.feature_names)}, and gives {told.output}."
    rows = len(described.rows.frame)
    if described.left_out:
        yield f"{described.left_out} rows are left out: a value is missing."
    if not described.is_measured:
        yield f"{rows} rows; without --target it is not known how far it errs."
        return
    measured = told.metrics["test"]["network"]
    yield f"On {rows} rows its MAE is {measured['mae']:.4g}, its R2 {measured['r2']:.3f}."
    if told.intervals is None:
        yield "They are too few for intervals."
        return
    for level in told.intervals.levels:
        seen = level.test
        yield (
            f"{level.level:.0%} intervals hold {seen.share:.1%} of {seen.rows} other rows "
            f"({seen.low:.1%} to {seen.high:.1%}), on average {seen.width:.4g} wide"
        )
