"""A version asked by who does not wait: the same checks, answers and errors."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidRequest, SignatureNotFound
from service.inference.batching import Batching
from service.inference.batching_parameters import BatchingParameters
from tests.servers import wait_until
from tests.unit.rpc.parsers import example
from tests.unit.service.fakes import Adder, Broken, signature, spec, version

WAIT_S = 20.0
ROW = {"features": np.array([[6.0, 90.0, 20.0]], np.float32)}
REGRESS = signature({"inputs": spec("object", -1)}, {"outputs": spec("float32", -1)})


def joined(executor: Any) -> Any:
    return Batching(executor, BatchingParameters(num_batch_threads=1))


@pytest.fixture(params=[False, True], ids=["plain", "joined"])
def housing(request: pytest.FixtureRequest) -> Any:
    return version(executor=joined(Adder()) if request.param else Adder())


def test_an_answer_is_that_of_predict(housing):
    asked = housing.submit("serving_default", ROW)

    assert asked.result(WAIT_S)["price"].tolist() == [116.0]


def test_limits_are_checked_before_anything_waits(housing):
    with pytest.raises(InvalidRequest, match=r"RM is 51 rooms, outside \[0, 50\]"):
        housing.submit("serving_default", {"features": ROW["features"] + [[45, 0, 0]]})


def test_an_error_of_the_network_is_the_answer(housing):
    asked = housing.submit("named", {"RM": np.float32([1]), "AGE": np.float32([1])})
    assert asked.result(WAIT_S)["price"].tolist() == [2.0]

    broken = version(executor=joined(Broken())).submit("serving_default", ROW)
    with pytest.raises(ZeroDivisionError):
        broken.result(WAIT_S)


def regressor(executor: Any) -> Any:
    made = version(executor=executor)
    return replace(made, signatures={**made.signatures, "regress": REGRESS})


@pytest.mark.parametrize("join", [False, True])
def test_examples_are_read_as_the_contract_says_and_answered_by_the_default_signature(join):
    housing = regressor(joined(Adder()) if join else Adder())
    examples = [example(RM=6.0, AGE=90.0, LSTAT=20.0).SerializeToString()]

    for asked in (
        housing.submit_examples("regress", examples),
        housing.submit("regress", {"inputs": np.array(examples, object)}),
    ):
        assert asked.result(WAIT_S)["outputs"].tolist() == [116.0]
    assert housing.run_examples("regress", examples)["outputs"].tolist() == [116.0]


def test_an_example_with_a_value_outside_its_limits_is_refused():
    examples = [example(RM=51.0, AGE=90.0, LSTAT=20.0).SerializeToString()]

    with pytest.raises(InvalidRequest, match="RM is 51 rooms"):
        regressor(Adder()).submit_examples("regress", examples)


def test_what_nothing_can_run_is_refused():
    with pytest.raises(SignatureNotFound):
        version(described=False).submit_examples("regress", [b""])


class Closed(Adder):
    """An executor that stops until it is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.calls = 0

    def run(self, signature: str, inputs: Any) -> dict[str, Any]:
        self.calls += 1
        assert self.opened.wait(WAIT_S)
        return super().run(signature, inputs)


def test_examples_that_nobody_waits_for_any_more_are_not_run():
    closed = Closed()
    housing = regressor(joined(closed))
    examples = [example(RM=6.0, AGE=90.0, LSTAT=20.0).SerializeToString()]
    running = housing.submit("serving_default", ROW)
    wait_until(lambda: closed.calls, "the call")

    gone = housing.submit_examples("regress", examples)
    assert gone.cancel()
    assert not running.cancel()
    closed.opened.set()

    assert running.result(WAIT_S)["price"].tolist() == [116.0]
    assert housing.submit("serving_default", ROW).result(WAIT_S)["price"].tolist() == [116.0]
    assert gone.cancelled()
    assert closed.calls == 2
