"""How figures are put together from rounds."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from benchmarks import url
from benchmarks.load.paced import Paced
from benchmarks.run import in_turns
from benchmarks.scenarios.finding import ratio, readable
from benchmarks.scenarios.lifetime import before_and_during


def test_things_are_measured_by_turns():
    order: list[str] = []

    def measure(name: str) -> int:
        order.append(name)
        return len(order)

    rounds = in_turns(2, {"a": lambda: measure("a"), "b": lambda: measure("b")})

    assert order == ["a", "b", "a", "b"]
    assert rounds == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]


def test_a_ratio_is_taken_within_each_round_and_the_first_does_not_count():
    first, second = iter([99.0, 10.0, 30.0, 20.0]), iter([1.0, 5.0, 10.0, 40.0])

    found = ratio(3, "/s", {"a": lambda: next(first), "b": lambda: next(second)})

    assert found.values == (2.0, 3.0, 0.5)
    assert found.detail == "a 20 /s, b 10 /s"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567.8, "1,234,568"), (100.4, "100"), (12.345, "12.3"), (0.0123, "0.0123")],
)
def test_figures_have_three_digits_that_matter(value, text):
    assert readable(value) == text


def test_latencies_before_and_during_a_swap_are_told_apart_by_when_requests_were_due():
    due_s = np.arange(10.0)
    latency_s = np.where(due_s < 4, 0.001, 0.005)
    latency_s[8:] = 1.0  # after the swap
    load = Paced(due_s, latency_s, np.ones(10, np.bool_), failed=0)

    assert before_and_during(load, 4.0, 7.0) == pytest.approx((1.0, 5.0))


def options(body: object, **changes: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    url.add_arguments(parser)
    given = parser.parse_args(["http://host:80/v1/m:predict?x=1", "--body", str(body)])
    return argparse.Namespace(**{**vars(given), **changes})


def test_a_url_is_posted_to_as_it_is(tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"{}")

    address, request = url.target(options(body, header=["X-Key: a:b"]))

    assert address == "http://host:80"
    assert (request.path, request.body, request.grpc) == ("/v1/m:predict?x=1", b"{}", False)
    assert request.headers == {"Content-Type": "application/json", "X-Key": "a:b"}


def test_a_grpc_message_is_put_in_its_frame(tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"abc")

    _, request = url.target(options(body, grpc=True))

    assert request.body == b"\0\0\0\0\3abc"
    assert request.headers["TE"] == "trailers"
