from __future__ import annotations

import re
from pathlib import Path

import pytest

from service.settings import Settings, SettingsError, check_addresses_stay, knobs, parse

KNOBS = [knob.name for knob in knobs()]
SWITCHES = [knob.name for knob in knobs() if knob.default is False]


def given(*flags: str, **environment: str) -> Settings:
    return parse(flags, environment)


def refusal(*flags: str, **environment: str) -> str:
    with pytest.raises(SettingsError) as refused:
        given(*flags, **environment)
    return str(refused.value)


def test_without_flags_the_defaults_hold():
    assert given() == Settings()


def test_defaults_are_those_of_tensorflow_serving_where_it_has_the_knob():
    settings = given()

    # tensorflow_serving/model_servers/server.h; the image turns REST on at 8501.
    assert (settings.port, settings.rest_api_port) == (8500, 8501)
    assert (settings.model_name, settings.file_system_poll_wait_seconds) == ("default", 1)
    assert (settings.max_num_load_retries, settings.load_retry_interval_micros) == (5, 60_000_000)


@pytest.mark.parametrize(
    "flags", [["--workers=3"], ["--workers", "3"], ["--workers=9", "--workers=3"]]
)
def test_a_flag_may_be_given_either_way_and_the_last_one_wins(flags):
    assert given(*flags).workers == 3


