"""One worker process, put together: models, metrics, application."""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import quote

from service.admission import Admission
from service.config_files import metrics_paths
from service.errors import InvalidRequest, kinds
from service.exchange import Exchange, Exchanges
from service.health import Health
from service.http.app import Parts, create_app
from service.http.fast_lane import Lane, Outbox
from service.http.front import Front
from service.http.heads import Heads
from service.http.invocations import Invocations
from service.http.open_inference import OpenInference as RestOpenInference
from service.http.tensorflow_serving import Monitors
from service.http.tensorflow_serving import TensorFlowServing as RestTensorFlowServing
from service.http.vertex import Vertex
from service.load_options import load_options
from service.monitoring import parquet, traces
from service.monitoring.access_log import AccessLog, parse_access_log
from service.monitoring.drift import Drift
from service.monitoring.drift_gauges import DriftGauges
from service.monitoring.feedback import Feedback, FeedbackGauges
from service.monitoring.feedback_store import FILE, FeedbackStore
from service.monitoring.levels import states
from service.monitoring.metrics import Metrics
from service.monitoring.observations import Observations
from service.monitoring.request_log import PARQUET, TFRECORD, Limits, RequestLog, Target
from service.monitoring.tensorflow_serving import ServingMetrics
from service.monitoring.traces import Traces
from service.protocols.open_inference_dataplane import Dataplane
from service.protocols.prediction_log import TFRecord
from service.protocols.tensorflow_serving_grpc import code_of
from service.repository.config import COLLECTORS, ModelConfig, parse_config, read_logging
from service.repository.control import Control
from service.repository.loading import check_files_of, load_version
from service.repository.repository import Repository, RetryPolicy
from service.repository.search import find_model
from service.repository.signatures import Signatures
from service.repository.trials import Trials
from service.repository.watcher import ConfigFile, Watcher
from service.rpc.calls import Calls
from service.rpc.open_inference import OpenInference
from service.rpc.server import RpcServer
from service.rpc.tensorflow_serving import TensorFlowServing
from service.security.audit import AuditLog
from service.security.entrance import Entrance, check_entrance
from service.trial import try_apart
from service.web.index import protocols
from service.web.openapi import Offered

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from ssl import SSLContext

    from service.crashes import Crashes
    from service.http.messages import Api
    from service.monitoring.drift import Report
    from service.monitoring.observations import Observer
    from service.monitoring.request_log import Form
    from service.remote.fleet import Fleet
    from service.repository.agreement import Agreement
    from service.repository.version import ModelVersion
    from service.rpc.calls import Service
    from service.security.guard import Guard
    from service.settings import Settings


_log: Final = logging.getLogger("hearth.process")
_METRICS_PATH: Final = "/metrics"
# Seconds after which a version of a fleet that was refused is tried again.
_FLEET_RETRY_S: Final = 5.0
_WHOLE: Final = re.compile(r"-?[0-9]{1,9}")


