"""The exercises' sentences follow the numbers, whatever these are."""

from __future__ import annotations

import dataclasses
import importlib
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from tests.servers import ROOT
from training.columns import OPEN
from training.engine import initial
from training.errors import TrainingError
from training.experiments import answers, crossvalidation, models, page, pictures, questions
from training.experiments.__main__ import answer
from training.experiments.crossvalidation import Outcome, Plan, Result
from training.experiments.questions import SOURCE, descent, key, size, subset
from training.experiments.work import Order
from training.split import Rows

SEEDS, FOLDS, MEAN_MAE = 5, 5, 6.5


def result(mae: float, *, diverged: int = 0, noise: float = 0.1) -> Result:
    """Networks around an MAE, each a little off in a way of its own; the first so many diverged."""
    off = np.random.default_rng(int(mae * 1000)).normal(0, noise, SEEDS * FOLDS)
    off -= off.mean()
    outcomes = [
        Outcome(
            place // FOLDS,
            place % FOLDS,
            None if place < diverged else mae + off[place],
            MEAN_MAE,
            3 if place < diverged else 100,
        )
        for place in range(SEEDS * FOLDS)
    ]
    return Result(tuple(outcomes), tuple(np.linspace(22, mae, 100)) if diverged < 25 else ())


def feature_results(mae_of) -> dict[str, Result]:
    """Results for all settings that the question comes to want, by a rule on the features."""
    results: dict[str, Result] = {}
    while missing := [
        it for it in questions.FEATURE_QUESTION.wanted(results) if key(it) not in results
    ]:
        for setting in missing:
            results[key(setting)] = result(mae_of(set(setting["features"].split(","))))
    return results


def by_number(names: set[str]) -> float:
    """Each feature takes off 0.3; LSTAT takes off 1 more."""
    return 8 - 0.3 * len(names) - ("LSTAT" in names)


def test_features_that_help_are_said_to_help():
    said = answers.features(feature_results(by_number)).sentences

    assert said[0].startswith("Yes: RM, AGE and LSTAT give an MAE of 6.10 ± ")
    assert "all 12 features but B give an MAE of 3.40 ± " in said[0]
    assert re.search(r": 2\.70 less \(standard error 0\.0\d; less in 25 of 25 pairs\)", said[0])
    assert said[2].startswith("LSTAT alone tells most (an MAE of 6.70 ± ")
    assert "clearly missed when left out alone: LSTAT (+1.30)" in said[2]


def test_features_that_harm_are_said_to_harm():
    said = answers.features(feature_results(lambda names: 3 + 0.2 * len(names))).sentences

    assert said[0].startswith("No: RM, AGE and LSTAT give an MAE of 3.60 ± ")
    assert "1.80 more (" in said[0]
    assert "none of the 12 is clearly missed" in said[2]
    assert "B, which encodes race and is not used, would harm: 0.20 more" in said[3]


def test_difference_within_chance_is_said_to_be_none():
    results = feature_results(by_number)
    results[key(subset(*OPEN))] = result(6.09, noise=1.5)

    assert answers.features(results).sentences[0].startswith("It makes no clear difference: RM")


def test_best_way_adds_the_most_helpful_first():
    order = {name: 1 / (place + 2) for place, name in enumerate(OPEN)}

    taken = questions.path(feature_results(lambda names: 8 - sum(order.get(it, 0) for it in names)))

    assert taken[:3] == [OPEN[:1], OPEN[:2], OPEN[:3]]
    assert len(taken) == 8


def test_race_is_never_on_the_way_to_the_best_features():
    results = feature_results(lambda names: 5 - ("B" in names))

    assert all("B" not in names for names in questions.path(results))
    with_b = [name for name in results if '"B' in name.replace(",", '"') or ",B" in name]
    assert with_b == [key(subset(*questions.FEATURES))]


def size_results(best: tuple[int, int], mae: float) -> dict[str, Result]:
    return {
        key(it): result(mae if (it["width"], it["depth"]) == best else 3.0)
        for it in questions.NETWORK_QUESTION.wanted({})
    }


def test_larger_network_that_is_better_is_named():
    said = answers.network(size_results((128, 3), 2.0)).sentences[0]

    assert said.startswith("No, another is clearly better: 2 layers of 64 have an MAE of 3.00 ± ")
    assert "The best of the 35 tried is 3 layers of 128 with an MAE of 2.00 ± " in said


