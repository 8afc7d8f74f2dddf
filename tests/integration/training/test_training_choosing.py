"""From one version to the next: the gate, the comparison, the lineage, and making one again."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from service import contract as contracts
from training import __main__ as command
from training import labels, split
from training.chatter import is_chatter

ROOT = Path(__file__).parents[3]
DATA = ROOT / "data" / "boston_housing.csv"
# The first test that asks for versions waits for two trainings.
pytestmark = pytest.mark.timeout(400)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")


@pytest.fixture(scope="module", autouse=True)
def signals():
    """The command takes SIGTERM over; this process wants it back."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="module")
def models(housing_models, tmp_path_factory) -> Path:
    """The tutorial's network as version 1, and as version 2 one of more features, by the gate."""
    folder = tmp_path_factory.mktemp("choosing") / "models"
    shutil.copytree(housing_models, folder)
    features = "--features=RM,AGE,LSTAT,PTRATIO,DIS,NOX,CHAS,TAX"
    made = ["--models", str(folder), features, "--epochs", "60", "--learning_rate", "0.005"]
    assert command.main(made) == 0
    return folder


@pytest.fixture
def copied(models, tmp_path) -> Path:
    """Both versions, for one test alone."""
    return Path(shutil.copytree(models, tmp_path / "models"))


@pytest.fixture
def run(copied, capfd):
    """Runs a command; gives its exit code and what it printed."""

    def obey(*arguments: str) -> tuple[int, str, str]:
        code = command.main([*arguments, "--models", str(copied)])
        said = capfd.readouterr()
        # Loaded before in this process, TensorFlow says what the command itself keeps quiet.
        lines = said.err.splitlines(keepends=True)
        return code, said.out, "".join(it for it in lines if not is_chatter(it.encode()))

    return obey


def described(models: Path, number: int) -> contracts.Contract:
    found = contracts.read(models / "housing" / str(number))
    assert found is not None
    return found


def errors(version: Path) -> np.ndarray:
    """A version's absolute errors on Keras's test tracts, by LiteRT alone."""
    from ai_edge_litert.interpreter import Interpreter

    table = pd.read_csv(DATA)
    rows = table.iloc[split.order(506, 113)[404:]]
    found = contracts.read(version)
    assert found is not None
    runner = Interpreter(str(version / "model.tflite")).get_signature_runner("serving_default")
    batch = rows[list(found.feature_names)].to_numpy(np.float32)
    return np.abs(runner(features=batch)["price"] - rows["MEDV"].to_numpy())


def test_card_of_the_docs_is_true_of_the_tutorials_network(housing_models):
    """Word for word; figures as far as another processor's rounding may move them."""
    told = (ROOT / "docs" / "model-card.md").read_text().splitlines()
    made = (housing_models / "housing/1" / contracts.CARD).read_text().splitlines()

    assert len(told) == len(made)
    for one, other in zip(told, made, strict=True):
        if one.startswith("- Made "):
            continue
        assert NUMBER.sub("#", one) == NUMBER.sub("#", other)
        numbers = [[float(it) for it in NUMBER.findall(line)] for line in (one, other)]
        assert numbers[0] == pytest.approx(numbers[1], rel=0.1, abs=0.2), one


def test_card_has_the_headings_of_model_cards(housing_models):
    """As Mitchell et al. list them."""
    card = (housing_models / "housing/1" / contracts.CARD).read_text()

    assert re.findall(r"^## (.+)$", card, re.MULTILINE) == [
        "Model details",
        "Intended use",
        "Factors",
        "Metrics",
        "Evaluation data",
        "Training data",
        "Quantitative analyses",
        "Ethical considerations",
        "Caveats and recommendations",
    ]


