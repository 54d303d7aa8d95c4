"""What is true of both front proxies: what differs between two fronts, where templates lie, how files are written."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sidecar.domain.sizes import REQUEST_BYTES_MAX

# The kernel's limit on a unix socket's path (sun_path is 108 bytes with its zero).
SOCKET_PATH_BYTES_MAX = 107
# Calls at once from one address: three quarters of what a front took in all when this was chosen. It keeps one client from taking
# every place.
# At once, of all clients and to the core.
CONNECTIONS = 4096
CALLS_PER_CLIENT = 768
METRICS_SOCKET = "metrics.sock"  # in the folder's run/: GET /metrics is what the front counted


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
    more_hosts: tuple[str, ...] = ()
    """Further addresses of the same port, such as "::" beside "0.0.0.0"."""
    plain_addresses: tuple[tuple[str, int], ...] = ()
    """Hosts and ports without TLS, for a balancer that ends it."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose word on a caller's address and path prefix is believed: X-Forwarded-For and X-Forwarded-Prefix."""
    proxy_protocol: bool = False
    """The trusted proxies say it by PROXY protocol instead, at the beginning of every connection."""
    worker_processes: int = 1
    worker_connections: int = CONNECTIONS
    """Per process; a REST call takes 4, a gRPC call 2."""
    body_bytes_max: int = REQUEST_BYTES_MAX
    """Larger requests are 413, REST and gRPC. Must be below the core's own message limit."""
    body_buffer_bytes: int | None = None
    """Larger bodies go through a file in the private folder. None: none does, so prompts never touch the disk."""
    read_timeout_s: int = 3900
    """Longest silence of the core. Must exceed the longest total time of any route, or the front answers 504 first."""
    header_timeout_s: int = 15
    """How long a client may take for TLS and for the head of a request, each."""
    body_timeout_s: int = 30
    """Nginx cuts a sender who is silent for so long in the middle of a body; Envoy, which has no such clock, one whose request
    is not whole after ten times as long."""
    cors_origins: tuple[str, ...] = ()
    """Of web pages that may call from a browser; see sidecar.domain.origins."""
    calls_per_client: int = CALLS_PER_CLIENT
    """Nginx answers 429 to more at once from one address. Envoy has no such limit."""
    send_timeout_s: int = 30
    """How long a client may take nothing of its answer before it is cut."""
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
    health_interval_s: float = 0.5
    """How often Envoy asks each worker for its health, and so how soon it finds one that is back."""
    user: str | None = None
    """Account of the worker processes when started by root. None: the folder's owner (a new folder gets its parent's)."""


def templates(program: str = "nginx") -> Path:
    """The folder of a program's templates: beside the package in a checkout, inside it in an installed wheel. FrontError."""
    package = Path(__file__).parents[1]
    for folder in (package / "_deploy" / program, package.parent / "deploy" / program):
        if folder.is_dir():
            return folder
    raise FrontError(
        f"The templates of {program} are missing next to {package}: the installation is incomplete. Install it again."
    )


def make_folder(folder: Path) -> None:
    """The folder and its run/, both 0700, of the account that owns the folder above. FileNotFoundError without that."""
    for each in (folder, folder / "run"):
        if not each.exists():
            each.mkdir()
            _give_to_owner_of(each.parent, each)
        each.chmod(0o700)


def write(path: Path, content: str | bytes) -> None:
    """In one step: readers see the old file or the new one. 0600, of the folder's owner."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    _give_to_owner_of(path.parent, fresh)
    fresh.rename(path)


def socket_path(path: Path, folder: Path) -> str:
    """As a program started in `folder` will reach it: relative where that is shorter. A symlink stays one. FrontError."""
    absolute = str(path.absolute())
    shortest = min(absolute, os.path.relpath(absolute, folder), key=len)
    if len(os.fsencode(shortest)) > SOCKET_PATH_BYTES_MAX:
        raise FrontError(
            f"The socket path {shortest} is longer than {SOCKET_PATH_BYTES_MAX} bytes. Choose a shorter --output."
        )
    if not re.fullmatch(r"[\w./@+-]+", shortest):
        raise FrontError(f"The front cannot use the socket path {shortest!r}.")
    return shortest


def _give_to_owner_of(folder: Path, path: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
