"""The command line, in this process and over the fake server."""

from __future__ import annotations

import json

import pytest

from client import Response, Unavailable
from client.__main__ import main

HOUSE = ["RM=6", "AGE=3", "LSTAT=10"]


@pytest.fixture
def run(hearth, capsys):
    """Run a command; gives its exit code, stdout and stderr."""

    def run(*arguments, environ=None):
        try:
            status = main(arguments, environ or {}, transport=hearth)
        except SystemExit as error:
            status = error.code
        return status, *capsys.readouterr()

    return run


def test_a_price_comes_with_its_unit(run):
    assert run("predict", *HOUSE) == (0, "16.00 thousand USD\n", "")


def test_a_price_for_machines_is_json(run):
    status, out, _ = run("predict", "--json", *HOUSE)
    assert (status, json.loads(out)) == (0, {"price": 16.0, "unit": "thousand USD"})


def test_a_price_without_a_contract_has_no_unit(run, hearth):
    hearth.describes = False
    assert run("predict", *HOUSE) == (0, "16.00\n", "")
    assert json.loads(run("predict", "--json", *HOUSE)[1]) == {"price": 16.0, "unit": None}


def test_a_level_gives_the_bounds_too(run):
    assert run("predict", *HOUSE, "--level", "0.9") == (
        0,
        "16.00 thousand USD (90%: -74.00 to 106.00)\n",
        "",
    )
    status, out, _ = run("predict", "--json", *HOUSE, "--level", "0.95")
    told = {"price": 16.0, "lower": -79.0, "upper": 111.0, "level": 0.95, "unit": "thousand USD"}
    assert (status, json.loads(out)) == (0, told)


def test_a_level_that_the_server_does_not_know_is_told_in_its_words(run):
    assert run("predict", *HOUSE, "--level", "0.7")[0] == 1
    assert "level is 0.7, known: 0.8, 0.9, 0.95" in run("predict", *HOUSE, "--level", "0.7")[2]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--url", "http://h:1", "--version_number", "3", "predict", *HOUSE],
        ["predict", *HOUSE, "--url", "http://h:1", "--version_number", "3"],
        ["--url", "http://h:1", "predict", "--version_number", "3", *HOUSE],
    ],
)
def test_common_flags_stand_before_or_after_the_command(run, hearth, arguments):
    assert run(*arguments)[0] == 0
    assert hearth.requests[0].url == "http://h:1/v1/models/housing/versions/3:predict"


def test_each_flag_reaches_the_request(run, hearth):
    run("predict", *HOUSE, "--label", "best", "--timeout_s", "7.5", "--signature_name", "named")
    assert hearth.requests[0].url.endswith("/v1/models/housing/labels/best:predict")
    assert 7 < hearth.requests[0].timeout_s <= 7.5
    assert hearth.bodies[0]["signature_name"] == "named"
    hearth.next.append(Unavailable("connection refused"))
    status, _, err = run("--retries", "0", "--model", "castle", "predict", *HOUSE)
    assert (status, err) == (
        1,
        "error: connection refused\n",
    )
    assert hearth.requests[-1].url.endswith("/v1/models/castle:predict")


