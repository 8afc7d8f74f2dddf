"""The request log of a whole service, read by TensorFlow and run again as warm-up."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.contract import CONTRACT, GOLDEN, WARMUP
from service.messages import prediction_log_pb2
from tests.integration.service.test_service_workers import metric
from tests.integration.service.wire import PREDICT
from tests.models import tensorflow
from tests.servers import running_service, wait_until

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [[6.142, 91.7, 18.72], [5.0, 40.0, 30.0]]


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(it for it in folder.iterdir() if it.suffix == suffix)


@pytest.fixture(scope="module")
def logged(housing_models, tmp_path_factory) -> Path:
    """The folder of a service that has been asked and has ended."""
    folder = tmp_path_factory.mktemp("logs") / "made by the service"
    with running_service(
        housing_models, request_log_folder=folder, request_log_leave_out="AGE"
    ) as service:
        for row in ROWS:
            assert service.post(PREDICT, {"instances": [row]}).status == 200
        assert service.post(PREDICT, {"instances": [[1, 2, 300]]}).status == 400
        wait_until(
            lambda: metric(service, "hearth_request_log_requests_total", outcome="written") == 2,
            "both are written",
        )
    return folder


def test_tensorflow_reads_it(logged):
    tf = tensorflow()
    (path,) = files(logged, ".tfrecord")

    records = [it.numpy() for it in tf.data.TFRecordDataset(str(path))]

    logs = [prediction_log_pb2.PredictionLog.FromString(it).predict_log for it in records]
    batches = [tf.make_ndarray(it.request.inputs["features"]) for it in logs]
    # The training's median stands for the age, which is left out.
    assert [it[0, [0, 2]].tolist() for it in batches] == [
        np.float32([row[0], row[2]]).tolist() for row in ROWS
    ]
    assert len({it[0, 1] for it in batches}) == 1
    assert [tf.make_ndarray(it.response.outputs["price"]).shape for it in logs] == [(1,), (1,)]


def test_it_is_run_again_as_warm_up(logged, models):
    version = models / "housing" / "1"
    (path,) = files(logged, ".tfrecord")
    shutil.copy(path, version / WARMUP)
    # A contract holds the checksum of its own warm-up file.
    for name in (CONTRACT, GOLDEN):
        (version / name).unlink()

    with running_service(models) as service:
        assert service.get("/v1/models/housing").json()["model_version_status"]

    broken = bytearray(path.read_bytes())
    broken[-1] ^= 0xFF
    (version / WARMUP).write_bytes(broken)
    with running_service(models, until="/livez") as service:
        wait_until(lambda: "wrong checksum" in service.output(), "the broken one is refused")


CONFIG = """model_config_list {{ config {{
  name: "housing" base_path: "{base}" model_platform: "tensorflow"
  logging_config {{
    log_collector_config {{ type: "parquet" filename_prefix: "{prefix}" }}
    sampling_config {{ sampling_rate: 1 }}
  }}
}} }}"""


def test_a_logging_config_is_followed_and_workers_have_files_of_their_own(housing_models, tmp_path):
    import pyarrow.parquet

    config = tmp_path / "models.config"
    config.write_text(
        CONFIG.format(base=housing_models / "housing", prefix=tmp_path / "logs" / "asked")
    )
    with running_service(housing_models, workers=2, model_config_file=config) as service:
        for _ in range(40):
            assert service.post(PREDICT, {"instances": ROWS}).status == 200
        wait_until(
            lambda: metric(service, "hearth_request_log_requests_total", outcome="written") == 40,
            "all are written",
        )

    tables = [pyarrow.parquet.read_table(it) for it in files(tmp_path / "logs", ".parquet")]
    assert sum(map(len, tables)) == 80
    assert {"RM", "AGE", "LSTAT", "price", "_request_id"} <= set(tables[0].column_names)
    assert files(tmp_path / "logs", ".part") == []


def test_a_folder_that_cannot_be_written_is_told_at_the_start(housing_models, tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RuntimeError, match="--request_log_folder"),
        running_service(housing_models, request_log_folder=tmp_path / "file"),
    ):
        pass
