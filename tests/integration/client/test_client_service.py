"""The seam between client and service: the wire, with a trained model behind it."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from client import Client, InvalidRequest, NotFound
from client.__main__ import main
from tests.servers import ROOT, running_service, wait_until

TOLERANCE = 1e-3  # thousand USD


@pytest.fixture(scope="module")
def models(housing_models, tmp_path_factory):
    """A folder of our own, to which versions may be added."""
    return shutil.copytree(housing_models, tmp_path_factory.mktemp("seam") / "models")


@pytest.fixture(scope="module")
def golden(models):
    """Rows and what Keras, not the service, gave for them."""
    found = json.loads((models / "housing" / "1" / "assets.extra" / "golden.json").read_text())
    return np.array(found["instances"]), np.array(found["predictions"])


@pytest.fixture(scope="module")
def url(models):
    with running_service(models) as service:
        yield service.url


@pytest.fixture(scope="module")
def hearth(url):
    with Client(url, chunk_rows=5) as client:
        yield client


def test_every_form_of_a_house_has_the_price_that_keras_gave(hearth, golden):
    rows, prices = golden
    names = hearth.contract().feature_names
    table = pd.DataFrame(rows, columns=names)
    named = table.to_dict("records")
    in_other_order = table[[*reversed(names)]]
    assert hearth.predict(named[0]) == pytest.approx(prices[0], abs=TOLERANCE)
    np.testing.assert_allclose(hearth.predict(rows), prices, atol=TOLERANCE)
    np.testing.assert_allclose(hearth.predict(named), prices, atol=TOLERANCE)
    np.testing.assert_allclose(hearth.predict(in_other_order)["price"], prices, atol=TOLERANCE)


def test_what_the_service_says_of_a_model_is_what_its_folder_says(hearth, models):
    written = json.loads((models / "housing" / "1" / "assets.extra" / "contract.json").read_text())
    assert hearth.contract().document == written
    assert hearth.contract().target.unit == "thousand USD"
    assert hearth.models() == ["housing"]
    assert [(it.version, it.state, it.error) for it in hearth.status()] == [(1, "AVAILABLE", "")]
    assert hearth.ready()
    assert hearth.pinned().version == 1


def test_a_refusal_of_the_service_names_the_row_of_the_caller(hearth, golden):
    rows = np.concatenate([golden[0]] * 2)
    rows[12, 0] = 51
    with pytest.raises(InvalidRequest, match=r"instances\[12\].RM is 51 rooms") as caught:
        hearth.predict(rows)
    assert (caught.value.row, caught.value.status) == (12, 400)
    assert caught.value.request_id


def test_an_unknown_model_or_version_is_not_found(url):
    for chosen in (Client(url, "castle"), Client(url, version=9)):
        with chosen as client:
            for question in (client.contract, client.metadata, lambda: client.predict([6, 3, 10])):
                with pytest.raises(NotFound):
                    question()


def test_the_command_line_prices_the_whole_data_set(url, tmp_path, capsys):
    data, output = ROOT / "data" / "boston_housing.csv", tmp_path / "priced.csv"
    assert main(["predict", str(data), "-o", str(output)], {"HEARTH_URL": url}) == 0
    assert capsys.readouterr().err.endswith("506 rows priced by version 1\n")
    priced = pd.read_csv(output)
    # The recipe's error on all rows; predicting the mean has 6.6.
    assert (priced["price"] - priced["MEDV"]).abs().mean() < 4.5


def test_a_table_is_priced_by_the_new_version_once_that_is_there(url, models, golden):
    """Runs last: version 1 goes."""
    table = pd.DataFrame(golden[0], columns=["RM", "AGE", "LSTAT"])
    with Client(url) as client:
        client.predict(table)
        staged = shutil.copytree(models / "housing" / "1", models / "staged")
        staged.rename(models / "housing" / "2")
        wait_until(lambda: client.pinned().version == 2, "version 2")
        np.testing.assert_allclose(client.predict(table)["price"], golden[1], atol=TOLERANCE)
