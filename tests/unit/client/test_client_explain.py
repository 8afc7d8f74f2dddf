"""Explanations: what is asked, what is read, and what the terminal shows."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest

from client import Explanation, InvalidRequest, Outside, Response, ServerFault, Unusual
from client.__main__ import main
from client._explaining import show

HOUSE = {"RM": 6, "AGE": 3, "LSTAT": 10}
ODD = "3 standard deviations from the nearest, up to 1.5 is usual"


@pytest.fixture
def run(hearth, capsys):
    """Run a command; gives its exit code, stdout and stderr."""

    def run(*arguments):
        try:
            status = main(arguments, {}, transport=hearth)
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return run


def test_one_house_gets_one_explanation(client, hearth):
    explanation = client.explain(HOUSE)

    assert explanation == Explanation(
        base=12.5,
        price=16.0,
        contributions={"RM": 4.0, "AGE": 2.0, "LSTAT": -2.5},
        error=0.0,
        outside=(Outside("LSTAT", 10.0, 0.0, 9.0, 1.0, 1.0),),
    )
    assert hearth.paths == ["/v1/models/housing:explain"]


@pytest.mark.parametrize(
    "houses",
    [[HOUSE, HOUSE, HOUSE], np.array([[6.0, 3.0, 10.0]] * 3), pd.DataFrame([HOUSE] * 3)],
    ids=["list", "array", "table"],
)
def test_many_houses_get_a_list_in_as_many_requests_as_needed(client, hearth, houses):
    explanations = client.explain(houses)

    assert [it.price for it in explanations] == [16.0] * 3
    assert [len(body["instances"]) for body in hearth.bodies] == [2, 1]  # the fixture's chunk


def test_no_request_has_more_than_every_server_explains_at_once(hearth, clock):
    from client import Client

    Client(transport=hearth, clock=clock).explain([HOUSE] * 25)

    assert [len(body["instances"]) for body in hearth.bodies] == [10, 10, 5]


def test_an_error_has_the_callers_own_row(client):
    with pytest.raises(InvalidRequest) as refused:
        client.explain([HOUSE, HOUSE, HOUSE | {"RM": 101}])

    assert refused.value.row == 2
    assert refused.value.message == "instances[2].RM is 101, outside [0, 100]"


def test_the_version_and_the_signature_are_asked_for(hearth, clock):
    from client import Client

    Client(transport=hearth, clock=clock, version=3, signature_name="named").explain(HOUSE)

    assert hearth.paths == ["/v1/models/housing/versions/3:explain"]
    assert hearth.bodies[0]["signature_name"] == "named"


def test_errors_of_estimates_and_what_is_unusual_are_read():
    read = Explanation.of(
        {
            "base": 1,
            "price": 3,
            "contributions": {"RM": 2},
            "error": 0.25,
            "errors": {"RM": 0.25},
            "outside": [],
            "unusual": {"distance": 3, "limit": 1.5, "false_alarms": 0.01},
        }
    )

    assert read.errors == {"RM": 0.25}
    assert read.unusual == Unusual(3.0, 1.5, 0.01)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b'{"predictions": [1]}', "the answer holds no explanations for 1 rows"),
        (b'{"explanations": []}', "the answer holds 0 explanations for 1 rows"),
        (b'{"explanations": [{"base": 1}]}', "the answer is of an unknown form"),
        (b'{"explanations": [3]}', "the answer is of an unknown form"),
    ],
)
def test_an_answer_of_no_sense_is_the_servers_fault(client, hearth, answer, message):
    hearth.next.append(Response(200, body=answer))

    with pytest.raises(ServerFault, match=message):
        client.explain(HOUSE)


def test_the_terminal_shows_a_bar_a_feature_the_largest_first(run):
    status, out, err = run("explain", "RM=6", "AGE=3", "LSTAT=9")

    assert (status, err) == (0, "")
    assert [line.rstrip() for line in out.splitlines()] == [
        "base   12.50",
        "RM     +4.00  " + "█" * 30,
        "AGE    +2.00  " + "█" * 15,
        "LSTAT  -2.00  " + "░" * 15,
        "price  16.50  thousand USD",
    ]


def test_the_terminal_says_what_is_odd_about_the_house(run):
    lines = run("explain", "RM=5", "AGE=12", "LSTAT=10")[1].splitlines()

    assert lines[-3:] == [
        "AGE is 12 u, outside of training (0 to 9) by 3, 3 standard deviations",
        "LSTAT is 10 u, outside of training (0 to 9) by 1, 1 standard deviations",
        f"it is unlike every training row: {ODD}",
    ]


def test_a_house_of_means_has_no_bars(run):
    out = run("explain", "RM=5", "AGE=5", "LSTAT=5")[1]

    assert "█" not in out
    assert "░" not in out


def test_an_explanation_for_machines_is_json(run):
    status, out, _ = run("explain", "--json", "RM=6", "AGE=3", "LSTAT=9")

    document = json.loads(out)
    assert status == 0
    assert document["contributions"] == {"RM": 4.0, "AGE": 2.0, "LSTAT": -2.0}
    assert (document["base"], document["price"], document["unit"]) == (12.5, 16.5, "thousand USD")


def test_estimates_are_shown_with_their_errors(run, hearth):
    explanation = {
        "base": 1,
        "price": 3,
        "contributions": {"RM": 2},
        "error": 0.25,
        "errors": {"RM": 0.25},
        "outside": [],
        "unusual": None,
    }
    hearth.next.append(Response(200, body=json.dumps({"explanations": [explanation]}).encode()))
    hearth.describes = False

    lines = run("explain", "RM=6")[1].splitlines()

    assert [line.rstrip() for line in lines] == [
        "base           1.00",
        "RM     +2.00 ± 0.25  " + "█" * 30,
        "price          3.00",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain"], "the following arguments are required"),
        (["explain", "houses.csv"], "give one house as NAME=VALUE"),
    ],
)
def test_a_wrong_command_line_is_2_and_says_why(run, hearth, arguments, message):
    status, out, err = run(*arguments)

    assert (status, out) == (2, "")
    assert message in err
    assert hearth.requests == []


def test_a_category_that_is_not_known_is_said():
    bounds = dict.fromkeys(("minimum", "maximum", "by", "deviations"))
    part = {"base": 1, "price": 2, "contributions": {"town": 1}, "error": 0}
    found = Explanation.of(part | {"outside": [{"feature": "town", "value": "Rome", **bounds}]})
    printed = io.StringIO()

    show(found, None, printed)

    assert found.outside == (Outside("town", "Rome", None, None, None, None),)
    assert "town is Rome, which was in no training row" in printed.getvalue()