def test_network_is_right_where_none_is_clearly_better():
    said = answers.network(size_results((128, 3), 2.999)).sentences

    assert said[0].startswith("Yes, no other is clearly better: 2 layers of 64")
    assert "The smallest, 1 layer of 4, has an MAE of 3.00" in said[1]
    assert "not clearly different from ours" in said[1]


def rate_results() -> dict[str, Result]:
    """Best at 0.001, worse below and above; gradient descent diverges from 0.1 on."""
    known = {}
    for setting in questions.RATE_QUESTION.wanted({}):
        rate, optimizer = setting["learning_rate"], setting["optimizer"]
        away = abs(np.log10(rate) + 3)
        diverged = (25 if rate >= 0.3 else 7) if optimizer == "sgd" and rate >= 0.1 else 0
        known[key(setting)] = result(3 + away, diverged=diverged)
    return known


def test_divergence_is_told_as_what_it_is():
    adam, plain = answers.learning_rate(rate_results()).sentences

    assert adam.startswith("Adam does best at 0.001 with an MAE of 3.00 ± ")
    assert "Up to 0.0003 is too small: at 1e-05 the MAE is " in adam
    assert "From 0.003 on is too large: at 1 the MAE is 6.00, though none diverges" in adam
    assert "at 0.1, of 25 networks 7 end in no number after 3 epochs" in plain
    assert "at 1, of 25 networks 25 end in no number after 3 epochs" in plain


def model_results(maes: dict[str, float]) -> dict[str, Result]:
    """One outcome a fold, a little apart; models that are not named have an MAE of 5."""
    known = {}
    for setting in models.MODEL_QUESTION.wanted({}):
        mae = maes.get(setting["model"], 5.0)
        outcomes = [
            Outcome(setting["repeat"], fold, mae + 0.01 * fold, MEAN_MAE, 0) for fold in range(10)
        ]
        known[key(setting)] = Result(tuple(outcomes), ())
    return known


def test_networks_that_do_best_are_said_to():
    known = {models.NETWORKS: 1.9, models.ALONE: 2.2, "extra trees": 2.0}
    said = answers.best_model(model_results(known)).sentences

    assert said[0].startswith("Networks of this family do best: they have an MAE of 1.95")
    assert "the best other model (extra trees) an MAE of 2.04" in said[0]
    assert "one alone has an MAE of 2.2" in said[1]
    ranked = answers.best_model(model_results(known)).tables[0].rows
    assert [row[0] for row in ranked[:3]] == [models.NETWORKS, "extra trees", models.ALONE]
    assert ranked[0][2:] == ("-", "")


def test_networks_that_do_not_do_best_are_said_not_to():
    said = answers.best_model(model_results({models.NETWORKS: 2.1, "extra trees": 2.0})).sentences

    assert said[0].startswith("Networks of this family do not do best; extra trees does: they have")


def test_networks_setting_is_chosen_without_the_held_out_fold():
    """Whatever the held-out prices are, the same is predicted for their rows."""
    generator = np.random.default_rng(0)
    batch, asked = generator.normal(size=(30, 3)), generator.normal(size=(5, 3))
    short = [dataclasses.replace(it, epochs=2, members=2) for it in models.CANDIDATES[:2]]

    predicted = models._chosen(short, 0, batch, batch[:, 0] + 20, asked)

    alone = [models.predict(it, 0, batch, batch[:, 0] + 20, asked) for it in short]
    assert any(np.array_equal(predicted, it) for it in alone)
    assert not np.array_equal(*alone)


def test_every_model_reads_all_but_race_and_beats_the_mean_where_there_is_a_line():
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.normal(size=(60, 13)), columns=list(questions.FEATURES))
    frame["MEDV"] = 20 + 3 * frame["RM"] - 2 * frame["LSTAT"]
    rows = Rows(frame, ("RM",))

    for name in ("linear regression", "ridge regression", "extra trees"):
        found = models.evaluate(name, 0, rows)
        assert found.failed == 0
        assert len(found.outcomes) == 10
        frame["B"] = generator.normal(size=60)
        assert models.evaluate(name, 0, rows) == found


def test_network_no_better_than_the_mean_counts_as_failed():
    assert [result(7.0, noise=0).failed, result(6.0, noise=0).failed] == [25, 0]
    assert result(3.0, diverged=4).failed == 4
    assert result(3.0, diverged=25).mae == float("inf")


