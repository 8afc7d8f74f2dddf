"""What there is of a model: its versions with labels and lineage, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from service import contract
from training import labels, publish, recipe

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from service.contract import Contract, Gate


def listed(model: Path) -> dict[str, Any]:
    """All that is known of a model's versions, as JSON has it.

    Args:
        model: The folder that holds them.

    Returns:
        ``model``, ``labels``, ``versions`` newest first, and ``history`` of the labels.
    """
    labelled = labels.current(model)
    numbers = publish.numbers(model)[::-1]
    return {
        "model": model.name,
        "labels": labelled,
        "versions": [_version(model / str(it), it, labelled) for it in numbers],
        "history": msgspec.to_builtins(labels.history(model)),
    }


def show(model: Path, console: Console) -> None:
    """Show the versions as a table, newest first.

    Args:
        model: The folder that holds them.
        console: Where to.
    """
    from rich.table import Table  # noqa: PLC0415 - for people alone

    table = Table("version", "labels", "made", "recipe", box=None, header_style="bold")
    for name in ("MAE", "MSE", "R2"):
        table.add_column(name, justify="right")
    for name in ("beside its parent", "data", "commit"):
        table.add_column(name)
    labelled = labels.current(model)
    for number in publish.numbers(model)[::-1]:
        table.add_row(*_row(model / str(number), number, labelled))
    console.print(table)


def changed(stored: dict[str, Any]) -> dict[str, Any]:
    """The knobs of a recipe that are not as the tutorial has them.

    Args:
        stored: The recipe, as a contract has it.
    """
    usual = msgspec.json.decode(msgspec.json.encode(recipe.defaults()))
    return {name: value for name, value in stored.items() if value != usual.get(name)}


def _read(version: Path) -> tuple[Contract | None, str]:
    """A version's contract, or what is wrong with it."""
    try:
        described = contract.read(version)
    except contract.ContractError as error:
        return None, str(error)
    return described, "" if described is not None else "no contract"


def _version(version: Path, number: int, labelled: dict[str, int]) -> dict[str, Any]:
    described, problem = _read(version)
    known = {"version": number, "labels": _labels(number, labelled)}
    if described is None:
        return {**known, "problem": problem}
    return {
        **known,
        **msgspec.to_builtins(described.lineage),
        "recipe": described.recipe,
        "features": list(described.feature_names),
        "metrics": described.metrics.get("test", {}).get("network", {}),
        "signed": (version / contract.SIGNATURE).is_file(),
    }


def _row(version: Path, number: int, labelled: dict[str, int]) -> list[str]:
    described, problem = _read(version)
    known = [str(number), " ".join(_labels(number, labelled))]
    if described is None:
        return [*known, problem]
    metrics = described.metrics.get("test", {}).get("network", {})
    lineage = described.lineage
    return [
        *known,
        lineage.created[:16].replace("T", " "),
        _recipe(described.recipe),
        *(f"{metrics[it]:.3f}" if it in metrics else "" for it in ("mae", "mse", "r2")),
        _gate(lineage.parent, lineage.gate),
        lineage.data_sha256[:8],
        _commit(lineage.commit),
    ]


def _commit(commit: str) -> str:
    number, dirty, _ = commit.partition("-dirty")
    return number[:8] + dirty


def _labels(number: int, labelled: dict[str, int]) -> list[str]:
    return [label for label, it in labelled.items() if it == number]


def _recipe(stored: dict[str, Any]) -> str:
    """The recipe in a word, or what it changes of the tutorial's."""
    if not stored:
        return "elsewhere"
    if not changed(stored):
        return "tutorial"
    return ", ".join(f"{name} {_text(value)}" for name, value in changed(stored).items())


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _gate(parent: int | None, gate: Gate | None) -> str:
    if gate is None:
        return "" if parent is None else f"not compared with {parent}"
    how = "better than" if gate.passed else "forced beside"
    return f"{how} {gate.against}: {gate.difference.value:+.3f}, p {gate.p_value:.2g}"
