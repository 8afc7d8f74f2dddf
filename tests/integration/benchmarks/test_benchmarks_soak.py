"""The soak in short: nothing is lost, nothing grows; the table is printed (-rP)."""

from __future__ import annotations

import io
from argparse import Namespace

import pytest
from rich.console import Console

from benchmarks.servers import Ports
from benchmarks.soak import __main__ as soaking
from benchmarks.soak import result
from benchmarks.soak.callers import Callers, Counts
from benchmarks.soak.result import Sample, Soak
from service import contract as contracts
from tests.servers import free_port

OPTIONS = Namespace(seconds=20.0, requests=200_000, pause=0.4, callers=3, workers=1)


@pytest.fixture(scope="module")
def found(housing_models):
    version = housing_models / "housing" / "1"
    return soaking.soak(version, OPTIONS, Console(file=io.StringIO()))


def test_no_request_is_lost_to_swaps_and_faults(found):
    print(result.table(found))
    assert found.told == ()
    assert found.lost == 0
    assert found.requests > 1000
    assert found.refused > 10
    assert set(found.faults) == {"swap", "broken version", "half request", "storage gone"}
    assert min(found.faults.values()) > 0


def test_memory_and_descriptors_stay_as_they_are(found):
    memory_mib = found.ends(lambda it: it.memory_mib)
    descriptors = found.ends(lambda it: it.descriptors)

    # Other programs share pages for a while and so change a share (PSS).
    assert memory_mib[1] - memory_mib[0] < 12
    assert descriptors[1] - descriptors[0] < 20


def test_the_picture_and_the_table_are_written(found, tmp_path):
    result.write(found, tmp_path)

    assert {it.name for it in tmp_path.iterdir()} == {"soak.svg", "soak.md", "soak.json"}
    assert f"{found.requests:,} requests" in (tmp_path / "soak.md").read_text()


def test_early_and_late_are_the_second_and_the_last_fifth():
    samples = tuple(Sample(float(it), float(it), 0, 0, 0.0, 0.0) for it in range(101))
    soak = Soak(samples, 0, 0, 0, (), {})

    assert soak.ends(lambda it: it.memory_mib) == (30.0, 90.0)


def test_a_server_that_is_not_there_loses_every_request(housing_models):
    golden = contracts.read_golden(housing_models / "housing" / "1")
    counts = Counts()
    ports = Ports(free_port(), free_port(), 0)
    with Callers(ports, golden, 1, counts, most=4) as callers:
        for thread in callers._threads:
            thread.join(60)

    assert (counts.lost, counts.right) == (4, 0)
    assert callers.are_done