class Process:
    """The parts of one worker; calling it is calling its ASGI application.

    Args:
        settings: The knobs.
        agreement: What all workers agree on.
        crashes: How workers before this one have fared; None where nobody counts.

    Attributes:
        settings: The knobs.
        health: Readiness, to be turned when the worker goes down.
        repository: The models.
        rpc: The gRPC server; None where there is none.
        entrance: Who may come in.
    """

    def __init__(
        self, settings: Settings, agreement: Agreement, crashes: Crashes | None = None
    ) -> None:
        self.settings = settings
        self.entrance = Entrance(settings)
        self._metrics = Metrics(serving=_serving_metrics(settings))
        self._fleet = _fleet(settings, self._metrics)
        self._trials = _trials(settings, agreement)
        self.repository = _repository(settings, self._metrics, self._trials, self._fleet)
        self.health = Health(
            self.repository,
            str if crashes is None else crashes.problem,
            str if self._fleet is None else self._fleet.problem,
        )
        access_log = AccessLog(
            parse_access_log(settings.access_log), settings.slow_request_ms / 1000
        )
        audit_log = AuditLog(settings.audit_log_file)
        drift = _drift(settings, agreement)
        self._request_log = _request_log(settings, self.repository, self._metrics)
        self._feedback = _feedback(settings, self._metrics)
        observers: list[Observer | None] = [self._request_log, drift, self._feedback]
        self._observations = Observations(filter(None, observers), self._metrics.unobserved)
        if self._feedback is not None:
            gauges = FeedbackGauges(_feedback_store(settings), self.repository.versions)
            self._metrics.worked_out.register(gauges)
        if drift is not None:
            self._metrics.worked_out.register(DriftGauges(drift, self.repository.versions))
        self._traces = _traces(settings)
        recorder = _Recorder(self._metrics, access_log, self._observations, audit_log, self._traces)
        exchanges = Exchanges(recorder, self._traces)
        control = Control(
            agreement,
            labels_ahead=settings.allow_version_labels_for_unavailable_models,
            folders=[Path(it) for it in settings.model_folders.split(",") if it],
            log_folder=settings.request_log_folder,
        )
        allowed = control if settings.allow_model_control else None
        dataplane = Dataplane(self.repository, self.health, settings.max_body_bytes, allowed)
        self._parts = Parts(
            repository=self.repository,
            apis=_apis(settings, self.repository, self.health, dataplane, self._monitors(drift)),
            health=self.health,
            exchanges=exchanges,
            metrics=self._published(),
            spoken=protocols(settings),
            offered=_offered(settings, self.entrance.rest),
            guard=self.entrance.rest,
            encrypted=self.entrance.rest_tls is not None,
        )
        services = _services(
            settings, self.repository, allowed, lambda: self._exposition()[0], dataplane
        )
        admission = Admission(settings.max_requests_in_flight, settings.max_bytes_in_flight)
        self.rpc = _rpc_server(settings, services, exchanges, self.health, self.entrance, admission)
        self._front = Front(create_app(self._parts), self._parts, settings, admission)
        self._watcher = Watcher(
            self.repository,
            agreement,
            _config_file(settings),
            settings.file_system_poll_wait_seconds,
        )

    def __call__(self, scope: Any, receive: Any, send: Any) -> Awaitable[None]:
        """Answer one request."""
        return self._front(scope, receive, send)

    @property
    def is_worn(self) -> bool:
        """Whether it has answered as many requests as one worker should."""
        most = self.settings.max_requests
        return bool(most) and self._parts.exchanges.ended >= most

    def lane(self, loop: AbstractEventLoop, limits: Mapping[str, int]) -> Lane:
        """What the fast lanes of all connections share.

        Args:
            loop: The event loop that answers.
            limits: Limits of a request's head.
        """
        settings, guard = self.settings, self.entrance.rest
        return Lane(
            heads=Heads(self._parts.apis, limits, settings.max_body_bytes, guard),
            answering=self._front.answering,
            exchanges=self._parts.exchanges,
            health=self.health,
            loop=loop,
            outbox=Outbox(loop),
            body_timeout_s=settings.body_timeout_s,
            request_timeout_s=settings.rest_api_timeout_in_ms / 1000,
            guard=None if guard.is_open else guard,
        )

    def tls_context(self) -> SSLContext | None:
        """What REST over TLS needs; None for plain text."""
        tls = self.entrance.rest_tls
        return None if tls is None else tls.context()

    def hand_on_metrics(self, lag_s: float = 0.0) -> None:
        """Let other workers' scrapes see what this one has counted, and how it stands.

        Args:
            lag_s: Seconds that the event loop came late to it.
        """
        self._observations.hand_on()
        self._metrics.hand_on()
        pending = {"rest": self._front.answering.pending}
        if self.rpc is not None:
            pending["grpc"] = self.rpc.under_way
        self._metrics.look(states(self.repository), lag_s, pending)
        if self._fleet is not None:
            self._metrics.fleet(cut_off=self._fleet.is_cut_off)

    def start(self) -> None:
        """Load what there is, then keep watching; returns when the first look is over."""
        self._metrics.worker_started(self.settings.workers)
        self.entrance.start()
        self._watcher.start()
        if self._trials is not None:
            self._trials.started = True
        if self.rpc is not None:
            self.rpc.start()

    def drain(self, grace_s: float) -> None:
        """Take no more calls over gRPC, and give those under way so many seconds."""
        if self.rpc is not None:
            self.rpc.stop(grace_s)

    def finish(self) -> None:
        """Wait for what still runs in threads; no request may come any more."""
        self._front.finish()

    def stop(self) -> None:
        """Watch no more; what was counted is handed on, and traces are sent."""
        self._watcher.stop()
        self.entrance.stop()
        self._observations.hand_on()
        self._request_log.close()
        if self._feedback is not None:
            self._feedback.close()
        self.hand_on_metrics()
        if self._traces is not None:
            self._traces.stop()

    def _monitors(self, drift: Drift | None) -> Monitors:
        """What is answered of what was asked before, that of a moment ago included."""

        def report(version: ModelVersion) -> Report:
            self._observations.hand_on()
            return drift.report(version)  # type: ignore[union-attr]  # given below only if it is

        return Monitors(None if drift is None else report, self._feedback)

    def _exposition(self, accept: str = "") -> tuple[bytes, str]:
        self._observations.hand_on()
        return self._metrics.published(accept)

    def _published(self) -> dict[str, Callable[[str], tuple[bytes, str]]]:
        """What is to be had of metrics, and where."""
        own: dict[str, Callable[[str], tuple[bytes, str]]] = {_METRICS_PATH: self._exposition}
        further = _serving_path(self.settings)
        return own if further is None else {**own, further: self._metrics.serving_published}


