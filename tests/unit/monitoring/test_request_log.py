"""The request log: what is written, what is not, and files that come and go."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.exchange import Computed, Exchange
from service.messages import prediction_log_pb2
from service.monitoring.request_log import PARQUET, TFRECORD, Limits, RequestLog, Target
from service.protocols.prediction_log import TFRecord
from service.protocols.tensor_proto import decode
from service.protocols.tfrecord import framed, masked_crc, masked_crcs, read_records
from service.protocols.warm_up import read_warm_up
from tests.servers import wait_until
from tests.unit.service.fakes import Clock, version

if TYPE_CHECKING:
    from pathlib import Path

WIDE = Limits(2**20, 3600, 2**30)


class Told:
    """Counts as the metrics do."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def __call__(self, model: str, outcome: str, requests: int) -> None:
        self.counts[model, outcome] += requests


@pytest.fixture
def told():
    return Told()


@pytest.fixture
def clock():
    return Clock(1_800_000_000.0)


def asked(*row: float, of=None, number: int = 0) -> Exchange:
    of = version() if of is None else of
    batch = np.array([row or (6, 90, 20)], np.float32)
    exchange = Exchange(f"id-{number}", "POST", "/", "", 0.0, rows=1)
    exchange.answers(of)
    exchange.computed = Computed(
        of, "serving_default", {"features": batch}, {"price": batch.sum(axis=1)}
    )
    return exchange


def log_to(folder: Path, told, clock, *, limits=WIDE, share=1.0, form=None, left_out=()):
    forms = {TFRECORD: TFRecord(left_out) if form is None else form}
    target = Target(TFRECORD, folder / "housing", share)
    return RequestLog(
        lambda model: target if model == "housing" else None, forms, limits, told, clock
    )


def files(folder: Path, ending: str = ".tfrecord") -> list[Path]:
    return sorted(it for it in folder.iterdir() if it.name.endswith(ending))


def logs(folder: Path) -> list:
    return [
        prediction_log_pb2.PredictionLog.FromString(record)
        for file in files(folder)
        for record in read_records(file.read_bytes())
    ]


def row_of(log) -> list[float]:
    return decode(log.predict_log.request.inputs["features"], "features", 2**20)[0].tolist()


def test_requests_stand_there_with_their_answers(tmp_path, told, clock):
    log = log_to(tmp_path, told, clock)
    log.observe([asked(6, 90, 20), asked(7, 40, 5)])
    log.close()

    first, second = logs(tmp_path)
    assert row_of(first) == [6, 90, 20]
    assert row_of(second) == [7, 40, 5]
    response = first.predict_log.response
    assert decode(response.outputs["price"], "price", 99).tolist() == [116]
    assert (response.model_spec.name, response.model_spec.version.value) == ("housing", 1)
    assert first.log_metadata.timestamp_secs == 1_800_000_000
    assert told.counts == {("housing", "written"): 2}


def test_the_log_is_a_warm_up_file(tmp_path, told, clock):
    log = log_to(tmp_path, told, clock)
    log.observe([asked(6, 90, 20)])
    log.close()

    (record,) = read_warm_up(files(tmp_path)[0])

    assert (record.method, record.signature) == ("predict", "serving_default")
    assert record.inputs["features"].tolist() == [[6, 90, 20]]


def test_a_feature_that_is_left_out_has_its_median_in_every_form_of_request(tmp_path, told, clock):
    log = log_to(tmp_path, told, clock, left_out=("AGE", "secret"))
    named, foreign = asked(), asked(of=version(described=False))
    named.computed = Computed(
        version(), "named", {"AGE": np.float32([90]), "RM": np.float32([6])}, {}
    )
    foreign.computed = Computed(
        foreign.computed.version, "s", {"secret": np.array([b"x"], object)}, {}
    )
    given = asked(6, 90, 20)
    log.observe([given, named, foreign])
    log.close()

    batch, by_name, other = logs(tmp_path)
    # The training's median of every feature is 5.
    assert row_of(batch) == [6, 5, 20]
    inputs = by_name.predict_log.request.inputs
    assert decode(inputs["AGE"], "AGE", 99).tolist() == [5]
    assert decode(inputs["RM"], "RM", 99).tolist() == [6]
    assert decode(other.predict_log.request.inputs["secret"], "s", 99).tolist() == [b""]
    assert given.computed.inputs["features"].tolist() == [[6, 90, 20]]


def test_a_share_is_logged(tmp_path, told, clock):
    log = log_to(tmp_path, told, clock, share=0.25)
    log.observe([asked() for _ in range(4000)])
    log.close()

    # Binomial: 1000 expected, a standard deviation of 27.
    assert 850 < told.counts["housing", "written"] < 1150
    assert logs(tmp_path)[0].log_metadata.sampling_config.sampling_rate == 0.25


def test_other_models_are_not_logged(tmp_path, told, clock):
    log = log_to(tmp_path, told, clock)
    log.observe([asked(of=version(model="other"))])
    log.close()

    assert files(tmp_path) == []
    assert told.counts == {}


