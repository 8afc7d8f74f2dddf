"""TensorFlow Serving's monitoring and SSL config files, and its flags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from service.config_files import read_metrics_path, read_session, read_tls
from service.errors import InvalidRequest
from service.load_options import load_options
from service.process import _channel_arguments, check_files, initial_config
from service.repository.config import All, ModelConfig
from service.settings import WITHOUT_EFFECT, Settings, SettingsError, knobs, parse

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.config"


# --- monitoring ---


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('prometheus_config { enable: true, path: "/numbers" }', "/numbers"),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ('prometheus_config { path: "/numbers" }', None),
        ("prometheus_config: < enable: false >", None),
        ("# nothing\n", None),
    ],
)
def test_a_monitoring_config_asks_for_a_path(file, text, path):
    file.write_text(text)

    assert read_metrics_path(file) == path


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'prometheus_config { enable: true path: "x" }', "path is 'x', it must begin with /"),
        (
            b'prometheus_config { enable: true path: "/<x>" }',
            "path is '/<x>', it must begin with /",
        ),
        (b"prometheus_config { enable: 7 }", "cannot be used: 1:"),
        (b"other {}", "cannot be used: 1:1 : "),
        (b"\xff", "cannot be used: 'utf-8' codec"),
        (None, "cannot be used: [Errno 2] No such file"),
    ],
)
def test_a_monitoring_config_that_makes_no_sense_is_refused_with_flag_and_place(
    file, content, said
):
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(InvalidRequest) as refused:
        read_metrics_path(file)

    assert refused.value.message.startswith("--monitoring_config_file: ")
    assert said in refused.value.message


# --- SSL ---


def test_an_ssl_config_holds_key_certificate_and_authority(file):
    file.write_text(
        'server_key: "KEY\\nline"\nserver_cert: "CERT"\ncustom_ca: "CA"\nclient_verify: true\n'
    )

    tls = read_tls("--ssl_config_file", file)

    assert (tls.key, tls.certificate, tls.authority) == (b"KEY\nline", b"CERT", b"CA")
    assert tls.verify_client


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('server_key: "KEY"', "server_key and server_cert are both needed"),
        ('server_cert: "CERT"', "server_key and server_cert are both needed"),
        (
            'server_key: "K" server_cert: "C" client_verify: true',
            "client_verify needs custom_ca",
        ),
        ("server_key: 5", "cannot be used: 1:"),
    ],
)
def test_an_ssl_config_that_makes_no_sense_is_refused_with_its_flag(file, text, said):
    file.write_text(text)

    with pytest.raises(InvalidRequest) as refused:
        read_tls("--ssl_config_file", file)

    assert refused.value.message.startswith("--ssl_config_file: ")
    assert said in refused.value.message


def test_files_are_checked_before_anything_starts(file, tmp_path):
    check_files(Settings(host="127.0.0.1"))
    file.write_text("nonsense {")
    for flag in ("monitoring_config_file", "ssl_config_file"):
        with pytest.raises(InvalidRequest, match=f"^--{flag}: "):
            check_files(Settings(**{flag: file}))


# --- what the flags ask to serve ---


def test_a_config_file_takes_the_place_of_name_and_base_path(file, tmp_path):
    file.write_text(
        'model_config_list { config { name: "m" base_path: "/m" model_version_policy { all {} } } }'
    )
    settings = Settings(model_config_file=file, model_name="other")

    (config,) = initial_config(settings, tmp_path)

    assert (config.name, str(config.base_path), config.policy) == ("m", "/m", All())


def test_without_a_config_file_one_model_is_served(tmp_path):
    settings = Settings(model_name="m", model_base_path=tmp_path)

    assert initial_config(settings, tmp_path) == [ModelConfig("m", tmp_path)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"nonsense {", "Error parsing text-format tensorflow.serving.ModelServerConfig"),
        (b"\xff\xfe", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_config_file_is_refused_with_flag_and_path(file, tmp_path, content, said):
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(InvalidRequest) as refused:
        initial_config(Settings(model_config_file=file), tmp_path)

    assert refused.value.message.startswith(f"--model_config_file: {file}")
    assert said in refused.value.message


# --- flags ---

# Every flag of tensorflow_model_server (tensorflow_serving/model_servers/main.cc), with a value
# that its documentation or its default gives.
FLAGS = {
    "port": "8500",
    "grpc_socket_path": "/tmp/serving.sock",
    "rest_api_port": "8501",
    "rest_api_num_threads": "8",
    "rest_api_timeout_in_ms": "30000",
    "rest_api_enable_cors_support": "true",
    "enable_batching": "true",
    "allow_version_labels_for_unavailable_models": "true",
    "batching_parameters_file": "/config/batching",
    "model_config_file": "/config/models",
    "model_config_file_poll_wait_seconds": "60",
    "model_name": "housing",
    "model_base_path": "/models/housing",
    "num_load_threads": "0",
    "num_unload_threads": "0",
    "max_num_load_retries": "5",
    "load_retry_interval_micros": "60000000",
    "file_system_poll_wait_seconds": "1",
    "flush_filesystem_caches": "true",
    "tensorflow_session_parallelism": "0",
    "tensorflow_session_config_file": "/config/session",
    "tensorflow_intra_op_parallelism": "0",
    "tensorflow_inter_op_parallelism": "0",
    "ssl_config_file": "/config/ssl",
    "platform_config_file": "/config/platform",
    "per_process_gpu_memory_fraction": "0.0",
    "saved_model_tags": "serve",
    "grpc_channel_arguments": "grpc.max_concurrent_streams=10,grpc.http2.max_ping_strikes=0",
    "grpc_max_threads": "16",
    "enable_model_warmup": "true",
    "num_request_iterations_for_warmup": "1",
    "monitoring_config_file": "/config/monitoring",
    "remove_unused_fields_from_bundle_metagraph": "true",
    "prefer_tflite_model": "false",
    "num_tflite_pools": "1",
    "num_tflite_interpreters_per_pool": "1",
    "enable_signature_method_name_check": "false",
    "xla_cpu_compilation_enabled": "false",
    "xla_gpu_compilation_enabled": "false",
    "enable_profiler": "true",
    "thread_pool_factory_config_file": "/config/threads",
    "mixed_precision": "bfloat16",
    "skip_initialize_tpu": "false",
    "enable_grpc_healthcheck_service": "true",
    "enable_serialization_as_tensor_content": "true",
    "enable_per_model_batching_parameters": "false",
    "use_alts_credentials": "false",
}
KNOBS = {knob.name for knob in knobs()}


@pytest.mark.parametrize("flag", FLAGS)
def test_every_flag_of_tensorflow_model_server_has_an_effect_or_a_warning(flag):
    settings = parse([f"--{flag}={FLAGS[flag]}"], {})

    if flag in KNOBS:
        assert settings.without_effect == ()
    elif flag != "use_alts_credentials":
        assert settings.without_effect == (flag,)


def test_a_command_line_of_tensorflow_model_server_is_taken_as_it_is():
    settings = parse([f"--{flag}={value}" for flag, value in FLAGS.items()], {})

    assert set(settings.without_effect) == set(WITHOUT_EFFECT) & set(FLAGS)
    assert settings.model_config_file is not None
    assert settings.rest_api_timeout_in_ms == 30_000


def test_no_flag_is_both_a_knob_and_without_effect():
    assert not KNOBS & set(WITHOUT_EFFECT)


@pytest.mark.parametrize("value", ["true", "1", "yes"])
def test_alts_is_refused_because_its_users_believe_themselves_safe(value):
    with pytest.raises(SettingsError, match="--use_alts_credentials is not supported"):
        parse([f"--use_alts_credentials={value}"], {})


@pytest.mark.parametrize("value", ["false", "0", "no"])
def test_alts_may_be_declined(value):
    assert parse([f"--use_alts_credentials={value}"], {}) == parse([], {})


def test_rest_and_grpc_cannot_share_a_port():
    with pytest.raises(SettingsError, match="--port is 8501, which is the port of REST too"):
        parse(["--port=8501"], {})


def test_channel_arguments_are_numbers_where_they_look_like_whole_ones():
    assert _channel_arguments("a=1,b=-2,c=x=y,d=1.5,e=,f=--1,g=\u00b2") == [
        ("a", 1),
        ("b", -2),
        ("c", "x=y"),
        ("d", "1.5"),
        ("e", ""),
        ("f", "--1"),
        ("g", "\u00b2"),
    ]
    assert _channel_arguments("") == []


def test_a_channel_argument_has_a_value():
    with pytest.raises(SettingsError, match=r"has 'grpc\.x', expected name=value"):
        parse(["--grpc_channel_arguments=a=1,grpc.x"], {})


# --- TensorFlow's sessions ---


def test_a_session_config_is_read_whole(file):
    file.write_text(
        "intra_op_parallelism_threads: 3 graph_options { optimizer_options { opt_level: L0 } }"
    )

    config = read_session(file, intra_op=0, inter_op=0)

    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (3, 0)
    assert config.graph_options.optimizer_options.opt_level == -1  # L0


def test_numbers_win_over_the_file(file):
    file.write_text("intra_op_parallelism_threads: 3 inter_op_parallelism_threads: 4")

    config = read_session(file, intra_op=1, inter_op=0)

    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (1, 4)


@pytest.mark.parametrize(
    ("content", "said"),
    [("threads: 1", "cannot be used: 1:1 : "), (None, "cannot be used: [Errno 2]")],
)
def test_a_session_config_that_makes_no_sense_is_refused_before_the_start(file, content, said):
    if content is not None:
        file.write_text(content)

    with pytest.raises(InvalidRequest) as refused:
        check_files(Settings(tensorflow_session_config_file=file))
    assert refused.value.message.startswith(f"--tensorflow_session_config_file: {file} {said}")


@pytest.mark.parametrize(
    ("flags", "threads"),
    [
        ([], (0, 0)),
        (["--tensorflow_session_parallelism=3"], (3, 3)),
        (["--tensorflow_intra_op_parallelism=2"], (2, 0)),
        (["--tensorflow_intra_op_parallelism=2", "--tensorflow_inter_op_parallelism=4"], (2, 4)),
        # As in TensorFlow Serving, one of the two silences what stands for both.
        (["--tensorflow_session_parallelism=3", "--tensorflow_inter_op_parallelism=4"], (0, 4)),
    ],
)
def test_flags_size_the_pools(flags, threads):
    session = load_options(parse(flags, {})).executor.session

    found = (session.intra_op_parallelism_threads, session.inter_op_parallelism_threads)
    assert found == threads


def test_the_number_for_both_goes_with_one_of_the_two_at_most():
    flags = [f"--tensorflow_{it}_parallelism=2" for it in ("session", "intra_op", "inter_op")]

    with pytest.raises(SettingsError, match="give it or those two, not all"):
        parse(flags, {})
