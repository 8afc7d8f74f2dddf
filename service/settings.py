"""Every knob of the service: its default, unit and meaning.

Flags have TensorFlow Serving's names where it has the knob, and its forms:
``--name=value``, ``--name value``, and for switches ``--name`` alone.
"""

from __future__ import annotations

import argparse
import os
import shlex
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from service import VERSION, platforms
from service.inference.executor import AUTO, EXECUTORS
from service.inference.signature import DEFAULT_TAGS
from service.monitoring.access_log import parse_access_log
from service.monitoring.request_log import PARQUET, TFRECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_TRUE: Final = frozenset({"true", "t", "yes", "y", "1"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "0"})
_AUTO: Final = "auto"
REMOTE_PROTOCOLS: Final = ("tensorflow_serving", "open_inference")
_ADDRESSES: Final = ("host", "rest_api_port", "port", "grpc_socket_path")


class SettingsError(ValueError):
    """A flag or variable has a value that makes no sense."""


def _knob(default: Any, meaning: str, read: Callable[[str], Any]) -> Any:
    return field(default=default, metadata={"meaning": meaning, "read": read})


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise SettingsError(f"is {text!r}, not a whole number") from None
        if not low <= value <= high:
            raise SettingsError(f"is {value}, outside [{low}, {high}]")
        return value

    return read


