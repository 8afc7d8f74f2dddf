"""What wrk, h2load and the paced sender say, and when it counts for nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.load import LoadError, Measured, h2load, paced, wrk

# As h2load 1.52 prints it.
H2LOAD = """\
finished in 2.00s, 6587.50 req/s, 969.27KB/s
requests: 13191 total, 13191 started, 13175 done, 13175 succeeded, 0 failed, 0 errored, 0 timeout
status codes: 13175 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 1.89MB (1985063) total, 1.11MB (1168391) headers (space savings 0%), 1.00MB ({data}) data
                     min         max         mean         sd        +/- sd
time for request:      187us     14.86ms      2.43ms      1.26ms    78.75%
"""


def wrk_output(**changes: float) -> str:
    result = {"requests": 3000, "seconds": 1.5, "p50_ms": 0.4, "p99_ms": 2.5, "failed": 0}
    return f"Running 2s test\n  3000 requests\n\n{json.dumps(result | changes)}\n"


def test_wrk_is_read():
    assert wrk.parse(wrk_output()) == Measured(2000.0, 0.4, 2.5)


@pytest.mark.parametrize("changes", [{"failed": 1}, {"requests": 0}])
def test_a_wrk_run_with_failures_or_no_answers_measures_nothing(changes):
    with pytest.raises(LoadError):
        wrk.parse(wrk_output(**changes))


@pytest.mark.parametrize("under_way", [0, 16])
def test_h2load_is_read_where_every_call_brought_its_message(under_way):
    printed = H2LOAD.format(data=(13175 + under_way) * 27)

    assert h2load.parse(printed, answer_bytes=27, connections=16) == 6587.5


def test_calls_that_end_in_a_grpc_error_are_missed_by_their_data():
    printed = H2LOAD.format(data=13174 * 27)

    with pytest.raises(LoadError, match="13175 calls brought"):
        h2load.parse(printed, answer_bytes=27, connections=16)


def test_failed_calls_of_h2load_measure_nothing():
    printed = H2LOAD.format(data=13175 * 27).replace("13175 succeeded", "13170 succeeded")

    with pytest.raises(LoadError, match="5 of 13175 calls failed"):
        h2load.parse(printed, answer_bytes=27, connections=16)


def test_unknown_output_of_h2load_is_an_error():
    with pytest.raises(LoadError, match="printed no"):
        h2load.parse("no host", 1, 1)


def test_percentiles_of_a_log_are_in_ms():
    log = "".join(f"1700000000\t200\t{latency_us}\n" for latency_us in range(1000, 102000, 1000))

    assert h2load.parse_log(log) == (51.0, 100.0)


def answer(head: str, body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body


@pytest.mark.parametrize(
    "head", ["Content-Length: 4", "content-length:4", "a: b\r\ncontent-Length: 4"]
)
def test_an_answer_is_whole_when_its_length_is_there(head):
    whole = answer(head, b"1234")

    assert paced.is_whole(whole)
    assert not any(paced.is_whole(whole[:end]) for end in range(len(whole)))


def test_a_chunked_answer_is_whole_with_its_last_chunk():
    whole = answer("Transfer-Encoding: chunked", b"4\r\n1234\r\n0\r\n\r\n")

    assert paced.is_whole(whole)
    assert not any(paced.is_whole(whole[:end]) for end in range(len(whole)))


@pytest.mark.parametrize(
    ("status", "ok"), [("200 OK", True), ("503 Busy", False), ("201 C", False)]
)
def test_status_200_alone_is_a_right_answer(status, ok):
    assert paced.is_ok(f"HTTP/1.1 {status}\r\n\r\n".encode()) is ok


def test_a_post_is_written_as_it_goes_over_the_wire():
    assert paced.post("http://127.0.0.1:80/v1/m:predict", b"{}", {"Content-Type": "x/y"}) == (
        b"POST /v1/m:predict HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Length: 2\r\n"
        b"Content-Type: x/y\r\n\r\n{}"
    )


def test_only_answers_within_the_load_s_time_are_its_rate():
    found = paced.Paced(
        due_s=np.array([10.0, 10.5, 11.0, 11.5]),
        latency_s=np.array([0.1, 0.1, 1.5, 0.1]),  # the third came after two seconds
        answered=np.array([True, True, True, False]),
        failed=1,
    )

    assert found.rate(2.0) == 1.0
    assert found.percentiles_ms(50) == pytest.approx([100.0])
