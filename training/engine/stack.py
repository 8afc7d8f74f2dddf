"""A stack: networks of one shape, trained as one computation along a leading axis.

Each network has rows, first weights, order of rows, learning rate and weight decay of its
own. No operation joins two networks, so that each ends with the same bytes whoever it is
stacked with, and one that diverges troubles no other. A network that has stopped or
diverged leaves the stack, and the rest goes on faster.

A group of processes may train one stack together. Each reads its own rows of every batch, and
moves the weights by the gradient of all of them: the batches are those of one process that has
all rows.

All kernels and biases of a network are one row of numbers. A layer's bias is the last row
of its matrix, and every activation carries a last column of ones for it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from training.engine.group import ALONE
from training.engine.losses import LOSSES
from training.engine.optimizers import OPTIMIZERS
from training.engine.schedules import shares

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.engine.group import Group

Numbers = NDArray[np.floating]
# Is told the epoch, from 1, and what was measured of each network still in the stack.
Watch = Callable[[int, dict[str, Numbers]], None]
# A stack after an epoch, by name: numbers, and one text.
State = dict[str, NDArray[Any]]

_METRICS: Final = ("loss", "mae", "val_loss", "val_mae")


class Sample(NamedTuple):
    """Rows and their truth.

    Attributes:
        batch: ``[n, features]``, normalised if anything does that.
        truth: ``[n]``.
    """

    batch: Numbers
    truth: Numbers


class Blocks(Protocol):
    """Rows that are read block by block, since all of them do not fit into memory.

    Attributes:
        lengths: How many rows each block has, those of other processes among them.
    """

    @property
    def lengths(self) -> Sequence[int]: ...  # noqa: D102 - above

    def own(self, number: int) -> slice:
        """Which rows of a block this process has."""

    def read(self, number: int) -> Sample:
        """Those rows, by the block's number from 0."""


class Checkpoints(Protocol):
    """Where a stack is kept after each epoch, to go on from if the process ends."""

    def read(self) -> State | None:
        """What was kept last; None where nothing was."""

    def write(self, state: State) -> None:
        """Keep a state in place of the last."""


@dataclass(frozen=True)
class Method:
    """How every network of a stack is trained.

    Attributes:
        epochs: Passes over the rows, at most.
        batch_size: Rows a step; the last batch of an epoch has what is left.
        loss: One of ``losses.LOSSES``.
        optimizer: One of ``optimizers.OPTIMIZERS``.
        momentum: Of ``sgd``.
        schedule: One of ``schedules.SCHEDULES``.
        patience: Epochs without a better loss on the watched rows after which a network
            stops and goes back to its best weights; 0: it never does.
    """

    epochs: int
    batch_size: int = 32
    loss: str = "mse"
    optimizer: str = "adam"
    momentum: float = 0.0
    schedule: str = "constant"
    patience: int = 0


@dataclass(frozen=True)
class Network:
    """One network to train.

    Attributes:
        weights: Kernel ``[in, out]`` and bias ``[out]`` of each layer in turn, as Keras
            lists them; all layers but the last are followed by ReLU. Their type is the
            type of the whole computation.
        train: The rows that it learns from.
        watched: Rows that it is measured on after each epoch, at least one.
        seed: Draws the order of its rows: see ``orders``.
        learning_rate: Per step.
        weight_decay: Share of each weight, times the learning rate, taken off a step.
        blocks: Where the rows that it learns from are read, in place of ``train``; all
            networks of a stack read the same.
    """

    weights: Sequence[Numbers]
    train: Sample
    watched: Sample
    seed: int
    learning_rate: float
    weight_decay: float = 0.0
    blocks: Blocks | None = None

    @property
    def lengths(self) -> Sequence[int]:
        """The rows of each block; rows in memory are one."""
        return [len(self.train.truth)] if self.blocks is None else self.blocks.lengths


@dataclass(frozen=True)
class Trained:
    """What became of a network.

    Attributes:
        weights: As in ``Network``.
        history: Of each epoch ``loss`` and ``mae`` over its training rows while the weights
            still moved, ``val_loss`` and ``val_mae`` over the watched rows at its end.
        best_epoch: The epoch, from 1, that the weights are from.
    """

    weights: list[Numbers]
    history: dict[str, list[float]]
    best_epoch: int

    @property
    def diverged(self) -> bool:
        """Whether it ended because a loss was no number any more."""
        return not np.isfinite([self.history["loss"][-1], self.history["val_loss"][-1]]).all()