def _real(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise SettingsError(f"is {text!r}, not a number") from None
        if not low <= value <= high:
            raise SettingsError(f"is {value:g}, outside [{low:g}, {high:g}]")
        return value

    return read


def _one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise SettingsError(f"is {text!r}, not one of {', '.join(choices)}")
        return text

    return read


def _switch(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise SettingsError(f"is {text!r}, not true or false")


def _choice(text: str) -> bool | None:
    """A switch that is left to us unless somebody decides."""
    return None if text.lower() == _AUTO else _switch(text)


def _name(text: str) -> str:
    if not text:
        raise SettingsError("is empty")
    return text


def _folder(text: str) -> Path:
    if "://" in text:
        raise SettingsError(
            f"is {text!r}; only folders can be read: copy the model, or mount its storage, and "
            "give the folder as --model_base_path"
        )
    return Path(text)


def _paths(text: str) -> tuple[Path, ...]:
    if not all(text.split(",")):
        raise SettingsError(f"is {text!r}; expected paths joined by commas")
    return tuple(Path(it) for it in text.split(","))


def _servers(text: str) -> tuple[str, ...]:
    from service.remote.addresses import check_servers  # noqa: PLC0415 - only where needed

    servers = tuple(it.strip() for it in text.split(","))
    problem = check_servers(servers)
    if problem:
        raise SettingsError(problem)
    return servers


def _route(text: str) -> str:
    if not text.startswith("/") or set(text) & set("?#"):
        raise SettingsError(f"is {text!r}; a route begins with '/' and has no '?' or '#'")
    return text


def _collector(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise SettingsError(
            f"is {text!r}, not a URL such as http://localhost:4318/v1/traces (OTLP over HTTP)"
        )
    return text


def _access_log(text: str) -> str:
    try:
        parse_access_log(text)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    return text


def _channel_arguments(text: str) -> str:
    for pair in filter(None, text.split(",")):
        if "=" not in pair:
            raise SettingsError(f"has {pair!r}, expected name=value")
    return text


# As many threads as TensorFlow Serving takes.
_THREADS: Final = 4 * (os.cpu_count() or 1)

# Flags of tensorflow_model_server that change nothing here. They are accepted, so that its
# command lines work, and named in a warning.
WITHOUT_EFFECT: Final = (
    "enable_grpc_healthcheck_service", "enable_profiler",
    "enable_signature_method_name_check", "flush_filesystem_caches", "mixed_precision",
    "num_load_threads", "num_tflite_interpreters_per_pool", "num_tflite_pools",
    "num_unload_threads", "per_process_gpu_memory_fraction", "platform_config_file",
    "remove_unused_fields_from_bundle_metagraph", "skip_initialize_tpu",
    "thread_pool_factory_config_file", "xla_cpu_compilation_enabled",
    "xla_gpu_compilation_enabled",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """The knobs of one service."""

    rest_api_port: int = _knob(8501, "Port of REST; 0 for none.", _whole(0, 65535))
    port: int = _knob(8500, "Port of gRPC; 0 for none.", _whole(0, 65535))
    grpc_socket_path: str = _knob("", "Unix socket for gRPC too; empty for none.", str)
    enable_serialization_as_tensor_content: bool = _knob(
        default=False,
        meaning="gRPC answers carry numbers as tensor_content instead of typed fields.",
        read=_switch,
    )
    host: str = _knob("0.0.0.0", "Address to listen on; all by default.", str)  # noqa: S104 - as TensorFlow Serving
    workers: int = _knob(1, "Worker processes, each with its own models.", _whole(1, 256))
    model_name: str = _knob("default", "Name of the model.", _name)
    model_base_path: Path = _knob(
        Path("models/default"), "Folder of the model's versions.", _folder
    )
    find_model: bool = _knob(
        default=False,
        meaning="Look below model_base_path for the model; it may be a lone version too.",
        read=_switch,
    )
    default_model: str = _knob(
        "",
        "Model that answers where a request names none; needed only if several are served.",
        _name,
    )
    vertex_health_route: str = _knob("", "Path of Vertex AI's health route.", _route)
    vertex_predict_route: str = _knob("", "Path of Vertex AI's predict route.", _route)
    model_config_file: Path | None = _knob(
        None,
        "Text form of a ModelServerConfig with the models to serve; instead of the two above.",
        Path,
    )
    model_config_file_poll_wait_seconds: float = _knob(
        0.0,
        "Seconds between looks at the model config file; 0 or less reads it once.",
        _real(-86400, 86400),
    )
    allow_version_labels_for_unavailable_models: bool = _knob(
        default=False,
        meaning="A label may be given to a version that is not served yet.",
        read=_switch,
    )
    default_version_label: str = _knob(
        "",
        "Label of the version that answers where a request names none; without it the newest.",
        str,
    )
    verify_versions_with: tuple[Path, ...] = _knob(
        (),
        "Public keys, joined by commas; a version that none of them has signed is refused.",
        _paths,
    )
    allow_model_control: bool = _knob(
        default=False,
        meaning="Callers may load, unload and reload models; of callers with keys, who has admin.",
        read=_switch,
    )
    model_folders: str = _knob(
        "",
        "Folders, joined by commas, below which callers may name models, beside those of the "
        "models that are configured.",
        str,
    )
    remote_servers: tuple[str, ...] = _knob(
        (),
        "Servers that run the models, host:port joined by commas, or one DNS name for all; "
        "model_base_path then holds what describes the versions, if anything.",
        _servers,
    )
    remote_protocol: str = _knob(
        REMOTE_PROTOCOLS[0],
        f"What they speak, over gRPC: {', '.join(REMOTE_PROTOCOLS)}.",
        _one_of(*REMOTE_PROTOCOLS),
    )
    remote_config_file: Path | None = _knob(
        None, "JSON that says how they are asked: TLS and metadata; plain text without.", Path
    )
    executor: str = _knob(
        AUTO, f"What runs the model: {', '.join(EXECUTORS)}.", _one_of(*EXECUTORS)
    )
    prefer_tflite_model: bool = _knob(
        default=False,
        meaning="With auto, take a model.tflite as it is, not compared with its SavedModel.",
        read=_switch,
    )
    conversion_cache: Path | None = _knob(
        None, "Folder that keeps conversions to LiteRT; one in the user's cache by default.", Path
    )
    saved_model_tags: str = _knob(
        ",".join(DEFAULT_TAGS), "Tags, joined by commas, of the SavedModel's graph to serve.", str
    )
    tensorflow_session_parallelism: int = _knob(
        0, "Threads for each of the two below; 0 for one a CPU.", _whole(0, 4096)
    )
    tensorflow_intra_op_parallelism: int = _knob(
        0, "Threads of a worker on which TensorFlow splits up one operation.", _whole(0, 4096)
    )
    tensorflow_inter_op_parallelism: int = _knob(
        0, "Threads of a worker on which TensorFlow runs operations at once.", _whole(0, 4096)
    )
    tensorflow_session_config_file: Path | None = _knob(
        None,
        "Text form of the ConfigProto of TensorFlow's sessions; the three above win over it.",
        Path,
    )
    enable_model_warmup: bool = _knob(
        default=True,
        meaning="Run the requests of assets.extra/tf_serving_warmup_requests at load.",
        read=_switch,
    )
    num_request_iterations_for_warmup: int = _knob(
        1, "Times that each of these requests is run.", _whole(1, 1_000_000)
    )
    enable_batching: bool | None = _knob(
        default=None,
        meaning="Join requests that wait for the same model: true, false, or where a trial at its "
        "load shows that it pays.",
        read=_choice,
    )
    batching_parameters_file: Path | None = _knob(
        None, "Text form of the BatchingParameters that say how; needs enable_batching.", Path
    )
    enable_per_model_batching_parameters: bool = _knob(
        default=False,
        meaning="A batching_params.pbtxt in a version's folder says how for this version.",
        read=_switch,
    )
    file_system_poll_wait_seconds: float = _knob(
        1.0,
        "Seconds between looks at the model's folder; 0 or less looks once.",
        _real(-86400, 86400),
    )
    max_num_load_retries: int = _knob(
        5, "Times that a refused version is tried again unchanged.", _whole(0, 1_000_000)
    )
    load_retry_interval_micros: int = _knob(
        60_000_000, "Microseconds between such tries.", _whole(0, 10**12)
    )
    load_trial_s: float = _knob(
        240.0,
        "Seconds that the trial load of a new version, in a process of its own, may take; 0 for "
        "no such trials.",
        _real(0, 86400),
    )
    load_trial_memory_bytes: int = _knob(
        0,
        "Bytes of memory that a trial load may take; 0 for half of the machine's.",
        _whole(0, 2**50),
    )
    rest_api_num_threads: int = _knob(
        _THREADS,
        "Threads of a worker for REST requests that the event loop may not wait for.",
        _whole(1, 4096),
    )
    grpc_max_threads: int = _knob(
        _THREADS,
        "Threads of a worker for gRPC calls that the event loop may not wait for.",
        _whole(1, 4096),
    )
    rest_api_timeout_in_ms: int = _knob(
        30_000, "Milliseconds that a REST request may take once it is there.", _whole(1, 10**9)
    )
    rest_api_enable_cors_support: bool = _knob(
        default=False, meaning="Let pages of other origins ask (CORS).", read=_switch
    )
    monitoring_config_file: Path | None = _knob(
        None, "Text form of a MonitoringConfig: a path for TensorFlow Serving's metrics.", Path
    )
    ssl_config_file: Path | None = _knob(None, "Text form of an SSLConfig: TLS for gRPC.", Path)
    rest_ssl_config_file: Path | None = _knob(
        None, "Text form of an SSLConfig: TLS for REST, which TensorFlow Serving has not.", Path
    )
    allow_anonymous: bool = _knob(
        default=False,
        meaning="Anybody who reaches the service may ask it, where no callers are named.",
        read=_switch,
    )
    api_key_file: Path | None = _knob(
        None, "Callers, what each may do, and hashes of their API keys.", Path
    )
    jwt_keys: str = _knob(
        "", "File or https address of the JWKS whose keys have signed bearer tokens.", str
    )
    jwt_issuer: str = _knob("", "The iss that bearer tokens must have.", str)
    jwt_audience: str = _knob("", "The aud that bearer tokens must have.", str)
    jwt_scope_claim: str = _knob("scope", "The claim of bearer tokens that lists scopes.", _name)
    open_metrics: bool = _knob(
        default=False, meaning="The metrics need no key, so that anybody may scrape.", read=_switch
    )
    rate_limit: float = _knob(
        0.0, "Requests a second that a caller may make; 0 for any number.", _real(0, 10**9)
    )
    rate_limit_burst: float = _knob(
        0.0, "Requests that a caller may make at once; 0 for those of a second.", _real(0, 10**9)
    )
    allow_graph_operations: str = _knob(
        "",
        "Operations, joined by commas, that a SavedModel may have though they reach beyond it; "
        "all for any.",
        str,
    )
    audit_log_file: Path | None = _knob(
        None, "File for the audit log; standard output by default.", Path
    )
    grpc_channel_arguments: str = _knob(
        "", "Channel arguments of gRPC: name=value,name=value.", _channel_arguments
    )
    max_connections: int = _knob(
        10_000, "HTTP connections of a worker; more is refused with 503.", _whole(1, 1_000_000)
    )
    max_requests_in_flight: int = _knob(
        2048,
        "Requests of a worker that wait for a thread, a batch or their network; more is refused. "
        "A client may have as many as are left.",
        _whole(2, 1_000_000),
    )
    max_bytes_in_flight: int = _knob(
        2**30, "Bytes of their bodies; more is refused.", _whole(1, 2**50)
    )
    max_body_bytes: int = _knob(
        64 * 2**20, "Bytes of a request's body; more is refused.", _whole(1, 2**31 - 1)
    )
    header_timeout_s: float = _knob(
        10.0, "Seconds that a client may take to send a request's head.", _real(0.1, 3600)
    )
    body_timeout_s: float = _knob(
        30.0, "Seconds that a client may take to send a request's body.", _real(0.1, 3600)
    )
    keepalive_s: int = _knob(75, "Seconds that an idle connection is kept open.", _whole(0, 86400))
    keepalive_min_s: float = _knob(
        1.0,
        "Seconds without a request after which a stop closes a connection: a client that asks "
        "again and again may have sent the next.",
        _real(0, 3600),
    )
    max_requests: int = _knob(
        0,
        "Requests after which a worker is replaced by a new one, without a gap; 0 for never.",
        _whole(0, 10**12),
    )
    shutdown_delay_s: float = _knob(
        0.0,
        "Seconds on SIGTERM in which readiness is already 503 but requests are still taken.",
        _real(0, 3600),
    )
    graceful_timeout_s: int = _knob(
        30, "Seconds that accepted requests have to end on SIGTERM.", _whole(1, 3600)
    )
    access_log: str = _knob(
        "errors", "Requests to log: off, errors (and slow ones), sampled:RATE, all.", _access_log
    )
    slow_request_ms: float = _knob(
        1000.0, "Milliseconds from which a request counts as slow.", _real(0, 10**9)
    )
    request_log_folder: Path | None = _knob(
        None, "Folder for the log of requests and their answers; none by default.", Path
    )
    request_log_sampling: float = _knob(1.0, "Share of requests that it takes.", _real(0, 1))
    request_log_format: str = _knob(
        TFRECORD, f"Its files' form: {TFRECORD} or {PARQUET}.", _one_of(TFRECORD, PARQUET)
    )
    request_log_file_bytes: int = _knob(
        64 * 2**20, "Bytes from which a file of it is followed by the next.", _whole(1024, 2**40)
    )
    request_log_file_s: float = _knob(
        3600.0, "Seconds from which a file of it is followed by the next.", _real(1, 365 * 86400)
    )
    request_log_total_bytes: int = _knob(
        2**30, "Bytes of a model's files; the oldest go first.", _whole(2048, 2**50)
    )
    request_log_leave_out: str = _knob(
        "", "Features, joined by commas, whose values it does not keep.", str
    )
    feedback_folder: Path | None = _knob(
        None, "Folder that keeps predictions for their true prices to come; none by default.", Path
    )
    feedback_rows: int = _knob(
        1_000_000, "Predictions that it keeps, and true prices.", _whole(1, 10**9)
    )
    drift_window_s: float = _knob(
        3600.0,
        "Seconds in which requests are looked at for drift from the training; 0 for not at all.",
        _real(0, 30 * 86400),
    )
    trace_endpoint: str = _knob(
        "", "URL of an OTLP collector that traces are sent to; empty for no traces.", _collector
    )
    trace_sampling: float = _knob(
        0.01, "Share of the requests traced whose callers do not decide it.", _real(0, 1)
    )
    quiet: bool = _knob(False, "Do not print where everything is at the start.", _switch)  # noqa: FBT003 - a knob's default

    # Flags that were given and change nothing.
    without_effect: tuple[str, ...] = ()


# Says in an image, where the command line is the user's, that anybody may ask.
ALLOW_ANONYMOUS: Final = "HEARTH_ALLOW_ANONYMOUS"


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read the flags and, as TensorFlow Serving's image does, two variables, and one of ours.

    ``MODEL_NAME`` gives the model's name and ``MODEL_BASE_PATH`` the folder in which a
    folder of that name lies; ``HEARTH_ALLOW_ANONYMOUS`` stands for the flag. What
    ``platforms`` reads wins over them, and flags over all.

    Args:
        arguments: The command line behind the program's name.
        environment: The process's environment.

    Raises:
        SettingsError: A flag is not known, or its value makes no sense.
        SystemExit: Help was asked for, and printed.
    """
    serve, flags = platforms.without_serve(arguments)
    given = _given(flags)
    values = _from_environment(environment, given["model_name"])
    values |= _from_platform(platforms.told(environment, serve=serve), given)
    for knob in knobs():
        text = given[knob.name]
        if text is not None:
            values[knob.name] = _read(f"--{knob.name}", knob.metadata["read"], text)
    alts = given["use_alts_credentials"]
    if alts is not None and _read("--use_alts_credentials", _switch, alts):
        raise SettingsError("--use_alts_credentials is not supported; use --ssl_config_file")
    values["without_effect"] = tuple(name for name in WITHOUT_EFFECT if given[name] is not None)
    settings = Settings(**values)
    _check_ports(settings)
    _check_parallelism(settings)
    _check_request_log(settings)
    _check_remote(settings)
    _check_tokens(settings)
    return settings


def _given(flags: Sequence[str]) -> dict[str, str | None]:
    """What is given for each flag, if anything."""
    try:
        return vars(_parser().parse_args(flags))
    except UnicodeDecodeError as error:
        raise SettingsError(f"a file of flags is no UTF-8: {error}") from error
    except RecursionError as error:
        raise SettingsError("a file of flags stands for itself") from error


def _check_ports(settings: Settings) -> None:
    if not (settings.rest_api_port or settings.port or settings.grpc_socket_path):
        raise SettingsError("--rest_api_port, --port and --grpc_socket_path are all off: give one")
    if settings.port and settings.port == settings.rest_api_port:
        raise SettingsError(f"--port is {settings.port}, which is the port of REST too")


def _check_parallelism(settings: Settings) -> None:
    both = settings.tensorflow_intra_op_parallelism and settings.tensorflow_inter_op_parallelism
    if both and settings.tensorflow_session_parallelism:
        raise SettingsError(
            "--tensorflow_session_parallelism stands for --tensorflow_intra_op_parallelism and "
            "--tensorflow_inter_op_parallelism: give it or those two, not all"
        )


def _check_request_log(settings: Settings) -> None:
    # Each worker has a file under way, and none may go over the whole before it ends.
    least = (settings.workers + 1) * settings.request_log_file_bytes
    if settings.request_log_folder is not None and settings.request_log_total_bytes < least:
        raise SettingsError(
            f"--request_log_total_bytes is {settings.request_log_total_bytes}, below the {least} "
            f"of {settings.workers + 1} files of --request_log_file_bytes"
        )


def _check_remote(settings: Settings) -> None:
    if settings.remote_config_file is not None and not settings.remote_servers:
        raise SettingsError("--remote_config_file is given without --remote_servers")
    if settings.remote_protocol != REMOTE_PROTOCOLS[0] and not settings.remote_servers:
        raise SettingsError("--remote_protocol is given without --remote_servers")
    here = settings.find_model or settings.verify_versions_with or settings.executor != AUTO
    if settings.remote_servers and here:
        raise SettingsError(
            "--remote_servers runs no model here: leave out --find_model, --verify_versions_with "
            "and --executor"
        )


def _check_tokens(settings: Settings) -> None:
    # Somebody believes that tokens are asked for.
    for name in ("jwt_issuer", "jwt_audience"):
        if getattr(settings, name) and not settings.jwt_keys:
            raise SettingsError(f"--{name} is given without --jwt_keys")


def knobs() -> list[Field[Any]]:
    """The fields of ``Settings`` that are flags."""
    return [knob for knob in fields(Settings) if "meaning" in knob.metadata]


def _from_environment(environment: Mapping[str, str], named: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    name = environment.get("MODEL_NAME")
    if name:
        values["model_name"] = _read("MODEL_NAME", _name, name)
    base_path = environment.get("MODEL_BASE_PATH")
    if base_path:
        values["model_base_path"] = Path(base_path) / (named or name or Settings.model_name)
    allowed = environment.get(ALLOW_ANONYMOUS)
    if allowed:
        values["allow_anonymous"] = _read(ALLOW_ANONYMOUS, _switch, allowed)
    return values


def _from_platform(
    told: Mapping[str, platforms.Told], given: Mapping[str, str | None]
) -> dict[str, Any]:
    """What a platform asks for and no flag does; a flag that names models names them alone."""
    values: dict[str, Any] = {}
    named = given["model_base_path"] is not None or given["model_config_file"] is not None
    for knob in knobs():
        if knob.name in told and not (named and knob.name in {"model_base_path", "find_model"}):
            place, text = told[knob.name]
            if given[knob.name] is None:
                values[knob.name] = _read(place, knob.metadata["read"], text)
    return values


def _read(place: str, read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except SettingsError as error:
        raise SettingsError(f"{place} {error}") from error


def check_addresses_stay(before: Settings, after: Settings) -> None:
    """Make sure that a running service can take new settings.

    Raises:
        SettingsError: It would have to listen somewhere else.
    """
    for name in _ADDRESSES:
        was, asked = getattr(before, name), getattr(after, name)
        if asked != was:
            raise SettingsError(f"--{name} is {asked!r}, and {was!r} until a restart")


class _Parser(argparse.ArgumentParser):
    def convert_arg_line_to_args(self, arg_line: str) -> list[str]:
        """What a line of a file of flags holds: flags as in a shell, and comments."""
        try:
            return shlex.split(arg_line, comments=True)
        except ValueError as error:
            raise SettingsError(f"the line {arg_line!r}: {error}") from error

    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m service",
        description="Serves the newest version of a model over TensorFlow Serving's REST.",
        epilog="@FILE stands for the flags in that file; SIGHUP reads it again.",
        fromfile_prefix_chars="@",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"hearth {VERSION}")
    for name in (*WITHOUT_EFFECT, "use_alts_credentials"):
        parser.add_argument(f"--{name}", nargs="?", const="true", help=argparse.SUPPRESS)
    for knob in knobs():
        choice = knob.metadata["read"] is _choice
        switch = choice or knob.metadata["read"] is _switch
        default = _AUTO if choice else knob.default
        parser.add_argument(
            f"--{knob.name}",
            metavar="BOOL" if switch else "VALUE",
            nargs="?" if switch else None,
            const="true" if switch else None,
            help=f"{knob.metadata['meaning']} Default: {default}".replace("%", "%%"),
        )
    return parser