def _offered(settings: Settings, guard: Guard) -> Offered:
    shown = settings.api_key_file is not None or settings.jwt_keys
    return Offered(
        metrics_paths=tuple(metrics_paths(settings.monitoring_config_file)),
        vertex_health_route=settings.vertex_health_route,
        vertex_predict_route=settings.vertex_predict_route,
        default_model=settings.default_model,
        model_control=settings.allow_model_control,
        drift=settings.drift_window_s > 0,
        feedback=settings.feedback_folder is not None,
        needed=guard.needed if shown else None,
    )


def _apis(
    settings: Settings,
    repository: Repository,
    health: Health,
    dataplane: Dataplane,
    monitors: Monitors,
) -> Sequence[Api]:
    limit_bytes, cors = settings.max_body_bytes, settings.rest_api_enable_cors_support
    return (
        # Vertex AI's routes may be anything, below /v1 too.
        Vertex(repository, health, settings),
        Invocations(repository, health, limit_bytes, settings.default_model),
        RestTensorFlowServing(repository, limit_bytes, monitors, cors=cors),
        RestOpenInference(dataplane),
    )


def _trials(settings: Settings, agreement: Agreement) -> Trials | None:
    if not settings.load_trial_s or settings.remote_servers:
        return None

    def ask(model: str, number: int, path: Path) -> str:
        return try_apart(settings, model, number, path)

    return Trials(agreement.folder("trials"), ask, settings.load_trial_s)


def _fleet(settings: Settings, metrics: Metrics) -> Fleet | None:
    if not settings.remote_servers:
        return None
    from service.remote.channel import read_access  # noqa: PLC0415 - only where needed
    from service.remote.fleet import Fleet  # noqa: PLC0415

    access = read_access(settings.remote_config_file)
    return Fleet(settings.remote_servers, access, metrics, settings.remote_protocol)


def _drift(settings: Settings, agreement: Agreement) -> Drift | None:
    if not settings.drift_window_s:
        return None
    return Drift(agreement.folder("drift"), settings.drift_window_s)


def _serving_path(settings: Settings) -> str | None:
    """Where metrics under TensorFlow Serving's names are to be had; None for nowhere."""
    _, *further = metrics_paths(settings.monitoring_config_file)
    return further[0] if further else None


def _serving_metrics(settings: Settings) -> ServingMetrics | None:
    if _serving_path(settings) is None:
        return None
    return ServingMetrics({it.__name__: code_of(it).name for it in kinds()})


