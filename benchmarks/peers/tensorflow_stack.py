"""The stacked training as one TensorFlow function, with or without XLA: the engine not taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from training.engine.stack import orders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.engine.stack import Method, Network

_FIRST, _SECOND, _EPSILON = 0.9, 0.999, 1e-7


def trainer(method: Method, networks: Sequence[Network], *, xla: bool) -> Callable[[], Any]:
    """Prepare a stack of Adam and mean squared error; the call trains it.

    Args:
        method: Epochs and batch size; the rest is as said above.
        networks: Of one shape, all on the same rows.
        xla: Whether XLA compiles the function, at its first call.

    Returns:
        A function that gives the loss of each epoch, ``[epochs, networks]``.
    """
    batch, truth = (tf.constant(it) for it in networks[0].train)
    first = [tf.constant(np.stack(it)) for it in zip(*(_rows(n) for n in networks), strict=True)]
    rates = tf.constant([[[it.learning_rate]] for it in networks], tf.float32)
    rows = len(networks[0].train.truth)
    full, size = rows // method.batch_size, method.batch_size

    def step(chosen: Any, number: Any, state: Any) -> Any:
        weights, means, squares = state
        with tf.GradientTape() as tape:
            tape.watch(weights)
            said = _forward(weights, tf.gather(batch, chosen))
            loss = tf.reduce_mean(tf.square(said - tf.gather(truth, chosen)), axis=1)
        slopes = tape.gradient(loss, weights)
        number = tf.cast(number, tf.float32)
        rate = rates * tf.sqrt(1 - _SECOND**number) / (1 - _FIRST**number)
        means = [m + (g - m) * (1 - _FIRST) for m, g in zip(means, slopes, strict=True)]
        squares = [
            s + (tf.square(g) - s) * (1 - _SECOND) for s, g in zip(squares, slopes, strict=True)
        ]
        weights = [
            w - m * rate / (tf.sqrt(s) + _EPSILON)
            for w, m, s in zip(weights, means, squares, strict=True)
        ]
        return loss, (weights, means, squares)

    def train(orders: Any) -> Any:
        state = (first, [tf.zeros_like(it) for it in first], [tf.zeros_like(it) for it in first])
        number, losses = tf.constant(1), tf.TensorArray(tf.float32, method.epochs)
        for epoch in tf.range(method.epochs):
            total = tf.zeros([len(networks)])
            for place in tf.range(full):
                chosen = tf.slice(orders[epoch], [0, place * size], [len(networks), size])
                loss, state = step(chosen, number, state)
                total, number = total + loss * size, number + 1
            if rows % size:
                loss, state = step(orders[epoch][:, full * size :], number, state)
                total, number = total + loss * (rows % size), number + 1
            losses = losses.write(epoch, total / rows)
        return losses.stack()

    drawn = tf.constant(_orders(method, networks), tf.int32)
    traced = tf.function(train, jit_compile=xla)
    return lambda: traced(drawn).numpy()


def _rows(network: Network) -> list[Any]:
    """A network's weights, each bias as one row, so that it adds to every row of a batch."""
    return [np.atleast_2d(it) for it in network.weights]


def _forward(weights: Any, batch: Any) -> Any:
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        batch = tf.nn.relu(tf.matmul(batch, kernel) + bias)
    return (tf.matmul(batch, weights[-2]) + weights[-1])[..., 0]


def _orders(method: Method, networks: Sequence[Network]) -> Any:
    drawn = [orders(it.seed, len(it.train.truth)) for it in networks]
    return np.array([[next(it) for it in drawn] for _ in range(method.epochs)])
