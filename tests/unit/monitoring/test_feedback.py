"""True prices joined to what was predicted, and the figures and the table that come of it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from service.errors import InvalidRequest, ModelNotFound
from service.exchange import Computed, Exchange
from service.feedback import main
from service.monitoring.feedback import (
    Feedback,
    FeedbackGauges,
    Given,
    parse_feedback,
)
from service.monitoring.feedback_store import FeedbackStore, Place
from tests.unit.monitoring.test_request_log import Told
from tests.unit.service.fakes import Adder, signature, spec, version

INTERVAL = signature(
    {"features": spec("float32", -1, 3)},
    {name: spec("float32", -1) for name in ("price", "lower", "upper")},
)


class Unsure(Adder):
    """An adder that says how sure it is: to 10 on either side."""

    def __init__(self) -> None:
        super().__init__()
        self.signatures = {**self.signatures, "interval": INTERVAL}

    def run(self, signature, inputs):
        outputs = super().run("serving_default", inputs)
        if signature == "interval":
            outputs |= {"lower": outputs["price"] - 10, "upper": outputs["price"] + 10}
        return outputs


def asked(request_id: str, *rows, of=None) -> Exchange:
    of = version() if of is None else of
    batch = np.array(rows, np.float32)
    exchange = Exchange(request_id, "POST", "/", "", 0.0, rows=len(batch))
    exchange.answers(of)
    prices = batch.sum(axis=1)
    exchange.computed = Computed(of, "serving_default", {"features": batch}, {"price": prices})
    return exchange


class World:
    """Feedback with its file, its counts and the versions that are served."""

    def __init__(self, folder, most_rows=1000, left_out=()) -> None:
        self.folder = folder
        self.store = FeedbackStore(folder, most_rows)
        self.store.prepare()
        self.kept, self.joined = Told(), Told()
        self.left_out = left_out
        self.served = {1: version()}

    def keep(self, *exchanges: Exchange) -> None:
        feedback = self.feedback()
        feedback.observe(exchanges)
        feedback.close()

    def join(self, *given: tuple[str, int, float]):
        several = [Given(Place(request_id, row), price) for request_id, row, price in given]
        return self.feedback().join("housing", several, self._find)

    def feedback(self) -> Feedback:
        return Feedback(self.store, self.left_out, self.kept, self.joined)

    def _find(self, number: int):
        if number not in self.served:
            raise ModelNotFound("gone")
        return self.served[number]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "feedback")


def test_a_true_price_finds_its_row(world):
    world.keep(asked("a", [6, 90, 20], [7, 40, 5]), asked("b", [5, 50, 50]))

    joined = world.join(("a", 1, 50.0), ("b", 0, 100.0), ("b", 1, 1.0), ("c", 0, 1.0))

    assert joined.matched == 2
    assert joined.unmatched == [{"request_id": "b", "row": 1}, {"request_id": "c", "row": 0}]
    assert world.joined.counts == {("housing", "matched"): 2, ("housing", "unmatched"): 2}
    assert world.kept.counts == {("housing", "kept"): 3}


def test_the_figures_are_worked_out_by_hand(world):
    world.keep(asked("a", [6, 90, 20], [7, 40, 5]), asked("b", [5, 50, 50]))
    world.join(("a", 0, 110.0), ("a", 1, 55.0), ("b", 0, 105.0))

    # Predicted 116, 52 and 105: errors 6, -3 and 0.
    figures = world.store.figures("housing", 1)
    assert figures == (3, pytest.approx(3.0), pytest.approx(1.0), None)


def test_intervals_are_worked_out_when_the_truth_comes(world):
    sure = version(executor=Unsure())
    world.served = {1: sure}
    world.keep(asked("a", [6, 90, 20], [7, 40, 5]))
    world.join(("a", 0, 125.0), ("a", 1, 63.0))

    # 116 +- 10 holds 125; 52 +- 10 does not hold 63.
    assert world.store.figures("housing", 1).coverage == 0.5


def test_a_version_that_is_gone_has_no_intervals_but_its_error(world):
    world.keep(asked("a", [6, 90, 20]))
    world.served = {}
    world.join(("a", 0, 120.0))

    assert world.store.figures("housing", 1) == (1, 4.0, -4.0, None)


def test_a_truth_may_be_corrected(world):
    world.keep(asked("a", [6, 90, 20]))
    world.join(("a", 0, 1.0))
    assert world.join(("a", 0, 117.0)).matched == 1

    assert world.store.figures("housing", 1) == (1, 1.0, -1.0, None)


def test_truths_come_after_a_new_start_and_to_another_worker(world, tmp_path):
    world.keep(asked("a", [6, 90, 20]))
    again = World(tmp_path / "feedback")

    assert again.join(("a", 0, 117.0)).matched == 1


def test_the_oldest_predictions_go_first(tmp_path):
    world = World(tmp_path, most_rows=3)
    for number in range(5):
        world.keep(asked(f"id-{number}", [1, 2, number]))

    joined = world.join(*((f"id-{number}", 0, 1.0) for number in range(5)))

    assert joined.matched == 3
    assert [it["request_id"] for it in joined.unmatched] == ["id-0", "id-1"]


def test_another_models_prediction_is_not_found(world):
    world.keep(asked("a", [6, 90, 20], of=version(model="other")))

    assert world.join(("a", 0, 1.0)).matched == 0


def test_what_no_contract_describes_is_not_kept(world):
    world.keep(asked("a", [6, 90, 20], of=version(described=False)))

    assert world.join(("a", 0, 1.0)).matched == 0
    assert world.kept.counts == {}


def test_prometheus_is_told_the_figures_of_what_is_served(world):
    world.keep(asked("a", [6, 90, 20]))
    world.join(("a", 0, 110.0))
    registry = CollectorRegistry()
    registry.register(FeedbackGauges(world.store, lambda: [version()]))

    labels = {"model": "housing", "version": "1"}
    assert registry.get_sample_value("hearth_feedback_mae", labels) == 6
    assert registry.get_sample_value("hearth_feedback_bias", labels) == 6
    assert registry.get_sample_value("hearth_feedback_rows", labels) == 1


def test_a_file_that_is_gone_spoils_no_answer_and_no_scrape(tmp_path, caplog):
    world = World(tmp_path / "feedback")
    for it in (tmp_path / "feedback").iterdir():
        it.unlink()
    world.keep(asked("a", [6, 90, 20]))
    registry = CollectorRegistry()
    registry.register(FeedbackGauges(world.store, lambda: [version()]))

    assert world.kept.counts == {("housing", "failed"): 1}
    assert "cannot be kept" in caplog.text
    assert registry.get_sample_value("hearth_feedback_mae") is None


def table(world, tmp_path, capsys) -> list[str]:
    output = tmp_path / "truths.csv"
    assert main([str(world.folder), "--output", str(output)]) == 0, capsys.readouterr().err
    return output.read_text().splitlines()


def test_the_table_has_features_and_truth(world, tmp_path, capsys):
    world.keep(asked("a", [6.142, 91.7, 18.72], [7, 40, 5]))
    world.join(("a", 0, 15.2), ("a", 1, 50.0))

    assert table(world, tmp_path, capsys) == [
        "RM,AGE,LSTAT,MEDV",
        "6.142,91.7,18.72,15.2",
        "7.0,40.0,5.0,50.0",
    ]


def test_a_feature_that_is_left_out_is_in_neither_file_nor_table(tmp_path, capsys):
    world = World(tmp_path / "feedback", left_out=("AGE",))
    world.served = {1: version(executor=Unsure())}
    world.keep(asked("a", [6, 90, 20]))
    world.join(("a", 0, 110.0))

    assert table(world, tmp_path, capsys) == ["RM,LSTAT,MEDV", "6.0,20.0,110.0"]
    # Without all features there is no interval.
    assert world.store.figures("housing", 1).coverage is None


@pytest.mark.parametrize("made", [False, True])
def test_without_feedback_there_is_no_table(tmp_path, capsys, made):
    if made:
        World(tmp_path)

    assert main([str(tmp_path), "--output", str(tmp_path / "x.csv")]) == 1
    assert str(tmp_path) in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


def test_one_or_several_are_read():
    assert parse_feedback({"request_id": "a", "price": 24}) == [Given(Place("a", 0), 24.0)]
    assert parse_feedback({"feedback": [{"request_id": "a", "row": 3, "price": 1.5}]}) == [
        Given(Place("a", 3), 1.5)
    ]
    assert parse_feedback({"feedback": []}) == []


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ([], "the body is not an object"),
        ({}, "request_id is not a text"),
        ({"request_id": "", "price": 1}, "request_id is not a text"),
        ({"request_id": "a"}, "price is not a finite number"),
        ({"request_id": "a", "price": True}, "price is not a finite number"),
        ({"request_id": "a", "price": 10**400}, "price is not a finite number"),
        ({"request_id": "a", "price": float("nan")}, "price is not a finite number"),
        ({"request_id": "a", "price": 1, "row": -1}, "row is not a whole number from 0 on"),
        ({"request_id": "a", "price": 1, "row": True}, "row is not a whole number from 0 on"),
        ({"feedback": {}}, "feedback is not a list"),
        ({"feedback": [{}] * 10_001}, "feedback is not a list of up to 10000"),
        ({"feedback": [1]}, r"feedback\[0\] is not an object"),
        ({"feedback": [{"request_id": "a", "price": "x"}]}, r"feedback\[0\].price is not"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(document, problem):
    with pytest.raises(InvalidRequest, match=problem):
        parse_feedback(document)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda it: (
        st.lists(it, max_size=3)
        | st.dictionaries(st.sampled_from(["request_id", "row", "price", "feedback"]), it)
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_document_is_read_or_refused(document):
    with contextlib.suppress(InvalidRequest):
        assert all(isinstance(it, Given) for it in parse_feedback(document))
