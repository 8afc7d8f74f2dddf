"""One LiteRT model under many threads and batch sizes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from service.errors import InvalidRequest, VersionRefused
from service.inference.litert import LiteRT
from tests import models

SIZES = (1, 64, 0, 7, 1000, 1, 2, 5000, 3)


@pytest.fixture(scope="module")
def path(zoo) -> Path:
    return zoo / "unsigned" / "1" / "model.tflite"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def ask(model: LiteRT, random: np.random.Generator, size: int) -> None:
    rows = random.normal(0, 10, (size, 2)).astype(np.float32)
    found = model.run("serving_default", {"rows": rows})
    (total,) = found.values()
    assert total.shape == (size,)
    np.testing.assert_allclose(total, rows[:, 0] + 10 * rows[:, 1], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("cuts", [False, True])
def test_threads_with_changing_batch_sizes_get_their_own_answers(path, cuts):
    model = LiteRT(path, cuts=cuts)
    start = threading.Barrier(4)

    def work(seed: int) -> None:
        random = np.random.default_rng(seed)
        start.wait()
        for size in random.permutation(np.repeat(SIZES, 20)):
            ask(model, random, int(size))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))


def test_memory_does_not_grow_with_the_number_of_requests(path):
    model = LiteRT(path)
    random = np.random.default_rng(5)

    def rounds(count: int) -> None:
        for size in SIZES * count:
            ask(model, random, size)

    rounds(20)
    before = resident_bytes()
    rounds(200)

    assert resident_bytes() - before < 10 * 2**20


def test_a_batch_that_is_cut_is_answered_as_in_one_piece(path):
    rows = np.random.default_rng(3).normal(0, 10, (5000, 2)).astype(np.float32)

    (whole,) = LiteRT(path).run("serving_default", {"rows": rows}).values()
    (cut,) = LiteRT(path, cuts=True).run("serving_default", {"rows": rows}).values()

    assert cut.tolist() == whole.tolist()
    with pytest.raises(InvalidRequest, match=r"rows has shape \[1024, 3\], expected \[n, 2\]"):
        LiteRT(path, cuts=True).run("serving_default", {"rows": np.ones((5000, 3), np.float32)})


def test_an_answer_outlives_the_next_ones(path):
    model = LiteRT(path)
    first = next(iter(model.run("serving_default", {"rows": np.ones((3, 2), np.float32)}).values()))
    for size in SIZES:
        model.run("serving_default", {"rows": np.zeros((size, 2), np.float32)})

    assert first.tolist() == [11.0, 11.0, 11.0]


def test_arrays_of_any_layout_are_read_right(path):
    model = LiteRT(path)
    rows = np.arange(12, dtype=np.float32).reshape(2, 6)

    for array in (np.asfortranarray(rows[:, :2]), rows[:, ::3], rows[::-1, 4:]):
        (total,) = model.run("serving_default", {"rows": array}).values()
        np.testing.assert_allclose(total, array @ [1.0, 10.0], rtol=1e-6)


def test_another_type_is_refused_and_the_model_goes_on(path):
    model = LiteRT(path)
    with pytest.raises(InvalidRequest, match="the model cannot take this input"):
        model.run("serving_default", {"rows": np.ones((1, 2))})

    ask(model, np.random.default_rng(1), 2)


def test_an_operation_that_fails_is_a_refusal_and_the_model_goes_on(zoo, tmp_path):
    models.litert(zoo / "embedding" / "1", tmp_path / "model.tflite", "serving_default")
    model = LiteRT(tmp_path / "model.tflite")
    with pytest.raises(InvalidRequest, match="gather index out of bounds"):
        model.run("serving_default", {"place": np.array([[0, 7]], np.int32)})

    found = model.run("serving_default", {"place": np.array([[1, 2]], np.int32)})
    assert found["value"].tolist() == [50.0]


def test_a_model_is_quick_if_a_small_batch_is(path):
    assert LiteRT(path, quick_s=60.0).quick
    assert not LiteRT(path, quick_s=0.0).quick


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 4096])
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "model.tflite").write_bytes(content)

    with pytest.raises(VersionRefused, match=r"model\.tflite is not a LiteRT model"):
        LiteRT(tmp_path / "model.tflite")
