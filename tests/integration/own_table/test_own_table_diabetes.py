"""Diabetes: a second real table, with a sex that is written as a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.datasets import load_diabetes

from service import contract as contracts
from tests.conftest import train
from tests.servers import running_service

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from service.contract import Contract

TARGET = "target"
TEST = 89  # the fifth of 442 rows


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """The patients as they were measured; what is 0 in no row is never below 0."""
    return load_diabetes(as_frame=True, scaled=False).frame


@pytest.fixture(scope="module")
def models(table, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("diabetes")
    data = folder / "diabetes.csv.gz"
    table.to_csv(data, sep=";", index=False)
    (folder / "diabetes.columns.toml").write_text('[sex]\nkind = "category"\n')
    line = ["--data", data, "--target", TARGET, "--models", folder / "models"]
    line += ["--epochs", 30, "--coverage_splits", 0]
    (folder / "said").write_text(train([str(it) for it in line]))
    return folder / "models"


@pytest.fixture(scope="module")
def described(models: Path) -> Contract:
    found = contracts.read(models / "diabetes" / "1")
    assert found is not None
    return found


def test_every_column_is_read_and_described(table, described):
    features = {it.name: it for it in described.features}

    assert [*features, described.target.name] == list(table.columns)
    assert {name for name, it in features.items() if it.is_category} == {"sex"}
    assert set(features["sex"].categories) == {"1", "2"}
    assert not any(it.is_optional for it in features.values())
    assert features["bmi"].minimum == 0
    assert features["bmi"].maximum > table["bmi"].max()


def test_model_is_about_as_good_as_least_squares(table, described):
    order = np.arange(len(table))
    np.random.RandomState(113).shuffle(order)
    rows = table.to_numpy(np.float64)[order]
    design = np.column_stack([rows[:, :-1], np.ones(len(rows))])
    plane, *_ = np.linalg.lstsq(design[:-TEST], rows[:-TEST, -1], rcond=None)
    usual = np.abs(design[-TEST:] @ plane - rows[-TEST:, -1]).mean()
    mean = np.abs(rows[:-TEST, -1].mean() - rows[-TEST:, -1]).mean()
    test = described.metrics["test"]

    assert test["mean"]["mae"] == pytest.approx(mean, rel=1e-6)
    assert test["network"]["mae"] < usual * 1.1
    assert usual < mean * 0.8


def test_category_written_as_a_number_is_asked_for_as_number_or_text(table, models):
    patient = table.iloc[0].drop(TARGET).to_dict()
    with running_service(models, name="diabetes") as server:
        ways = [patient | {"sex": it} for it in (2, 2.0, "2", 1)]
        answer = server.post("/v1/models/diabetes:predict", {"instances": ways})
        reasons = server.post("/v1/models/diabetes:explain", {"instances": ways[2:]}).json()

    assert answer.status == 200, answer.text
    number, real, text, other = answer.json()["predictions"]
    assert number == real == text != other
    assert reasons["predictions"] == pytest.approx([text, other])
    assert [it["outside"] for it in reasons["explanations"]] == [[], []]
