from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from training import flags, recipe
from training.errors import RecipeError
from training.recipe import Recipe


def refused(capsys, *arguments: str) -> str:
    """What a wrong command line prints."""
    with pytest.raises(SystemExit) as ended:
        flags.parse(list(arguments))
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_recipe_of_no_flags_is_the_sources():
    assert flags.parse([]).recipe == Recipe(
        features=("RM", "AGE", "LSTAT"),
        raw=False,
        widths=(64, 64),
        learning_rate=0.001,
        epochs=100,
        batch_size=32,
        split_seed=113,
        train_share=0.8,
    )


def test_race_is_never_a_default_feature():
    assert "B" not in Recipe().features


def test_named_recipe_is_where_the_other_flags_start():
    made = flags.parse(["--recipe", "best", "--members", "3"]).recipe

    assert made == dataclasses.replace(recipe.NAMED["best"], members=3)
    assert flags.parse(["--recipe", "tutorial"]).recipe == flags.parse([]).recipe == Recipe()


def test_race_is_in_no_named_recipe():
    assert all("B" not in it.features for it in recipe.NAMED.values())


def test_table_of_ones_own_names_the_model_and_reads_all_columns():
    order = flags.parse(["--data", "a/my houses.csv", "--target", "price"])

    assert (order.name, order.recipe.target, order.recipe.features) == ("my_houses", "price", ())
    assert order.columns is None
    assert flags.parse(["--data", "a/h.csv", "--target", "p", "--name", "n"]).name == "n"


def test_description_beside_the_table_is_found(tmp_path):
    (tmp_path / "h.columns.toml").write_text("")

    order = flags.parse(["--data", str(tmp_path / "h.csv"), "--target", "price"])

    assert order.columns == tmp_path / "h.columns.toml"


def test_unknown_recipe_is_refused(capsys):
    said = refused(capsys, "--recipe", "worst")

    assert "invalid choice: 'worst' (choose from" in said
    assert said.count("\n") == 1


def test_places_of_no_flags():
    order = flags.parse([])

    assert order.data == Path("data/boston_housing.csv")
    assert order.model == Path("models/housing")
    assert not order.force


