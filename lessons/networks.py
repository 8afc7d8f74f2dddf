"""The networks that are served, by the name that a request asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lessons import forward_propagation, many_inputs, one_input, two_inputs, two_outputs

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORKS: Final[dict[str, Callable[[], Any]]] = {
    "one_input": one_input.network,
    "two_inputs": two_inputs.network,
    "two_outputs": two_outputs.network,
    "forward_propagation": forward_propagation.network,
    "many_inputs": many_inputs.network,
}
