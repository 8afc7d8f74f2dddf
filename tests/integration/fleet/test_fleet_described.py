"""Networks that were trained elsewhere: described by a command, served with names and intervals."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from service import contract as contracts
from service.settings import REMOTE_PROTOCOLS
from tests.integration.fleet.triton import running_triton
from tests.models import tensorflow
from tests.servers import ROOT, START_S, running_service, wait_until
from training import commands

if TYPE_CHECKING:
    from pathlib import Path

DATA = ROOT / "data" / "boston_housing.csv"
FEATURES = ("RM", "AGE", "LSTAT")
HOUSE = dict(zip(FEATURES, (6.142, 91.7, 18.72), strict=True))
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return pd.read_csv(DATA)


@pytest.fixture(scope="module")
def weights(table) -> np.ndarray:
    """Least squares of the price on the features; the constant last."""
    ones = np.ones((len(table), 1))
    known = np.hstack([table[[*FEATURES]].to_numpy(np.float64), ones])
    return np.linalg.lstsq(known, table["MEDV"].to_numpy(np.float64), rcond=None)[0]


def price(weights, house) -> float:
    return float(np.dot(weights, [*(house[it] for it in FEATURES), 1.0]))


def of_one_input(folder: Path, weights) -> None:
    """A Keras network as its author exports it: a batch to a column."""
    import keras

    tensorflow()
    dense = keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((3,), name="houses"), dense])
    dense.set_weights([weights[:3, None].astype(np.float32), weights[3:].astype(np.float32)])
    model.export(str(folder), verbose=False)


def of_named_inputs(folder: Path, weights) -> None:
    """The same of an input a column."""
    import keras

    tensorflow()
    inputs = {it: keras.Input((1,), name=it) for it in FEATURES}
    dense = keras.layers.Dense(1)
    model = keras.Model(inputs, dense(keras.layers.Concatenate()(list(inputs.values()))))
    dense.set_weights([weights[:3, None].astype(np.float32), weights[3:].astype(np.float32)])
    model.export(str(folder), verbose=False)


def describe(*arguments: object) -> str:
    """Run the command; gives what it said."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert commands.main(["describe", *map(str, arguments)]) == 0
    return said.getvalue()


