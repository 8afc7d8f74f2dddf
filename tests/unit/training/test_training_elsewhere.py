"""Networks that were trained elsewhere: how they go with a table, and what is said where not."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest

from service import contract
from service.errors import InvalidRequest
from service.settings import REMOTE_PROTOCOLS
from tests.unit.service.fakes import spec
from training import commands
from training.elsewhere import describing
from training.elsewhere.describing import Wanted
from training.errors import DescribeError, TableError
from training.own import Place

COLUMNS = ("area", "rooms", "age")
BATCH = {"x": spec("float32", -1, 3)}


@dataclass
class Summing:
    """A network that somebody else made: area + 10 rooms + 100 age, whatever they are called."""

    inputs: dict = field(default_factory=lambda: BATCH)
    outputs: dict = field(default_factory=lambda: {"out": spec("float32", -1, 1)})
    number: int = 0

    def predict(self, network, batch):
        assert set(network.inputs) == set(self.inputs)
        return batch @ np.array([1, 10, 100], np.float32)


def table(rows: int = 200) -> pd.DataFrame:
    """Random columns, and a price that the network nearly knows."""
    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.uniform(1, 9, (rows, 3)), columns=[*COLUMNS])
    truth = frame.area + 10 * frame.rooms + 100 * frame.age
    return frame.assign(price=truth + random.normal(0, 5, rows))


@pytest.fixture
def described(tmp_path):
    """Describes a network by a table that is written for it."""

    def describe(frame=None, network=None, said=b"", **wanted):
        path = tmp_path / "table.csv"
        (table() if frame is None else frame).to_csv(path, index=False)
        wanted = {"target": "price"} | wanted
        return describing.describe_network(
            network or Summing(), Wanted("mine", Place(path, said), **wanted)
        )

    return describe


def test_the_contract_has_the_networks_own_names_and_the_tables_columns(described):
    told = described().contract

    assert told.feature_names == COLUMNS
    assert (told.input, told.output, told.target.name) == ("x", "out", "price")
    assert told.network == contract.Network(("x",), "out")
    assert told.metrics["test"]["network"]["mae"] == pytest.approx(4, abs=1)
    assert told.slices[0].rows == 200


def test_a_network_that_is_as_its_contract_says_is_called_as_it_is(described):
    network = Summing(outputs={"out": spec("float32", -1)})

    assert described(network=network).contract.network is None


def test_named_inputs_are_found_among_the_columns_whatever_their_order(described):
    inputs = {name: spec("float32", -1, 1) for name in sorted(COLUMNS)}
    frame = table().assign(note="nothing")
    told = described(frame, Summing(inputs)).contract

    assert told.feature_names == COLUMNS
    assert told.network.inputs == COLUMNS
    assert told.input == "features"


def test_a_column_whose_name_no_graph_takes_is_found_by_what_it_is_called_there(described):
    frame = table().rename(columns={"area": "living area"})
    inputs = {name: spec("float32", -1) for name in ("living_area", "rooms", "age")}
    told = described(frame, Summing(inputs)).contract

    assert told.feature_names == ("living area", "rooms", "age")
    assert told.network.inputs == ("living_area", "rooms", "age")


def test_what_is_said_of_columns_is_in_the_contract(described):
    said = b'[area]\nmeaning = "living area"\nunit = "m2"\nminimum = 0\nmaximum = 1000\n'
    (area, rooms, _) = described(said=said).contract.features

    assert (area.meaning, area.unit, area.minimum, area.maximum) == ("living area", "m2", 0, 1000)
    assert rooms.minimum == 0
    assert 9 < rooms.maximum < 18


def test_intervals_are_those_of_rows_that_were_kept_apart(described):
    made = described()
    told = made.contract.intervals

    assert told.rows == 100
    assert [it.level for it in told.levels] == [0.8, 0.9, 0.95]
    assert all(it.test.rows == 100 and 0.6 < it.test.share <= 1 for it in told.levels)
    # Errors are normal, of a standard deviation of 5: 90 % are within 1.64 of these.
    usual = next(it for it in told.levels if it.level == 0.9)
    assert usual.test.width == pytest.approx(2 * 1.64 * 5, rel=0.3)
    assert set(made.golden.bounds) == {"interval", "interval_80", "interval_90", "interval_95"}


def test_a_table_without_the_truth_gives_no_intervals(described):
    made = described(table().drop(columns="price"), target="")

    assert made.contract.intervals is None
    assert made.contract.metrics == {}
    assert made.contract.target.name == "out"
    assert made.golden.bounds == {}


def test_rows_with_missing_values_are_left_out(described):
    frame = table()
    frame.loc[[3, 5], "rooms"] = np.nan
    frame.loc[7, "price"] = np.nan
    made = described(frame)

    assert (len(made.rows.frame), made.left_out) == (197, 3)


def test_a_description_is_written_beside_what_is_there_and_vouches_for_it(described, tmp_path):
    version = tmp_path / "mine" / "1"
    version.mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"a network")
    describing.write(described(), version)
    told = contract.read(version)

    assert {contract.SAVED_MODEL, contract.GOLDEN, contract.BACKGROUND} <= told.files.keys()
    contract.verify(version, told)
    assert len(contract.read_held_out(version).truths) == 200
    describing.write(described(table().drop(columns="price"), target=""), version)
    assert contract.HELD_OUT not in contract.read(version).files
    contract.verify(version, contract.read(version))
    assert [it.name for it in version.parent.iterdir()] == ["1"]


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"features": ("area", "age")}, DescribeError, "x takes 3 columns, and 2 are given"),
        ({"features": ("area", "rooms", "height")}, TableError, "column height is there 0 times"),
        ({"target": "prize"}, TableError, "column prize is there 0 times, once is right"),
        ({"features": ("age", "rooms", "area")}, DescribeError, "in the network's order"),
        ({"output": "other"}, DescribeError, "gives no other, but out"),
        ({"said": b"area = 3"}, TableError, "area"),
    ],
)
def test_what_does_not_go_together_is_refused(described, changes, error, said):
    with pytest.raises(error, match=said):
        described(**changes)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (
            Summing({"a": spec("float32", -1), "b": spec("float32", -1)}),
            "takes a, b, which .* lacks",
        ),
        (Summing({"x": spec("float32", -1, 3, 4)}), r"x has shape \[n, 3, 4\], expected rows"),
        (Summing(outputs={"out": spec("float32", -1, 2)}), "expected one number a row"),
        (Summing(outputs={it: spec("float32", -1) for it in "ab"}), "gives a, b: say which"),
    ],
)
def test_a_network_that_is_not_of_rows_of_numbers_is_refused(described, network, said):
    with pytest.raises(DescribeError, match=said):
        described(network=network)


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("rooms", ["few", "many"] * 100, "rooms holds texts, such as 'few'"),
        ("rooms", [3] * 200, "rooms is 3 in every row: say what makes sense of it in --columns"),
        ("rooms", [*range(199), "x"], "line 201: rooms is 'x', not a number"),
    ],
)
def test_a_column_that_is_no_input_is_refused_by_name(described, column, values, said):
    with pytest.raises(TableError, match=said):
        described(table().assign(**{column: values}))


def test_too_few_rows_are_refused(described):
    with pytest.raises(TableError, match="it has 19 rows without a missing value, 20 are needed"):
        described(table(19))


class Failing(Summing):
    """A network that takes nothing, or gives nothing."""

    def predict(self, _network, batch):
        if self.number:
            return np.full(len(batch), np.nan)
        raise InvalidRequest("it cannot be")


@pytest.mark.parametrize(("number", "said"), [(0, "it cannot be"), (1, "gives nan for the row")])
def test_a_network_that_fails_on_the_table_is_refused(described, number, said):
    with pytest.raises(DescribeError, match=said):
        described(network=Failing(number=number))


def run(capsys, *arguments) -> str:
    assert commands.main(["describe", *map(str, arguments)]) == 1
    return capsys.readouterr().err


def test_the_command_says_what_is_wrong_with_its_network(tmp_path, capsys):
    table().to_csv(tmp_path / "t.csv", index=False)
    given = ("--table", tmp_path / "t.csv")

    assert "holds neither saved_model.pb" in run(capsys, tmp_path, *given)
    assert "--name says which model" in run(capsys, "nowhere", *given)
    assert "expected host:port" in run(capsys, "nowhere", "--name=mine", *given)


def test_the_command_leaves_a_contract_of_training_alone(tmp_path, capsys):
    from tests.unit.service.fakes import contract as of_training

    version = tmp_path / "1"
    version.mkdir()
    contract.write(version, of_training(), contract.Golden(((1.0,),), (1.0,)))

    said = run(capsys, version, "--table", tmp_path / "t.csv")
    assert "has a contract of its training: --force takes its place" in said


def test_the_command_knows_each_protocol_of_the_service():
    assert commands.PROTOCOLS == REMOTE_PROTOCOLS
