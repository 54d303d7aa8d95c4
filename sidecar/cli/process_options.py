"""Turns the options of the commands that run the gateway into values."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from sidecar.cli.failure import Failure
from sidecar.cli.option_kinds import (
    AccessLog,
    AccessLogOption,
    CallsPerClientOption,
    ConfigPathOption,
    DelayOption,
    DetachOption,
    Front,
    FrontOption,
    GraceOption,
    GrpcOption,
    GrpcServer,
    GrpcServerOption,
    GrpcSocketOption,
    HangOption,
    HostOption,
    HttpOption,
    LogFileOption,
    LogMibOption,
    MetricsOption,
    PortOption,
    ProxyProtocolOption,
    ReadyFdOption,
    StateDirOption,
    TlsCertificateOption,
    TlsKeyOption,
    TrustedProxyOption,
    UsersFileOption,
    WorkersOption,
)
from sidecar.front.settings import CALLS_PER_CLIENT
from sidecar.supervisor.start.addresses import loopback_address, metrics_address, plain_addresses, trusted_networks
from sidecar.supervisor.start.options import (
    DRAIN_DELAY_S,
    DRAIN_GRACE_S,
    FRONT_HOST,
    FRONT_PORT,
    GRPC_ADDRESS,
    HANG_S,
    LOG_MIB,
    METRICS_ADDRESS,
    STATE_DIR,
    WORKERS,
    FrontOptions,
    Options,
)

# `start` has MLflow's flags and defaults.
MLFLOW_PORT = 5000


@dataclass(frozen=True, slots=True)
class CoreOptions:
    """The options of `serve`, one per field."""

    state_dir: StateDirOption = STATE_DIR
    config_path: ConfigPathOption = None
    workers: WorkersOption = WORKERS
    grpc: GrpcOption = GRPC_ADDRESS
    grpc_socket: GrpcSocketOption = True
    metrics: MetricsOption = None
    access_log: AccessLogOption = AccessLog.AUTO
    grpc_server: GrpcServerOption = GrpcServer.NATIVE
    drain_delay: DelayOption = DRAIN_DELAY_S
    drain_grace: GraceOption = DRAIN_GRACE_S
    hang_timeout: HangOption = HANG_S
    log_mib: LogMibOption = LOG_MIB
    detach: DetachOption = False
    ready_fd: ReadyFdOption = None
    log_file: LogFileOption = None

    def options(self) -> Options:
        """Raises StartError for an address that is not on loopback."""
        return Options(
            state_dir=self.state_dir,
            config_path=self.config_path,
            front=None,
            grpc_address=loopback_address(self.grpc, "--grpc"),
            grpc_socket=self.grpc_socket,
            metrics_address=metrics_address(self.metrics or [METRICS_ADDRESS], "--metrics"),
            workers=self.workers,
            access_log=_access_log(self.access_log),
            grpc_server=self.grpc_server.value,
            drain_delay_s=self.drain_delay,
            drain_grace_s=self.drain_grace,
            hang_s=self.hang_timeout,
            log_bytes=int(self.log_mib * 1024 * 1024),
        )


@dataclass(frozen=True, slots=True)
class GatewayOptions(CoreOptions):
    """The options of `up`: those of the core and those of the front."""

    front: FrontOption = Front.NGINX
    host: HostOption = None
    port: PortOption = FRONT_PORT
    tls_certificate: TlsCertificateOption = None
    tls_key: TlsKeyOption = None
    users_file: UsersFileOption = None
    http: HttpOption = None
    trusted_proxy: TrustedProxyOption = None
    proxy_protocol: ProxyProtocolOption = False
    calls_per_client: CallsPerClientOption = CALLS_PER_CLIENT

    def options(self) -> Options:
        """Raises StartError for an address that is not on loopback, Failure for an incomplete certificate."""
        trusted = trusted_networks(self.trusted_proxy or (), "--trusted-proxy")
        return replace(
            CoreOptions.options(self),
            front=FrontOptions(
                program=self.front.value,
                hosts=hosts_of(self.host),
                port=self.port,
                plain=plain_addresses(self.http or (), trusted, "--http"),
                tls=tls_of(self.tls_certificate, self.tls_key),
                users_file=users_file_of(self.users_file),
                trusted_proxies=trusted,
                proxy_protocol=self.proxy_protocol,
                calls_per_client=self.calls_per_client,
            ),
        )


@dataclass(frozen=True, slots=True)
class MlflowOptions(GatewayOptions):
    """The options of `start`."""

    port: PortOption = MLFLOW_PORT


_Chosen = TypeVar("_Chosen")


def takes(kind: type[_Chosen]) -> Callable[[Callable[[_Chosen], None]], Callable[..., None]]:
    """Decorates a command that takes one value of `kind`: it gets an option for each field."""
    hints = get_type_hints(kind, include_extras=True)
    parameters = [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=_default(each), annotation=hints[each.name]
        )
        for each in fields(kind)  # type: ignore[arg-type]  # a dataclass
    ]

    def decorated(run: Callable[[_Chosen], None]) -> Callable[..., None]:
        @wraps(run)
        def command(**values: Any) -> None:
            run(kind(**values))

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by typer
        command.__annotations__ = hints
        return command

    return decorated


def _default(each: Field[Any]) -> Any:
    return inspect.Parameter.empty if each.default is MISSING else each.default


def hosts_of(chosen: list[str] | None) -> tuple[str, ...]:
    """Each host once; the default if `--host` is not given."""
    return tuple(dict.fromkeys(chosen or (FRONT_HOST,)))


def _access_log(chosen: AccessLog) -> str:
    if chosen is AccessLog.AUTO:
        return "human" if sys.stderr.isatty() else "json"
    return chosen.value


def tls_of(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Returns None for the certificate of the private CA. Raises Failure for an incomplete pair and for a missing
    file."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise Failure("--tls-certificate and --tls-key must be given together.")
    for path in (certificate, key):
        if not path.is_file():
            raise Failure(f"{path} does not exist.")
    return certificate, key


def users_file_of(chosen: Path | None) -> Path | None:
    """Returns an absolute path. Raises Failure for a file that cannot be read or has no users, since nobody could
    call."""
    from sidecar.identity.users import why_nobody

    if chosen is None:
        return None
    try:
        chosen.stat()
        if why_nobody(chosen):
            raise Failure(f"{chosen} has no users. Make one with `sidecar users add NAME --file {chosen}`.")
    except OSError as error:
        raise Failure(f"{chosen} cannot be read: {error.strerror}.") from None
    return chosen.absolute()
