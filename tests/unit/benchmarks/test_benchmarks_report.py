"""What was measured is kept as it is, and the page and the pictures hold it."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks.peers import PEERS
from benchmarks.report import markdown, pictures, results
from benchmarks.report.results import (
    AT_LEAST,
    AT_MOST,
    Asked,
    Conditions,
    Level,
    OpenLoop,
    Outcome,
    Pace,
    Paced,
    Results,
    Served,
    Throughput,
)
from benchmarks.scenarios.targets import TARGETS

CONDITIONS = Conditions(
    date="2026-01-02T03:04:05+00:00",
    command="python -m benchmarks something",
    machine=results.this_machine(),
    cores="servers on core 0, load on core 1",
    busy=0.25,
    rounds=3,
    seconds=2.0,
)


def served(key: str, rate: float) -> Served:
    levels = tuple(
        Level(
            connections,
            (rate * factor, rate * factor + 10, rate * factor - 10),
            (1.5,) * 3,
            (9.25,) * 3,
        )
        for connections, factor in ((1, 1), (16, 3), (64, 2))
    )
    asked = (Asked("TensorFlow Serving JSON", grpc=False, levels=levels),)
    return Served(
        key,
        PEERS[key].title,
        "1.2.3",
        "its defaults",
        asked,
        (0.5, 0.75, 0.25),
        ((30.0, 40.0),) * 3,
    )


def outcome(name: str, sense: results.Sense, *values: float, left_out: str = "") -> Outcome:
    return Outcome(name, "this against that", 2.0, sense, "times", CONDITIONS, values, "", left_out)


RESULTS = Results(
    throughput=Throughput(
        CONDITIONS,
        (
            served("flask", 1000),
            served("hearth", 20000),
            served("nginx", 50000),
            Served("fastapi", "FastAPI", "", "", left_out="ServerError: `ended` with 1"),
        ),
    ),
    open_loop=OpenLoop(
        CONDITIONS,
        64,
        (Paced("hearth", "Hearth", (Pace(500.0, (499.0,), (0.11,), (0.22,), (0.33,)),)),),
    ),
    targets=(outcome("one", AT_LEAST, 1.0, 3.0, 2.5), outcome("two", AT_MOST, 2.5)),
)


def test_results_are_read_as_they_were_written(tmp_path):
    results.write(RESULTS, tmp_path)

    assert results.read(tmp_path) == RESULTS


def test_no_results_are_none(tmp_path):
    assert results.read(tmp_path) == Results()


def test_the_best_number_of_connections_is_that_of_the_greatest_median():
    assert served("hearth", 20000).asked[0].best.connections == 16


@pytest.mark.parametrize(
    ("sense", "values", "met"),
    [
        (AT_LEAST, (2.0,), True),
        (AT_LEAST, (9.0, 1.9, 1.8), False),
        (AT_MOST, (2.0,), True),
        (AT_MOST, (0.1, 2.1, 2.2), False),
    ],
)
def test_a_target_is_met_by_the_median_of_its_rounds(sense, values, met):
    assert outcome("one", sense, *values).met is met


def test_a_target_that_was_not_measured_is_not_met():
    assert not outcome("one", AT_MOST, left_out="nginx is not installed").met


def test_a_target_measured_again_takes_its_former_place():
    again = outcome("one", AT_LEAST, 7.0)

    assert [it.values for it in RESULTS.with_targets((again,)).targets] == [(7.0,), (2.5,)]


def test_the_page_has_every_figure_with_its_spread():
    page = markdown.page(RESULTS)

    assert "| Hearth | TensorFlow Serving JSON | 1: 20,000 (19,990 to 20,010); 16: **60,000" in page
    assert "| Hearth | 0.50 (0.25 to 0.75) | 70 (70 to 70) | 2 |" in page
    assert "| Hearth | 500 | 499 | 0.11 | 0.22 | 0.33 |" in page
    assert "| `one` | this against that | at least 2 times | 2.50 (1.00 to 3.00) | met |" in page
    assert "| `two` | this against that | at most 2 times | 2.50 | **not met** |" in page


def test_the_fastest_stands_first():
    table = markdown.throughput(RESULTS.throughput)
    names = [line.split(" | ")[0] for line in table.splitlines()[2:]]

    assert names == ["| nginx, a constant answer", "| Hearth", "| Flask + TensorFlow"]


def test_the_page_says_who_was_left_out_and_why():
    assert "- FastAPI: ServerError: 'ended' with 1" in markdown.page(RESULTS)


def test_the_page_says_how_each_part_is_measured_again():
    assert (
        markdown.page(RESULTS).count("`python -m benchmarks something`, 2026-01-02: 3 rounds") == 3
    )


def test_the_pictures_show_whoever_was_measured(tmp_path):
    pictures.write(RESULTS, tmp_path)

    drawn = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(drawn) == {"throughput.svg", "start.svg", "memory.svg", "latency.svg"}
    for name in ("Hearth", "Flask + TensorFlow", "60,000", "3,000"):
        assert f"<!-- {name} -->" in drawn["throughput.svg"]
    assert "<!-- nginx, a constant answer -->" not in drawn["memory.svg"]
    assert "<!-- Hearth -->" in drawn["latency.svg"]


def test_the_same_results_make_the_same_pictures(tmp_path):
    for folder in ("a", "b"):
        pictures.write(RESULTS, tmp_path / folder)

    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_pages_without_some_parts_can_be_written():
    assert "## Targets" not in markdown.page(msgspec.structs.replace(RESULTS, targets=()))
    assert markdown.page(Results()).startswith("# Benchmarks")


def test_every_target_says_what_it_holds_to():
    assert all(it.what and it.sense in {AT_LEAST, AT_MOST} for it in TARGETS.values())
