"""A model version that adds: its contract on the disk, and an engine that runs it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from service import contract as contracts
from service.contract import Coverage, Golden, Intervals, Level, Spread
from service.score.job import score_unit
from service.score.scorer import Scorer
from tests.unit.service import fakes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from service.repository.version import ModelVersion
    from service.score.job import Job
    from service.score.journal import Done
    from service.score.tables import Unit

LEVELS = tuple(
    Level(level, f"interval_{level * 100:g}", 1.0, Coverage(level, 0, 1, 1, 10))
    for level in (0.8, 0.9, 0.95)
)


def described() -> contracts.Contract:
    """The adder's contract, with intervals as wide to either side as the level has percents."""
    return fakes.contract(intervals=Intervals("", 10, Spread((0,), (1,)), None, LEVELS))


def adding_version() -> ModelVersion:
    """A version whose price is the sum of RM, AGE and LSTAT."""
    return replace(fakes.version(executor=fakes.Ranger()), contract=described())


@dataclass
class Adding:
    """Does units in this process; may be told to die before one of them.

    Attributes:
        dies_at: The number of the unit that it does not survive.
        did: The units that it did.
    """

    dies_at: int | None = None
    did: list[int] = field(default_factory=list)

    def run(self, job: Job, units: Iterator[Unit]) -> Iterator[Done]:
        scorer = Scorer(adding_version(), job.level, dict(job.columns))
        for unit in units:
            if unit.number == self.dies_at:
                raise Died
            self.did.append(unit.number)
            yield score_unit(job, unit, scorer)


class Died(Exception):
    """The end of an engine."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A version's folder with the adder's contract."""
    folder = tmp_path / "models" / "housing" / "1"
    folder.mkdir(parents=True)
    contracts.write(folder, described(), Golden((), ()))
    return folder