def _traces(settings: Settings) -> Traces | None:
    if not settings.trace_endpoint:
        return None
    return Traces(settings.trace_endpoint, settings.trace_sampling)


def _request_log(settings: Settings, repository: Repository, metrics: Metrics) -> RequestLog:
    left_out = _names(settings.request_log_leave_out)
    limits = Limits(
        settings.request_log_file_bytes,
        settings.request_log_file_s,
        settings.request_log_total_bytes,
    )
    forms: dict[str, Form] = {TFRECORD: TFRecord(left_out), PARQUET: parquet.Parquet(left_out)}

    def target(model: str) -> Target | None:
        """A model's own config wins over the flags."""
        config = repository.config(model)
        asked = None if config is None else read_logging(config)
        if asked is not None:
            form = COLLECTORS.get(asked.collector, "")
            return None if asked.problem else Target(form, Path(asked.prefix), asked.share)
        if settings.request_log_folder is None:
            return None
        prefix = settings.request_log_folder / quote(model, safe="")
        return Target(settings.request_log_format, prefix, settings.request_log_sampling)

    return RequestLog(target, forms, limits, metrics.logged)


def _feedback(settings: Settings, metrics: Metrics) -> Feedback | None:
    if settings.feedback_folder is None:
        return None
    left_out = _names(settings.request_log_leave_out)
    return Feedback(_feedback_store(settings), left_out, metrics.kept, metrics.joined)


def _feedback_store(settings: Settings) -> FeedbackStore:
    return FeedbackStore(cast("Path", settings.feedback_folder), settings.feedback_rows)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for name in text.split(",") if name)


class _Recorder:
    """Tells metrics, logs, observations and traces of finished exchanges."""

    def __init__(
        self,
        metrics: Metrics,
        access_log: AccessLog,
        observations: Observations,
        audit_log: AuditLog,
        traces: Traces | None,
    ) -> None:
        self._metrics = metrics
        self._audit_log = audit_log
        self._access_log = access_log
        self._observations = observations
        self._traces = traces
        # Most requests are neither slow nor wrong, and those are not logged.
        self._log_from_s = access_log.slow_s if access_log.policy.share == 0 else 0.0

    def finished(self, exchange: Exchange, status: int | str, seconds: float) -> None:
        self._metrics.answered(exchange, seconds)
        if exchange.computed is not None:
            self._observations.take(exchange)
        if exchange.outcome != "ok" or seconds >= self._log_from_s:
            self._access_log.write(exchange, status, seconds)
        if exchange.audited:
            self._audit_log.write(exchange, status)
        if exchange.trace is not None and self._traces is not None:
            self._traces.finished(exchange, status, seconds)


def check_files(settings: Settings) -> None:
    """Make sure, before anything is started, that the config files can be used.

    Raises:
        InvalidRequest: One cannot.
    """
    metrics_paths(settings.monitoring_config_file)
    if settings.trace_endpoint:
        traces.check_installed()
    if settings.batching_parameters_file is not None and not settings.enable_batching:
        # As in TensorFlow Serving: somebody believes that it batches.
        raise InvalidRequest("--batching_parameters_file is given without --enable_batching")
    load_options(settings)
    if settings.remote_config_file is not None:
        from service.remote.channel import read_access  # noqa: PLC0415 - only where needed

        read_access(settings.remote_config_file)
    _check_kept(settings)
    check_entrance(settings)
    if settings.verify_versions_with:
        Signatures(settings.verify_versions_with).check_keys()


def _check_kept(settings: Settings) -> None:
    """Make sure that what is to be kept of requests can be."""
    if settings.audit_log_file is not None:
        _check_file("--audit_log_file", settings.audit_log_file)
    if settings.request_log_format == PARQUET and not parquet.is_installed():
        raise InvalidRequest("--request_log_format=parquet needs the package pyarrow")
    if settings.request_log_folder is not None:
        _check_folder("--request_log_folder", settings.request_log_folder)
    if settings.feedback_folder is not None:
        _check_folder("--feedback_folder", settings.feedback_folder)
        try:
            _feedback_store(settings).prepare()
        except sqlite3.Error as error:
            raise InvalidRequest(
                f"--feedback_folder: {settings.feedback_folder / FILE} cannot be used: {error}"
            ) from error