@pytest.mark.parametrize("switch", SWITCHES)
@pytest.mark.parametrize(
    ("suffix", "value"),
    [("", True), ("=true", True), ("=1", True), ("=YES", True), ("=false", False), ("=0", False)],
)
def test_a_switch_stands_alone_or_says_what_it_is(switch, suffix, value):
    assert getattr(given(f"--{switch}{suffix}"), switch) is value


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("rest_api_port", 18501),
        ("rest_api_port", 0),
        ("file_system_poll_wait_seconds", -1),
        ("model_config_file_poll_wait_seconds", -1),
        ("port", 0),
        ("host", "127.0.0.1"),
        ("workers", 2),
        ("model_name", "my model-1"),
        ("default_model", "team/housing:eu"),
        ("model_base_path", Path("/models/housing")),
        ("executor", "tensorflow"),
        ("file_system_poll_wait_seconds", 0.25),
        ("max_num_load_retries", 0),
        ("load_retry_interval_micros", 5),
        ("rest_api_num_threads", 1),
        ("max_body_bytes", 1024),
        ("header_timeout_s", 0.5),
        ("body_timeout_s", 2.0),
        ("keepalive_s", 0),
        ("shutdown_delay_s", 1.5),
        ("graceful_timeout_s", 7),
        ("access_log", "sampled:0.01"),
        ("slow_request_ms", 12.5),
    ],
)
def test_a_flag_sets_its_knob(flag, value):
    assert getattr(given(f"--{flag}={value}"), flag) == value


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--rest_api_port=x", "--rest_api_port is 'x', not a whole number"),
        ("--rest_api_port=70000", "--rest_api_port is 70000, outside [0, 65535]"),
        ("--port=-1", "--port is -1, outside [0, 65535]"),
        ("--workers=0", "--workers is 0, outside [1, 256]"),
        ("--workers=1.5", "--workers is '1.5', not a whole number"),
        ("--workers=", "--workers is '', not a whole number"),
        ("--header_timeout_s=nan", "--header_timeout_s is nan, outside [0.1, 3600]"),
        ("--header_timeout_s=soon", "--header_timeout_s is 'soon', not a number"),
        ("--executor=gpu", "--executor is 'gpu', not one of auto, litert, tensorflow"),
        ("--model_name=", "--model_name is empty"),
        ("--default_model=", "--default_model is empty"),
        ("--quiet=perhaps", "--quiet is 'perhaps', not true or false"),
        (
            "--access_log=sampled:2",
            "--access_log is 'sampled:2', not off, errors, all or sampled:RATE with RATE in [0, 1]",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_flag_and_limit(flag, message):
    assert refusal(flag) == message


def test_something_must_be_served():
    off = ("--rest_api_port=0", "--port=0")

    assert refusal(*off) == "--rest_api_port, --port and --grpc_socket_path are all off: give one"
    assert given(*off, "--grpc_socket_path=/run/s").grpc_socket_path == "/run/s"
    assert given("--rest_api_port=0").port == 8500
    assert given("--port=0").rest_api_port == 8501


@pytest.mark.parametrize("name", ["jwt_issuer", "jwt_audience"])
def test_who_asks_for_tokens_says_whose_keys_sign_them(name):
    assert refusal(f"--{name}=x") == f"--{name} is given without --jwt_keys"


def test_rest_and_grpc_cannot_share_a_port():
    assert refusal("--port=8501") == "--port is 8501, which is the port of REST too"


@pytest.mark.parametrize(
    "flags", [["--modle_name=x"], ["--work=2"], ["housing"], ["-x"], ["--workers"]]
)
def test_an_unknown_or_unfinished_flag_is_named(flags):
    assert flags[0] in refusal(*flags)


def test_every_flag_is_in_the_help_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        given("--help")

    text = " ".join(capsys.readouterr().out.split())
    assert stop.value.code == 0
    for knob in knobs():
        assert f"--{knob.name}" in text
        assert f"Default: {knob.default}" in text


def test_every_knob_says_what_it_means_in_a_sentence():
    for knob in knobs():
        assert knob.metadata["meaning"].endswith("."), knob.name


def test_the_variables_of_tensorflow_servings_image_are_read():
    settings = given(MODEL_NAME="housing", MODEL_BASE_PATH="/models")

    assert settings.model_name == "housing"
    assert settings.model_base_path == Path("/models/housing")


def test_flags_win_over_variables():
    settings = given(
        "--model_name=flat", "--model_base_path=/x", MODEL_NAME="housing", MODEL_BASE_PATH="/models"
    )

    assert (settings.model_name, settings.model_base_path) == ("flat", Path("/x"))


def test_a_bad_variable_is_named():
    assert refusal(MODEL_BASE_PATH="/m", AIP_HTTP_PORT="x").startswith("AIP_HTTP_PORT is 'x'")


def test_a_name_may_hold_what_a_path_may_not():
    assert given("--model_name=team/housing:eu").model_name == "team/housing:eu"


def test_a_file_stands_for_the_flags_in_it(tmp_path):
    flags = tmp_path / "flags"
    flags.write_text("# as last year\n--workers=3\n\n--model_name 'a b'  # quoted\n")
    settings = parse(["--workers=2", f"@{flags}", "--port=1"], {})
    assert (settings.workers, settings.model_name, settings.port) == (3, "a b", 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--worker=3", "unrecognized arguments: --worker=3"),
        ("--workers=none", "--workers is 'none', not a whole number"),
        ("--model_name='a", 'the line "--model_name=\'a": No closing quotation'),
    ],
)
def test_what_is_wrong_in_a_file_of_flags_is_named(tmp_path, text, message):
    flags = tmp_path / "flags"
    flags.write_text(text)
    with pytest.raises(SettingsError, match=re.escape(message)):
        parse([f"@{flags}"], {})


def test_a_file_of_flags_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match="No such file or directory"):
        parse([f"@{tmp_path / 'flags'}"], {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"--quiet\xff", "a file of flags is no UTF-8"),
        (b"@FILE", "a file of flags stands for itself"),
    ],
)
def test_a_file_that_cannot_hold_flags_is_refused(tmp_path, content, message):
    flags = tmp_path / "flags"
    flags.write_bytes(content.replace(b"FILE", bytes(flags)))
    with pytest.raises(SettingsError, match=message):
        parse([f"@{flags}"], {})


@pytest.mark.parametrize("flag", ["--port=1", "--rest_api_port=1", "--host=::1"])
def test_an_address_needs_a_restart(flag):
    name = flag[2:].partition("=")[0]
    with pytest.raises(SettingsError, match=rf"--{name} is .*, and .* until a restart"):
        check_addresses_stay(parse([], {}), parse([flag], {}))


def test_all_else_may_change_without_one():
    check_addresses_stay(parse([], {}), parse(["--workers=3", "--model_name=x"], {}))