def orders(seed: int, rows: int) -> Iterator[NDArray[np.intp]]:
    """The order of the rows in each epoch.

    Args:
        seed: Of the shuffles.
        rows: How many rows there are.

    Yields:
        Each of ``0 .. rows - 1`` once: ``[rows]``.
    """
    generator = np.random.default_rng(seed)
    while True:
        yield generator.permutation(rows)


def predict(weights: Sequence[Numbers], batch: Numbers, loss: str = "mse") -> Numbers:
    """What a network answers.

    Args:
        weights: As in ``Network``.
        batch: ``[n, features]``.
        loss: What it was trained with, which decides what it ends in.

    Returns:
        ``[n]``.
    """
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        batch = np.maximum(batch @ kernel + bias, 0)
    return LOSSES[loss].output((batch @ weights[-2] + weights[-1])[:, 0])


def train(
    method: Method,
    networks: Sequence[Network],
    watch: Watch = lambda *_: None,
    group: Group = ALONE,
    checkpoints: Checkpoints | None = None,
) -> list[Trained]:
    """Train a stack.

    Args:
        method: How.
        networks: At least one, of the same widths, features and numbers of rows.
        watch: Is told of every epoch.
        group: The processes that train it; all of them give the same but for their blocks.
        checkpoints: Where it is kept after each epoch, and gone on from; None for nowhere.

    Returns:
        What became of each, in order.

    Raises:
        ValueError: The networks differ in shape, or are a group's without blocks.
    """
    _require_one_shape(networks)
    if group.size > 1 and networks[0].blocks is None:
        raise ValueError(f"a group of {group.size} processes trains on blocks of rows alone")
    # One thread: at this size more cost more than they bring, and their number must not
    # change the sums. What is no number any more is told by the losses, not by warnings.
    with threadpool_limits(1, "blas"), np.errstate(all="ignore"):
        stack = _Stack(method, networks, group)
        kept = checkpoints.read() if checkpoints else None
        done = stack.restore(kept) if kept else 0
        for epoch in range(done + 1, method.epochs + 1):
            if stack.is_done:
                break
            watch(epoch, stack.run_epoch(epoch))
            stack.go_on(epoch)
            if checkpoints:
                checkpoints.write(stack.state(epoch))
        return stack.finish()


class _Layers:
    """The numbers of a stack, and the same memory seen as one ``[in + 1, out]`` a layer."""

    def __init__(self, flat: Numbers, sizes: list[int]) -> None:
        self.flat = flat
        self.matrices: list[Numbers] = []
        start = 0
        for inputs, outputs in pairwise(sizes):
            end = start + (inputs + 1) * outputs
            self.matrices.append(flat[:, start:end].reshape(len(flat), inputs + 1, outputs))
            start = end


class _Passes:
    """Room for a batch of every network on its way forward, and for its errors on the way back."""

    def __init__(self, layers: _Layers, gradient: _Layers, rows: int) -> None:
        self._matrices, self._gradients = layers.matrices, gradient.matrices
        count, kind = len(layers.flat), layers.flat.dtype
        widths = [matrix.shape[2] for matrix in self._matrices]
        self._active = [np.ones((count, rows, width + 1), kind) for width in widths[:-1]]
        self._sums = [active[:, :, :-1] for active in self._active]
        self._errors = [np.empty((count, rows, width), kind) for width in widths]

    def forward(self, batch: Numbers) -> Numbers:
        """What the last layers say: ``[networks, rows]``; overwritten by the next call."""
        below = batch
        for matrix, active, sums in zip(self._matrices[:-1], self._active, self._sums, strict=True):
            np.matmul(below, matrix, out=sums)
            np.maximum(sums, 0, out=sums)
            below = active
        return np.matmul(below, self._matrices[-1], out=self._errors[-1])[:, :, 0]

    def of(self, rows: int) -> _Passes:
        """The same room, for so many rows of it."""
        fewer = copy.copy(self)
        fewer._active = [it[:, :rows] for it in self._active]  # noqa: SLF001 - its own class
        fewer._sums = [it[:, :rows] for it in self._sums]  # noqa: SLF001
        fewer._errors = [it[:, :rows] for it in self._errors]  # noqa: SLF001
        return fewer

    def backward(self, batch: Numbers, slope: Numbers) -> None:
        """Fill the gradient, from the loss's slope at what the last layers say."""
        self._errors[-1][:, :, 0] = slope
        for number in range(len(self._matrices) - 1, 0, -1):
            errors, below = self._errors[number], self._active[number - 1]
            np.matmul(below.transpose(0, 2, 1), errors, out=self._gradients[number])
            kernels = self._matrices[number][:, :-1].transpose(0, 2, 1)
            np.matmul(errors, kernels, out=self._errors[number - 1])
            self._errors[number - 1] *= self._sums[number - 1] > 0
        np.matmul(batch.transpose(0, 2, 1), self._errors[0], out=self._gradients[0])