def test_figures_of_the_card_are_those_of_the_network(housing_models):
    version = housing_models / "housing" / "1"
    found = errors(version)
    table = pd.read_csv(DATA)
    river = table.iloc[split.order(506, 113)[404:]]["CHAS"].to_numpy() == 1
    card = (version / contracts.CARD).read_text()

    assert f"\n| all | 102 | {found.mean():.2f} (" in card
    assert f"\n| on the Charles River | 10 | {found[river].mean():.2f} (" in card
    slices = {it.name: it for it in described(housing_models, 1).slices}
    whole = described(housing_models, 1).metrics["test"]["network"]
    assert slices["all"].metrics["mae"].value == pytest.approx(whole["mae"])
    assert slices["all"].metrics["r2"].value == pytest.approx(whole["r2"])


def test_report_shows_the_card(housing_models):
    page = (housing_models / "housing/1" / contracts.REPORT / "index.html").read_text()

    assert "on the Charles River" in page
    assert "Pricing, buying, selling" in page


def test_card_is_written_again_by_its_command(run, copied, tmp_path):
    path = tmp_path / "card.md"

    assert run("card", "2", "--output", str(path))[0] == 0
    assert path.read_text() == (copied / "housing/2" / contracts.CARD).read_text()
    assert run("card", "2")[1] == path.read_text()


def test_card_of_a_table_that_nobody_described_says_so(run, tmp_path):
    bare = tmp_path / "bare.csv"
    shutil.copy(DATA, bare)

    _, out, _ = run("card", "1", "--data", str(bare))

    assert "Nobody has described this table" in out
    assert "scikit-learn" not in out


# --- choosing ---


def test_better_network_is_candidate_and_the_stable_one_stays(models):
    assert labels.current(models / "housing") == {"stable": 1, "candidate": 2}


def test_contract_says_how_it_did_beside_its_parent(models):
    """The figures again from both LiteRT models, and the first version's are none."""
    first, second = described(models, 1).lineage, described(models, 2).lineage
    one, other = errors(models / "housing" / "2"), errors(models / "housing" / "1")
    gate = second.gate

    assert (first.parent, first.gate) == (None, None)
    assert second.parent == 1
    assert gate is not None
    assert (gate.against, gate.rows, gate.alpha, gate.forced) == (1, 102, 0.05, False)
    assert gate.passed
    assert gate.mae == pytest.approx(one.mean(), abs=1e-4)
    assert gate.mae_before == pytest.approx(other.mean(), abs=1e-4)
    assert gate.difference.value == pytest.approx((one - other).mean(), abs=1e-4)
    assert gate.p_value < 0.01


def test_lineage_has_all_that_a_version_was_made_from(models):
    lineage = described(models, 1).lineage

    assert lineage.seed == 0
    assert re.fullmatch(r"[0-9a-f]{64}", lineage.recipe_sha256)
    assert lineage.recipe_sha256 != described(models, 2).lineage.recipe_sha256
    assert re.fullmatch(r"([0-9a-f]{40}(-dirty)?)?", lineage.commit)
    assert "/" not in lineage.commit


def test_network_that_is_not_better_is_not_published(run, copied):
    code, out, said = run("--epochs", "30", "--seed", "3")

    assert code == 1
    assert "Published" not in out
    assert re.match(
        r"the network is not better than the stable version: MAE [\d.]+ against [\d.]+ thousand "
        r"USD of version 1 on 102 test rows: \+[\d.]+ \(95 % interval [-+.\d]+ to [-+.\d]+\), "
        r"p [\d.]+, "
        r"above --alpha 0\.05\n--force \(make train FORCE=1\) publishes it all the same\.\n"
        r"Nothing was published\.\n$",
        said,
    )
    assert sorted(it.name for it in (copied / "housing").iterdir()) == ["1", "2", "history.jsonl"]
    assert labels.current(copied / "housing") == {"stable": 1, "candidate": 2}


def test_force_publishes_what_is_not_better_and_says_so(run, copied):
    """This one reads race, so its card begins its ethics with that."""
    code, out, _ = run("--features", "RM,B", "--epochs", "30", "--force")

    assert code == 0
    assert "Not better, and published by force: MAE" in out
    assert "Version 3 is candidate, version 1 stable" in out
    gate = described(copied, 3).lineage.gate
    assert gate is not None
    assert (gate.forced, gate.passed) == (True, False)
    card = (copied / "housing/3" / contracts.CARD).read_text()
    assert "## Ethical considerations\n\n- **This network reads B.**" in card


