"""``top``: what two readings of the metrics tell, and how it is shown."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from rich.console import Console

from client import Client, Response, Unavailable
from client.__main__ import main
from client._rates import Reading, between, parse, quantile
from client._top import View, render, sparkline, watch

LABELS = 'protocol="kserve_v1",route="predict",model="a\\"b",version="1"'
BEFORE = f"""# HELP hearth_requests_total Requests.
hearth_requests_total{{{LABELS},outcome="ok"}} 10.0
hearth_requests_total{{protocol="http",route="metrics",model="",version="",outcome="ok"}} 5.0
hearth_request_seconds_bucket{{le="0.001",protocol="kserve_v1",route="predict"}} 10.0
hearth_request_seconds_bucket{{le="+Inf",protocol="kserve_v1",route="predict"}} 10.0
hearth_rows_total{{model="a",version="1"}} 100.0
hearth_workers 2.0
"""
AFTER = BEFORE.replace("} 10.0", "} 30.0").replace("} 5.0", "} 9.0") + (
    f'hearth_requests_total{{{LABELS},outcome="InvalidRequest"}} 4.0\n'
)


class Metered:
    """A transport to a server of which only the metrics are asked."""

    def __init__(self, *texts):
        self.texts = list(texts)

    def send(self, request):
        assert request.url.endswith("/metrics")
        text = self.texts.pop(0)
        if isinstance(text, Exception):
            raise text
        return Response(200, {}, text.encode())


def readings():
    return Reading(100.0, parse(BEFORE)), Reading(102.0, parse(AFTER))


def watched(clock, *texts, times=1):
    out = io.StringIO()
    client = Client(transport=Metered(*texts), clock=clock, retries=0)
    watch(client, out, 2.0, times)
    return out.getvalue().splitlines()


def test_rates_are_what_grew_but_for_pages_and_metrics():
    told = between(*readings())

    assert (told.requests, told.errors, told.rows, told.workers) == (12.0, 2.0, 0.0, 2)
    assert told.routes[0] == (("kserve_v1", "predict", 'a"b 1', "ok"), 10.0)
    assert told.p50 == pytest.approx(0.0005)


def test_a_counter_that_fell_has_begun_anew():
    before, after = readings()

    assert between(Reading(100.0, after.samples), Reading(102.0, before.samples)).requests == 5.0


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9, 0.99])
def test_a_quantile_lies_where_straight_lines_put_it(share):
    buckets = [(1.0, 10.0), (2.0, 40.0), (5.0, 50.0)]

    expected = np.interp(share * 50, [0, 10, 40, 50], [0, 1, 2, 5])
    assert quantile(buckets, share) == pytest.approx(expected)


def test_a_quantile_beyond_all_bounds_is_the_last_bound_and_of_nothing_none():
    assert quantile([(1.0, 1.0), (float("inf"), 10.0)], 0.99) == 1.0
    assert quantile([(1.0, 0.0)], 0.5) is None
    assert quantile([], 0.5) is None


def test_into_a_pipe_goes_a_line_a_look(clock):
    lines = watched(clock, BEFORE, AFTER)

    assert lines[0] == "looking"
    assert lines[1].startswith("requests/s 12.0  rows/s 0.0  errors/s 2.0  p50 500 µs")
    assert clock.slept == [2.0]


def test_a_server_that_is_away_for_a_while_is_shown_and_found_again(clock):
    lines = watched(clock, BEFORE, Unavailable("nobody is there"), AFTER, times=2)

    assert "nobody is there" in lines[1]
    assert lines[2].startswith("requests/s 6.0")  # four seconds have passed


def test_a_server_that_is_not_there_at_first_is_an_error(clock):
    with pytest.raises(Unavailable):
        watched(clock, Unavailable("nobody is there"))


def test_a_terminal_shows_figures_routes_and_their_course():
    view = View("http://here:8501")
    view.add(between(*readings()))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(view))
    text = console.export_text()

    assert "Hearth at http://here:8501" in text
    assert re.search(r"12\.0 +0\.0 +2\.0 +500 µs", text)
    assert re.search(r'kserve_v1 +predict +a"b 1 +InvalidRequest +2\.0', text)


def test_bars_reach_from_nothing_to_the_greatest():
    assert sparkline([0, 7, 3.5, 1]) == "▁█▅▂"
    assert sparkline([0, 0]) == "▁▁"


def test_the_command_line_looks_as_often_as_it_is_told(capsys):
    status = main(["top", "--times", "1", "--every_s", "0.01"], {}, Metered(BEFORE, AFTER))
    out, err = capsys.readouterr()

    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 2
