"""From a folder to a version that may be served, and the two executors beside each other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from service import contract as contracts
from service.contract import CONTRACT, GOLDEN, LITERT_MODEL, SAVED_MODEL
from service.errors import InvalidRequest, VersionRefused
from service.repository.loading import load_version
from tests.servers import ROOT

NAMES = ["RM", "AGE", "LSTAT"]
SIGNATURES = {
    "serving_default", "named", "interval", "interval_80", "interval_90", "interval_95",
}  # fmt: skip


@pytest.fixture(scope="module")
def tracts():
    """The 102 test tracts of Keras's split: float32 ``[102, 3]``."""
    table = pd.read_csv(ROOT / "data" / "boston_housing.csv")
    order = np.arange(len(table))
    np.random.RandomState(113).shuffle(order)
    return table[NAMES].to_numpy(np.float32)[order[404:]]


@pytest.fixture(scope="module")
def litert(housing_models):
    return load_version("housing", 1, housing_models / "housing" / "1", "auto")


@pytest.fixture
def folder(models):
    return models / "housing" / "1"


def reseal(folder, **changes):
    """Change the contract, and let its checksums be true of the files as they are."""
    described = contracts.read(folder)
    golden = contracts.read_golden(folder)
    changed = contracts.msgspec.structs.replace(described, **changes)
    contracts.write(folder, changed, golden)


def refusal(folder, executor="auto") -> str:
    with pytest.raises(VersionRefused) as refused:
        load_version("housing", 1, folder, executor)
    return refused.value.message


def test_litert_is_taken_where_its_file_is(litert):
    assert litert.executor.name == "litert"
    assert set(litert.executor.signatures) == SIGNATURES


def test_both_executors_agree_on_the_test_rows_for_both_signatures(litert, housing_models, tracts):
    tensorflow = load_version("housing", 1, housing_models / "housing" / "1", "tensorflow")
    named = {name: tracts[:, index] for index, name in enumerate(NAMES)}
    assert tensorflow.executor.name == "tensorflow"
    assert len(tracts) == 102

    for signature, inputs in [("serving_default", {"features": tracts}), ("named", named)]:
        ours = litert.predict(signature, inputs)["price"]
        theirs = tensorflow.predict(signature, inputs)["price"]
        assert ours.shape == theirs.shape == (102,)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    with pytest.raises(InvalidRequest):
        tensorflow.executor.run("serving_default", {"features": tracts[:, :2]})


def test_a_batch_gives_what_its_rows_give(litert, tracts):
    batch = litert.predict("serving_default", {"features": tracts})["price"]
    rows = [litert.predict("serving_default", {"features": row[None]})["price"] for row in tracts]

    np.testing.assert_allclose(batch, np.concatenate(rows), rtol=1e-5)


def test_an_answer_is_not_changed_by_the_next_one(litert, tracts):
    first = litert.predict("serving_default", {"features": tracts[:1]})["price"]
    kept = first.copy()
    litert.predict("serving_default", {"features": tracts[1:2]})

    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("shape", [(), (3,), (1, 1, 3), (2, 2), (3, 4), (1, 6)])
def test_litert_refuses_a_shape_that_it_would_misread(litert, shape):
    with pytest.raises(InvalidRequest) as refused:
        litert.executor.run("serving_default", {"features": np.ones(shape, np.float32)})

    assert refused.value.message == f"features has shape {list(shape)}, expected [n, 3]"
    assert litert.executor.run("serving_default", {"features": np.ones((1, 3), np.float32)})


def test_litert_refuses_columns_of_different_lengths_and_goes_on(litert):
    columns = {name: np.ones(2, np.float32) for name in NAMES}
    with pytest.raises(InvalidRequest, match="the model cannot take this input"):
        litert.executor.run("named", {**columns, "RM": np.ones(1, np.float32)})

    assert litert.executor.run("named", columns)["price"].shape == (2,)


def test_a_version_without_contract_is_served_without_checks(folder, tracts):
    (folder / CONTRACT).unlink()
    (folder / GOLDEN).unlink()
    version = load_version("housing", 1, folder, "auto")

    assert version.contract is None
    assert version.predict("serving_default", {"features": tracts})["price"].shape == (102,)


def test_a_version_of_litert_alone_lists_its_own_signatures(folder):
    (folder / SAVED_MODEL).unlink()
    shutil.rmtree(folder / "variables")
    reseal(folder)

    assert set(load_version("housing", 1, folder, "auto").signatures) == SIGNATURES


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("name", [LITERT_MODEL, SAVED_MODEL, GOLDEN, "variables/variables.index"])
@pytest.mark.parametrize("damage", [flip_a_byte, truncate])
def test_a_damaged_file_is_refused_by_its_hash(folder, name, damage):
    damage(folder / name)

    assert refusal(folder).startswith(f"{name} has SHA-256 ")


@pytest.mark.parametrize("name", [LITERT_MODEL, SAVED_MODEL, GOLDEN])
def test_a_missing_file_is_refused_by_name(folder, name):
    (folder / name).unlink()

    assert refusal(folder) == f"{name} is missing"


def test_golden_rows_that_were_never_there_are_missed(folder):
    described = contracts.read(folder)
    (folder / GOLDEN).unlink()
    files = {name: it for name, it in described.files.items() if name != GOLDEN}
    changed = contracts.msgspec.structs.replace(described, files=files)
    (folder / CONTRACT).write_bytes(contracts.msgspec.json.encode(changed))

    assert refusal(folder) == f"{GOLDEN} is missing"


