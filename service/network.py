"""A network that is asked before anything describes it: for the command that does.

It lies in a folder, or runs in servers behind; and it is called as a contract in the making says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from service.contract import LITERT_MODEL, SAVED_MODEL
from service.errors import InvalidRequest, VersionRefused
from service.inference.choice import open_executor
from service.inference.described import Call
from service.inference.executor import LITERT, TENSORFLOW
from service.inference.signature import DEFAULT_SIGNATURE, read_message
from service.security.graph_scan import check_graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from service.contract import Network
    from service.inference.executor import Executor
    from service.inference.signature import TensorSpec

# Rows of one call: a server's limit of a message is seldom less.
_ROWS: Final = 4096


@dataclass(frozen=True)
class Asked:
    """A network that can be asked by its ``serving_default``.

    Attributes:
        number: The version's number; 0 of one in a folder.
        inputs: What it takes, by name.
        outputs: What it gives, by name.
    """

    number: int
    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]
    _executor: Executor

    def predict(self, network: Network, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Ask it.

        Args:
            network: How it is called.
            batch: ``[n, features]``.

        Returns:
            ``[n]``.

        Raises:
            HearthError: It cannot be called so, or fails.
        """
        call = Call(network, self._executor.signatures[DEFAULT_SIGNATURE], batch.shape[1])
        parts = np.split(batch, range(_ROWS, len(batch), _ROWS))
        answers = [
            call.output(self._executor.run(DEFAULT_SIGNATURE, call.inputs(it)), len(it))
            for it in parts
        ]
        return np.concatenate(answers)


def in_folder(version: Path) -> Asked:
    """Open the network in a version's folder: by TensorFlow, or LiteRT where that is all there is.

    Raises:
        VersionRefused: There is none, or it cannot be opened.
    """
    if (version / SAVED_MODEL).is_file():
        check_graph(read_message(version), frozenset())
        return _asked(0, open_executor(version, TENSORFLOW))
    if (version / LITERT_MODEL).is_file():
        return _asked(0, open_executor(version, LITERT))
    raise VersionRefused(f"{version} holds neither {SAVED_MODEL} nor {LITERT_MODEL}")


def behind(
    servers: Sequence[str],
    model: str,
    number: int | None,
    protocol: str,
    config_file: Path | None,
) -> Asked:
    """Open a network that servers run.

    Args:
        servers: Their addresses.
        model: The model's name.
        number: The version's number; None for the newest.
        protocol: What they speak; see ``--remote_protocol``.
        config_file: How they are asked; see ``--remote_config_file``.

    Raises:
        HearthError: They cannot be asked, or do not serve it.
    """
    from service.remote.addresses import check_servers  # noqa: PLC0415 - only where needed
    from service.remote.channel import read_access  # noqa: PLC0415
    from service.remote.fleet import Fleet  # noqa: PLC0415
    from service.repository.config import ModelConfig  # noqa: PLC0415

    problem = check_servers(servers)
    if problem:
        raise InvalidRequest(problem)
    fleet = Fleet(servers, read_access(config_file), _Nobody(), protocol)
    there = fleet.find(ModelConfig(model, Path()))
    if not there or (number is not None and number not in there):
        what = f"{model} at all" if not there else f"version {number} of {model}"
        raise InvalidRequest(f"the servers do not serve {what}")
    chosen = max(there) if number is None else number
    return _asked(chosen, fleet.open(model, chosen))


class _Nobody:
    """Is told of calls, and counts none."""

    def called(self, model: str, code: str, seconds: float) -> None:
        """See ``FleetObserver``."""


def _asked(number: int, executor: Executor) -> Asked:
    signature: Any = executor.signatures.get(DEFAULT_SIGNATURE)
    if signature is None:
        known = ", ".join(sorted(executor.signatures))
        raise VersionRefused(f"it has no signature {DEFAULT_SIGNATURE}, only {known or 'none'}")
    return Asked(number, signature.inputs, signature.outputs, executor)
