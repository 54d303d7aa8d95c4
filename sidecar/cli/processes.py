"""Commands that run the gateway: up, start, serve, reload, restart, down."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import typer

from sidecar.cli.failure import Failure
from sidecar.cli.option_kinds import StateDirOption
from sidecar.cli.process_options import CoreOptions, GatewayOptions, MlflowOptions, takes
from sidecar.cli.terminal import waiting
from sidecar.supervisor.start.options import STATE_DIR

# Workers confirm within 10 s or are replaced; the first route of the local model downloads 93 MB.
_RELOAD_S = 120.0


def register(app: typer.Typer) -> None:
    app.command(epilog="Example: sidecar up --config-path config.yaml --detach")(up)
    app.command(epilog="Example: sidecar start --config-path config.yaml --port 5000 --workers 2")(start)
    app.command(epilog="Example: sidecar serve --config-path config.yaml --grpc 127.0.0.1:50051")(serve)
    app.command(epilog="Example: sidecar reload --state-dir .sidecar")(reload)
    app.command(epilog="Example: sidecar restart --state-dir .sidecar")(restart)
    app.command(epilog="Example: sidecar down --state-dir .sidecar")(down)


@takes(GatewayOptions)
def up(chosen: GatewayOptions) -> None:
    """Run the whole gateway.

    Starts the workers, a front proxy with TLS and authentication, and the embedded model if a route uses it. SIGHUP
    reloads the configuration and the certificate. SIGUSR2 (or `sidecar restart`) replaces the workers without losing
    a call. SIGTERM or Ctrl-C stops the gateway after the calls in progress have ended; a second one stops it at
    once.
    """
    _run(chosen)


@takes(MlflowOptions)
def start(chosen: MlflowOptions) -> None:
    """Run it with MLflow's flags and defaults.

    The same as `up`, but on port 5000. It serves HTTPS.
    """
    _run(chosen)


@takes(CoreOptions)
def serve(chosen: CoreOptions) -> None:
    """Run the gRPC core without a front proxy.

    Starts the workers with their sockets and the local gRPC port, but no front proxy and no embedded model. Your own
    front proxy connects to run/w0.sock, run/w1.sock and so on in the state directory: see `sidecar render nginx`.
    """
    _run(chosen)


def reload(state_dir: StateDirOption = STATE_DIR) -> None:
    """Reload the configuration and certificate.

    Waits for the running gateway and prints the result: exit code 0 once the configuration is in use, 1 with the
    reasons if it is refused. It also confirms a configuration that is pending because it would let callers do more
    (see the log). A file that is still being written is read once its writer has closed it.
    """
    from sidecar.supervisor.reload_socket import ask_for_reload
    from sidecar.supervisor.start.state import run_dir

    _running(state_dir)
    try:
        with waiting("Waiting for the gateway to load its configuration"):
            verdict = ask_for_reload(run_dir(state_dir), _RELOAD_S)
    except TimeoutError:
        raise Failure(
            f"The gateway has not loaded its configuration within {_RELOAD_S:g} s and keeps trying. It waits for "
            "files that "
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

    The same as SIGUSR2. Returns at once; the log reports when all workers are new.
    """
    os.kill(_running(state_dir), signal.SIGUSR2)


def down(state_dir: StateDirOption = STATE_DIR) -> None:
    """Stop the gateway.

    Waits until the calls in progress and the gateway itself have ended.
    """
    from sidecar.supervisor.start.state import wait_until_free

    os.kill(_running(state_dir), signal.SIGTERM)
    with waiting("Waiting until the calls in progress have ended"):
        wait_until_free(state_dir)
    print("Stopped.")


def _running(state_dir: Path) -> int:
    from sidecar.supervisor.start.state import running_pid

    pid = running_pid(state_dir)
    if pid is None:
        raise Failure(f"No gateway is running on the state directory {state_dir}. Choose another with --state-dir.")
    return pid


def _run(chosen: CoreOptions) -> None:
    from sidecar.cli.background import StartReport, start_in_background

    options = chosen.options()
    if chosen.detach:
        start_in_background(options, [argument for argument in sys.argv[1:] if argument != "--detach"])
        return
    from sidecar.supervisor.log import log_to_stderr
    from sidecar.supervisor.start.run import run

    log_to_stderr(chosen.log_file)
    try:
        with StartReport(chosen.ready_fd) as report:
            code = run(replace(options, log_path=chosen.log_file), report.serving)
    except KeyboardInterrupt:  # before it handles signals itself, while the model is downloaded
        code = 128 + signal.SIGINT
    sys.exit(code)
