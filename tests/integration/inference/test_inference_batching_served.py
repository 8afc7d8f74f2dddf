"""Batching with TensorFlow: right answers, full queues, and models that are left alone."""

from __future__ import annotations

import logging
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import urllib3

from service.inference.batching import Batching
from service.inference.batching_parameters import BatchingParameters
from service.inference.executor import AUTO, TENSORFLOW
from service.inference.signature import read_saved_model
from service.repository.loading import LoadOptions, load_version
from tests import models
from tests.servers import ROOT, free_port, running_service, wait_until

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = 16
TRIALS = 5
PATH = "/v1/models/network:predict"


def write(folder: Path, text: str) -> Path:
    path = folder / "batching.config"
    path.write_text(text)
    return path


def ask_all(url: str, bodies: list[Any]) -> list[Any]:
    """Post all bodies from as many clients at once; the answers in order."""
    with urllib3.PoolManager(maxsize=CLIENTS) as pool, ThreadPoolExecutor(CLIENTS) as threads:
        return list(
            threads.map(
                lambda body: pool.request(
                    "POST", url + PATH, json={"instances": body}, retries=False, timeout=30
                ),
                bodies,
            )
        )


def test_joined_answers_are_tensorflows_own(zoo, tmp_path):
    config = write(
        tmp_path,
        "max_batch_size { value: 16 } allowed_batch_sizes: [4, 16] batch_timeout_micros "
        "{ value: 2000 } num_batch_threads { value: 1 } max_enqueued_batches { value: 100 }",
    )
    random = np.random.default_rng(3)
    bodies = [random.normal(10, 5, (1 + n % 5, 13)).round(3).tolist() for n in range(200)]
    flat = np.array([row for body in bodies for row in body], np.float32)
    folder = zoo / "network" / "1"
    (name,) = read_saved_model(folder)["serving_default"].inputs
    (expected,) = models.answers(folder, "serving_default", **{name: flat}).values()

    with running_service(
        zoo,
        name="network",
        executor="tensorflow",
        enable_batching=True,
        batching_parameters_file=config,
    ) as server:
        answers = ask_all(server.url, bodies)
        large = server.post(PATH, {"instances": flat[:17].tolist()})

    assert {it.status for it in answers} == {200}
    assert [len(it.json()["predictions"]) for it in answers] == [len(body) for body in bodies]
    given = [row for it in answers for row in it.json()["predictions"]]
    np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)
    assert (large.status, large.json()["error"]) == (
        400,
        "Task size 17 is larger than maximum input batch size 16",
    )


def test_a_full_queue_sheds_with_429_and_says_when_to_come_again(zoo, tmp_path):
    config = write(
        tmp_path,
        "max_batch_size { value: 1 } max_enqueued_batches { value: 1 } "
        "num_batch_threads { value: 1 }",
    )
    row = [[10.0] * 13]
    answers: list[Any] = []

    def shed() -> bool:
        answers.extend(ask_all(server.url, [row] * 10 * CLIENTS))
        return any(it.status == 429 for it in answers)

    with running_service(
        zoo,
        name="network",
        executor="tensorflow",
        enable_batching=True,
        batching_parameters_file=config,
    ) as server:
        alone = server.post(PATH, {"instances": row})
        wait_until(shed, "an answer of 429")

    refused = [it for it in answers if it.status == 429]
    assert {it.status for it in answers} == {200, 429}
    assert {it.headers["Retry-After"] for it in refused} == {"1"}
    assert refused[0].json()["error"] == (
        "signature serving_default: 1 rows wait and 1 more would pass the limit of 1 "
        "(max_enqueued_batches 1 x max_batch_size 1)"
    )
    right = [it.json() for it in answers if it.status == 200]
    assert right == [alone.json()] * len(right)


def loaded(zoo: Path, model: str, executor: str, asked: BatchingParameters | None) -> Any:
    options = LoadOptions(batching=lambda _path: asked)
    return load_version(model, 1, zoo / model / "1", executor, options).executor


@pytest.mark.parametrize(
    ("model", "executor", "joined"),
    [
        ("network", TENSORFLOW, True),
        ("vocabulary", TENSORFLOW, True),  # a table is only read
        ("half_plus_two_tf1", TENSORFLOW, True),
        ("counter", TENSORFLOW, False),
        ("dice", TENSORFLOW, False),
        ("bare", AUTO, False),  # LiteRT
    ],
)
def test_models_with_a_state_and_quick_ones_are_not_joined_though_asked_for(
    zoo, model, executor, joined, caplog
):
    caplog.set_level(logging.INFO)

    assert isinstance(loaded(zoo, model, executor, BatchingParameters()), Batching) == joined
    assert ("it has operations with a state" in caplog.text) == (model in {"counter", "dice"})


@pytest.mark.parametrize(
    ("model", "executor", "joined"),
    [
        ("network", TENSORFLOW, True),
        ("vocabulary", TENSORFLOW, False),  # there are no texts to try
        ("counter", TENSORFLOW, False),
        ("dice", TENSORFLOW, False),
        ("bare", AUTO, False),
    ],
)
def test_what_is_joined_is_found_out(zoo, model, executor, joined):
    # It is measured: on a busy machine one trial may say that joining does not pay.
    tried = (loaded(zoo, model, executor, None) for _ in range(TRIALS))

    assert any(isinstance(it, Batching) for it in tried) == joined


def test_a_bad_file_ends_the_start_with_1_and_one_line(zoo, tmp_path):
    config = write(tmp_path, "max_batch_size { value: 4 } allowed_batch_sizes: 3")
    command = [
        sys.executable, "-m", "service", "--model_name=network",
        f"--model_base_path={zoo / 'network'}", f"--rest_api_port={free_port()}", "--port=0",
        "--enable_batching", f"--batching_parameters_file={config}",
    ]  # fmt: skip

    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr == (
        f"python -m service: --batching_parameters_file: {config}: the last of "
        "allowed_batch_sizes is 3, must be 4, the most rows of a call\n"
    )


def test_without_a_flag_a_network_in_tensorflow_is_joined_and_says_so(zoo):
    rows = [[[float(n)] * 13] for n in range(64)]

    with running_service(zoo, name="network", executor="tensorflow") as server:
        metadata = server.get("/v2/models/network").json()
        answers = ask_all(server.url, rows)
        large = server.post(PATH, {"instances": [row for (row,) in rows] * 20})
        unjoined = [server.post(PATH, {"instances": it}).json() for it in rows]

    assert metadata["properties"]["joined"] == "serve, serving_default"
    np.testing.assert_allclose(
        [it.json()["predictions"] for it in answers],
        [it["predictions"] for it in unjoined],
        rtol=1e-4,
        atol=1e-4,
    )
    assert len(large.json()["predictions"]) == 1280  # more than a batch may have


def test_a_flag_turns_joining_off(zoo):
    with running_service(
        zoo, name="network", executor="tensorflow", enable_batching=False
    ) as server:
        metadata = server.get("/v2/models/network").json()

    assert "joined" not in metadata["properties"]
