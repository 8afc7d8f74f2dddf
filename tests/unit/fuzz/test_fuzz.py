"""Mangled input to everything that reads strangers' bytes; `make fuzz` does it for longer."""

from __future__ import annotations

import logging
import random

import pytest

from service.errors import HearthError, InvalidRequest
from tests.fuzz.mutation import SEEDS, Search, seeds_of
from tests.fuzz.targets import TARGETS

# About 300 inputs a target, some 7,000 in all, in a few seconds.
STEPS = 300


@pytest.fixture(autouse=True)
def _quiet():
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_every_target_has_seeds_and_every_seed_a_target():
    assert {it.name for it in SEEDS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_mangled_is_our_fault(name):
    search = Search(TARGETS[name], seeds_of(name), random.Random(20261125))
    search.try_seeds()
    for _ in range(STEPS):
        search.step()

    assert search.found == {}
    assert search.tried > STEPS


def test_most_seeds_are_good_input():
    """Mangling what is refused at once would find nothing."""
    refused = {}
    for name, target in TARGETS.items():
        for number, seed in enumerate(seeds_of(name)):
            try:
                target(seed)
            except HearthError as error:
                refused[name, number] = error
    seeds = sum(len(seeds_of(name)) for name in TARGETS)

    assert len(refused) < seeds / 4, refused


def test_a_search_finds_what_is_broken_and_begins_from_what_it_has_reached():
    def broken(data: bytes) -> None:
        if data[:1] == b"a":
            if data[1:2] == b"\xff":
                raise ZeroDivisionError
            raise InvalidRequest("b is missing")

    search = Search(broken, [b"a"], random.Random(1))
    for _ in range(20_000):
        search.step()

    assert [it.split()[0] for it in search.found] == ["ZeroDivisionError"]
    assert len(search.places) == 3