def test_damaged_stable_version_is_no_reason_to_publish_untried(run, copied):
    """Who asked that the served version stays gets no failure, and no version either."""
    (copied / "housing/1/model.tflite").write_bytes(b"damaged")

    code, out, said = run("--epochs", "30", "--seed", "3", "--keep_served")

    assert (code, said) == (0, "")
    assert "it cannot be compared with version 1, which is stable: version 1 is damaged" in out
    assert out.endswith("\nNothing was published.\n")
    assert run("--epochs", "30", "--seed", "3", "--force")[0] == 0
    lineage = described(copied, 3).lineage
    assert (lineage.parent, lineage.gate) == (1, None)


def test_comparison_shows_both_on_the_same_rows(run, tmp_path, copied):
    page = tmp_path / "compared.html"
    code, out, said = run("compare", "candidate", "stable", "--report", str(page))

    assert (code, said) == (0, "")
    one, other = errors(copied / "housing" / "2"), errors(copied / "housing" / "1")
    (whole,) = [line for line in out.splitlines() if line.startswith(" all  ")]
    assert re.search(rf"102 +{one.mean():.2f} \(.* {other.mean():.2f} \(", whole)
    assert "On 102 rows that taught neither, version 2 errs by" in out
    for kind in ("price at the cap of 50", "on the Charles River"):
        assert kind in out
        assert kind in page.read_text()
    assert page.read_text().count("data:image/png;base64,iVBOR") == 2


def test_comparison_as_json_has_the_figures(run, copied):
    code, out, _ = run("compare", "2", "1", "--json")

    told = json.loads(out)
    lost = errors(copied / "housing" / "2") - errors(copied / "housing" / "1")
    assert code == 0
    assert [it["version"] for it in told["versions"]] == [2, 1]
    assert told["differences"]["all"]["value"] == pytest.approx(lost.mean(), abs=1e-4)
    assert told["differences"]["all"]["low"] < lost.mean() < told["differences"]["all"]["high"]
    assert 0 < told["p_value"] < 0.01
    assert told["may_have_seen_rows"] == []


def test_version_made_again_has_the_same_weights_and_what_is_other_is_named(run, copied):
    version, told = copied / "housing" / "1", described(copied, 1)
    lineage = msgspec.structs.replace(
        told.lineage, code_sha256="0" * 64, packages=told.lineage.packages | {"numpy": "1.0"}
    )
    other = msgspec.structs.replace(told, lineage=lineage)
    contracts.write(version, other, contracts.read_golden(version))

    code, out, _ = run("verify", "1")

    assert code == 0
    assert re.search(
        r"^Not as then: the code is [0-9a-f]{12}…, was 000000000000…\.$", out, re.MULTILINE
    )
    assert out.splitlines()[-1] == "version 1: 9 of 9 variables are equal, bit for bit."
    assert f"Not as then: numpy is {np.__version__}, was 1.0." in out


def test_version_that_says_another_seed_is_found_out(run, copied):
    """Its contract is made to say a seed that it was not trained with."""
    version = copied / "housing" / "1"
    told = described(copied, 1)
    other = msgspec.structs.replace(told, recipe=told.recipe | {"seed": 4})
    contracts.write(version, other, contracts.read_golden(version))

    code, out, _ = run("verify", "1")

    assert code == 1
    assert "Not as then" not in out
    assert re.search(
        r"^Not equal: variables/3: 192 of 192 values differ, first at", out, re.MULTILINE
    )
    # What the normalisation learned of the rows does not depend on the seed.
    assert out.splitlines()[-1] == "version 1: 3 of 9 variables are equal, bit for bit."


def test_version_is_not_made_again_from_another_table(run, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text(DATA.read_text().replace("6.575", "6.5", 1))

    code, _, said = run("verify", "1", "--data", str(other))

    assert code == 1
    assert re.search(r"other\.csv has SHA-256 [0-9a-f]{12}…, the version was made from", said)
