"""The models on a server, their versions, and how good they are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeAlias

from client._errors import Denied, InvalidRequest, NotFound
from client._rates import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from client._client import Client
    from client._contract import Contract, VersionStatus

_NEVER_FOLDED: Final = 100_000

_LABELS: Final = "hearth_model_label_workers"

# One version: model, version, labels, state, error, unit, and its metrics on the test rows.
Version: TypeAlias = "dict[str, Any]"


def versions(client: Client) -> list[Version]:
    """Every version of every model that the server has.

    A server that does not list its models is asked for the client's own.

    Raises:
        HearthError: The server did not say.
    """
    try:
        names = client.models()
    except (InvalidRequest, NotFound):
        names = [client.model]
    owners = [replace(client, model=name, version=None, label=None) for name in names]
    found = [_version(owner, status) for owner in owners for status in owner.status()]
    labels = _labels(client)
    return [{**it, "labels": labels.get((it["model"], str(it["version"])), [])} for it in found]


def show(found: Sequence[Version], stream: TextIO) -> None:
    """Print versions as a table."""
    from rich.console import Console  # noqa: PLC0415  only this table pays for it
    from rich.table import Table  # noqa: PLC0415  only this table pays for it

    table = Table(box=None, pad_edge=False)
    for name in ("model", "version", "labels", "state", "test MSE", "test MAE", "unit", "error"):
        is_number = name == "version" or name.startswith("test")
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for version in found:
        table.add_row(*_cells(version))
    # Into a pipe nothing is folded: one version is one line there.
    width = None if stream.isatty() else _NEVER_FOLDED
    Console(file=stream, markup=False, highlight=False, width=width).print(table)


def _version(client: Client, status: VersionStatus) -> Version:
    contract = _contract(client, status)
    return {
        "model": client.model,
        "version": status.version,
        "state": status.state,
        "error": status.error,
        "unit": contract.target.unit if contract else None,
        "test": dict(contract.metrics.get("test", {}).get("network", {})) if contract else {},
    }


def _labels(client: Client) -> dict[tuple[str, str], list[str]]:
    """Labels by model and version, as the metrics tell; none where the server shows us none."""
    try:
        samples = parse(client.metrics())
    except (Denied, InvalidRequest, NotFound):
        return {}
    found: dict[tuple[str, str], list[str]] = {}
    for (name, pairs), workers in sorted(samples.items()):
        if name == _LABELS and workers > 0:
            it = dict(pairs)
            found.setdefault((it["model"], it["version"]), []).append(it["label"])
    return found


def _contract(client: Client, status: VersionStatus) -> Contract | None:
    """An answering version's contract, where it has one."""
    if not status.is_available:
        return None
    try:
        return replace(client, version=status.version).contract()
    except (InvalidRequest, NotFound):
        return None


def _cells(version: Version) -> list[str]:
    metrics = [version["test"].get(name) for name in ("mse", "mae")]
    return [
        version["model"],
        str(version["version"]),
        ", ".join(version["labels"]),
        version["state"],
        *("" if value is None else f"{value:.2f}" for value in metrics),
        version["unit"] or "",
        version["error"],
    ]