def _check_file(flag: str, file: Path) -> None:
    try:
        file.open("a").close()
    except OSError as error:
        raise InvalidRequest(f"{flag}: {file} cannot be written: {error.strerror}") from error


def _check_folder(flag: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InvalidRequest(f"{flag}: {folder} cannot be written: {error.strerror}") from error


def initial_config(
    settings: Settings,
    folder: Path,
    parse: Callable[[str], list[ModelConfig]] = parse_config,
) -> list[ModelConfig]:
    """What the flags ask to serve.

    Args:
        settings: The knobs.
        folder: The folder that the workers share, for a link to a lone version.
        parse: Reads a model config file.

    Raises:
        InvalidRequest: The model config file cannot be read, or makes no sense; or there
            are several models where one is looked for.
    """
    path = settings.model_config_file
    if path is None:
        base_path = settings.model_base_path
        if settings.find_model:
            base_path = find_model(base_path, folder / "found")
        return [ModelConfig(settings.model_name, base_path)]
    try:
        return parse(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"--model_config_file: {path} cannot be read: {error}") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"--model_config_file: {path}: {error}") from error


def _config_file(settings: Settings) -> ConfigFile | None:
    if settings.model_config_file is None:
        return None
    return ConfigFile(settings.model_config_file, settings.model_config_file_poll_wait_seconds)


def _services(
    settings: Settings,
    repository: Repository,
    control: Control | None,
    exposition: Callable[[], bytes],
    dataplane: Dataplane,
) -> list[Service]:
    tensorflow_serving = TensorFlowServing(
        repository,
        control,
        exposition,
        settings.max_body_bytes,
        as_content=settings.enable_serialization_as_tensor_content,
    )
    return [*tensorflow_serving.services(), OpenInference(dataplane).service()]


def _rpc_server(
    settings: Settings,
    services: Sequence[Service],
    exchanges: Exchanges,
    health: Health,
    entrance: Entrance,
    admission: Admission,
) -> RpcServer | None:
    addresses = [f"unix:{settings.grpc_socket_path}"] if settings.grpc_socket_path else []
    if settings.port:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        addresses.append(f"{host}:{settings.port}")
    if not addresses:
        return None
    threads = ThreadPoolExecutor(settings.grpc_max_threads, thread_name_prefix="rpc")
    options: dict[str, int | str] = {
        "grpc.max_receive_message_length": settings.max_body_bytes,
        "grpc.max_send_message_length": -1,
        **dict(_channel_arguments(settings.grpc_channel_arguments)),
    }
    calls = Calls(exchanges, threads, entrance.rpc, admission)
    return RpcServer(addresses, services, calls, health, [*options.items()], entrance.rpc_tls)


def _channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """``name=value,name=value``: what looks like a whole number is one, as there."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    return [(name, int(value) if _WHOLE.fullmatch(value) else value) for name, _, value in pairs]


def _retry_policy(settings: Settings) -> RetryPolicy:
    if settings.remote_servers:
        # What a fleet says of itself may change while no file does.
        return RetryPolicy(sys.maxsize, _FLEET_RETRY_S)
    return RetryPolicy(
        settings.max_num_load_retries, settings.load_retry_interval_micros / 1_000_000
    )


def _repository(
    settings: Settings, metrics: Metrics, trials: Trials | None, fleet: Fleet | None
) -> Repository:
    options = replace(
        load_options(settings),
        observer=metrics.batches,
        remote=None if fleet is None else fleet.open,
    )

    def load(model: str, number: int, path: Path) -> ModelVersion:
        if trials is not None and trials.is_needed(path):
            check_files_of(path, options)
            trials.require(model, number, path)
        with contextlib.nullcontext() if trials is None else trials.noted(path):
            return load_version(model, number, path, settings.executor, options)

    return Repository(
        (),
        load,
        metrics,
        _retry_policy(settings),
        default_label=settings.default_version_label,
        find=None if fleet is None else fleet.find,
    )