def test_a_full_file_is_followed_by_the_next(tmp_path, told, clock):
    log = log_to(tmp_path, told, clock, limits=Limits(100, 3600, 2**30))
    for number in range(3):
        log.observe([asked()])
        wait_until(
            lambda: told.counts["housing", "written"] == number + 1,  # noqa: B023
            "the request is written",
        )
    log.close()

    assert len(files(tmp_path)) == 3
    assert len(logs(tmp_path)) == 3


def test_an_old_file_ends_without_another_request(tmp_path, told, clock):
    log = log_to(tmp_path, told, clock, limits=Limits(2**20, 60, 2**30))
    log.observe([asked()])
    wait_until(lambda: files(tmp_path, ".part"), "the file is begun")
    assert files(tmp_path) == []

    clock.now_s += 61
    wait_until(lambda: files(tmp_path), "the file is ended")
    log.close()


def test_all_files_together_are_bounded(tmp_path, told, clock):
    log = log_to(tmp_path, told, clock, limits=Limits(300, 3600, 1500))
    for number in range(30):
        log.observe([asked(6, 90, number)])
        wait_until(
            lambda: told.counts["housing", "written"] == number + 1,  # noqa: B023
            "the request is written",
        )
        clock.now_s += 1
    log.close()

    assert sum(it.stat().st_size for it in tmp_path.iterdir()) <= 1500
    kept = [row_of(it)[2] for it in logs(tmp_path)]
    assert 0 not in kept
    assert 29 in kept


def test_what_a_dead_worker_left_is_completed(tmp_path, told, clock):
    left = tmp_path / "housing-20260101T000000Z-1-1.tfrecord.part"
    left.write_bytes(framed([b""]))
    log = log_to(tmp_path, told, clock)
    log.observe([asked()])
    log.close()

    assert left.with_suffix("").exists()
    assert len(logs(tmp_path)) == 2


class Stuck(TFRecord):
    """A form whose disk takes its time."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def create(self, descriptor, entry):
        self.go_on.wait(30)
        return super().create(descriptor, entry)


def test_a_slow_disk_costs_requests_of_the_log_and_no_answer(tmp_path, told, clock):
    form = Stuck()
    log = log_to(tmp_path, told, clock, form=form)
    log.observe([asked()])
    wait_until(lambda: files(tmp_path, ".part"), "the writer waits for the disk")
    for _ in range(5):
        log.observe([asked() for _ in range(1000)])

    assert told.counts == {("housing", "dropped"): 5000 - 4096}
    form.go_on.set()
    log.close()
    assert told.counts["housing", "written"] == 4097


class Full(TFRecord):
    """A form whose disk is full until it is not."""

    full = True

    def create(self, descriptor, entry):
        made = super().create(descriptor, entry)
        if self.full:
            made.write = self._fail
        return made

    def _fail(self, _entries):
        raise OSError(28, "No space left on device")


def test_a_full_disk_stops_the_log_for_a_minute(tmp_path, told, clock, caplog):
    form = Full()
    log = log_to(tmp_path, told, clock, form=form)
    log.observe([asked()])
    wait_until(lambda: told.counts["housing", "failed"] == 1, "the first fails")
    form.full = False
    log.observe([asked()])
    wait_until(lambda: told.counts["housing", "failed"] == 2, "the second is not tried")
    assert caplog.text.count("No space left on device") == 1

    clock.now_s += 61
    log.observe([asked()])
    log.close()
    assert told.counts["housing", "written"] == 1
    assert len(logs(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_fails_no_request(tmp_path, told, clock):
    (tmp_path / "file").write_text("")
    log = log_to(tmp_path / "file", told, clock)
    log.observe([asked()])
    log.close()

    assert told.counts == {("housing", "failed"): 1}


def test_parquet_has_a_row_a_row_and_no_column_that_is_left_out(tmp_path, told, clock):
    import pyarrow.parquet

    from service.monitoring.parquet import Parquet

    target = Target(PARQUET, tmp_path / "housing", 1.0)
    log = RequestLog(lambda _: target, {PARQUET: Parquet(("AGE",))}, WIDE, told, clock)
    log.observe([asked(6, 90, 20, number=1), asked(7, 40, 5, number=2)])
    log.close()

    (file,) = files(tmp_path, ".parquet")
    table = pyarrow.parquet.read_table(file).to_pylist()
    assert [it["_request_id"] for it in table] == ["id-1", "id-2"]
    assert [(it["RM"], it["LSTAT"], it["price"]) for it in table] == [(6, 20, 116), (7, 5, 52)]
    assert "AGE" not in table[0]
    assert table[0]["_time"].timestamp() == 1_800_000_000
    assert {(it["_model"], it["_version"], it["_row"]) for it in table} == {("housing", 1, 0)}


def test_checksums_side_by_side_are_those_of_each():
    random = np.random.default_rng(3)
    records = [random.bytes(size) for size in (*[40] * 50, 0, 1, *[7] * 20)]

    assert masked_crcs(records) == [masked_crc(it) for it in records]
    assert list(read_records(framed(records))) == records
