"""First weights: drawn from the distributions that Keras draws a dense layer's from."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def draw(sizes: Sequence[int], generator: np.random.Generator) -> list[NDArray[np.float32]]:
    """Draw the first weights of a network.

    Args:
        sizes: Features, units of each hidden layer, and 1.
        generator: Where the numbers come from.

    Returns:
        Kernel ``[in, out]`` and bias ``[out]`` of each layer, float32: kernels uniform
        within the square root of 6 / (in + out), biases zero.

    References:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
        networks, 2010; ``keras.initializers.GlorotUniform``.
    """
    weights = []
    for inputs, outputs in pairwise(sizes):
        limit = np.sqrt(6 / (inputs + outputs))
        kernel = generator.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
        weights += [kernel, np.zeros(outputs, np.float32)]
    return weights
