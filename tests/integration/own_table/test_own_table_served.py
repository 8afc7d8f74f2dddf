"""Penguins: a real table with categories, missing values and odd names, trained and served."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import grpc
import numpy as np
import pandas as pd
import pytest

from client import Client
from service import contract as contracts
from service.messages import example_pb2
from tests.penguins import DATA, FEATURES, TARGET, line
from tests.servers import ROOT, running_service

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Server

INPUTS = ("Species", "Flipper_Length_mm", "Sex", "Delta_15_N_o_oo")
GENTOO = "Gentoo penguin (Pygoscelis papua)"
BIRD = dict(zip(FEATURES, (GENTOO, 211.0, "FEMALE", 8.2), strict=True))
NEW = {"Species": "Emperor penguin"}
PREDICT = "/v1/models/penguins:predict"


@pytest.fixture(scope="module")
def models(penguin_models: Path) -> Path:
    return penguin_models


@pytest.fixture(scope="module")
def version(models: Path) -> Path:
    return models / "penguins" / "1"


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Server]:
    with running_service(models, name="penguins", executor="litert") as running:
        yield running


def saved_model(version: Path, signature: str, **inputs: object) -> np.ndarray:
    """What TensorFlow itself answers, from the graph alone."""
    import tensorflow as tf

    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    answer = tf.saved_model.load(str(version)).signatures[signature](**tensors)
    return next(iter(answer.values())).numpy()


def named(**changes: object) -> dict[str, object]:
    """The bird as the inputs of ``named``, with some values changed."""
    row = {name: [BIRD[feature]] for name, feature in zip(INPUTS, FEATURES, strict=True)}
    return row | {name: [value] for name, value in changes.items()}


def asked(server: Server, *rows: object, **more: object) -> list[float]:
    answer = server.post(PREDICT, {"instances": list(rows), **more})
    assert answer.status == 200, answer.text
    return answer.json()["predictions"]


def refused(server: Server, *rows: object) -> str:
    answer = server.post(PREDICT, {"instances": list(rows)})
    assert answer.status == 400, answer.text
    return answer.json()["error"]


def test_the_run_shows_what_it_found_and_speaks_of_no_tracts(models):
    said = (models / "said").read_text()

    assert "Species" in said
    assert "a category of its own" in said
    assert "2 rows are left out" in said
    assert "on the test rows" in said
    assert not {"tracts", "thousand", "USD"} & set(said.split())


def test_the_report_speaks_of_this_table(version):
    page = (version / "assets.extra/report/index.html").read_text()

    assert not re.search(r"\b(tracts?|census|thousand USD)\b", page)
    assert GENTOO in page
    assert f"correlation with {TARGET}" in page


def test_contract_says_kinds_categories_and_what_becomes_of_missing_values(version):
    found = contracts.read(version)
    assert found is not None
    species, flipper, sex, delta = found.features

    assert (species.kind, species.missing) == ("category", "refused")
    assert set(species.categories) == set(pd.read_csv(DATA)["Species"])
    assert (flipper.kind, flipper.is_optional) == ("number", False)
    assert (sex.kind, sex.is_optional) == ("category", True)
    assert delta.missing.startswith("the median 8.")
    assert (found.target.name, found.input_names) == (TARGET, INPUTS)


def test_model_is_better_than_the_mean_of_each_species(version):
    """By body mass within species: what anyone knows without measuring a bird."""
    table = pd.read_csv(DATA).dropna(subset=[TARGET])
    order = np.arange(len(table))
    np.random.RandomState(113).shuffle(order)
    train, test = table.iloc[order[:273]], table.iloc[order[273:]]
    usual = test["Species"].map(train.groupby("Species")[TARGET].mean())
    found = contracts.read(version)
    assert found is not None

    assert found.metrics["test"]["network"]["mae"] < (usual - test[TARGET]).abs().mean()


def test_row_by_names_is_answered_as_the_graph_answers_strings(server, version):
    # The graph looks the strings up itself; the service gives the codes to LiteRT.
    (expected,) = saved_model(version, "named", **named())

    assert asked(server, BIRD) == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize("lacking", [None, float("nan"), "absent"])
def test_missing_number_may_be_null_nan_or_absent(server, version, lacking):
    (expected,) = saved_model(version, "named", **named(Delta_15_N_o_oo=np.nan))
    bird = {**BIRD, "Delta 15 N (o/oo)": lacking}
    if lacking == "absent":
        del bird["Delta 15 N (o/oo)"]

    assert asked(server, bird) == pytest.approx([expected], rel=1e-6)


@pytest.mark.parametrize("lacking", [None, "", "absent"])
def test_missing_category_may_be_null_empty_or_absent(server, version, lacking):
    (expected,) = saved_model(version, "named", **named(Sex=""))
    bird = {**BIRD, "Sex": lacking}
    if lacking == "absent":
        del bird["Sex"]

    assert asked(server, bird) == pytest.approx([expected], rel=1e-6)


def test_unknown_category_lies_between_the_known(server):
    known = asked(
        server, *({**BIRD, "Species": it} for it in pd.read_csv(DATA)["Species"].unique())
    )
    (other,) = asked(server, {**BIRD, "Species": "Emperor penguin"})

    assert min(known) < other < max(known)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"Flipper Length (mm)": None}, "Length (mm) is missing (null), which it may not be"),
        ({"Species": None}, "instances[0].Species is missing (null), which it may not be"),
        (
            {"Flipper Length (mm)": "long"},
            "instances[0].Flipper Length (mm) is 'long', not a number",
        ),
        ({"Flipper Length (mm)": 2110}, "instances[0].Flipper Length (mm) is 2110, outside"),
        ({"Species": [1]}, "instances[0].Species is [1], not a category"),
        ({"Beak": 1}, "instances[0] has the unknown feature Beak"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(server, changes, said):
    assert said in refused(server, BIRD | changes)


def test_number_that_is_no_category_of_a_batch_is_refused(server):
    assert "instances[0].Species is 0.5" in refused(server, [0.5, 211, 0, 8.2])


def test_rows_without_names_and_columns_are_answered_alike(server):
    expected = asked(server, BIRD, {**BIRD, "Sex": None})
    rows = [[*BIRD.values()], [GENTOO, 211.0, None, 8.2]]
    columns = {name: [row[it] for row in rows] for it, name in enumerate(FEATURES)}
    inputs = dict(zip(INPUTS, columns.values(), strict=True))

    assert asked(server, *rows) == expected
    for body in (
        {"inputs": columns},
        {"inputs": {"features": rows}},
        {"signature_name": "named", "inputs": inputs},
    ):
        assert server.post(PREDICT, body).json()["outputs"] == expected, body


def test_intervals_take_categories_too(server):
    (found,) = asked(server, {**BIRD, "Sex": None}, signature_name="interval")

    assert found["lower"] < found["price"] < found["upper"]
    assert asked(server, {**BIRD, "Sex": None}) == [found["price"]]


def test_open_inference_takes_a_tensor_a_column_and_lets_optional_ones_out(server):
    inputs = [
        {"name": "Species", "datatype": "BYTES", "shape": [2], "data": [GENTOO, GENTOO]},
        {"name": "Flipper Length (mm)", "datatype": "FP32", "shape": [2], "data": [211, 200]},
        {"name": "Sex", "datatype": "BYTES", "shape": [2], "data": ["FEMALE", ""]},
    ]
    bird = {"Species": GENTOO, "Flipper Length (mm)": 211, "Sex": "FEMALE"}

    answer = server.post("/v2/models/penguins/infer", {"inputs": inputs})

    assert answer.status == 200, answer.text
    expected = asked(server, bird, {**bird, "Flipper Length (mm)": 200, "Sex": None})
    assert answer.json()["outputs"][0]["data"] == pytest.approx(expected)


def test_invocations_take_the_records_of_mlflow(server):
    bird = {**BIRD, "Delta 15 N (o/oo)": None}

    answer = server.post("/invocations", {"dataframe_records": [bird]})

    assert answer.status == 200, answer.text
    assert answer.json()["predictions"] == asked(server, bird)


def test_grpc_takes_strings_and_examples(server, version):
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc, regression_pb2

    from tests.integration.rpc.calling import fill

    expected = asked(server, {**BIRD, "Delta 15 N (o/oo)": None})
    request = predict_pb2.PredictRequest()
    fill(request.model_spec, name="penguins", signature_name="named")
    for name, values in named(Delta_15_N_o_oo=np.nan).items():
        kind = tf.string if isinstance(values[0], str) else tf.float32
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values, kind))
    example = example_pb2.Example()
    example.features.feature["Species"].bytes_list.value.append(GENTOO.encode())
    example.features.feature["Sex"].bytes_list.value.append(b"FEMALE")
    example.features.feature["Flipper Length (mm)"].float_list.value.append(211)
    regress = regression_pb2.RegressionRequest()
    fill(regress.model_spec, name="penguins", signature_name="regress")
    regress.input.example_list.examples.add().CopyFrom(example)

    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        predicted = stub.Predict(request, timeout=20).outputs["price"].float_val[:]
        regressed = [it.value for it in stub.Regress(regress, timeout=20).result.regressions]

    assert predicted == pytest.approx(expected)
    assert regressed == pytest.approx(expected)
    graph = saved_model(version, "regress", inputs=[example.SerializeToString()])
    assert graph == pytest.approx(expected, rel=1e-6)


def test_client_prices_a_bird_a_frame_and_a_file(server, tmp_path):
    table = pd.read_csv(DATA).dropna(subset=["Flipper Length (mm)"])
    with Client(server.url, "penguins") as client:
        one = client.predict({**BIRD, "Sex": None})
        frame = client.predict(table[list(FEATURES)])
    command = ["--url", server.url, "--model", "penguins", "predict"]
    done = subprocess.run(
        [sys.executable, "-m", "client", *command, str(DATA), "-o", str(tmp_path / "out.csv")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    pairs = [f"{name}={value}" for name, value in BIRD.items() if "/" not in name]
    alone = subprocess.run(
        [sys.executable, "-m", "client", *command, *pairs, "--json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert one == pytest.approx(asked(server, {**BIRD, "Sex": None})[0])
    assert frame["price"].notna().all()
    assert (frame["price"] - table[TARGET]).abs().mean() < 400
    # Two birds have no flipper length, which may not be missing.
    assert done.returncode == 1
    assert "line 5, column Flipper Length (mm)" in done.stderr
    (expected,) = asked(server, {**BIRD, "Delta 15 N (o/oo)": None})
    assert json.loads(alone.stdout)["price"] == pytest.approx(expected)
    whole = io.StringIO(table.to_csv(index=False))
    (tmp_path / "whole.csv").write_text(whole.getvalue())
    subprocess.run(
        [sys.executable, "-m", "client", *command, "whole.csv", "-o", "whole-out.csv"],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, check=True,
    )  # fmt: skip
    priced = pd.read_csv(tmp_path / "whole-out.csv")
    np.testing.assert_allclose(priced["price"], frame["price"], rtol=1e-5)


def test_second_run_trains_nothing_and_another_description_does(models, tmp_path):
    from training import __main__ as command

    arguments = line(models)
    described = tmp_path / "d.toml"
    described.write_text('["Body Mass (g)"]\nunit = "g"\n')
    order = command.flags.parse([*arguments, "--columns", str(described)])
    made_from = command._fingerprint(order)

    assert command.main(arguments) == 0
    assert [it.name for it in (models / "penguins").glob("[0-9]*")] == ["1"]
    assert command._already_made(order.model, made_from) is None


def test_explanation_names_a_category_that_the_model_does_not_know(server):
    answer = server.post(PREDICT.replace("predict", "explain"), {"instances": [BIRD | NEW]})

    assert answer.status == 200, answer.text
    (told,) = answer.json()["explanations"]
    assert [it for it in told["outside"] if it["feature"] == "Species"] == [
        {
            "feature": "Species", "value": "Emperor penguin",
            "minimum": None, "maximum": None, "by": None, "deviations": None,
        }
    ]  # fmt: skip
    assert told["base"] + sum(told["contributions"].values()) == pytest.approx(told["price"])
    with Client(server.url, "penguins") as client:
        (outside,) = client.explain(BIRD | NEW).outside
    assert outside.value == "Emperor penguin"


def test_examples_and_partial_dependence_speak_of_categories_by_name(server):
    """So that each example, asked for as it is, gets the answer that stands beside it."""
    examples = server.get("/examples/penguins/1").json()
    dependence = server.get("/v1/models/penguins/partial_dependence").json()["features"]

    assert asked(server, *examples["instances"]) == pytest.approx(examples["predictions"], rel=1e-5)
    assert {it["Sex"] for it in examples["instances"]} == {"MALE", "FEMALE", None}
    assert dependence["Sex"]["grid"] == ["MALE", "FEMALE"]
    assert dependence["Sex"]["deciles"] == []


def test_drift_of_a_category_has_a_bin_each_and_one_for_any_other(server):
    asked(server, BIRD | NEW)

    columns = server.get("/v1/models/penguins/drift").json()["columns"]
    (species,) = [it for it in columns if it["column"] == "Species"]

    assert len(species["shares"]) == len(species["training_shares"]) == 4
    assert species["training_shares"][3] == 0
    assert species["shares"][3] > 0
    counts = pd.read_csv(DATA).dropna(subset=[TARGET])["Species"].value_counts(normalize=True)
    expected = [counts[it] for it in species["categories"]]
    assert species["training_shares"][:3] == pytest.approx(expected, abs=0.05)
