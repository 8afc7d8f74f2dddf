"""Explanations of a trained version: as ``shap`` computes them, by every executor and signature."""

from __future__ import annotations

import json
import shutil
import warnings

import numpy as np
import pandas as pd
import pytest

from service.contract import BACKGROUND
from service.repository.loading import load_version
from tests.servers import ROOT, running_service, wait_until

NAMES = ["RM", "AGE", "LSTAT"]
COUNTED = (
    'hearth_requests_total{model="housing",outcome="ok",protocol="tensorflow_serving",'
    'route="explain",version="1"} 4.0'
)


@pytest.fixture(scope="module")
def folder(housing_models):
    return housing_models / "housing" / "1"


@pytest.fixture(scope="module")
def version(folder):
    return load_version("housing", 1, folder, "auto")


@pytest.fixture(scope="module")
def tracts():
    """Six tracts, far apart in the table: float32 ``[6, 3]``."""
    table = pd.read_csv(ROOT / "data" / "boston_housing.csv")
    return table[NAMES].to_numpy(np.float32)[::100]


@pytest.fixture(scope="module")
def shap():
    """The package, whose own imports warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import shap

        yield shap


@pytest.fixture(scope="module")
def expected(shap, folder, tracts):
    """What KernelExplainer finds: it solves a weighted regression over all coalitions."""
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(folder / "model.tflite")).get_signature_runner("serving_default")

    def model(rows):
        return runner(features=np.asarray(rows, np.float32))["price"].astype(np.float64)

    rows = json.loads((folder / BACKGROUND).read_bytes())["instances"]
    explainer = shap.KernelExplainer(model, np.array(rows, np.float32))
    return explainer.shap_values(tracts, silent=True, nsamples=2**3), explainer.expected_value


@pytest.mark.filterwarnings("ignore")
def test_the_values_are_those_of_shap(version, tracts, expected):
    values, base = expected

    explained = version.explain("serving_default", {"features": tracts})

    for row, explanation in enumerate(explained):
        assert explanation.base == pytest.approx(base, abs=1e-4)
        assert list(explanation.contributions.values()) == pytest.approx(values[row], abs=1e-4)


def test_contributions_and_base_are_the_price_to_rounding(version, tracts):
    prices = version.predict("serving_default", {"features": tracts})["price"]

    explained = version.explain("serving_default", {"features": tracts})

    for explanation, price in zip(explained, prices, strict=True):
        assert explanation.price == pytest.approx(float(price), abs=1e-5)
        total = explanation.base + sum(explanation.contributions.values())
        assert total == pytest.approx(explanation.price, abs=5e-6)


def test_a_signature_of_one_input_a_feature_gives_the_same(version, tracts):
    columns = {name: tracts[:, place].copy() for place, name in enumerate(NAMES)}

    by_name = version.explain("named", columns)

    by_row = version.explain("serving_default", {"features": tracts})
    for one, other in zip(by_name, by_row, strict=True):
        assert one.contributions == pytest.approx(other.contributions, abs=1e-4)


def test_tensorflow_gives_the_same(folder, version, tracts):
    served = load_version("housing", 1, folder, "tensorflow")

    by_tensorflow = served.explain("serving_default", {"features": tracts})

    by_litert = version.explain("serving_default", {"features": tracts})
    for one, other in zip(by_tensorflow, by_litert, strict=True):
        assert one.contributions == pytest.approx(other.contributions, abs=1e-3)


def test_every_worker_and_lane_gives_the_same(housing_models, version, tracts):
    """Small requests come by the fast lane, and go to a thread from there."""
    (explanation,) = version.explain("serving_default", {"features": tracts[:1]})
    with running_service(housing_models, workers=2) as service:
        answers = [
            service.post("/v1/models/housing:explain", {"instances": tracts[:1].tolist()}).json()
            for _ in range(4)
        ]
        wait_until(lambda: COUNTED in service.get("/metrics").text, "four explanations counted")

    for answer in answers:
        (told,) = answer["explanations"]
        assert told["contributions"] == pytest.approx(explanation.contributions, abs=1e-4)
        assert answer["predictions"] == [told["price"]]


def test_partial_dependence_is_the_mean_of_what_is_predicted(folder, version):
    rows = np.array(json.loads((folder / BACKGROUND).read_bytes())["instances"], np.float32)

    found = version.explainer("serving_default").dependence["LSTAT"]

    assert set(found.deciles) <= set(found.grid)
    for value, price in zip(found.grid[::7], found.price[::7], strict=True):
        changed = rows.copy()
        changed[:, 2] = value
        prices = version.predict("serving_default", {"features": changed})["price"]
        assert price == pytest.approx(prices.mean(), abs=1e-4)
    assert np.array(found.lines).shape == (5, len(found.grid))


def test_a_version_without_background_rows_is_served_and_says_what_is_missing(
    housing_models, tmp_path
):
    models = tmp_path / "models"
    shutil.copytree(housing_models, models)
    version = models / "housing" / "1"
    (version / BACKGROUND).unlink()
    described = json.loads((version / "assets.extra/contract.json").read_bytes())
    del described["files"][BACKGROUND]
    (version / "assets.extra/contract.json").write_text(json.dumps(described))

    with running_service(models) as service:
        priced = service.post("/v1/models/housing:predict", {"instances": [[6.1, 90, 18]]})
        refused = service.post("/v1/models/housing:explain", {"instances": [[6.1, 90, 18]]})
        dependence = service.get("/v1/models/housing/partial_dependence")

    assert (priced.status, refused.status, dependence.status) == (200, 404, 404)
    assert refused.json()["error"] == (
        "version 1 of housing cannot be explained: it has no assets.extra/background.json, the "
        "training rows to compare with; train it anew"
    )
