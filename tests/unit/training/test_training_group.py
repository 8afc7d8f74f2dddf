"""Several processes train what one that has all their rows would."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.groups import together
from training.engine import stack
from training.engine.group import exchange
from training.engine.stack import Method, Network, Sample

SIZES = (3, 8, 1)
# Of each of two blocks, the rows that each of three processes has.
PARTS = ((10, 3, 40), (0, 30, 7))
# Sums in another order, in double precision, over some hundred steps.
CLOSE = {"rtol": 1e-9, "atol": 1e-11}


@dataclass(frozen=True)
class Parts:
    """Blocks of rows, as one of some processes reads them; as None, one that has all."""

    whole: list[Sample]
    parts: tuple[tuple[int, ...], ...]
    index: int | None = None

    @property
    def lengths(self) -> list[int]:
        return [len(it.truth) for it in self.whole]

    def own(self, number: int) -> slice:
        if self.index is None:
            return slice(0, self.lengths[number])
        start = sum(self.parts[number][: self.index])
        return slice(start, start + self.parts[number][self.index])

    def read(self, number: int) -> Sample:
        batch, truth = self.whole[number]
        return Sample(batch[self.own(number)], truth[self.own(number)])


class Kept:
    """Checkpoints in memory, every one of them."""

    def __init__(self) -> None:
        self.states: list[stack.State] = []

    def read(self) -> stack.State | None:
        return self.states[-1] if self.states else None

    def write(self, state: stack.State) -> None:
        self.states.append({name: np.copy(it) for name, it in state.items()})


def sample(seed: int, rows: int) -> Sample:
    generator = np.random.default_rng(seed)
    batch = generator.normal(size=(rows, SIZES[0]))
    return Sample(batch, np.sin(batch[:, 0]) + batch[:, 1])


def networks(count: int, index: int | None = None, **others) -> list[Network]:
    blocks = Parts([sample(it, sum(part)) for it, part in enumerate(PARTS)], PARTS, index)
    made = []
    for seed in range(count):
        generator = np.random.default_rng(seed)
        shapes = [it for a, b in itertools.pairwise(SIZES) for it in ((a, b), (b,))]
        weights = [generator.normal(0, 0.4, shape) for shape in shapes]
        one = Network(weights, sample(0, 2), sample(9, 11), seed, 0.01, 0.01, blocks)
        made.append(replace(one, **others))
    return made


def trained_together(method: Method, count: int, kept: list[Kept] | None = None, **others):
    """What each of three processes trained."""
    return together(
        3,
        lambda member: stack.train(
            method,
            networks(count, member.index, **others),
            group=member,
            checkpoints=kept[member.index] if kept else None,
        ),
    )


def assert_close(some: list[stack.Trained], others: list[stack.Trained]) -> None:
    for one, other in zip(some, others, strict=True):
        assert one.best_epoch == other.best_epoch
        for name in one.history:
            np.testing.assert_allclose(one.history[name], other.history[name], **CLOSE)
        for mine, theirs in zip(one.weights, other.weights, strict=True):
            np.testing.assert_allclose(mine, theirs, **CLOSE)


def bytes_of(some: list[stack.Trained]) -> list[bytes]:
    return [it.tobytes() for one in some for it in one.weights]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_processes_with_uneven_rows_train_what_one_with_all_of_them_does(count, optimizer):
    method = Method(12, batch_size=8, optimizer=optimizer, momentum=0.5, schedule="cosine")

    alone = stack.train(method, networks(count))
    found = trained_together(method, count)

    assert_close(found[0], alone)
    assert bytes_of(found[0]) == bytes_of(found[1]) == bytes_of(found[2])


def test_batches_of_one_row_are_of_one_process_each_and_the_others_add_nothing():
    method = Method(3, batch_size=1)

    assert_close(trained_together(method, 2)[1], stack.train(method, networks(2)))


def test_processes_stop_together_where_one_would():
    generator = np.random.default_rng(0)
    noise = Sample(generator.normal(size=(20, 3)), generator.normal(size=20))
    method = Method(40, batch_size=8, patience=3)

    alone = stack.train(method, networks(3, watched=noise))
    found = trained_together(method, 3, watched=noise)

    assert {len(it.history["loss"]) for it in alone} != {40}  # or none had stopped
    assert_close(found[2], alone)


def test_a_group_needs_blocks():
    method = Method(1)

    with pytest.raises(ValueError, match="3 processes trains on blocks"):
        trained_together(method, 1, blocks=None)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_training_that_goes_on_from_a_checkpoint_ends_with_the_same_bytes(optimizer):
    method = Method(9, batch_size=8, optimizer=optimizer, momentum=0.5, schedule="linear")
    kept = [Kept() for _ in range(3)]
    whole = trained_together(method, 2, kept)

    for epochs in (1, 4, 9):
        again = [Kept() for _ in range(3)]
        for one, other in zip(again, kept, strict=True):
            one.states = other.states[:epochs]
        resumed = trained_together(method, 2, again)

        assert bytes_of(resumed[0]) == bytes_of(whole[0])
        assert resumed[0][1].history == whole[0][1].history
        assert len(again[0].states) == 9


def test_networks_that_have_stopped_are_kept_too():
    generator = np.random.default_rng(0)
    noise = Sample(generator.normal(size=(20, 3)), generator.normal(size=20))
    method = Method(40, batch_size=8, patience=3)
    kept = Kept()
    whole = stack.train(method, networks(3, watched=noise), checkpoints=kept)

    for epochs in range(1, len(kept.states) + 1):
        again = Kept()
        again.states = kept.states[:epochs]
        resumed = stack.train(method, networks(3, watched=noise), checkpoints=again)

        assert bytes_of(resumed) == bytes_of(whole)
        assert [it.history for it in resumed] == [it.history for it in whole]


def test_contents_of_any_length_are_exchanged():
    given = [b"", b"a longer one \x00\xff", b"1234"]

    assert together(3, lambda member: exchange(member, given[member.index])) == [given] * 3
    assert together(2, lambda member: exchange(member, b"")) == [[b"", b""]] * 2
