"""Networks that are called otherwise than their contract says."""

from __future__ import annotations

import numpy as np
import pytest

from service.contract import Coverage, Intervals, Level, Network, Spread
from service.errors import InternalError, InvalidRequest, VersionRefused
from service.inference.described import as_described
from service.inference.signature import Signature
from tests.unit.service.fakes import Adder, Ranger, contract, spec

BATCH = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
SHOWN = Coverage(0.9, 0.8, 0.95, 4.0, 100)
# Errors of 1 up to an output of 10, of 3 from 20 on, and lines between.
INTERVALS = Intervals(
    "by hand",
    100,
    Spread((10.0, 20.0), (1.0, 3.0)),
    0.0,
    (Level(0.8, "interval_80", 1.0, SHOWN), Level(0.9, "interval_90", 2.0, SHOWN)),
)


class Foreign(Adder):
    """A network that somebody else made: a sum as a column, of what it calls its own."""

    def __init__(self, inputs, output="out") -> None:
        super().__init__()
        column = spec("float32", -1, 1)
        self.signatures = {"serving_default": Signature(inputs, {output: column})}
        self.given: list[dict[str, np.ndarray]] = []

    def only(self, _signature):
        return lambda batch: batch.sum(axis=1, keepdims=True)

    def run(self, _signature, inputs):
        self.given.append(inputs)
        batch = np.concatenate([it.reshape(len(it), -1) for it in inputs.values()], axis=1)
        return {"out": batch.sum(axis=1, keepdims=True)}


def test_an_executor_that_is_as_its_contract_says_is_left_as_it_is():
    for executor in (adder := Adder(), ranger := Ranger()):
        assert as_described(executor, contract(intervals=None)) is executor
    assert as_described(ranger, contract(intervals=INTERVALS)) is ranger
    assert as_described(adder, contract(intervals=INTERVALS)) is not adder


@pytest.mark.parametrize("changes", [{"input": "x"}, {"output": "cost"}])
def test_a_network_of_another_contract_is_left_to_its_golden_rows(changes):
    adder = Adder()

    assert as_described(adder, contract(intervals=INTERVALS, **changes)) is adder


def test_a_network_of_one_input_is_given_the_batch_and_its_column_is_a_row():
    foreign = Foreign({"keras_tensor": spec("float32", -1, 3)})
    executor = as_described(foreign, contract(network=Network(("keras_tensor",), "out")))

    outputs = executor.run("serving_default", {"features": BATCH})

    assert list(foreign.given[0]) == ["keras_tensor"]
    assert outputs["price"].tolist() == [6, 15]
    assert executor.only("serving_default")(BATCH).tolist() == [6, 15]
    assert executor.signatures["serving_default"].inputs["features"].shape == (-1, 3)
    assert executor.signatures["serving_default"].outputs["price"].shape == (-1,)


def test_a_network_of_named_inputs_is_given_each_column_in_its_form():
    inputs = {
        "AGE": spec("int64", -1), "LSTAT": spec("float64", -1, 1), "RM": spec("float32", -1, 1),
    }  # fmt: skip
    foreign = Foreign(inputs)
    executor = as_described(foreign, contract(network=Network(("RM", "AGE", "LSTAT"), "out")))

    outputs = executor.run("serving_default", {"features": BATCH})

    (given,) = foreign.given
    assert {name: (it.dtype.name, it.tolist()) for name, it in given.items()} == {
        "RM": ("float32", [[1], [4]]),
        "AGE": ("int64", [2, 5]),
        "LSTAT": ("float64", [[3], [6]]),
    }
    assert outputs["price"].tolist() == [6, 15]
    assert executor.only("serving_default") is None


def test_columns_may_be_given_by_name_as_our_own_versions_take_them():
    executor = as_described(
        Foreign({"x": spec("float32", -1, 3)}), contract(network=Network(("x",), "out"))
    )
    columns = dict(zip(("RM", "AGE", "LSTAT"), BATCH.T, strict=True))

    assert executor.run("named", columns)["price"].tolist() == [6, 15]
    assert executor.only("named") is None
    assert executor.signatures["named"].inputs["AGE"].shape == (-1,)


def test_a_whole_number_is_never_cut_off_unseen():
    inputs = {it: spec("int32", -1) for it in ("RM", "AGE", "LSTAT")}
    executor = as_described(
        Foreign(inputs), contract(network=Network(("RM", "AGE", "LSTAT"), "out"))
    )

    with pytest.raises(InvalidRequest, match="AGE takes whole numbers"):
        executor.run("serving_default", {"features": np.array([[1, 2.5, 3]], np.float32)})


def test_an_output_that_is_a_column_needs_nobody_to_say_so():
    foreign = Foreign({"features": spec("float32", -1, 3)}, "price")
    foreign.run = lambda _, inputs: {"price": inputs["features"].sum(axis=1, keepdims=True)}
    executor = as_described(foreign, contract(intervals=None))

    assert executor.run("serving_default", {"features": BATCH})["price"].tolist() == [6, 15]


def test_intervals_are_as_wide_as_the_contract_says():
    executor = as_described(Adder(), contract(intervals=INTERVALS))
    batch = np.array([[1, 0, 0], [10, 2, 3], [30, 0, 0], [-5, 0, 0]], np.float32)

    given = {
        name: executor.run(name, {"features": batch})
        for name in ("interval_80", "interval_90", "interval")
    }

    # 1 less 1, 15 less 2, 30 less 3; below 0 there is nothing, but what is below already.
    assert given["interval_80"]["lower"].tolist() == [0, 13, 27, -5]
    assert given["interval_80"]["upper"].tolist() == [2, 17, 33, -4]
    assert given["interval_90"]["lower"].tolist() == [0, 11, 24, -5]
    assert given["interval_90"]["upper"].tolist() == [3, 19, 36, -3]
    for name, values in given["interval_90"].items():
        assert given["interval"][name].tolist() == values.tolist()
    assert executor.run("serving_default", {"features": batch})["price"].tolist() == [1, 15, 30, -5]


@pytest.mark.parametrize(
    ("inputs", "network", "said"),
    [
        ({"x": spec("float32", -1, 3)}, Network(("y",), "out"), r"takes \['x'\], not \['y'\]"),
        ({"x": spec("float32", -1, 3)}, Network(("x",), "no"), r"gives \['out'\], no 'no'"),
        ({"x": spec("object", -1, 3)}, Network(("x",), "out"), "takes no numbers"),
        (
            {"x": spec("float32", -1), "y": spec("float32", -1)},
            Network(("x", "y"), "out"),
            "takes 2 inputs, the contract has 3 features",
        ),
    ],
)
def test_a_network_that_the_contract_does_not_describe_is_refused(inputs, network, said):
    with pytest.raises(VersionRefused, match=said):
        as_described(Foreign(inputs), contract(network=network))


def test_a_network_that_gives_no_number_a_row_is_at_fault():
    foreign = Foreign({"x": spec("float32", -1, 3)})
    foreign.run = lambda *_: {"out": np.zeros((2, 2))}
    executor = as_described(foreign, contract(network=Network(("x",), "out")))

    with pytest.raises(InternalError, match=r"gives \[2, 2\] for 2 rows"):
        executor.run("serving_default", {"features": BATCH})
