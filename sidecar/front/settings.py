"""What both fronts have in common: settings, the location of templates, how files are written."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sidecar.domain.sizes import REQUEST_BYTES_MAX

# The kernel's limit on the path of a unix socket (sun_path has 108 bytes, including the final zero).
SOCKET_PATH_BYTES_MAX = 107
# Concurrent calls of one address, and of all clients to the core. Three quarters of a front's capacity when this was
# chosen, so that one client cannot use all of it.
CONNECTIONS = 4096
CALLS_PER_CLIENT = 768
METRICS_SOCKET = "metrics.sock"  # in the folder's run/: GET /metrics returns what the front counted


class FrontError(Exception):
    """The front cannot be rendered or started; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class FrontSettings:
    """The settings of one front. Relative paths are relative to the current folder of render()'s caller."""

    core_sockets: tuple[Path, ...]
    """One per worker slot. A symlink replaced by a rename takes effect for new connections."""
    users_file: Path
    """See users.py. Read for every request."""
    tls_certificate: Path
    tls_key: Path
    listen_host: str = "127.0.0.1"
    listen_port: int = 5000
    more_hosts: tuple[str, ...] = ()
    """Additional addresses of the same port, such as "::" next to "0.0.0.0"."""
    plain_addresses: tuple[tuple[str, int], ...] = ()
    """Hosts and ports without TLS, for a load balancer that terminates it."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks trusted to report the caller's address and path prefix: X-Forwarded-For and X-Forwarded-Prefix."""
    proxy_protocol: bool = False
    """The trusted proxies report the address through PROXY protocol instead, at the beginning of every connection."""
    worker_processes: int = 1
    worker_connections: int = CONNECTIONS
    """Per process; a REST call takes 4, a gRPC call 2."""
    body_bytes_max: int = REQUEST_BYTES_MAX
    """Larger requests get 413, REST and gRPC. Must be below the core's message limit."""
    refused_bytes_max: int = 2 * REQUEST_BYTES_MAX
    """Bytes read of a refused body and discarded: many clients lose an answer that arrives while they send."""
    body_buffer_bytes: int | None = None
    """Larger bodies are buffered in a file of the private folder. None: never, so that prompts do not touch the
    disk."""
    read_timeout_s: int = 3900
    """Longest silence of the core. Must exceed the total time of every route, or the front answers 504 first."""
    header_timeout_s: int = 15
    """How long a client may take for the TLS handshake and for the head of a request, each."""
    body_timeout_s: int = 30
    """Nginx disconnects a client that pauses this long in the middle of a body. Envoy, which has no such timer,
    disconnects one whose request is incomplete after ten times as long."""
    cors_origins: tuple[str, ...] = ()
    """Web pages that may call from a browser; see sidecar.domain.origins."""
    calls_per_client: int = CALLS_PER_CLIENT
    """Nginx answers 429 to more concurrent calls of one address. Envoy has no such limit."""
    send_timeout_s: int = 30
    """How long a client may stop reading its answer before it is disconnected."""
    shutdown_timeout_s: int = 900
    """How long running calls may take after SIGQUIT or SIGHUP."""
    error_log: Path | None = None
    """None: standard error."""
    access_log: Path | None = None
    """None: no access log. It contains no query strings, no credentials and no unauthenticated user names."""
    log_level: str = "warn"
    modules: tuple[Path, ...] = ()
    """Modules to load: njs is a file in distribution packages of nginx (ngx_http_js_module.so), and built into the
    wheel."""
    headers_more: bool = True
    """Whether this nginx has the headers-more module, as the wheel does: then every x-sidecar-* header of gRPC
    clients is dropped. Otherwise only x-sidecar-user is overwritten, the only one that the core trusts."""
    health_interval_s: float = 0.5
    """How often Envoy probes the health of each worker, and thus how soon it notices that one has returned."""
    user: str | None = None
    """Account of the worker processes if started by root. None: the owner of the folder (a new folder gets its
    parent's)."""


def templates(program: str = "nginx") -> Path:
    """The folder of a program's templates: next to the package in a checkout, inside it in a wheel. Raises
    FrontError."""
    package = Path(__file__).parents[1]
    for folder in (package / "_deploy" / program, package.parent / "deploy" / program):
        if folder.is_dir():
            return folder
    raise FrontError(
        f"The templates of {program} are missing next to {package}: the installation is incomplete. Install it again."
    )


def make_folder(folder: Path) -> None:
    """Creates the folder and its run/ with mode 0700, owned by the owner of the parent. Raises FileNotFoundError
    without a parent."""
    for each in (folder, folder / "run"):
        if not each.exists():
            each.mkdir()
            _give_to_owner_of(each.parent, each)
        each.chmod(0o700)


def write(path: Path, content: str | bytes) -> None:
    """Writes atomically: readers see the old file or the new one. Mode 0600, owned by the folder's owner."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    _give_to_owner_of(path.parent, fresh)
    fresh.rename(path)


def socket_path(path: Path, folder: Path) -> str:
    """The path as a program started in `folder` uses it: relative if that is shorter. Symlinks are kept. Raises
    FrontError."""
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