def test_a_network_that_gives_other_prices_is_refused_with_the_first_row(folder):
    golden = contracts.read_golden(folder)
    expected = golden.predictions[1]
    wrong = (golden.predictions[0], expected + 1, *golden.predictions[2:])
    contracts.write(folder, contracts.read(folder), contracts.Golden(golden.instances, wrong))

    message = refusal(folder)
    assert message.startswith("golden row 1 gives ")
    assert f"expected {expected + 1:.6g} within" in message


def test_a_signature_that_gives_other_bounds_is_refused_with_the_first_row(folder):
    golden = contracts.read_golden(folder)
    (first, *rest) = golden.bounds["interval_95"]
    bounds = {**golden.bounds, "interval_95": (first, (rest[0][0], rest[0][1] + 1), *rest[1:])}
    wrong = contracts.Golden(golden.instances, golden.predictions, bounds)
    contracts.write(folder, contracts.read(folder), wrong)

    message = refusal(folder)
    assert message.startswith("golden row 1 gives ")
    assert f" as upper of interval_95, expected {rest[0][1] + 1:.6g} within" in message


def test_a_signature_of_golden_bounds_that_is_not_there_is_refused(folder):
    golden = contracts.read_golden(folder)
    bounds = {"interval_50": golden.bounds["interval"]}
    contracts.write(
        folder,
        contracts.read(folder),
        contracts.Golden(golden.instances, golden.predictions, bounds),
    )

    assert refusal(folder).startswith("the golden rows of interval_50 cannot be run: ")


def test_a_version_from_before_the_intervals_is_served(folder):
    golden = contracts.read_golden(folder)
    described = contracts.msgspec.structs.replace(contracts.read(folder), intervals=None)
    contracts.write(folder, described, contracts.Golden(golden.instances, golden.predictions))
    for path in (CONTRACT, GOLDEN):
        document = contracts.msgspec.json.decode((folder / path).read_bytes())
        document.pop("intervals", None)
        document.pop("bounds", None)
        (folder / path).write_bytes(contracts.msgspec.json.encode(document))
    described = contracts.msgspec.structs.replace(described, files=contracts.checksums(folder))
    (folder / CONTRACT).write_bytes(contracts.msgspec.json.encode(described))

    assert load_version("housing", 1, folder, "auto").contract.intervals is None


def test_golden_rows_of_another_width_are_refused(folder):
    golden = contracts.read_golden(folder)
    narrow = contracts.Golden(tuple(row[:2] for row in golden.instances), golden.predictions)
    contracts.write(folder, contracts.read(folder), narrow)

    assert "expected [n, 3] (RM, AGE, LSTAT)" in refusal(folder)


def test_an_output_that_the_contract_names_and_the_network_lacks_is_refused(folder):
    reseal(folder, output="rent")

    assert "expected rent" in refusal(folder)


def test_a_contract_of_a_later_format_is_refused_as_such(folder):
    (folder / CONTRACT).write_text('{"format": 99}')

    assert "has format 99, known up to 1" in refusal(folder)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\x00\x00\x00TFL3" + b"\xff" * 64])
def test_what_is_no_litert_model_is_refused_as_such(tmp_path, content):
    (tmp_path / LITERT_MODEL).write_bytes(content)

    assert refusal(tmp_path).startswith("model.tflite ")


@pytest.mark.parametrize("content", [b"", b"rubbish"])
def test_what_is_no_saved_model_is_refused_as_such(tmp_path, content):
    (tmp_path / SAVED_MODEL).write_bytes(content)

    assert refusal(tmp_path).startswith("saved_model.pb ")


def test_a_folder_without_a_model_is_refused_as_such(tmp_path):
    (tmp_path / "readme.txt").write_text("soon")

    assert refusal(tmp_path) == "there is neither model.tflite nor saved_model.pb"
    assert refusal(tmp_path, "litert") == "model.tflite is missing"
    assert refusal(tmp_path, "tensorflow") == "saved_model.pb is missing"


WITHOUT_TENSORFLOW = """
import sys
from pathlib import Path
import service.messages
assert "tensorflow" not in sys.modules, "the name is not free again"
from service.repository.loading import load_version
import numpy as np
version = load_version("housing", 1, Path(sys.argv[1]), "auto")
price = version.predict("serving_default", {"features": np.array([[6, 50, 10]], np.float32)})
runtime = [it for it in sys.modules if it.startswith("tensorflow.python")]
assert not runtime, runtime[:3]
assert "tensorflow" not in sys.modules
assert "keras" not in sys.modules
"""
AND_THEN_WITH_IT = """
import tensorflow
assert tensorflow.add(1, 2).numpy() == 3
other = load_version("housing", 1, Path(sys.argv[1]), "tensorflow")
again = other.predict("serving_default", {"features": np.array([[6, 50, 10]], np.float32)})
assert abs(again["price"][0] - price["price"][0]) < 1e-3
from tensorflow.core.framework import tensor_pb2
assert tensor_pb2 is service.messages.tensor_pb2
"""


def run(code, folder):
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_litert_model_is_loaded_and_run_without_tensorflow(housing_models):
    done = run(WITHOUT_TENSORFLOW, housing_models / "housing" / "1")

    assert done.returncode == 0, done.stderr


def test_tensorflow_can_be_imported_after_its_messages_and_works(housing_models):
    done = run(WITHOUT_TENSORFLOW + AND_THEN_WITH_IT, housing_models / "housing" / "1")

    assert done.returncode == 0, done.stderr


def test_the_contract_on_disk_is_plain_json(housing_models):
    described = json.loads((housing_models / "housing" / "1" / CONTRACT).read_bytes())

    assert [it["name"] for it in described["features"]] == NAMES