class _Batch(NamedTuple):
    """Rows of one step.

    Attributes:
        rows: Where this process has them.
        whole: How many they are in all processes.
        counts: How many of ``rows`` each network has here, the others being room that is left:
            ``[networks, 1]``; None where each has all.
    """

    rows: slice
    whole: int
    counts: NDArray[np.intp] | None = None

    def only(self, numbers: Numbers) -> Numbers:
        """Zero where a network has no row: ``[networks, rows]``."""
        if self.counts is None:
            return numbers
        kept: Numbers = np.where(np.arange(numbers.shape[1]) < self.counts, numbers, 0)
        return kept.astype(numbers.dtype, copy=False)


class _Stack:
    """A stack on its way: all arrays have one entry a network that is still in it."""

    def __init__(self, method: Method, networks: Sequence[Network], group: Group) -> None:
        self._method, self._group, self._all = method, group, networks
        self._loss = LOSSES[method.loss]
        self._sizes = [len(networks[0].weights[0]), *map(len, networks[0].weights[1::2])]
        lengths = networks[0].lengths
        self._rows = sum(lengths)
        self._steps = sum(-(-rows // method.batch_size) for rows in lengths)
        self._shares = shares(method.schedule, method.epochs * self._steps)
        flat = np.stack([_flatten(it.weights) for it in networks])
        self._optimizer = OPTIMIZERS[method.optimizer](flat, method.momentum)
        self._places = np.arange(len(networks))
        self._best_loss = np.full(len(networks), np.inf)
        self._best_epoch = np.zeros(len(networks), int)
        self._best = flat.copy()
        self._histories: list[list[dict[str, float]]] = [[] for _ in networks]
        self._done: dict[int, Trained] = {}
        self._take(flat, list(networks))

    def _take(self, flat: Numbers, networks: list[Network]) -> None:
        """Make room for these networks with these numbers."""
        kind = flat.dtype
        self._networks = networks
        self._layers = _Layers(flat, self._sizes)
        self._gradient = _Layers(np.empty_like(flat), self._sizes)
        self._rates = np.array([[it.learning_rate] for it in networks], kind)
        self._decays = np.array([[it.weight_decay] for it in networks], kind)
        self._room_for(self._most(networks))
        mine = slice(self._group.index, None, self._group.size)
        self._watched = np.stack([_with_ones(it.watched.batch[mine], kind) for it in networks])
        self._watched_truth = np.stack([it.watched.truth[mine].astype(kind) for it in networks])
        self._made: dict[int, _Passes] = {}

    def _room_for(self, rows: int) -> None:
        """Make room for so many rows of every network, in the order they are learned in."""
        count, kind = self._layers.flat.shape[0], self._layers.flat.dtype
        self._batch = np.ones((count, rows, self._sizes[0] + 1), kind)
        self._truth = np.empty((count, rows), kind)

    def _most(self, networks: list[Network]) -> int:
        """Rows of a block that this process needs room for, at most."""
        lengths, blocks = networks[0].lengths, networks[0].blocks
        if blocks is None or self._group.size == 1:
            return max(lengths)
        own = (blocks.own(number) for number in range(len(lengths)))
        rows: int = max(it.stop - it.start for it in own)
        return min(max(lengths), len(networks) * rows)

    def _passes(self, rows: int) -> _Passes:
        """Room for a batch of so many rows."""
        if rows not in self._made:
            self._made[rows] = self._room(rows)
        return self._made[rows]

    def _room(self, rows: int) -> _Passes:
        """New room; a group's batches differ from step to step, and share it."""
        size = self._method.batch_size
        if self._group.size == 1 or rows >= size:
            return _Passes(self._layers, self._gradient, rows)
        return self._passes(size).of(rows)

    def run_epoch(self, epoch: int) -> dict[str, Numbers]:
        """Pass over the rows once, and measure: ``[networks]`` by metric."""
        if epoch == 1:
            self._orders = [np.random.default_rng(it.seed) for it in self._networks]
        loss, error = np.zeros(len(self._networks)), np.zeros(len(self._networks))
        for number, batch in enumerate(self._batches(), (epoch - 1) * self._steps):
            said, truth = self._step(batch, number)
            loss += batch.only(self._loss.value(truth, said)).sum(axis=1)
            error += batch.only(np.abs(self._loss.output(said) - truth)).sum(axis=1)
        sums = self._group.sum(np.stack([loss, error, *self._watch()]))
        watched = len(self._networks[0].watched.truth)
        counts = np.array([[self._rows], [self._rows], [watched], [watched]])
        measured = dict(zip(_METRICS, sums / counts, strict=True))
        for place, network in enumerate(self._places):
            self._histories[network].append(
                {name: float(values[place]) for name, values in measured.items()}
            )
        return measured

    def _batches(self) -> Iterator[_Batch]:
        """Bring the rows in their order, and say which of them are the next batch."""
        size = self._method.batch_size
        for samples, own, rows in self._samples():
            if self._group.size > 1:
                yield from self._shuffle_own(samples[0], own, rows)
                continue
            self._shuffle(samples)
            for start in range(0, rows, size):
                end = min(start + size, rows)
                yield _Batch(slice(start, end), end - start)

    def _samples(self) -> Iterator[tuple[list[Sample], slice, int]]:
        """The rows of every network, which of all they are, and how many are all.

        Block by block where they are read so.
        """
        blocks, lengths = self._networks[0].blocks, self._networks[0].lengths
        if blocks is None:
            yield [it.train for it in self._networks], slice(0, lengths[0]), lengths[0]
            return
        for drawn in self._orders[0].permutation(len(lengths)):
            number = int(drawn)
            samples = [blocks.read(number)] * len(self._networks)
            yield samples, blocks.own(number), lengths[number]

    def _shuffle(self, samples: list[Sample]) -> None:
        for place, (sample, order) in enumerate(zip(samples, self._orders, strict=True)):
            rows = order.permutation(len(sample.truth))
            self._batch[place, : len(rows), :-1] = sample.batch[rows]
            self._truth[place, : len(rows)] = sample.truth[rows]

    def _shuffle_own(self, sample: Sample, own: slice, rows: int) -> list[_Batch]:
        """Bring the rows of a block that this process has, each into the batch it is drawn for.

        How many a batch has differs by network, since each has an order of its own.
        """
        size = self._method.batch_size
        drawn = np.stack([order.permutation(rows) for order in self._orders])
        mine = (drawn >= own.start) & (drawn < own.stop)
        starts = range(0, rows, size)
        counts = np.add.reduceat(mine, starts, axis=1, dtype=np.intp)
        ends = np.cumsum(counts.max(axis=0))
        for place, (order, taken) in enumerate(zip(drawn, mine, strict=True)):
            at = np.flatnonzero(taken)
            before = np.cumsum(counts[place]) - counts[place]
            batch = at // size
            to = (ends - counts.max(axis=0) - before)[batch] + np.arange(len(at))
            self._batch[place, to, :-1] = sample.batch[order[at] - own.start]
            self._truth[place, to] = sample.truth[order[at] - own.start]
        return [
            _Batch(slice(end - some.max(), end), min(size, rows - start), some[:, None])
            for start, end, some in zip(starts, ends, counts.T, strict=True)
        ]

    def _step(self, batch: _Batch, number: int) -> tuple[Numbers, Numbers]:
        """Take one step; give what the networks said before it, and the truth."""
        rows, truth = self._batch[:, batch.rows], self._truth[:, batch.rows]
        passes = self._passes(truth.shape[1])
        said = passes.forward(rows).copy()
        passes.backward(rows, batch.only(self._loss.slope(truth, said)) / batch.whole)
        gradient = self._group.sum(self._gradient.flat)
        rate = self._rates * self._rates.dtype.type(self._shares[number])
        if self._decays.any():
            self._layers.flat -= self._layers.flat * self._decays * rate
        self._optimizer.step(self._layers.flat, gradient, rate, number + 1)
        return said, truth

    def _watch(self) -> tuple[Numbers, Numbers]:
        """Sums of loss and error over the watched rows that this process has."""
        said, truth = (
            self._passes(self._watched.shape[1]).forward(self._watched),
            self._watched_truth,
        )
        error = np.abs(self._loss.output(said) - truth)
        return self._loss.value(truth, said).sum(axis=1, dtype=float), error.sum(
            axis=1, dtype=float
        )

    @property
    def is_done(self) -> bool:
        """Whether every network stopped or diverged."""
        return not len(self._places)

    def state(self, epoch: int) -> State:
        """All that the next epochs depend on, after one of them."""
        orders = [it.bit_generator.state for it in self._orders]
        known: State = {
            "epoch": np.array(epoch),
            "places": self._places,
            "weights": self._layers.flat[: len(self._places)],
            "orders": np.array(json.dumps(orders)),
            "best": self._best,
            "best_loss": self._best_loss,
            "best_epoch": self._best_epoch,
        }
        memory = {f"memory_{it}": one for it, one in enumerate(self._optimizer.memory)}
        histories = {
            f"history_{it}": np.array([[epoch[name] for name in _METRICS] for epoch in one])
            for it, one in enumerate(self._histories)
        }
        done = {f"done_{it}": _flatten(one.weights) for it, one in self._done.items()}
        ends = {f"done_epoch_{it}": np.array(one.best_epoch) for it, one in self._done.items()}
        return known | memory | histories | done | ends

    def restore(self, state: State) -> int:
        """Go on from a state; give the epochs that are done."""
        self._places = state["places"]
        flat = state["weights"].copy()
        self._optimizer = OPTIMIZERS[self._method.optimizer](flat, self._method.momentum)
        for number, memory in enumerate(self._optimizer.memory):
            memory[:] = state[f"memory_{number}"]
        self._best, self._best_loss = state["best"].copy(), state["best_loss"].copy()
        self._best_epoch = state["best_epoch"].copy()
        self._histories = [
            [
                dict(zip(_METRICS, map(float, epoch), strict=True))
                for epoch in state[f"history_{it}"]
            ]
            for it in range(len(self._all))
        ]
        for network in set(range(len(self._all))) - set(self._places.tolist()):
            weights, best = state[f"done_{network}"], int(state[f"done_epoch_{network}"])
            self._done[network] = self._became(network, weights, best)
        networks = [self._all[place] for place in self._places.tolist()]
        self._orders = [np.random.default_rng(it.seed) for it in networks]
        for order, kept in zip(self._orders, json.loads(str(state["orders"])), strict=True):
            order.bit_generator.state = kept
        if networks:
            self._take(flat, networks)
        return int(state["epoch"])

    def go_on(self, epoch: int) -> None:
        """Let go of networks that stopped or diverged."""
        last = [self._histories[network][-1] for network in self._places]
        watched = np.array([it["val_loss"] for it in last])
        better = (watched < self._best_loss) | (self._method.patience == 0) | (epoch == 1)
        self._best[better] = self._layers.flat[better]
        self._best_loss[better], self._best_epoch[better] = watched[better], epoch
        ended = ~np.isfinite(watched + [it["loss"] for it in last])
        if self._method.patience:
            ended |= epoch - self._best_epoch >= self._method.patience
        if ended.any():
            self._let_go(ended)

    def _let_go(self, ended: NDArray[np.bool_]) -> None:
        self._finish(np.flatnonzero(ended))
        kept = np.flatnonzero(~ended)
        self._optimizer.keep(kept)
        self._places, self._best = self._places[kept], self._best[kept]
        self._best_loss, self._best_epoch = self._best_loss[kept], self._best_epoch[kept]
        self._orders = [self._orders[place] for place in kept]
        if len(kept):
            self._take(self._layers.flat[kept], [self._networks[place] for place in kept])

    def _finish(self, places: NDArray[np.intp]) -> None:
        for place in places:
            network = int(self._places[place])
            self._done[network] = self._became(
                network, self._best[place], int(self._best_epoch[place])
            )

    def _became(self, network: int, best: Numbers, best_epoch: int) -> Trained:
        epochs = self._histories[network]
        history = {name: [it[name] for it in epochs] for name in _METRICS}
        return Trained(_unflatten(best, self._sizes), history, best_epoch)

    def finish(self) -> list[Trained]:
        """What became of every network, in the order they were given."""
        self._finish(np.arange(len(self._places)))
        return [self._done[network] for network in sorted(self._done)]


def _flatten(weights: Sequence[Numbers]) -> Numbers:
    """One row of numbers: each kernel, row by row, and then its bias."""
    return np.concatenate([np.ravel(it) for it in weights])


def _unflatten(numbers: Numbers, sizes: list[int]) -> list[Numbers]:
    matrices = _Layers(numbers[None].copy(), sizes).matrices
    return [part for matrix in matrices for part in (matrix[0, :-1], matrix[0, -1])]


def _with_ones(batch: Numbers, kind: np.dtype[np.floating]) -> Numbers:
    return np.column_stack([batch, np.ones(len(batch))]).astype(kind)


def _require_one_shape(networks: Sequence[Network]) -> None:
    shapes = {
        (
            tuple(np.shape(it) for it in network.weights),
            tuple(network.lengths),
            len(network.watched.truth),
        )
        for network in networks
    }
    if len(shapes) != 1:
        raise ValueError(f"a stack has networks of {len(shapes)} shapes, expected one")
