"""Lesson 8: back-propagation, the chain rule from end to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lessons.forward_propagation import relu

if TYPE_CHECKING:
    from lessons.forward_propagation import Array, Layers


def local_derivatives(
    *, x: float, w: float, b: float, v: float, c: float, truth: float
) -> dict[str, float]:
    """The derivative of each step of a chain, by what goes into it.

    The chain is ``z = w x + b``, ``h = relu(z)``, ``y = v h + c``, ``J = (y - truth)^2``.

    Returns:
        dJ/dy, dy/dh, dh/dz and dz/dw; their product is dJ/dw.
    """
    z = w * x + b
    h = max(z, 0.0)
    y = v * h + c
    return {"dJ/dy": 2 * (y - truth), "dy/dh": v, "dh/dz": 1.0 if z > 0 else 0.0, "dz/dw": x}


def gradients(batch: Array, truth: Array, layers: Layers) -> list[Array]:
    """The derivative of the mean squared error by every weight and bias.

    Args:
        batch: ``[n, inputs]``.
        truth: ``[n, outputs]``.
        layers: Weights and bias of each layer, ReLU after each but the last.

    Returns:
        First layer first, weights before bias, each of the shape of what it derives by.
    """
    given = [batch]
    for weights, bias in layers[:-1]:
        given.append(relu(given[-1] @ weights + bias))
    weights, bias = layers[-1]
    arriving = 2 * (given[-1] @ weights + bias - truth) / truth.size
    found: list[Array] = []
    for (weights, _), values in zip(reversed(layers), reversed(given), strict=True):
        found = [values.T @ arriving, arriving.sum(axis=0), *found]
        arriving = (arriving @ weights.T) * (values > 0)
    return found
