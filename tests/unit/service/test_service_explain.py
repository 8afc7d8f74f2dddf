"""``:explain`` and ``/partial_dependence``: what is asked, what is answered, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.contract import Background
from service.exchange import Exchange
from service.http.messages import Request
from service.http.tensorflow_serving import TensorFlowServing
from service.inference.batching import Batching
from service.inference.batching_parameters import BatchingParameters
from service.repository.config import ModelConfig
from service.repository.repository import Repository
from tests.unit.service.fakes import BACKGROUND, Adder, Witness, contract, signature, spec, version

HOUSING = "/v1/models/housing"
EXPLAIN = f"{HOUSING}:explain"
PARTIAL = f"{HOUSING}/partial_dependence"
NAMES = ("RM", "AGE", "LSTAT")


class Several(Adder):
    """It gives its sums with others, as lists of one, not at all, or of strings."""

    def __init__(self) -> None:
        super().__init__()
        price, other = spec("float32", -1), spec("float32", -1)
        features = {"features": spec("float32", -1, 3)}
        self.signatures = {
            "serving_default": signature(features, {"lower": other, "price": price}),
            "column": signature(features, {"y": spec("float32", -1, 1)}),
            "pair": signature(features, {"y": spec("float32", -1, 2)}),
            "unnamed": signature(features, {"lower": other, "upper": other}),
            "whole": signature({"features": spec("int64", -1, 3)}),
            "text": signature({"text": spec("object", -1)}),
        }

    def run(self, name, inputs):
        total = inputs["features"].sum(axis=1)
        return {
            "serving_default": lambda: {"lower": total - 1, "price": total},
            "column": lambda: {"y": total[:, None]},
            "pair": lambda: {"y": np.stack([total, total], axis=1)},
        }[name]()


class Product(Adder):
    """Its price is the product of its first three features, of any number."""

    def __init__(self, features: int) -> None:
        super().__init__()
        inputs = {"features": spec("float32", -1, features)}
        self.signatures = {"serving_default": signature(inputs)}

    def run(self, _signature, inputs):
        return {"price": np.prod(inputs["features"][:, :3], axis=1)}


def wide(features: int, background: Background):
    """A version of features that are called F0, F1 and so on."""
    (one, *_) = contract().features
    named = tuple(msgspec.structs.replace(one, name=f"F{it}") for it in range(features))
    made = version(executor=Product(features), background=background)
    return replace(made, contract=contract(features=named))


class House:
    """Routes over versions that are made here."""

    def __init__(self, tmp_path, **versions) -> None:
        for name in versions:
            (tmp_path / name / "1").mkdir(parents=True)
        models = [ModelConfig(name, tmp_path / name) for name in versions]
        self.repository = Repository(models, lambda name, *_: versions[name], Witness())
        self.repository.poll()
        self.api = TensorFlowServing(self.repository, 2**20)

    def ask(self, method, path, body=b"") -> SimpleNamespace:
        exchange = Exchange("id", method, path, "127.0.0.1", 0.0)
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.api.answer(Request(method, path, body=sent), exchange)
        return SimpleNamespace(
            status=answer.status,
            headers=dict(answer.headers),
            json=json.loads(answer.body),
            exchange=exchange,
        )

    def explain(self, *instances, path=EXPLAIN, **further) -> SimpleNamespace:
        return self.ask("POST", path, {"instances": instances, **further})


@pytest.fixture
def house(tmp_path):
    return House(
        tmp_path,
        housing=version(background=BACKGROUND),
        old=version(model="old"),
        foreign=version(model="foreign", described=False, background=BACKGROUND),
        several=version(model="several", executor=Several(), background=BACKGROUND),
    )


def test_an_explanation_has_all_its_keys(house):
    """Against a mean of 5 and 5 and 5, each feature of a sum adds its distance from it."""
    answer = house.explain([6, 3, 9.5])

    assert answer.status == 200
    assert answer.headers["X-Model-Version"] == "1"
    assert answer.json == {
        "predictions": [18.5],
        "explanations": [
            {
                "base": 15.0,
                "price": 18.5,
                "contributions": {"RM": 1.0, "AGE": -2.0, "LSTAT": 4.5},
                "error": 0.0,
                "outside": [],
                "unusual": {
                    # The nearest row is (6, 6, 6): differences 0, 3 and 3.5.
                    "distance": round(((9 + 12.25) / 3) ** 0.5, 3),
                    "limit": 2.0,
                    "false_alarms": 0.01,
                },
            }
        ],
    }


def test_what_is_like_the_training_rows_is_not_unusual(house):
    (explanation,) = house.explain([6, 6, 9]).json["explanations"]

    assert explanation["unusual"] is None  # the root of 9 / 3 is below 2


def test_a_value_outside_training_is_named_with_its_distance(house):
    """The training range is 0 to 10 with a standard deviation of 1; the contract allows more."""
    (explanation,) = house.explain([5, 12.5, 0]).json["explanations"]

    assert explanation["outside"] == [
        {
            "feature": "AGE",
            "value": 12.5,
            "minimum": 0.0,
            "maximum": 10.0,
            "by": 2.5,
            "deviations": 2.5,
        }
    ]


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [[6, 3, 9.5]]},
        {"instances": [{"LSTAT": 9.5, "AGE": 3, "RM": 6}]},
        {"inputs": [[6, 3, 9.5]]},
        {"inputs": {"features": [[6, 3, 9.5]]}},
        {"signature_name": "named", "instances": [{"LSTAT": 9.5, "AGE": 3, "RM": 6}]},
        {"signature_name": "named", "inputs": {"RM": [6], "AGE": [3], "LSTAT": [9.5]}},
    ],
)
def test_requests_are_those_of_predict(house, body):
    expected = house.explain([6, 3, 9.5]).json

    assert house.ask("POST", EXPLAIN, body).json == expected


@pytest.mark.parametrize("path", [EXPLAIN, f"{HOUSING}/versions/1:explain", f"{HOUSING}:explain"])
def test_a_version_may_be_named(house, path):
    assert house.explain([6, 3, 9.5], path=path).status == 200


def test_it_is_counted_under_its_own_route(house):
    exchange = house.explain([6, 3, 9], [1, 2, 3]).exchange

    assert (exchange.protocol, exchange.route) == ("tensorflow_serving", "explain")
    assert (exchange.model, exchange.version, exchange.rows) == ("housing", "1", 2)
    assert house.ask("GET", PARTIAL).exchange.route == "partial_dependence"


@pytest.mark.parametrize(
    ("path", "instance", "status", "message"),
    [
        (EXPLAIN, [51, 2, 3], 400, "instances[0].RM is 51 rooms, outside [0, 50]"),
        (EXPLAIN, {"RM": 1}, 400, "instances[0] lacks the feature AGE"),
        (EXPLAIN, [1, 2], 400, "features has shape [1, 2], expected [n, 3] (RM, AGE, LSTAT)"),
        (f"{HOUSING}/versions/9:explain", [1, 2, 3], 404, "Servable not found"),
        (f"{HOUSING}/labels/x:explain", [1, 2, 3], 400, "Unrecognized servable version label: x"),
        (
            "/v1/models/old:explain",
            [1, 2, 3],
            404,
            "version 1 of old cannot be explained: it has no assets.extra/background.json",
        ),
        (
            "/v1/models/foreign:explain",
            [1, 2, 3],
            404,
            "version 1 of foreign cannot be explained: it has no contract",
        ),
    ],
)
def test_what_cannot_be_explained_is_refused_with_its_reason(
    house, path, instance, status, message
):
    answer = house.explain(instance, path=path)

    assert (answer.status, list(answer.json)) == (status, ["error"])
    assert message in answer.json["error"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unnamed", "it gives lower, upper, and none is price"),
        ("pair", "y has shape [2, 2], expected a number for each of 2 rows"),
        ("whole", "it takes features, not the features as numbers (features, or RM, AGE, LSTAT)"),
        ("nobody", 'Serving signature name: "nobody" not found'),
    ],
)
def test_a_signature_that_is_not_from_features_to_prices_is_refused(house, name, message):
    answer = house.explain([1, 2, 3], path="/v1/models/several:explain", signature_name=name)

    assert answer.status == 400
    assert message in answer.json["error"]


@pytest.mark.parametrize("name", ["serving_default", "column"])
def test_the_price_is_found_among_outputs_and_in_columns(house, name):
    answer = house.explain([6, 3, 9.5], path="/v1/models/several:explain", signature_name=name)

    assert answer.json["explanations"][0]["contributions"] == {"RM": 1, "AGE": -2, "LSTAT": 4.5}


@pytest.mark.parametrize(
    ("features", "rows", "most"), [(3, 2, 1000), (10, 100, 41), (12, 100, 10), (12, 1000, 10)]
)
def test_more_instances_than_the_cost_allows_are_refused_with_the_limit(
    tmp_path, features, rows, most
):
    """4,194,304 rows of the network in all, but 10 instances always and 1000 never more."""
    background = Background(((5.0,) * features,) * rows, (1.0,) * features)
    house = House(tmp_path, housing=wide(features, background))
    instances = [[5.0] * features] * most

    assert house.explain(*instances).status == 200
    answer = house.explain(*instances, instances[0])

    assert answer.status == 400
    assert answer.json["error"] == (
        f"there are {most + 1} instances, at most {most} can be explained at once: for each the "
        f"network runs {rows * (2**features - 2) + 1} rows ({features} features, {rows} background "
        "rows)"
    )


def test_requests_are_joined_with_none(tmp_path):
    """A batch may have one row here, and an explanation runs many in a call."""
    runner = Batching(Adder(quick=False), BatchingParameters(max_batch_size=1))
    house = House(tmp_path, housing=replace(version(background=BACKGROUND), executor=runner))

    assert house.explain([6, 3, 9.5]).json["predictions"] == [18.5]


def test_the_event_loop_waits_for_no_explanation(house):
    api = house.api

    assert api.is_light("POST", f"{HOUSING}:predict", {})
    assert not api.is_light("POST", EXPLAIN, {})
    assert not api.is_light("POST", f"{HOUSING}/versions/1:explain", {})
    assert not api.is_light("GET", PARTIAL, {})
    assert api.shortcut(Request("POST", EXPLAIN)) is None


def test_partial_dependence_is_the_mean_over_the_background_at_each_value(house):
    """Of a sum: the value itself and the mean of the other two, twice 5."""
    answer = house.ask("GET", PARTIAL)

    assert {key: it for key, it in answer.json.items() if key != "features"} == {
        "base": 15.0,
        "target": "MEDV",
        "unit": "thousand USD",
    }
    assert list(answer.json["features"]) == list(NAMES)
    rooms = answer.json["features"]["RM"]
    assert rooms["unit"] == "rooms"
    assert rooms["deciles"] == list(range(11))
    assert rooms["price"] == [pytest.approx(it + 10) for it in rooms["grid"]]
    # The others are 4 in the first background row and 6 in the second.
    assert {line[0] - rooms["grid"][0] for line in rooms["lines"]} == {8.0, 12.0}


def test_partial_dependence_is_computed_once_a_version(house):
    explainer = house.repository.find("housing").explainer("serving_default")

    assert house.ask("GET", PARTIAL).json == house.ask("GET", PARTIAL).json
    assert explainer.dependence is explainer.dependence
    assert house.repository.find("housing").explainer("serving_default") is explainer


def test_a_feature_of_many_values_is_looked_at_between_its_deciles(tmp_path):
    rows = tuple((float(it) / 2, 1.0, float(it % 2)) for it in range(21))
    house = House(tmp_path, housing=version(background=Background(rows, (1.0,) * 3)))

    features = house.ask("GET", PARTIAL).json["features"]

    assert features["RM"]["grid"] == [it / 2 for it in range(21)]
    assert features["LSTAT"]["grid"] == list(range(11))  # 0, 1 and the deciles


def test_without_a_limit_nothing_is_called_unusual(tmp_path):
    house = House(tmp_path, housing=version(background=Background(((5.0,) * 3,), (1.0,) * 3)))

    assert house.explain([50, 100, 100]).json["explanations"][0]["unusual"] is None


def test_beyond_twelve_features_each_has_its_error(tmp_path):
    names = [f"F{it}" for it in range(14)]
    background = Background(((1.0,) * 14, (2.0,) * 14), (1.0,) * 14)
    house = House(tmp_path, housing=wide(14, background))

    (explanation,) = house.explain([3.0] * 14).json["explanations"]

    assert list(explanation["errors"]) == names
    assert explanation["error"] == max(explanation["errors"].values()) > 0
    assert sum(explanation["contributions"].values()) == pytest.approx(
        explanation["price"] - explanation["base"], abs=1e-5
    )
    # Against (1, 1, 1) and (2, 2, 2) the factors play the same part.
    assert explanation["contributions"]["F0"] == pytest.approx(
        (27 - (1 + 8) / 2) / 3, abs=5 * explanation["errors"]["F0"]
    )


VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**9), 10**9), st.floats(), st.text(max_size=3)
)
ROW = st.one_of(
    VALUE, st.lists(VALUE, max_size=4), st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=3)
)


@pytest.fixture(scope="module")
def lasting_house(tmp_path_factory):
    return House(tmp_path_factory.mktemp("house"), housing=version(background=BACKGROUND))


@given(
    value=st.one_of(VALUE, st.lists(ROW, max_size=3)), key=st.sampled_from(["instances", "inputs"])
)
def test_no_request_makes_it_stumble(lasting_house, value, key):
    assert lasting_house.ask("POST", EXPLAIN, {key: value}).status in {200, 400}


TOWN = msgspec.structs.replace(
    contract().features[1], kind="category", categories=("Ulm", "Bonn"), maximum=2
)


@pytest.fixture
def town(tmp_path):
    """A house whose second feature is its town."""
    background = Background(((4.0, 0.0, 4.0), (6.0, 1.0, 6.0)), (1.0, 1.0, 1.0))
    rooms, _, status = contract().features
    made = version(background=background)
    described = contract(features=(rooms, TOWN, status))
    return House(tmp_path, housing=replace(made, contract=described))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"instances": [{"RM": 5, "AGE": "Ulm", "LSTAT": 5}]}, None),
        ({"instances": [{"RM": 5, "AGE": "Rome", "LSTAT": 5}]}, "Rome"),
        ({"instances": [[5, "Rome", 5]]}, "Rome"),
        ({"instances": [[5, 2, 5]]}, "2"),
        ({"instances": [{"features": [5, 2, 5]}]}, "2"),
        ({"inputs": [[5, "Rome", 5]]}, "Rome"),
        ({"inputs": {"features": [[5, "Rome", 5]]}}, "Rome"),
        ({"inputs": {"features": [[5, 2, 5]]}}, "2"),
        ({"inputs": {"LSTAT": [5], "AGE": ["Rome"], "RM": [5]}}, "Rome"),
    ],
)
def test_a_category_that_is_not_known_is_outside_however_it_is_asked(town, body, text):
    answer = town.ask("POST", EXPLAIN, body)

    assert answer.status == 200, answer.json
    bounds = dict.fromkeys(("minimum", "maximum", "by", "deviations"))
    expected = [] if text is None else [{"feature": "AGE", "value": text, **bounds}]
    assert answer.json["explanations"][0]["outside"] == expected


def test_only_the_row_with_the_unknown_category_is_told_of(town):
    answer = town.explain([5, "Ulm", 5], [5, "Rome", 5], [5, "Paris", 5])

    told = [it["outside"] for it in answer.json["explanations"]]
    assert [[it["value"] for it in outside] for outside in told] == [[], ["Rome"], ["Paris"]]


def test_partial_dependence_of_a_category_is_by_name(town):
    towns = town.ask("GET", PARTIAL).json["features"]["AGE"]

    assert towns["grid"] == ["Ulm", "Bonn"]
    assert towns["price"] == [10, 11]  # the codes 0 and 1, and twice 5
    assert towns["deciles"] == []


@pytest.mark.parametrize(("code", "text"), [(0, "Ulm"), (1, "Bonn"), (2, "another"), (None, None)])
def test_a_code_is_written_as_its_category(code, text):
    assert TOWN.written(code) == text


def test_a_text_for_any_other_category_is_none_of_those_known():
    assert msgspec.structs.replace(TOWN, categories=("another", "a")).written(2) == "another?"
    assert contract().features[0].written(1.5) == 1.5
