"""A random walk over a model's folder, beside a simple account of what must be served."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from service.errors import ModelNotFound, VersionRefused
from service.repository.config import ModelConfig
from service.repository.repository import Repository, RetryPolicy
from tests.unit.service.fakes import Clock, Witness, version

NUMBERS = st.integers(1, 4)
GOOD, BAD, COMING, GONE = "good", "bad", "coming", "gone"


class Walk(RuleBasedStateMachine):
    """``disk`` is the account: by number, what lies there and its running stamp."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="hearth-walk-"))
        self.disk: dict[int, tuple[str, int]] = {}
        self.loaded: dict[int, int] = {}  # the stamp of the content that a number was loaded with
        self.stamp = 0
        self.looked = False
        self.half_written_was_read = False
        self.clock = Clock()
        self.witness = Witness()
        self.repository = Repository(
            [ModelConfig("housing", self.folder)],
            self._load,
            self.witness,
            RetryPolicy(1, 60),
            self.clock,
        )

    def _load(self, model: str, number: int, path: Path):
        kind, stamp = (path / "model").read_text().split()
        self.half_written_was_read |= kind == COMING
        if kind == BAD:
            raise VersionRefused("bad")
        self.loaded[number] = int(stamp)
        return version(number, model=model, path=path)

    def _write(self, number: int, kind: str) -> None:
        self.stamp += 1
        self.disk[number] = (kind, self.stamp)
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        (folder / "model").write_text(f"{kind} {self.stamp:08d}")

    @property
    def served(self) -> int | None:
        try:
            return self.repository.find("housing").number
        except ModelNotFound:
            return None

    @initialize(numbers=st.sets(NUMBERS), kind=st.sampled_from([GOOD, BAD]))
    def begin(self, numbers, kind):
        for number in numbers:
            self._write(number, kind)

    @rule(number=NUMBERS, change=st.sampled_from([GOOD, BAD, COMING, GONE, GONE]))
    def change(self, number, change):
        if change != GONE:
            # What lies there at the first look is taken as it is, so nothing is coming then.
            self._write(number, change if self.looked or change != COMING else GOOD)
        elif number in self.disk:
            del self.disk[number]
            shutil.rmtree(self.folder / str(number))

    @rule(seconds=st.integers(1, 100))
    def wait_and_poll(self, seconds):
        self.clock.now_s += seconds
        self.poll()

    @rule()
    def poll(self):
        before = self.served
        for number, (kind, _) in list(self.disk.items()):
            if kind == COMING:
                self._write(number, COMING)
        self.looked = True
        self.repository.poll()
        replacements = any(kind == GOOD for kind, _ in self.disk.values())
        assert before is None or not replacements or self.served is not None, "a gap"

    @rule()
    def settle(self):
        holding = self.served
        for _ in range(3):
            self.poll()
        expected = [
            number
            for number, (kind, _) in self.disk.items()
            if kind == GOOD or number in (holding, self.served)
        ]
        if not expected and any(kind == COMING for kind, _ in self.disk.values()):
            expected = [holding]  # its folder is gone, but what will replace it is not there yet
        assert self.served == max(expected, default=None)
        if self.served in self.disk and self.disk[self.served][0] == GOOD:
            assert self.loaded[self.served] == self.disk[self.served][1], "stale content"

    @invariant()
    def it_never_reads_what_is_half_written(self):
        assert not self.half_written_was_read

    @invariant()
    def it_reports_what_it_serves(self):
        told = [(kind, number) for kind, _, number in self.witness.told if kind != "refused"]
        up = {number for kind, number in told if kind == "loaded"}
        for number in up:
            last = [kind for kind, it in told if it == number][-1]
            served = number in self.repository._models["housing"].served
            assert served == (last == "loaded")
        assert (self.served is None) == ("housing" in self.repository.problems())

    def teardown(self):
        shutil.rmtree(self.folder)


@pytest.mark.usefixtures("caplog")
def test_what_is_served_follows_the_folder():
    run_state_machine_as_test(
        Walk, settings=settings(max_examples=100, stateful_step_count=25, deadline=None)
    )
