"""`--detach`: runs the same command in a new session, which reports through a pipe that it is running or has
failed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from types import TracebackType

from sidecar.cli.failure import Failure
from sidecar.cli.terminal import waiting
from sidecar.supervisor.processes.process import own_env
from sidecar.supervisor.start.options import Options
from sidecar.supervisor.start.start_error import StartError
from sidecar.supervisor.start.state import make_private


class StartReport:
    """The reporting end: reports once how the start went. Without a pipe, prints to stdout."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd
        if fd is not None:
            os.set_inheritable(fd, False)  # other processes must not keep it open

    def __enter__(self) -> StartReport:
        return self

    def serving(self, text: str) -> None:
        if self._fd is None:
            print(text, flush=True)
        else:
            self._send({"serving": text})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, StartError):
            self._send({"failed": str(error)})

    def _send(self, message: dict[str, str]) -> None:
        if self._fd is not None:
            with os.fdopen(self._fd, "w") as pipe:
                json.dump(message, pipe)
            self._fd = None


def start_in_background(options: Options, arguments: list[str]) -> None:
    """Returns once the gateway is running, and prints its text. Raises Failure with the reason if it does not
    start."""
    make_private(options.state_dir)
    _fetch_model(options)
    logs = options.state_dir.absolute() / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    log_path = logs / "sidecar.log"
    ours, theirs = os.pipe()
    with open(log_path, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sidecar", *arguments, "--ready-fd", str(theirs), "--log-file", str(log_path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=own_env(),
            pass_fds=(theirs,),
            start_new_session=True,
        )
    os.close(theirs)
    try:
        with os.fdopen(ours) as pipe, waiting("Starting the gateway"):
            report_json = pipe.read()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise
    report = json.loads(report_json) if report_json else {}
    if "serving" in report:
        print(
            f"{report['serving']}\nIt runs in the background (pid {process.pid}). Its log is {log_path}.\n"
            f"To stop it: {_command()} down --state-dir {shlex.quote(str(options.state_dir))}"
        )
        process.returncode = 0  # it outlives this process, which need not wait for it
        return
    process.wait()
    raise Failure(report.get("failed") or f"The gateway ended while it was starting. See {log_path}.")


def _command() -> str:
    """The command as it was called: `make up` runs it from a virtual environment that is not on the PATH."""
    return sys.argv[0] if os.path.basename(sys.argv[0]) == "sidecar" else "sidecar"


def _fetch_model(options: Options) -> None:
    """Downloads the model here, where the operator sees the progress bar. The background process reports any other
    problem."""
    if options.front is None:
        return
    from sidecar import local
    from sidecar.config import LOCAL_UNKNOWN, ConfigErrors, load, load_file, reader
    from sidecar.supervisor.configuration import default_config
    from sidecar.supervisor.start.local_routes import uses_local_model

    path = options.config_path or options.state_dir / "config.yaml"
    try:
        if options.config_path is None and not path.exists():
            snapshot = load(default_config(), {}, read_file=reader("."), local_base_url=LOCAL_UNKNOWN)
        else:
            snapshot = load_file(str(path), os.environ, local_base_url=LOCAL_UNKNOWN)
    except ConfigErrors:
        return
    if uses_local_model(snapshot):
        try:
            local.ensure_model()
        except local.ModelError as error:
            raise Failure(str(error)) from None
