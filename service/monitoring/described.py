"""What a request asked and was answered, in the terms of its version's contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from service.contract import Contract
    from service.exchange import Computed


class Described(NamedTuple):
    """Rows and their prices.

    Attributes:
        features: float32 ``[n, features]``, in the contract's order.
        prices: float32 ``[n]``.
    """

    features: NDArray[np.float32]
    prices: NDArray[np.float32]


def describe(contract: Contract, computed: Computed) -> Described | None:
    """The rows of a request; None of one that has no features, or no price for each."""
    inputs, names = computed.inputs, contract.feature_names
    batch = inputs.get(contract.input)
    if batch is None and all(name in inputs for name in names):
        batch = np.stack([inputs[name] for name in names], axis=1)
    price = computed.outputs.get(contract.output)
    if batch is None or price is None or batch.ndim != 2 or price.shape != batch.shape[:1]:
        return None
    return Described(batch.astype(np.float32, copy=False), price.astype(np.float32, copy=False))
