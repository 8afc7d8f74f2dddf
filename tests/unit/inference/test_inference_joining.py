"""Whether joining pays is tried, and rows that depend on one another are told apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidRequest
from service.inference.examples import to_batch, to_examples
from service.inference.joining import Trial, try_joining
from tests.unit.service.fakes import Clock, signature, spec

ROW = signature({"x": spec("float32", -1, 3)}, {"y": spec("float32", -1)})


class Costly:
    """An executor whose calls cost so much each and so much a row, on a clock that is set."""

    name = "costly"
    quick = False
    joins = False

    def __init__(self, call_s: float = 0.0, row_s: float = 0.0, **signatures: Any) -> None:
        self.signatures = signatures or {"row": ROW}
        self.clock = Clock()
        self.calls: list[int] = []
        self._call_s = call_s
        self._row_s = row_s

    def run(self, name: str, inputs: Any) -> dict[str, Any]:
        first = next(iter(inputs.values()))
        self.calls.append(len(first))
        self.clock.now_s += self._call_s + self._row_s * len(first)
        return {"y": self.answer(name, first)}

    def answer(self, _name: str, x: Any) -> Any:
        return x.reshape(len(x), -1).sum(axis=1)


def tried(executor: Costly, **samples: Any) -> Trial:
    (trial,) = try_joining(executor, samples, executor.clock)
    return trial


@pytest.mark.parametrize(
    ("call_s", "row_s", "pays"),
    [
        (100e-6, 0.0, True),  # 100 µs in one call, 1600 in 16
        (100e-6, 10e-6, True),  # 260 and 1760
        (100e-6, 100e-6, False),  # 1.7 ms and 3.2: more than half
        (0.0, 1e-3, False),  # 16 ms and 16 ms
        (20e-6, 0.0, False),  # 18.75 µs a request are spared, and joining costs 20
        (22e-6, 0.0, True),
    ],
)
def test_joining_pays_where_one_call_costs_clearly_less_than_many(call_s, row_s, pays):
    trial = tried(Costly(call_s, row_s))

    assert trial.pays == pays
    assert trial.rows == 16
    assert trial.together_s == pytest.approx(call_s + 16 * row_s)
    assert trial.apart_s == pytest.approx(16 * (call_s + row_s))


def test_a_trial_says_what_was_measured():
    assert str(tried(Costly(1e-3))) == (
        "requests for signature row are joined: 16 rows take 1.00 ms in one call and 16.00 ms in 16"
    )
    assert str(tried(Costly(0.0, 1e-3))) == (
        "requests for signature row are not joined: 16 rows take 16.00 ms in one call and "
        "16.00 ms in 16"
    )


def test_a_slow_model_is_tried_with_fewer_rows_and_once():
    slow = Costly(0.2)

    assert tried(slow).pays
    assert slow.calls == [1, 1, 4, 1, 1, 1, 1]


class Centred(Costly):
    """A network that takes the mean of its batch from each row, as one left in training does."""

    def answer(self, _name: str, x: Any) -> Any:
        return (x - x.mean(axis=0)).sum(axis=1)


def test_rows_that_depend_on_one_another_are_not_joined():
    trial = tried(Centred(1e-3))

    assert not trial.pays
    assert trial.problem.startswith("a row's answer depends on the others (y [0] is ")


def test_dependence_shows_with_samples_too_unless_all_are_alike():
    rows = np.array([[1, 2, 3], [4, 5, 6]], np.float32)

    assert "depends on the others" in tried(Centred(1e-3), row=[{"x": rows}]).problem
    assert "depends on the others" in tried(Centred(1e-3), row=[{"x": rows[[0, 0]]}]).problem


class Single(Costly):
    """A network that gives one number, whatever it is given."""

    def answer(self, _name: str, x: Any) -> Any:
        return x.sum()


def test_outputs_without_rows_are_not_joined():
    assert tried(Single(1e-3)).problem == "its outputs have no rows"


def test_a_signature_without_rows_is_not_tried():
    fixed = Costly(1e-3, only=signature({"x": spec("float32", 4)}, {"y": spec("float32", 4)}))

    assert tried(fixed).problem == "not all of its tensors may have any number of rows"
    assert fixed.calls == []


class Table(Costly):
    """A network that looks numbers up, and knows a few alone."""

    def answer(self, _name: str, x: Any) -> Any:
        if (x < 0).any() or (x > 9).any():
            raise InvalidRequest(f"there is no row {x.max()}")
        return x.sum(axis=1)


def test_values_that_a_model_refuses_give_way_to_tamer_ones():
    table = Table(1e-3, look=signature({"x": spec("int64", -1, 2)}, {"y": spec("int64", -1)}))

    assert tried(table).pays


def test_inputs_of_any_rank_are_tried_with_plain_numbers():
    tensor = replace(spec("float32"), shape=None)

    assert tried(Costly(1e-3, any=signature({"x": tensor}, {"y": tensor}))).pays


class Length(Costly):
    """A network that counts the letters of texts."""

    def answer(self, _name: str, x: Any) -> Any:
        return np.array([len(it) for it in x], np.int64)


TEXT = signature({"x": spec("object", -1)}, {"y": spec("int64", -1)})


def test_texts_are_tried_with_samples_alone():
    texts = [{"x": np.array([word], object)} for word in (b"a", b"bb", b"ccc")]

    assert tried(Length(1e-3, text=TEXT), text=texts).pays
    assert tried(Length(1e-3, text=TEXT)).problem == "there are no rows to try it with"


def test_samples_of_other_forms_than_the_first_are_passed_over():
    free = signature({"x": spec("float32", -1, -1)}, {"y": spec("float32", -1)})
    samples = [{"x": np.ones((1, 2), np.float32) * n} for n in (1, 2)]
    samples.insert(1, {"x": np.ones((1, 5), np.float32)})
    costly = Costly(1e-3, free=free)

    assert tried(costly, free=samples).pays


def test_examples_are_written_as_they_are_read():
    rows = np.array([[1.5, -2.0], [3.25, 0.1]], np.float32)

    assert to_batch(to_examples(rows, ("a", "ä")), ("a", "ä")).tolist() == rows.tolist()