def test_standard_error_worked_out_by_hand():
    """Gaps 1, 2, 3 and 4: variance 5/3; two folds, so times (1/4 + 1)."""
    pairs = [(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0), (1, 1, 4.0)]
    larger = Result(tuple(Outcome(s, f, 5 + gap, 9, 1) for s, f, gap in pairs), ())
    smaller = Result(tuple(Outcome(s, f, 5, 9, 1) for s, f, _ in pairs), ())

    gap = answers.difference(larger, smaller)

    assert gap == (2.5, pytest.approx((5 / 3 * 1.25) ** 0.5), 4, 4)
    assert not gap.clear


def test_more_folds_than_rows_are_refused_before_anything_is_stored(tmp_path):
    order = Order(
        data=ROOT / "data/boston_housing.csv",
        storage=f"sqlite:///{tmp_path}/studies.db",
        questions=("network",),
        plan=Plan(folds=405),
        jobs=1,
        grace_s=30,
        report=tmp_path / "index.html",
        docs=None,
    )

    with pytest.raises(TrainingError, match="--folds is 405, more than the 404 training tracts"):
        answer(order, Console())
    assert list(tmp_path.iterdir()) == []


def test_folds_hold_out_every_row_once():
    parts = crossvalidation.folds(23, 5)

    assert sorted(np.concatenate([held for _, held in parts])) == list(range(23))
    assert all(len(train) + len(held) == 23 and not set(train) & set(held) for train, held in parts)


def test_normalisation_knows_the_training_rows_alone():
    batch = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 7.0]])

    normalised = crossvalidation.normalise(batch, np.array([0, 1]))

    np.testing.assert_allclose(normalised, [[-1, 0], [1, 0], [98, 2]])


def test_result_is_read_as_it_was_stored():
    import json

    one = result(3.0, diverged=2)

    assert Result.read(json.loads(json.dumps(one.stored()))) == one


def test_first_weights_are_glorots():
    kernel, bias, *_ = initial.draw([300, 100, 1], np.random.default_rng(0))

    limit = (6 / 400) ** 0.5
    assert kernel.shape == (300, 100)
    assert 0.99 * limit < abs(kernel).max() <= limit
    assert kernel.var() == pytest.approx(limit**2 / 3, rel=0.02)
    assert not bias.any()


def test_page_and_docs_show_every_sentence_and_picture(tmp_path):
    results = {
        "features": feature_results(by_number),
        "network": size_results((128, 3), 2.0),
        "learning-rate": rate_results(),
        "models": model_results({models.NETWORKS: 1.9}),
    }
    answered = page.sections(results)

    page.write_report(answered, Plan(), 404, tmp_path / "report" / "index.html")
    page.write_docs(answered, Plan(), 404, tmp_path)

    shown = (tmp_path / "report" / "index.html").read_text()
    docs = (tmp_path / page.PAGE).read_text()
    for section in answered:
        for sentence in section.answer.sentences:
            assert sentence in docs
            assert sentence.split("(")[0] in shown
        for picture in section.pictures:
            assert f"](experiments/{picture.name}.svg)" in docs
            assert (tmp_path / "experiments" / f"{picture.name}.svg").read_bytes() == picture.light
    assert shown.count("data:image/svg+xml;base64,") == 12
    assert "http" not in shown


def test_same_results_draw_the_same_bytes():
    once, again = (pictures.draw("network", size_results((128, 3), 2.0)) for _ in range(2))

    assert [it.light for it in once] == [it.light for it in again]


@pytest.mark.parametrize("name", ["features", "network", "learning-rate"])
def test_every_setting_is_a_recipe(name):
    question = questions.QUESTIONS[name]
    for setting in question.wanted({}):
        assert question.recipe(setting).features


def test_settings_hold_the_tutorials_own():
    assert questions.FEATURE_QUESTION.recipe(subset(*SOURCE)) == questions.TUTORIAL
    assert questions.NETWORK_QUESTION.recipe(size(64, 2)) == questions.TUTORIAL
    own = questions.RATE_QUESTION.recipe(descent("adam", 0.001))
    assert (own.optimizer, own.learning_rate) == ("adam", questions.TUTORIAL.learning_rate)


def test_every_flag_is_in_the_documentation():
    command = importlib.import_module("training.experiments.__main__")
    documentation = (Path(__file__).parents[3] / "docs" / "training.md").read_text()

    wanted = {text for action in command.parser()._actions for text in action.option_strings}
    assert {it for it in wanted - {"-h", "--help"} if f"| `{it}` |" not in documentation} == set()