def test_every_knob_has_its_flag():
    line = (
        "--features LSTAT,B --raw --widths 8 --learning_rate 1e-2 --epochs 7 --batch_size 5 "
        "--loss mae --optimizer sgd --momentum 0.5 --schedule cosine --weight_decay 0.1 "
        "--patience 9 --validation_share 0.2 --members 2 --categories 7 "
        "--seed 3 --split_seed 4 --train_share 0.5 --tolerance 0.01 --data d.csv --models m "
        "--name boston --force --tensorboard logs"
    )

    order = flags.parse(line.split())

    assert order.recipe == Recipe(
        features=("LSTAT", "B"),
        raw=True,
        widths=(8,),
        loss="mae",
        optimizer="sgd",
        momentum=0.5,
        learning_rate=0.01,
        schedule="cosine",
        weight_decay=0.1,
        epochs=7,
        batch_size=5,
        patience=9,
        validation_share=0.2,
        members=2,
        categories=7,
        seed=3,
        split_seed=4,
        train_share=0.5,
        tolerance=0.01,
    )
    assert (order.data, order.model, order.force) == (Path("d.csv"), Path("m/boston"), True)
    assert order.tensorboard == Path("logs")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("--members 0", "--members is 0, outside [1, 100] networks"),
        ("--epochs 0", "--epochs is 0, outside [1, 100000] passes over the training rows"),
        ("--epochs 1.5", "--epochs is '1.5', not a whole number"),
        ("--learning_rate 0", "--learning_rate is 0.0, outside [1e-09, 10] per step"),
        ("--learning_rate nan", "--learning_rate is nan, outside [1e-09, 10] per step"),
        ("--learning_rate fast", "--learning_rate is 'fast', not a number"),
        ("--widths 64,0", "--widths is 0, outside [1, 4096] units a hidden layer"),
        ("--widths 64,", "--widths is '', not a whole number"),
        ("--batch_size -1", "--batch_size is -1, outside [1, 100000] rows a step"),
        ("--seed 4294967296", "--seed is 4294967296, outside [0, 4294967295]"),
        ("--train_share 1", "--train_share is 1.0, outside [0.1, 0.9] of the rows"),
        ("--tolerance 2", "--tolerance is 2.0, outside [0, 1] thousand USD"),
        ("--loss msle", "--loss is 'msle', not one of mse, mae, huber, binary_crossentropy"),
        ("--optimizer lion", "--optimizer is 'lion', not one of adam, adamw, sgd, rmsprop"),
        ("--schedule steps", "--schedule is 'steps', not one of constant, linear, cosine"),
        ("--weight_decay -1", "--weight_decay is -1.0, outside [0, 100] of a weight"),
        ("--patience 5", "--patience is 5 while validation_share is 0: the test rows must not"),
        ("--features RM,ROOMS", "--features has 'ROOMS', not one of CRIM, ZN, INDUS, CHAS, NOX"),
        ("--features MEDV", "--features has 'MEDV', not one of CRIM"),
        ("--features RM,RM", "--features has RM 2 times, at most once"),
        ("--target a --features a", "--features has a, which is the target"),
        ("--target a --features b,b", "--features has b 2 times, at most once"),
        ("--columns c.toml", "--columns goes with --target"),
        ("--categories 0", "--categories is 0, outside [1, 1000] a column"),
        ("--name ../x", "--name is '../x', outside letters, digits and _ . -"),
        ("--name .new", "--name is '.new', outside letters, digits and _ . -"),
        ("--epoch 3", "unrecognized arguments: --epoch 3"),
        ("--epochs", "argument --epochs: expected one argument"),
    ],
)
def test_wrong_flag_ends_in_one_line_with_its_limit(capsys, arguments, line):
    said = refused(capsys, *arguments.split())

    assert said.startswith(f"python -m training: {line}")
    assert said.count("\n") == 1


def test_recipe_made_in_code_is_checked_too():
    with pytest.raises(RecipeError, match=r"epochs is 0, outside \[1, 100000\]"):
        Recipe(epochs=0)


def test_every_knob_says_its_reason_and_its_limits():
    for name, knob in recipe.knobs().items():
        assert knob.reason, name
        assert knob.most or knob.choices or name in {"features", "target", "raw"}, name


def test_choices_are_what_the_engine_has():
    from training.engine.losses import LOSSES
    from training.engine.optimizers import OPTIMIZERS
    from training.engine.schedules import SCHEDULES

    assert tuple(LOSSES) == recipe.LOSSES
    assert tuple(OPTIMIZERS) == recipe.OPTIMIZERS
    assert tuple(SCHEDULES) == recipe.SCHEDULES


def test_every_flag_is_in_the_documentation():
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text()

    wanted = {text for action in flags.parser()._actions for text in action.option_strings}
    assert {flag for flag in wanted - {"-h", "--help"} if f"| `{flag}` |" not in page} == set()


def test_documented_defaults_and_reasons_are_those_of_the_recipe():
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    page, _, _ = page.partition("## The exercises")  # they have flags of their own

    for name, knob in recipe.knobs().items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `--{name}` |")]
        assert row.endswith(f"| {knob.reason} |")
        default = recipe.defaults()[name]
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        named = {False: "| off |", "": "| none |"}.get(default if default in (False, "") else None)
        assert f"| `{shown}` |" in row or (named and named in row)


def test_compressed_table_has_the_name_and_the_description_of_what_it_holds(tmp_path):
    (tmp_path / "h.columns.toml").write_text("")

    order = flags.parse(["--data", str(tmp_path / "h.csv.gz"), "--target", "price"])

    assert order.name == "h"
    assert order.columns == tmp_path / "h.columns.toml"
