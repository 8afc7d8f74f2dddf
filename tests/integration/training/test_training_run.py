"""Real runs of ``python -m training``, in processes of their own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from service import contract
from service.messages import example_pb2
from training import __main__ as command
from training import agreement
from training.columns import BOSTON
from training.errors import DisagreementError

ROOT = Path(__file__).parents[3]
DATA = ROOT / "data" / "boston_housing.csv"
SIGNATURES = ["serving_default", "named"]
LEVELS = {"interval_80": 0.8, "interval_90": 0.9, "interval_95": 0.95, "interval": 0.9}
FEATURES = ["RM", "AGE", "LSTAT"]


@pytest.fixture(autouse=True)
def as_a_user_has_it(monkeypatch):
    """TensorFlow's log level as it is by default: another test's TensorFlow may have set it."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)


def train(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    line = [sys.executable, "-m", "training", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)


def keras_split() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and test tracts, worked out as keras.datasets.boston_housing does."""
    table = pd.read_csv(DATA)
    indices = np.arange(len(table))
    np.random.RandomState(seed=113).shuffle(indices)
    cut = int(len(table) * (1 - 0.2))
    return table.iloc[indices[:cut]], table.iloc[indices[cut:]]


def litert(version: Path, signature: str):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(version / "model.tflite"), num_threads=1)
    return interpreter.get_signature_runner(signature)


def serialised_example(row) -> bytes:
    example = example_pb2.Example()
    for name, value in zip(FEATURES, row, strict=True):
        example.features.feature[name].float_list.value.append(value)
    return example.SerializeToString()


def saved_model(version: Path, signature: str):
    import tensorflow as tf

    return tf.saved_model.load(str(version)).signatures[signature]


def weights(version: Path) -> list[np.ndarray]:
    """The network's weights as its checkpoint has them: kernels and biases in order."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(version))
    return [variable.numpy() for variable in loaded.signatures["serving_default"].variables]


def forward(batch: np.ndarray, kernels: list[np.ndarray]) -> np.ndarray:
    """The network as plain matrix products: ReLU layers and a linear one."""
    for kernel, bias in zip(kernels[:-2:2], kernels[1:-2:2], strict=True):
        batch = np.maximum(batch @ kernel + bias, 0)
    return (batch @ kernels[-2] + kernels[-1])[:, 0]


@pytest.fixture(scope="module")
def version(housing_models) -> Path:
    return housing_models / "housing" / "1"


@pytest.fixture(scope="module")
def described(version) -> contract.Contract:
    found = contract.read(version)
    assert found is not None
    return found


def test_version_has_every_file_of_the_layout(version):
    files = {path.relative_to(version).as_posix() for path in version.rglob("*") if path.is_file()}
    pictures = (
        "feature-RM",
        "feature-AGE",
        "feature-LSTAT",
        "loss",
        "mae",
        "prediction",
        "residuals",
        "intervals",
        "widths",
    )

    assert files - {"fingerprint.pb"} == {
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
        "model.tflite",
        "assets.extra/contract.json",
        "assets.extra/golden.json",
        "assets.extra/background.json",
        "assets.extra/model-card.md",
        "assets.extra/tf_serving_warmup_requests",
        "assets.extra/report/index.html",
        "assets.extra/report/test.json",
        *(f"assets.extra/report/{name}{end}.png" for name in pictures for end in ("", "-dark")),
    }
    assert sorted(path.name for path in version.parent.iterdir()) == ["1", "history.jsonl"]


def test_contract_is_true_of_the_files(version, described):
    contract.verify(version, described)


def test_contract_has_the_recipe_the_features_and_the_lineage(described):
    train_rows, _ = keras_split()
    rooms = described.features[0]

    assert described.feature_names == ("RM", "AGE", "LSTAT")
    assert (rooms.unit, rooms.minimum, rooms.maximum) == ("rooms", 0, 50)
    assert rooms.training.median == pytest.approx(train_rows["RM"].median())
    assert described.target.training.mean == pytest.approx(train_rows["MEDV"].mean())
    assert described.recipe["epochs"] == 100
    assert described.recipe["widths"] == [64, 64]
    assert described.lineage.data == "boston_housing.csv"
    assert described.lineage.data_sha256.startswith("79ac7166")
    assert described.lineage.packages["python"].startswith("3.")


def test_metrics_are_those_of_the_published_network(version, described):
    """Measured again from the LiteRT model on a split of our own, with plain formulas."""
    for side, rows in zip(("train", "test"), keras_split(), strict=True):
        batch = rows[FEATURES].to_numpy(np.float32)
        errors = litert(version, "serving_default")(features=batch)["price"] - rows["MEDV"]
        found = described.metrics[side]["network"]

        assert found["mae"] == pytest.approx(errors.abs().mean(), abs=1e-4)
        assert found["mse"] == pytest.approx((errors**2).mean(), abs=1e-3)
        assert found["r2"] == pytest.approx(1 - found["mse"] / rows["MEDV"].var(ddof=0))


def test_linear_regression_is_least_squares_on_the_training_rows(described):
    train_rows, test_rows = keras_split()
    with_one = [np.column_stack([rows[FEATURES], np.ones(len(rows))]) for rows in keras_split()]
    slope, *_ = np.linalg.lstsq(with_one[0], train_rows["MEDV"].to_numpy(), rcond=None)
    errors = with_one[1] @ slope - test_rows["MEDV"]

    assert described.metrics["test"]["linear"]["mse"] == pytest.approx((errors**2).mean())
    assert described.metrics["test"]["linear"]["mae"] == pytest.approx(errors.abs().mean())


def test_network_is_as_good_as_the_recipe_is_known_to_be(described):
    """One seed gave a test MAE of 3.32 and an MSE of 24.0 elsewhere; seeds differ a little."""
    test = described.metrics["test"]

    assert 2.8 < test["network"]["mae"] < 4.0
    assert 18 < test["network"]["mse"] < 30
    assert test["network"]["mae"] < test["linear"]["mae"] < test["mean"]["mae"]
    assert test["network"]["mse"] < test["linear"]["mse"] < test["mean"]["mse"]


def test_saved_model_and_litert_agree_in_both_signatures(version, described):
    _, test_rows = keras_split()
    batch = test_rows[FEATURES].to_numpy(np.float32)
    named = {name: batch[:, i] for i, name in enumerate(FEATURES)}

    answers = [
        saved_model(version, "serving_default")(features=batch)["price"].numpy(),
        saved_model(version, "named")(**named)["price"].numpy(),
        litert(version, "serving_default")(features=batch)["price"],
        litert(version, "named")(**named)["price"],
    ]

    assert {(answer.shape, str(answer.dtype)) for answer in answers} == {((102,), "float32")}
    for answer in answers[1:]:
        np.testing.assert_allclose(answer, answers[0], atol=described.tolerance, rtol=0)


def test_regress_signature_reads_examples_as_tensorflow_serving_sends_them(version, described):
    _, test_rows = keras_split()
    batch = test_rows[FEATURES].to_numpy(np.float32)
    examples = [serialised_example(row) for row in batch]

    answer = saved_model(version, "regress")(inputs=np.array(examples, object))["outputs"].numpy()

    expected = litert(version, "serving_default")(features=batch)["price"]
    np.testing.assert_allclose(answer, expected, atol=described.tolerance, rtol=0)


@pytest.fixture(scope="module")
def ranged(version) -> dict[str, dict[str, np.ndarray]]:
    """What each signature of intervals gives for the test tracts, as LiteRT has it."""
    _, test_rows = keras_split()
    batch = test_rows[FEATURES].to_numpy(np.float32)
    return {name: litert(version, name)(features=batch) for name in LEVELS}


def test_saved_model_and_litert_agree_in_the_intervals(version, described, ranged):
    _, test_rows = keras_split()
    batch = test_rows[FEATURES].to_numpy(np.float32)
    prices = litert(version, "serving_default")(features=batch)["price"]

    for name, answer in ranged.items():
        other = saved_model(version, name)(features=batch)
        assert set(answer) == set(other) == {"price", "lower", "upper"}
        for output, values in answer.items():
            assert (values.shape, str(values.dtype)) == ((102,), "float32")
            difference = np.abs(values - other[output].numpy())
            assert difference.max() <= described.tolerance, (name, output)
        np.testing.assert_allclose(answer["price"], prices, atol=described.tolerance, rtol=0)


def test_intervals_are_those_that_the_contract_describes(described, ranged):
    """Worked out with NumPy from the contract's spread and factors."""
    found = described.intervals
    by_level = {it.level: it for it in found.levels}

    assert [it.signature for it in found.levels] == ["interval_80", "interval_90", "interval_95"]
    assert (found.rows, found.minimum) == (404, 0)
    for name, level in LEVELS.items():
        price = ranged[name]["price"]
        spread = np.interp(price, found.spread.outputs, found.spread.errors)
        reach = by_level[level].factor * spread
        np.testing.assert_allclose(ranged[name]["upper"], price + reach, atol=1e-3)
        np.testing.assert_allclose(ranged[name]["lower"], np.maximum(price - reach, 0), atol=1e-3)


def test_coverage_in_the_contract_is_that_of_the_published_model(described, ranged):
    _, test_rows = keras_split()
    truth = test_rows["MEDV"].to_numpy()

    for it in described.intervals.levels:
        answer = ranged[it.signature]
        inside = (answer["lower"] <= truth) & (truth <= answer["upper"])
        assert it.test.share == inside.mean()
        assert it.test.width == pytest.approx((answer["upper"] - answer["lower"]).mean(), abs=1e-3)
        assert it.test.low < it.test.share < it.test.high
        assert (it.test.rows, it.splits.rows, it.splits.splits) == (102, 5 * 102, 5)
        # Five splits of 102 rows: the level within three standard errors of such a share.
        assert abs(it.splits.share - it.level) < 3 * (it.level * (1 - it.level) / 510) ** 0.5


def test_wider_levels_hold_the_narrower(ranged):
    for narrow, wide in (("interval_80", "interval_90"), ("interval_90", "interval_95")):
        assert (ranged[wide]["lower"] <= ranged[narrow]["lower"]).all()
        assert (ranged[wide]["upper"] > ranged[narrow]["upper"]).all()


def test_golden_rows_have_the_bounds_of_every_signature(version, described):
    golden = contract.read_golden(version)
    batch = np.array(golden.instances, np.float32)

    assert set(golden.bounds) == set(LEVELS)
    for name, bounds in golden.bounds.items():
        answer = litert(version, name)(features=batch)
        found = np.column_stack([answer["lower"], answer["upper"]])
        np.testing.assert_allclose(found, bounds, atol=described.tolerance, rtol=0)


def test_golden_rows_are_answered_as_keras_did(version, described):
    golden = contract.read_golden(version)
    batch = np.array(golden.instances, np.float32)

    assert batch.shape == (12, 3)
    assert golden.instances[-2] == tuple(it.training.minimum for it in described.features)
    assert golden.instances[-1] == tuple(it.training.maximum for it in described.features)
    answer = litert(version, "serving_default")(features=batch)["price"]
    np.testing.assert_allclose(answer, golden.predictions, atol=described.tolerance, rtol=0)


def test_normalisation_is_inside_and_knows_the_training_rows_alone(version):
    train_rows, test_rows = keras_split()
    seen = train_rows[FEATURES].to_numpy()
    batch = (test_rows[FEATURES].to_numpy() - seen.mean(axis=0)) / seen.std(axis=0)
    answer = litert(version, "serving_default")(features=test_rows[FEATURES].to_numpy(np.float32))

    np.testing.assert_allclose(answer["price"], forward(batch, weights(version)), atol=1e-3)


def test_warm_up_asks_what_serving_asks(version):
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    records = tf.data.TFRecordDataset(str(version / contract.WARMUP)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    requests = [log.predict_log.request for log in logs]
    batches = [tf.make_ndarray(request.inputs["features"]) for request in requests]

    assert {request.model_spec.name for request in requests} == {"housing"}
    assert {request.model_spec.signature_name for request in requests} == {"serving_default"}
    assert [batch.shape for batch in batches] == [(1, 3), (8, 3), (64, 3)]
    assert {batch.dtype.name for batch in batches} == {"float32"}
    assert np.isfinite(litert(version, "serving_default")(features=batches[-1])["price"]).all()


def test_test_rows_lie_beside_the_report_with_truth_and_prediction(version, described):
    rows = contract.read_held_out(version)
    mae = np.abs(np.subtract(rows.predictions, rows.truths)).mean()

    assert len(rows.instances) == 102
    assert {len(row) for row in rows.instances} == {len(described.features)}
    assert mae == pytest.approx(described.metrics["test"]["network"]["mae"], rel=1e-5)


def test_report_needs_no_other_file_and_shows_what_it_should(version, described):
    page = (version / "assets.extra/report/index.html").read_text()
    sources = re.findall(r'(?:src|srcset|href)="([^"]{0,40})', page)
    network = described.metrics["test"]["network"]

    icon, *pictures = sources
    assert icon == "data:,"  # none, lest a browser ask for one
    assert len(pictures) == 18
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in pictures)
    assert "http" not in page
    for shown in (f"{network['mae']:.2f}", f"{network['mse']:.2f}", "predict the mean"):
        assert shown in page
    for level in described.intervals.levels:
        seen = level.test
        assert f"{100 * seen.low:.1f} to {100 * seen.high:.1f} %" in page
        assert f"{100 * level.splits.share:.1f} %" in page
    # Known of the 404 training tracts: the correlations with the price.
    train_rows, _ = keras_split()
    for name in FEATURES:
        assert f"{train_rows[name].corr(train_rows['MEDV']):+.3f}" in page


def test_pictures_are_images_with_something_drawn(version):
    from matplotlib.image import imread

    for path in (version / contract.REPORT).glob("*.png"):
        image = imread(path)
        assert min(image.shape[:2]) > 400
        assert image[..., :3].std() > 0.02, path.name


def test_second_run_trains_nothing(housing_models):
    done = train("--models", housing_models)

    assert done.returncode == 0
    assert f"{housing_models}/housing/1 is already made" in done.stdout
    assert done.stderr == ""
    assert [path.name for path in (housing_models / "housing").iterdir() if path.is_dir()] == ["1"]


def test_same_command_gives_the_same_weights_bit_for_bit(tmp_path):
    line = ("--models", tmp_path, "--epochs", 8, "--learning_rate", 0.01, "--force")
    runs = [train(*line), train(*line)]

    assert [run.returncode for run in runs] == [0, 0], runs
    first, second = (tmp_path / "housing" / number for number in ("1", "2"))
    # The SavedModel's own bookkeeping is in an order that differs from run to run.
    for name in ("model.tflite", "assets.extra/golden.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    for one, other in zip(weights(first), weights(second), strict=True):
        assert one.tobytes() == other.tobytes()


def test_run_tells_what_it_did(tmp_path):
    knobs = "--raw --epochs 30 --learning_rate 0.01 --widths 16 --features RM,B"
    done = train("--models", tmp_path, *knobs.split())

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert "B encodes race" in lines[0]
    assert [line for line in lines if line.startswith("epoch 30/30  loss ")]
    assert [line.split()[0] for line in lines[-9:-6]] == ["network", "linear", "predict"]
    assert [line.split()[0] for line in lines[-6:-3]] == ["80%", "90%", "95%"]
    assert lines[-2] == f"Published {tmp_path}/housing/1"
    assert lines[-1] == f"Report    {tmp_path}/housing/1/assets.extra/report/index.html"
    check_raw(tmp_path / "housing" / "1")


def test_ensemble_is_published_as_one_model(tmp_path):
    done = train(
        "--models", tmp_path, *["--members", "3", "--epochs", "20", "--learning_rate", "0.01"]
    )

    assert done.returncode == 0, done.stderr
    version = tmp_path / "housing" / "1"
    assert [it.shape for it in weights(version)].count((3, 64)) == 3
    assert "averages of 3 networks" in contract.read(version).intervals.method
    assert "mean of those of 3 networks" in (version / contract.REPORT / "index.html").read_text()


def test_intervals_of_a_share_are_in_the_unit_of_the_price(tmp_path):
    """Binary cross-entropy learns price / 50; what is exported is in thousand USD."""
    knobs = "--loss binary_crossentropy --epochs 20 --learning_rate 0.01 --coverage_splits 0"
    done = train("--models", tmp_path, *knobs.split())

    assert done.returncode == 0, done.stderr
    found = contract.read(tmp_path / "housing" / "1").intervals
    assert [it.splits for it in found.levels] == [None, None, None]
    assert 2 < np.mean(found.spread.errors) < 5
    assert 6 < found.levels[0].test.width < found.levels[2].test.width < 25


def check_raw(version: Path) -> None:
    """The network reads the columns as they are: its weights alone give its answer."""
    _, test_rows = keras_split()
    batch = test_rows[["RM", "B"]].to_numpy(np.float32)
    found = contract.read(version)

    assert found is not None
    assert found.recipe["raw"] is True
    assert [kernel.shape for kernel in weights(version)] == [(2, 16), (16,), (16, 1), (1,)]
    answer = litert(version, "serving_default")(features=batch)["price"]
    np.testing.assert_allclose(answer, forward(batch, weights(version)), atol=1e-3)


def test_wrong_table_is_refused_before_anything_is_trained(tmp_path):
    wrong = tmp_path / "wrong.csv"
    wrong.write_text(DATA.read_text().replace("6.575", "65.75").replace("34.7\n", "?\n", 1))

    done = train("--data", wrong, "--models", tmp_path / "models")

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"{wrong} cannot be used:",
        "  line 2: RM is 65.75, outside [0, 50] rooms",
        "  line 4: MEDV is '?', not a number",
        "Nothing was published.",
    ]
    assert not (tmp_path / "models").exists()


def test_models_folder_that_cannot_be_written_is_named_before_the_training(tmp_path):
    (tmp_path / "models").write_text("a file")

    done = train("--models", tmp_path / "models")

    assert done.returncode == 1
    assert "epoch" not in done.stdout
    assert done.stderr.splitlines() == [
        f"{tmp_path}/models/housing cannot take a new version: Not a directory",
        "Nothing was published.",
    ]


@pytest.fixture
def refuse(tmp_path, capfd):
    """Runs the command here, to its refusal; gives what it said on standard error."""
    before = signal.getsignal(signal.SIGTERM)

    def run(knobs: str) -> str:
        code = command.main(["--models", str(tmp_path), *knobs.split()])
        assert code == 1
        assert [path for path in tmp_path.rglob("*") if path != tmp_path / "housing"] == []
        return capfd.readouterr().err

    yield run
    signal.signal(signal.SIGTERM, before)


def test_network_that_learned_nothing_is_not_published(refuse):
    said = refuse("--epochs 1 --learning_rate 1e-9")

    assert re.search(r"test MSE is \d+(\.\d+)?, not below the 83\.71 of predicting", said)
    assert said.endswith("\nNothing was published.\n")


def test_diverged_network_is_not_published(refuse):
    said = refuse("--raw --epochs 9 --optimizer sgd --learning_rate 10")

    assert re.match(r"(val_)?loss is (nan|inf) in epoch \d: training diverged at --l.* 10;", said)


def test_exported_models_that_disagree_are_not_published(refuse):
    """LiteRT adds up in another order than Keras, so that nothing is within no tolerance."""
    said = refuse("--epochs 8 --learning_rate 0.01 --tolerance 0")

    assert re.match(
        r"LiteRT \w+ differs from Keras by .* thousand USD, more than --tolerance 0\n", said
    )


def test_difference_is_measured_in_every_executor_and_signature(version):
    _, test_rows = keras_split()
    batch = test_rows[FEATURES].to_numpy(np.float32)
    answer = litert(version, "serving_default")(features=batch)["price"]
    answer[7] += 0.25

    ranged = litert(version, "interval_90")(features=batch)
    ranged["upper"][3] -= 0.5

    measured = agreement.measure(
        version, BOSTON.of(FEATURES), batch, answer, {"interval_90": ranged}
    )

    for executor in ("SavedModel", "LiteRT"):
        assert measured.pop(f"{executor} interval_90") == pytest.approx(0.5, abs=1e-3)
    places = [f"{model} {name}" for name in SIGNATURES for model in ("SavedModel", "LiteRT")]
    places.append("SavedModel regress")
    assert measured == {place: pytest.approx(0.25, abs=1e-3) for place in places}
    with pytest.raises(
        DisagreementError, match=r"by 0\.25 thousand USD, more than --tolerance 0\.2"
    ):
        agreement.require(measured, 0.2)


@pytest.mark.parametrize("expected", [np.ones((2, 1)), np.array([1.0, np.nan])])
def test_answer_of_another_shape_or_no_number_never_agrees(expected):
    difference = agreement.largest_difference(np.ones(2), expected)

    with pytest.raises(DisagreementError, match="LiteRT differs from Keras by nan"):
        agreement.require({"LiteRT": difference}, 1.0)


def test_answer_without_an_output_never_agrees(version):
    _, test_rows = keras_split()
    batch = test_rows[FEATURES].to_numpy(np.float32)
    answer = litert(version, "interval")(features=batch)
    expected = {"price": answer["price"], "lower": answer["lower"]}

    measured = agreement.measure(
        version, BOSTON.of(FEATURES), batch, answer["price"], {"interval": expected}
    )

    with pytest.raises(DisagreementError, match="SavedModel interval differs from Keras by nan"):
        agreement.require(measured, 1.0)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_run_leaves_nothing(tmp_path, number, code):
    line = [sys.executable, "-u", "-m", "training", "--models", tmp_path, "--epochs", "300"]
    pipe = subprocess.PIPE
    with subprocess.Popen(line, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as run:
        assert run.stdout is not None
        assert next(said for said in run.stdout if said.startswith("epoch 30/300 "))
        run.send_signal(number)
        _, complaint = run.communicate()

    assert (run.returncode, complaint) == (code, "Stopped.\n")
    assert list(tmp_path.rglob("*")) == [tmp_path / "housing"]
