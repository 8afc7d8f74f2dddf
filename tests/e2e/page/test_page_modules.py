"""What the page's modules compute, asked in the browser; expected values are made elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.web.static_files import FOLDER, StaticFiles
from tests.e2e.page.conftest import visiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

# Training, two exports and a service may stand before the first of them.
pytestmark = [pytest.mark.system("chromium"), pytest.mark.timeout(300)]
MODULES = sorted(FOLDER.glob("*.js"))


@pytest.fixture(scope="module")
def page(browser, service) -> Iterator[Page]:
    """A page that may load the modules; none of their work shows on it."""
    for visitor in visiting(browser, service.url):
        visitor.page.goto(f"{service.url}/openapi.json")
        yield visitor.page


def call(page: Page, module: str, function: str, *arguments):
    path = f"/static/{StaticFiles().revision}/{module}.js"
    script = "async ([path, name, given]) => (await import(path))[name](...given)"
    return page.evaluate(script, [path, function, list(arguments)])


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a,b\n1,2\n", [["a", "b"], ["1", "2"]]),
        ("a,b\r\n1,2", [["a", "b"], ["1", "2"]]),
        ("\ufeffa\n\n1\n", [["a"], ["1"]]),
        (
            'a,b\n"x, y","he said ""no""\nand left"\n',
            [["a", "b"], ["x, y", 'he said "no"\nand left']],
        ),
        ("a;b\n1,5;2\n", [["a", "b"], ["1,5", "2"]]),
        ("a\tb\n1\t\n", [["a", "b"], ["1", ""]]),
        ("", []),
    ],
)
def test_csv_is_read_as_rfc_4180_has_it(page, text, lines):
    assert call(page, "csv", "parseCsv", text) == lines


def test_csv_that_is_written_is_read_back(page):
    lines = [["a", "b"], ["x, y", 'he "said"'], ["1\n2", ""]]

    assert call(page, "csv", "parseCsv", call(page, "csv", "formatCsv", lines)) == lines


def test_a_quantile_lies_where_straight_lines_put_it(page):
    # 10 up to 1 s, 30 more up to 2 s, 10 more up to 5 s.
    buckets = [[1, 10], [2, 40], [5, 50]]
    bounds, counts = [0, 1, 2, 5], [0, 10, 40, 50]

    for share in (0.1, 0.2, 0.5, 0.9, 0.99):
        expected = np.interp(share * 50, counts, bounds)
        assert call(page, "exposition", "quantile", buckets, share) == pytest.approx(expected)
    assert call(page, "exposition", "quantile", [[1, 0], [2, 0]], 0.5) is None


BEFORE = """# HELP hearth_requests_total Requests.
hearth_requests_total{protocol="v1",route="predict",model="a\\"b",version="1",outcome="ok"} 10.0
hearth_requests_total{protocol="http",route="metrics",model="",version="",outcome="ok"} 5.0
hearth_request_seconds_bucket{le="0.001",protocol="v1",route="predict"} 10.0
hearth_request_seconds_bucket{le="+Inf",protocol="v1",route="predict"} 10.0
hearth_workers 2.0
"""
AFTER = BEFORE.replace("10.0", "30.0").replace(" 5.0", " 9.0") + (
    'hearth_requests_total{protocol="v1",route="predict",model="a",version="1",'
    'outcome="InvalidRequest"} 4.0\n'
)


def test_rates_are_what_grew_between_two_readings_but_for_pages(page):
    readings = [
        {"atS": at, "samples": call(page, "exposition", "parseExposition", text)}
        for at, text in ((100.0, BEFORE), (102.0, AFTER))
    ]
    told = call(page, "exposition", "between", *readings)

    assert (told["requests"], told["errors"], told["workers"]) == (12.0, 2.0, 2.0)
    assert told["p50"] == pytest.approx(0.0005)  # half way up the one bucket
    assert told["routes"][0] == ["v1", "predict", 'a"b 1', "ok", 10.0]


def test_a_counter_that_fell_has_begun_anew(page):
    readings = [
        {"atS": at, "samples": call(page, "exposition", "parseExposition", text)}
        for at, text in ((100.0, AFTER), (102.0, BEFORE))
    ]

    assert call(page, "exposition", "between", *readings)["requests"] == 5.0


@pytest.mark.parametrize(
    ("value", "text"), [(2.5e-5, "25 µs"), (0.00123, "1.23 ms"), (1.5, "1.5 s"), (0, "0")]
)
def test_durations_have_the_unit_that_suits_them(page, value, text):
    assert call(page, "numbers", "duration", value) == text


@pytest.mark.parametrize(("spread", "digits"), [(9.2, 2), (0.05, 4), (90_000, 0), (0, 2), (1, 2)])
def test_digits_tell_a_hundredth_of_the_spread(page, spread, digits):
    assert call(page, "numbers", "decimalsFor", spread) == digits


def test_an_address_is_read_as_it_was_written(page):
    address = {"model": "a/b c", "part": "try", "version": "3", "values": {"x&y": "1", "z": ""}}

    text = call(page, "address", "formatAddress", address)
    assert call(page, "address", "parseAddress", text) == address


def test_a_hundred_wishes_make_two_runs_and_never_two_at_once(page):
    path = f"/static/{StaticFiles().revision}/latest.js"
    runs, most = page.evaluate(
        """async path => {
            const { latestOnly } = await import(path);
            let [runs, now, most] = [0, 0, 0];
            const wish = latestOnly(async () => {
                runs += 1; now += 1; most = Math.max(most, now);
                await new Promise(requestAnimationFrame);
                now -= 1;
            });
            await Promise.all(Array.from({ length: 100 }, wish));
            return [runs, most];
        }""",
        path,
    )
    assert (runs, most) == (2, 1)


@pytest.mark.skipif(shutil.which("node") is None, reason="not run: node is not installed")
@pytest.mark.parametrize("module", MODULES, ids=lambda it: it.name)
def test_every_module_is_right_by_its_grammar(module):
    with module.open("rb") as source:
        command = ["node", "--check", "--input-type=module"]
        done = subprocess.run(command, stdin=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