def test_the_environment_says_where_and_the_flag_overrules_it(run, hearth):
    run("models", environ={"HEARTH_URL": "http://env:1"})
    assert hearth.requests[-1].url.startswith("http://env:1/")
    run("models", "--url", "http://flag:2", environ={"HEARTH_URL": "http://env:1"})
    assert hearth.requests[-1].url.startswith("http://flag:2/")
    run("models", environ={"HEARTH_URL": ""})
    assert hearth.requests[-1].url.startswith("http://127.0.0.1:8501/")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["price"], "invalid choice: 'price'"),
        (["predict"], "the following arguments are required"),
        (["predict", "RM=6", "RM=7"], "RM is given twice"),
        (["predict", "RM=6", "houses.csv"], "or one FILE"),
        (["predict", "a.csv", "b.csv"], "or one FILE"),
        (["predict", "a.csv", "--json"], "--json goes with"),
        (["predict", "RM=6", "-o", "x.csv"], "go with a FILE"),
        (["predict", "RM=6", "--restart"], "go with a FILE"),
        (["predict", "RM=6", "--chunk_rows", "0"], "0 is below 1"),
        (["models", "--chunk_rows", "5"], "unrecognized arguments"),
        (["models", "--version_number", "new"], "--version_number"),
        (["models", "--timeout_s", "0"], "0 is not above 0"),
        (["models", "--timeout_s", "nan"], "nan is not above 0"),
        (["models", "--retries", "-1"], "-1 is below 0"),
        (["models", "--time", "1"], "unrecognized arguments"),
        (["models", "--url", "h:1"], "url 'h:1' is not of the form"),
        (["models", "--model", ""], "model is empty"),
        (["models", "--label", "a", "--version_number", "1"], "one of them"),
    ],
)
def test_a_wrong_command_line_is_2_and_says_why(run, hearth, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert hearth.requests == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "RM=600", "AGE=3", "LSTAT=10"], "instances[0].RM is 600.0, outside"),
        (["predict", "RM=nan", "AGE=3", "LSTAT=10"], "instances[0].RM is nan"),
        (["predict", "RM=6", "--version_number", "9"], "Servable not found"),
        (["predict", "nowhere.csv"], "nowhere.csv: No such file or directory"),
        (["predict", "."], ".: Is a directory"),
        (["models", "--url", "http://[::1"], "url"),
    ],
)
def test_whatever_is_wrong_is_one_line(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == ((2, "") if "--url" in arguments else (1, ""))
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_message_of_many_lines_is_one_line(run, hearth):
    hearth.next.append(Response(500, {}, b'{"error": "first\\n  second"}'))
    assert run("predict", *HOUSE)[2].startswith("error: first second (500 from")


def test_an_interrupt_ends_quietly(run, hearth):
    def interrupted(_request):
        raise KeyboardInterrupt

    hearth.send = interrupted
    assert run("predict", *HOUSE) == (130, "", "")


def test_models_are_shown_with_versions_states_and_metrics(run):
    status, out, _ = run("models")
    assert status == 0
    head, *lines = out.splitlines()
    assert head.split("  ")[0] == "model"
    assert lines[0].split() == ["housing", "3", "AVAILABLE", "24.00", "3.25", "thousand", "USD"]
    assert lines[1].split() == ["housing", "2", "END"]


def test_models_for_machines_are_json(run):
    found = json.loads(run("models", "--json")[1])
    assert [(entry["version"], entry["state"]) for entry in found] == [(3, "AVAILABLE"), (2, "END")]
    assert found[0]["test"] == {"mse": 24.0, "mae": 3.25}


def test_models_are_shown_with_their_labels(run, hearth):
    gauge = 'hearth_model_label_workers{{label="{}",model="{}",version="{}"}} {}\n'
    told = [("stable", "housing", 3, 2), ("a b", "housing", 3, 1), ("old", "housing", 3, 0)]
    told += [("last", "housing", 2, 1), ("stable", "castle", 2, 1)]
    hearth.metrics = "".join(gauge.format(*it) for it in told)
    found = json.loads(run("models", "--json")[1])
    assert [it["labels"] for it in found] == [["a b", "stable"], ["last"]]
    assert "  3  a b, stable  AVAILABLE  " in run("models")[1]


def test_models_of_a_server_that_does_not_list_them_are_the_one_asked_for(run, hearth):
    hearth.describes = False
    assert run("models")[1].splitlines()[1].split() == ["housing", "3", "AVAILABLE"]


def test_models_says_why_a_version_could_not_be_served(run, hearth):
    status = {
        "version": "4",
        "state": "END",
        "status": {"error_code": "INTERNAL", "error_message": "golden row 3 differs " * 9},
    }
    body = json.dumps({"model_version_status": [status]}).encode()
    hearth.next.extend([Response(200, {}, b'{"models": ["housing"]}'), Response(200, {}, body)])
    (line,) = run("models")[1].splitlines()[1:]
    assert line.count("golden row 3 differs") == 9


def test_wait_says_when_it_is_ready(run):
    assert run("wait") == (0, "http://127.0.0.1:8501 is ready\n", "")


def test_wait_that_ends_is_1_with_the_reason(run, hearth):
    hearth.next.append(Response(503, {}, b'{"error": "housing is loading"}'))
    status, out, err = run("wait", "--timeout_s", "0.01")
    assert (status, out) == (1, "")
    assert err.startswith("error: not ready within 0.01 s: housing is loading (503 from")


@pytest.fixture
def houses(tmp_path):
    path = tmp_path / "houses.csv"
    path.write_text("RM,AGE,LSTAT\n6,3,10\n5,1,4\n")
    return path


def test_a_file_goes_to_stdout(run, houses):
    status, out, err = run("predict", str(houses))
    assert (status, err) == (0, "")
    assert out == "RM,AGE,LSTAT,price\n6,3,10,16.0\n5,1,4,17.0\n"


def test_a_file_with_a_level_gains_three_columns(run, houses):
    status, out, _ = run("predict", str(houses), "--level", "0.8")
    assert status == 0
    assert out.splitlines()[0].endswith(",price,lower,upper")
    assert out.splitlines()[1].endswith(",16.0,-64.0,96.0")


def test_a_file_goes_to_a_file(run, houses):
    priced = houses.with_name("priced.csv")
    status, out, err = run("predict", str(houses), "-o", str(priced))
    assert (status, out) == (0, "")
    assert err == f"{priced}: 2 rows priced by version 3\n"
    assert priced.read_text() == "RM,AGE,LSTAT,price\n6,3,10,16.0\n5,1,4,17.0\n"


def test_a_file_with_an_equals_sign_is_a_file_when_it_has_a_folder(run, houses):
    odd = houses.rename(houses.with_name("RM=6.csv"))
    assert run("predict", str(odd))[1].endswith("17.0\n")


def test_the_chunk_is_as_large_as_asked(run, hearth, houses):
    run("predict", str(houses), "--chunk_rows", "1")
    assert [len(body["instances"]) for body in hearth.bodies] == [1, 1]


def test_the_input_is_never_its_own_output(run, houses):
    before = houses.read_bytes()
    status, _, err = run("predict", str(houses), "-o", str(houses))
    assert (status, houses.read_bytes()) == (2, before)
    assert "is the input" in err


def test_an_output_that_cannot_be_written_is_named(run, houses):
    status, _, err = run("predict", str(houses), "-o", str(houses.parent / "no" / "p.csv"))
    assert status == 1
    assert "p.csv.part: No such file or directory" in err
