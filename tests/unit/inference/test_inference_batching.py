"""Requests that wait are joined, and every one gets its own rows."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config_files import read_batching
from service.errors import InvalidRequest, Overloaded
from service.inference.batching import Batching
from service.inference.batching_parameters import BatchingParameters
from service.load_options import _batching
from service.process import check_files
from service.settings import Settings, SettingsError, parse
from tests.servers import wait_until
from tests.unit.service.fakes import signature, spec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WAIT_S = 20.0
ROW = signature({"x": spec("float32", -1, 2)}, {"y": spec("float32", -1)})
FREE = signature({"x": spec("float32", -1, -1)}, {"y": spec("float32", -1)})
TEXT = signature({"x": spec("object", -1)}, {"y": spec("object", -1)})
LONE = signature({"x": spec("float32", -1, 2)}, {"y": spec("float32")})
LIAR = signature({"x": spec("float32", -1, 2)}, {"y": spec("float32", -1)})


class Gate:
    """An executor that sums rows, stops where told to, and remembers its calls.

    Attributes:
        calls: The first input of every call, in order.
        most: How many calls ran at once at most.
        opened: Whether calls may go on.
    """

    name = "gate"
    quick = False
    joins = False

    def __init__(self) -> None:
        self.signatures = {
            "row": ROW, "free": FREE, "text": TEXT, "lone": LONE, "liar": LIAR
        }  # fmt: skip
        self.calls: list[np.ndarray[Any, Any]] = []
        self.opened = threading.Event()
        self.opened.set()
        self._lock = threading.Lock()
        self._inside = 0
        self.most = 0

    @property
    def sizes(self) -> list[int]:
        return [len(it) for it in self.calls]

    def run(self, signature: str, inputs: Any) -> dict[str, Any]:
        x = inputs["x"]
        with self._lock:
            self.calls.append(x)
            self._inside += 1
            self.most = max(self.most, self._inside)
        try:
            assert self.opened.wait(WAIT_S)
            return {"y": self._answer(signature, x)}
        finally:
            with self._lock:
                self._inside -= 1

    def _answer(self, signature: str, x: Any) -> Any:
        if signature == "text":
            return np.array([it.upper() for it in x], object)
        if (x < 0).any():
            raise InvalidRequest(f"the least is {x.min():g}, below 0")
        if signature in {"lone", "liar"}:
            return x.sum() if signature == "lone" else x.sum(keepdims=True).reshape(1)
        return x.sum(axis=1)


class World:
    """A batching executor, and callers that wait for it in no thread."""

    def __init__(self, **parameters: Any) -> None:
        given = {"num_batch_threads": 1, "max_batch_size": 8, "max_enqueued_batches": 100}
        self.gate = Gate()
        self.batching = Batching(self.gate, BatchingParameters(**{**given, **parameters}))

    def ask(self, x: Any, name: str = "row") -> Any:
        """Ask, and get the answer to be."""
        return self.batching.submit(name, {"x": x})

    def ask_running(self, x: Any, name: str = "row") -> Any:
        """Ask, and wait until the executor is at it."""
        before = len(self.gate.calls)
        asked = self.ask(x, name)
        wait_until(lambda: len(self.gate.calls) > before, "the call")
        return asked

    def ask_waiting(self, x: Any, name: str = "row") -> Any:
        """Ask, and wait until the request waits."""
        before = len(self.batching._queue)
        asked = self.ask(x, name)
        wait_until(lambda: len(self.batching._queue) > before, "the request in the queue")
        return asked

    def behind(self, *requests: Any, name: str = "row") -> list[Any]:
        """Ask one after the other while a call of one row runs; answers in order."""
        self.gate.opened.clear()
        first = self.ask_running(rows(1))
        asked = [self.ask_waiting(x, name) for x in requests]
        self.gate.opened.set()
        assert answer(first).tolist() == [0.0]
        return asked


@pytest.fixture
def world() -> Iterator[Any]:
    made: list[World] = []

    def make(**parameters: Any) -> World:
        made.append(World(**parameters))
        return made[-1]

    yield make
    for it in made:
        it.gate.opened.set()


def rows(count: int, value: float = 0.0, width: int = 2) -> np.ndarray[Any, Any]:
    return np.full((count, width), value, np.float32)


def answer(asked: Any) -> Any:
    return asked.result(WAIT_S)["y"]


def told(sizes: Sequence[int]) -> list[np.ndarray[Any, Any]]:
    """Requests of so many rows, every row of all of them another."""
    numbers = iter(range(sum(sizes)))
    return [np.array([[next(numbers), 1000] for _ in range(size)], np.float32) for size in sizes]


# --- joining ---


def test_what_waits_is_joined_into_one_call(world):
    it = world()

    asked = it.behind(rows(1, 1.0), rows(2, 2.0), rows(3, 3.0))

    assert [answer(each).tolist() for each in asked] == [[2.0], [4.0, 4.0], [6.0, 6.0, 6.0]]
    assert it.gate.sizes == [1, 6]


def test_a_lone_request_is_run_as_it_came(world):
    it = world()
    x = rows(3, 1.0)

    assert answer(it.ask(x)).tolist() == [2.0, 2.0, 2.0]
    assert it.gate.calls[0] is x


def test_the_oldest_come_first(world):
    it = world(max_batch_size=2)

    asked = it.behind(*(rows(1, value) for value in (1, 2, 3, 4)))

    assert [answer(each).tolist() for each in asked] == [[2.0], [4.0], [6.0], [8.0]]
    assert [call[:, 0].tolist() for call in it.gate.calls] == [[0], [1, 2], [3, 4]]


def test_rows_are_counted_and_not_requests(world):
    it = world(max_batch_size=4)

    asked = it.behind(rows(3), rows(2), rows(2), rows(1))

    assert [len(answer(each)) for each in asked] == [3, 2, 2, 1]
    assert it.gate.sizes == [1, 3, 4, 1]


@settings(max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12),
    threads=st.integers(1, 3),
    most=st.integers(5, 9),
    padded=st.booleans(),
)
def test_everybody_gets_their_own_rows(sizes, threads, most, padded):
    it = World(
        num_batch_threads=threads,
        max_batch_size=most,
        allowed_batch_sizes=(3, most) if padded else (),
    )
    requests = told(sizes)
    asked = [it.ask(x) for x in requests]

    for x, each in zip(requests, asked, strict=True):
        assert answer(each).tolist() == x.sum(axis=1).tolist()
    assert max(it.gate.sizes) <= most
    assert it.gate.most <= threads
    assert not padded or set(it.gate.sizes) <= {3, most}
    assert (len(it.batching._queue), it.batching._queue._rows) == (0, 0)


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_calls_run_at_once_than_allowed(world, threads):
    it = world(num_batch_threads=threads, max_batch_size=1)
    it.gate.opened.clear()

    running = [it.ask_running(rows(1)) for _ in range(threads)]
    waiting = [it.ask_waiting(rows(1)) for _ in range(5)]

    assert len(it.gate.calls) == threads
    it.gate.opened.set()
    assert [len(answer(each)) for each in running + waiting] == [1] * (threads + 5)
    assert it.gate.most == threads


def test_unequal_shapes_are_not_joined(world):
    it = world()

    asked = it.behind(
        rows(1, 1.0, 2), rows(1, 1.0, 3), rows(1, 2.0, 2), rows(1, 2.0, 3), name="free"
    )

    assert [answer(each).tolist() for each in asked] == [[2.0], [3.0], [4.0], [6.0]]
    assert [call.shape for call in it.gate.calls] == [(1, 2), (2, 2), (2, 3)]


def test_unequal_types_and_signatures_are_not_joined(world):
    it = world()

    asked = it.behind(rows(1, 1.0), rows(1, 1.0).astype(np.float64))
    other = answer(it.ask(np.array([b"a", b"b"], object), "text"))

    assert [answer(each).dtype for each in asked] == [np.float32, np.float64]
    assert it.gate.sizes == [1, 1, 1, 2]
    assert other.tolist() == [b"A", b"B"]


def test_texts_are_joined_too(world):
    it = world(allowed_batch_sizes=(1, 8))

    asked = it.behind(np.array([b"a"], object), np.array(["b", b"cc"], object), name="text")

    assert [answer(each).tolist() for each in asked] == [[b"A"], ["B", b"CC"]]
    assert it.gate.sizes == [1, 8]


# --- limits ---


def test_a_batch_is_padded_with_its_last_row_to_an_allowed_size(world):
    it = world(allowed_batch_sizes=(2, 4, 8))

    asked = it.behind(rows(1, 1.0), rows(2, 2.0))

    assert [answer(each).tolist() for each in asked] == [[2.0], [4.0, 4.0]]
    assert [call[:, 0].tolist() for call in it.gate.calls] == [[0, 0], [1, 2, 2, 2]]


def test_a_request_larger_than_a_batch_is_refused_with_both_numbers(world):
    with pytest.raises(InvalidRequest) as refused:
        world(max_batch_size=4).batching.run("row", {"x": rows(5)})

    assert refused.value.message == "Task size 5 is larger than maximum input batch size 4"


@pytest.mark.parametrize(
    ("limits", "sizes"),
    [
        ({"max_batch_size": 4}, [4, 4, 2]),
        ({"max_batch_size": 8, "max_execution_batch_size": 3}, [3, 3, 3, 1]),
        ({"max_batch_size": 4, "allowed_batch_sizes": (3, 4)}, [4, 4, 3]),
    ],
)
def test_a_request_larger_than_a_batch_is_cut_if_asked_for(world, limits, sizes):
    it = world(enable_large_batch_splitting=True, **limits)
    (x,) = told([10])

    assert answer(it.ask(x)).tolist() == x.sum(axis=1).tolist()
    assert it.gate.sizes == sizes


def test_a_full_queue_refuses_with_its_numbers_and_recovers(world):
    it = world(max_batch_size=2, max_enqueued_batches=2)
    it.gate.opened.clear()
    running = it.ask_running(rows(2))
    waiting = [it.ask_waiting(rows(1)), it.ask_waiting(rows(2))]

    with pytest.raises(Overloaded) as refused:
        it.batching.run("row", {"x": rows(2)})

    last = it.ask_waiting(rows(1))
    it.gate.opened.set()
    assert refused.value.message == (
        "signature row: 3 rows wait and 2 more would pass the limit of 4 "
        "(max_enqueued_batches 2 x max_batch_size 2)"
    )
    assert [len(answer(each)) for each in [running, *waiting, last]] == [2, 1, 2, 1]
    assert len(answer(it.ask(rows(2)))) == 2


# --- waiting for more ---


def test_a_batch_is_held_open_until_it_is_full(world):
    it = world(batch_timeout_micros=10**9, max_batch_size=3)

    asked = [it.ask(rows(1, value)) for value in (1, 2, 3)]

    assert [answer(each).tolist() for each in asked] == [[2.0], [4.0], [6.0]]
    assert it.gate.sizes == [3]


def test_a_free_thread_does_not_take_what_another_waits_for(world):
    it = world(batch_timeout_micros=10**9, max_batch_size=4, num_batch_threads=3)

    first = it.ask(rows(2, 1.0))
    wait_until(lambda: it.batching._queue._open, "a batch that is held open")
    second, third = it.ask_waiting(rows(1, 2.0)), it.ask(rows(3, 3.0))
    # The third does not fit: the first batch closes, and the third leads the next.
    assert [answer(each).tolist() for each in (first, second)] == [[2.0, 2.0], [4.0]]
    fourth = it.ask(rows(1, 4.0))

    assert [len(answer(third)), len(answer(fourth))] == [3, 1]
    assert it.gate.sizes == [3, 4]


def test_nobody_waits_longer_than_the_timeout(world):
    it = world(batch_timeout_micros=100)

    assert answer(it.ask(rows(1, 1.0))).tolist() == [2.0]
    assert it.gate.sizes == [1]


def test_a_timeout_counts_from_when_the_request_came():
    """It waited 60 s of 50 for its turn: nothing is left to wait for more."""
    gate, moments = Gate(), iter([0.0, 60.0])
    parameters = BatchingParameters(batch_timeout_micros=50_000_000)

    batching = Batching(gate, parameters, clock=lambda: next(moments))
    outputs = batching.run("row", {"x": rows(1, 1.0)})

    assert outputs["y"].tolist() == [2.0]


# --- what is not joined ---


def test_a_bad_neighbour_spoils_nobodys_answer(world):
    it = world()

    good, bad, other = it.behind(rows(1, 1.0), rows(1, -1.0), rows(1, 2.0))

    assert [answer(good).tolist(), answer(other).tolist()] == [[2.0], [4.0]]
    with pytest.raises(InvalidRequest, match="the least is -1, below 0"):
        answer(bad)
    assert it.gate.sizes == [1, 3, 1, 1, 1]


def test_an_error_of_a_lone_request_is_its_own_and_it_runs_once(world):
    it = world()

    with pytest.raises(InvalidRequest, match="below 0"):
        answer(it.ask(rows(1, -1.0)))
    assert it.gate.sizes == [1]
    assert answer(it.ask(rows(1, 1.0))).tolist() == [2.0]


def test_an_output_declared_without_rows_is_never_joined(world):
    it = world(max_batch_size=2, allowed_batch_sizes=(2,))

    assert answer(it.ask(rows(3, 1.0), "lone")) == 6.0
    assert it.gate.sizes == [3]


def test_outputs_that_have_other_rows_than_the_batch_are_computed_alone(world):
    it = world()

    asked = it.behind(rows(1, 1.0), rows(2, 2.0), name="liar")

    assert [answer(each).tolist() for each in asked] == [[2.0], [8.0]]
    assert it.gate.sizes == [1, 3, 1, 2]
    assert answer(it.ask(rows(20, 1.0), "liar")).tolist() == [40.0]
    assert it.gate.sizes[-1] == 20


def test_a_large_request_whose_outputs_have_no_rows_is_run_whole(world):
    it = world(enable_large_batch_splitting=True, max_batch_size=2)

    assert answer(it.ask(rows(5, 1.0), "liar")).tolist() == [10.0]
    assert it.gate.sizes == [2, 5]


@pytest.mark.parametrize("x", [rows(0), np.float32(3.0).reshape(())])
def test_inputs_without_rows_go_to_the_executor_as_they_are(x):
    gate = SimpleNamespace(
        name="echo",
        quick=False,
        joins=False,
        signatures={"row": ROW},
        run=lambda _name, inputs: inputs,
    )
    batching = Batching(gate, BatchingParameters(allowed_batch_sizes=(1000,)))

    assert batching.run("row", {"x": x})["x"] is x


def test_name_and_signatures_are_the_executors(world):
    it = world()

    assert (it.batching.name, it.batching.quick, it.batching.joins) == ("gate", False, True)
    assert it.batching.signatures is it.gate.signatures


# --- parameters ---


FILE = """
max_batch_size { value: 32 } batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 100 } num_batch_threads { value: 4 }
thread_pool_name { value: "x" }
allowed_batch_sizes: 8 allowed_batch_sizes: 16
enable_large_batch_splitting { value: true } max_execution_batch_size { value: 16 }
"""


def test_a_file_of_tensorflow_serving_is_read(tmp_path):
    path = tmp_path / "batching.config"
    path.write_text(FILE)

    assert read_batching("--flag", path) == BatchingParameters(
        max_batch_size=32,
        batch_timeout_micros=1000,
        max_enqueued_batches=100,
        num_batch_threads=4,
        allowed_batch_sizes=(8, 16),
        enable_large_batch_splitting=True,
        max_execution_batch_size=16,
    )


def test_what_a_file_leaves_out_has_tensorflow_servings_default(tmp_path):
    path = tmp_path / "batching.config"
    path.write_text("num_batch_threads { value: 2 }")

    read = read_batching("--flag", path)

    # shared_batch_scheduler.h, QueueOptions
    assert (read.max_batch_size, read.batch_timeout_micros, read.max_enqueued_batches) == (
        1000,
        0,
        10,
    )
    assert (read.num_batch_threads, read.allowed_batch_sizes) == (2, ())


def test_padding_of_unequal_shapes_is_accepted_with_a_warning(tmp_path, caplog):
    path = tmp_path / "batching.config"
    path.write_text("pad_variable_length_inputs: true")

    read_batching("--flag", path)

    assert "pad_variable_length_inputs has no effect here" in caplog.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_batch_size { value: 0 }", "max_batch_size is 0, must be at least 1"),
        ("max_batch_size {}", "max_batch_size is 0, must be at least 1"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches is 0, must be at least 1"),
        ("num_batch_threads { value: -1 }", "num_batch_threads is -1, must be at least 1"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros is -1, must be at least 0"),
        ("max_execution_batch_size { value: 0 }", "max_execution_batch_size must be at least 1"),
        ("max_execution_batch_size { value: 1001 }", "is 1001, outside [1, 1000]"),
        ("allowed_batch_sizes: [8, 8, 1000]", "[8, 8, 1000], must be at least 1 and increase"),
        ("allowed_batch_sizes: [0, 1000]", "[0, 1000], must be at least 1 and increase"),
        ("allowed_batch_sizes: [8, 16]", "the last of allowed_batch_sizes is 16, must be 1000"),
        ("max_batch_size: 7", "cannot be used: 1:"),
        ("batch_size { value: 7 }", "cannot be used: 1:"),
        (None, "cannot be used: [Errno 2] No such file"),
    ],
)
def test_a_file_that_makes_no_sense_stops_the_start_with_flag_and_place(tmp_path, text, said):
    path = tmp_path / "batching.config"
    if text is not None:
        path.write_text(text)

    with pytest.raises(InvalidRequest) as refused:
        check_files(Settings(enable_batching=True, batching_parameters_file=path))

    assert refused.value.message.startswith(f"--batching_parameters_file: {path}")
    assert said in refused.value.message


def test_parameters_without_the_switch_stop_the_start_as_in_tensorflow_serving(tmp_path):
    with pytest.raises(InvalidRequest, match="is given without --enable_batching"):
        check_files(Settings(batching_parameters_file=tmp_path / "batching.config"))


@pytest.mark.parametrize(("own", "size"), [(True, 5), (False, 7)])
def test_a_versions_own_parameters_win_if_asked_for(tmp_path, own, size):
    path = tmp_path / "batching.config"
    path.write_text("max_batch_size { value: 7 }")
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
    (tmp_path / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 5 }")

    read = _batching(
        Settings(
            enable_batching=True,
            batching_parameters_file=path,
            enable_per_model_batching_parameters=own,
        )
    )

    assert read is not None
    first, second = read(tmp_path / "1"), read(tmp_path / "2")
    assert first is not None
    assert second is not None
    assert (first.max_batch_size, second.max_batch_size) == (size, 7)


def test_whether_to_join_is_found_out_unless_somebody_says(tmp_path):
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 5 }")
    auto, own = Settings(), Settings(enable_per_model_batching_parameters=True)

    (found_out, asked) = _batching(auto), _batching(own)
    assert found_out is not None
    assert asked is not None
    assert found_out(tmp_path) is None
    assert asked(tmp_path) == BatchingParameters(max_batch_size=5)
    assert asked(tmp_path / "other") is None
    assert _batching(Settings(enable_batching=False)) is None


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ([], None),
        (["--enable_batching"], True),
        (["--enable_batching=true"], True),
        (["--enable_batching=false"], False),
        (["--enable_batching=Auto"], None),
    ],
)
def test_the_switch_has_three_positions(arguments, value):
    assert parse(arguments, {}).enable_batching is value


def test_a_switch_that_is_neither_is_refused_with_its_value():
    with pytest.raises(SettingsError, match="--enable_batching is 'maybe', not true or false"):
        parse(["--enable_batching=maybe"], {})


# --- who waits, and who waits no more ---


def test_waiting_takes_no_thread(world):
    it = world()
    it.gate.opened.clear()
    running = it.ask_running(rows(1))
    before = set(threading.enumerate())  # others' may end meanwhile

    waiting = [it.ask(rows(1, 1.0)) for _ in range(500)]

    assert set(threading.enumerate()) <= before
    it.gate.opened.set()
    assert [answer(each).tolist() for each in waiting] == [[2.0]] * 500
    assert answer(running).tolist() == [0.0]


def test_who_leaves_is_not_run_and_makes_room(world):
    it = world(max_batch_size=2, max_enqueued_batches=1)
    it.gate.opened.clear()
    running = it.ask_running(rows(2))
    gone, stays = it.ask_waiting(rows(1, 7.0)), it.ask_waiting(rows(1, 1.0))

    assert gone.cancel()
    comes = it.ask_waiting(rows(1, 2.0))
    it.gate.opened.set()

    assert [answer(each).tolist() for each in (stays, comes)] == [[2.0], [4.0]]
    assert [call[:, 0].tolist() for call in it.gate.calls] == [[0, 0], [1, 2]]
    assert gone.cancelled()
    assert not running.cancel()


def test_a_batch_of_people_who_left_is_not_run(world):
    it = world(max_batch_size=1)
    it.gate.opened.clear()
    running = it.ask_running(rows(1))
    gone = [it.ask_waiting(rows(1)) for _ in range(3)]

    assert all(each.cancel() for each in gone)
    it.gate.opened.set()

    assert answer(running).tolist() == [0.0]
    assert answer(it.ask(rows(1, 1.0))).tolist() == [2.0]
    assert it.gate.sizes == [1, 1]


def test_who_leaves_a_batch_that_is_held_open_is_not_run(world):
    it = world(batch_timeout_micros=10**9, max_batch_size=2)
    gone = it.ask(rows(1, 7.0))
    wait_until(lambda: it.batching._queue._open, "a batch that is held open")

    assert gone.cancel()
    asked = [it.ask(rows(1, 1.0)), it.ask(rows(1, 2.0))]

    assert [answer(each).tolist() for each in asked] == [[2.0], [4.0]]
    assert [call[:, 0].tolist() for call in it.gate.calls] == [[1, 2]]


def test_a_cut_request_lets_others_between(world):
    it = world(max_batch_size=2, enable_large_batch_splitting=True)

    large, small = it.behind(rows(4, 1.0), rows(1, 2.0))

    assert (answer(large).tolist(), answer(small).tolist()) == ([2.0] * 4, [4.0])
    assert [call[:, 0].tolist() for call in it.gate.calls] == [[0], [1, 1], [2], [1, 1]]


def test_where_nobody_set_a_limit_a_large_request_is_run_whole(world):
    it = world(max_batch_size=4, max_enqueued_batches=1, run_large_whole=True)

    assert len(answer(it.ask(rows(50, 1.0)))) == 50
    assert len(it.batching.run("row", {"x": rows(50)})["y"]) == 50
    assert it.gate.sizes == [50, 50]


def test_what_is_not_joined_waits_for_no_batch_and_no_batch_for_it(world):
    it = world(max_batch_size=4, run_large_whole=True)
    it.gate.opened.clear()

    running = it.ask_running(rows(1))
    apart = [it.ask_running(rows(2, 1.0), "lone"), it.ask_running(rows(9))]

    assert it.gate.sizes == [1, 2, 9]
    it.gate.opened.set()
    assert float(answer(apart[0])) == 4.0
    assert [len(answer(each)) for each in (running, apart[1])] == [1, 9]


def test_batch_by_batch_one_signature_has_one_call_at_a_time_and_others_go_on(world):
    it = world(num_batch_threads=3, batch_by_batch=True)
    it.gate.opened.clear()

    running = it.ask_running(rows(1))
    waiting = [it.ask_waiting(rows(1, value)) for value in (1, 2, 3)]
    other = it.ask_running(np.array([b"a"], object), "text")

    assert it.gate.sizes == [1, 1]
    it.gate.opened.set()
    assert answer(other).tolist() == [b"A"]
    assert [answer(each).tolist() for each in (running, *waiting)] == [[0.0], [2.0], [4.0], [6.0]]
    assert it.gate.sizes == [1, 1, 3]


def test_signatures_may_be_left_alone():
    gate = Gate()
    batching = Batching(gate, BatchingParameters(max_batch_size=2), alone=("row",))

    assert batching.run("row", {"x": rows(3, 1.0)})["y"].tolist() == [2.0, 2.0, 2.0]
    assert batching.submit("row", {"x": rows(3, 1.0)}).result(WAIT_S)["y"].tolist() == [2.0] * 3


def test_an_answer_is_the_same_joined_or_not(world):
    it = world(max_batch_size=64)
    requests = [np.random.default_rng(n).normal(3, 0.1, (1 + n % 3, 2)) for n in range(20)]

    joined = [answer(each) for each in it.behind(*requests)]

    assert it.gate.sizes == [1, sum(map(len, requests))]
    alone = [Gate().run("row", {"x": x})["y"] for x in requests]
    assert [each.tolist() for each in joined] == [each.tolist() for each in alone]


# --- threads ---


def batching_threads() -> set[threading.Thread]:
    return {it for it in threading.enumerate() if it.name.startswith(("batching", "apart"))}


def test_threads_begin_with_the_first_request_and_end_with_the_last_user():
    before = batching_threads()
    batching = Batching(Gate(), BatchingParameters(num_batch_threads=3))
    assert batching_threads() == before

    answer(batching.submit("row", {"x": rows(1)}))
    assert len(batching_threads() - before) == 1

    del batching
    wait_until(lambda: not batching_threads() - before, "the end of the thread")


def test_what_waits_when_a_version_is_dropped_is_answered_still():
    before, gate = batching_threads(), Gate()
    gate.opened.clear()
    batching = Batching(gate, BatchingParameters(num_batch_threads=1, max_batch_size=1))
    asked = [batching.submit("row", {"x": rows(1, value)}) for value in (1, 2, 3)]

    del batching
    gate.opened.set()

    assert [answer(each).tolist() for each in asked] == [[2.0], [4.0], [6.0]]
    wait_until(lambda: not batching_threads() - before, "the end of the thread")


def test_a_thousand_swaps_leave_no_thread():
    before = batching_threads()
    for _ in range(1000):
        batching = Batching(Gate(), BatchingParameters(num_batch_threads=2))
        assert batching.run("row", {"x": rows(1, 1.0)})["y"].tolist() == [2.0]
        assert answer(batching.submit("lone", {"x": rows(1, 1.0)})) == 2.0
    del batching

    wait_until(lambda: not batching_threads() - before, "the end of the threads")


def test_where_no_thread_can_be_begun_the_request_is_shed(world, monkeypatch):
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    it = world()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(Overloaded, match="no thread can be begun"):
            it.ask(rows(1))

    assert len(it.batching._queue) == 0
    assert answer(it.ask(rows(1, 1.0))).tolist() == [2.0]