def describe_apart(*arguments: object) -> str:
    """The same as a user does, in a process of its own."""
    command = [sys.executable, "-m", "training", "describe", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def models(weights, tmp_path_factory) -> Path:
    """``one``, ``named`` and ``bare``: the network of a batch, that of columns, undescribed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    of_one_input(folder / "one" / "1", weights)
    of_one_input(folder / "bare" / "1", weights)
    of_named_inputs(folder / "named" / "1", weights)
    return folder


@pytest.fixture(scope="module")
def said(models) -> dict[str, str]:
    """What the command said of each network that it described."""
    given = ["--table", DATA, "--target", "MEDV"]
    features = f"--features={','.join(FEATURES)}"
    return {
        "one": describe_apart(models / "one" / "1", *given, features),
        "named": describe(models / "named" / "1", *given),
    }


@pytest.fixture(scope="module", params=[("one", "auto"), ("named", "tensorflow")])
def served(request, models, said):
    """Each of the networks, served by itself: by LiteRT, and by TensorFlow."""
    assert said
    name, executor = request.param
    with running_service(models, name=name, executor=executor) as service:
        yield service, f"/v1/models/{name}"


def test_the_command_says_how_far_the_network_errs(said, table, weights):
    errors = [abs(price(weights, row) - row["MEDV"]) for row in table.to_dict("records")]
    for text in said.values():
        assert f"On 506 rows its MAE is {np.mean(errors):.4g}" in text
        assert "90% intervals hold" in text
        assert "reads RM, AGE, LSTAT" in text


def test_houses_go_by_name_and_prices_are_numbers(served, weights):
    service, path = served
    answer = service.post(f"{path}:predict", {"instances": [HOUSE, HOUSE]}).json()

    assert answer["predictions"] == pytest.approx([price(weights, HOUSE)] * 2, rel=1e-5)


def test_what_makes_no_sense_is_refused(served):
    service, path = served
    refused = service.post(f"{path}:predict", {"instances": [HOUSE | {"RM": 60}]})

    assert refused.status == 400
    assert "instances[0].RM is 60, outside" in refused.text


def test_intervals_hold_about_as_often_as_they_say(served, table):
    service, path = served
    rows = table[[*FEATURES]].to_dict("records")
    given = service.post(f"{path}:predict", {"instances": rows, "level": 0.9}).json()
    inside = [
        it["lower"] <= truth <= it["upper"]
        for it, truth in zip(given["predictions"], table["MEDV"], strict=True)
    ]

    # 253 rows made them: the share of others has a standard deviation of about 0.03.
    assert 0.8 <= np.mean(inside) <= 0.98


def test_explanations_and_the_contract_are_there(served):
    service, path = served
    explained = service.post(f"{path}:explain", {"instances": [HOUSE]})

    assert explained.status == 200, explained.text
    assert service.get(f"{path}/contract").json()["target"]["name"] == "MEDV"
    assert service.get("/").status == 200


def test_a_network_that_changes_later_is_refused(models, said, weights, tmp_path):
    assert said
    changed = tmp_path / "one"
    shutil.copytree(models / "one", changed)
    of_one_input(tmp_path / "other", weights * 1.01)
    for name in ("variables/variables.data-00000-of-00001", "variables/variables.index"):
        shutil.copy(tmp_path / "other" / name, changed / "1" / name)
    told = json.loads((changed / "1" / contracts.CONTRACT).read_text())
    told["files"] = contracts.checksums(changed / "1")
    (changed / "1" / contracts.CONTRACT).write_text(json.dumps(told))
    with running_service(tmp_path, name="one", executor="tensorflow", until="/livez") as service:
        wait_until(lambda: "golden row" in service.get("/readyz").text, "it says why", START_S)

        assert service.get("/readyz").status == 503


@pytest.fixture(scope="module")
def bare(models):
    """A server behind, of a network that nothing describes."""
    with running_service(models, name="bare", executor="tensorflow") as server:
        yield server


@pytest.mark.parametrize("protocol", REMOTE_PROTOCOLS)
def test_a_network_behind_is_described_and_served_likewise(bare, weights, tmp_path, protocol):
    with running_service(
        tmp_path, name="bare", remote_servers=bare.grpc, remote_protocol=protocol
    ) as front:
        path = "/v1/models/bare:predict"
        unknown = front.post(path, {"instances": [HOUSE]})
        text = describe(
            bare.grpc, "--name=bare", "--models", tmp_path, "--table", DATA, "--target=MEDV",
            f"--features={','.join(FEATURES)}", f"--remote_protocol={protocol}",
        )  # fmt: skip
        wait_until(lambda: front.post(path, {"instances": [HOUSE]}).status == 200, "it is seen")
        plain = front.post(path, {"instances": [HOUSE]}).json()["predictions"]
        ranged = front.post(path, {"instances": [HOUSE], "level": 0.8}).json()["predictions"]
        refused = front.post(path, {"instances": [HOUSE | {"RM": -60}]})
    (bounded,) = ranged
    assert unknown.status == 400
    assert str(tmp_path / "bare" / "1" / contracts.CONTRACT) in text
    assert plain == pytest.approx([price(weights, HOUSE)], rel=1e-5)
    assert bounded["lower"] < plain[0] < bounded["upper"]
    assert refused.status == 400


def test_a_network_of_triton_is_described_without_a_target(tmp_path):
    rows = pd.DataFrame(np.random.default_rng(1).uniform(0, 9, (60, 3)), columns=["a", "b", "c"])
    rows.to_csv(tmp_path / "rows.csv", index=False)
    with running_triton() as (_, address):
        text = describe(
            address, "--name=weighted", "--models", tmp_path, "--table", tmp_path / "rows.csv",
            "--remote_protocol=open_inference",
        )  # fmt: skip
        with running_service(
            tmp_path, name="weighted", remote_servers=address, remote_protocol="open_inference"
        ) as front:
            row = {"c": 3, "b": 2, "a": 1}
            answer = front.post("/v1/models/weighted:predict", {"instances": [row]})
            levelled = front.post("/v1/models/weighted:predict", {"instances": [row], "level": 0.9})
    assert "without --target it is not known how far it errs" in text
    assert answer.json() == {"predictions": [321.0]}
    assert "gives no intervals" in levelled.text
