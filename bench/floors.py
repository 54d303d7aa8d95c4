"""Lower bounds of the race: Nginx and Envoy as plain proxies that terminate TLS, with one worker each. No gateway
based on them can cost less."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.target import Target, running
from sidecar.front.pki import ensure_certificates
from sidecar.front.programs import PROGRAMS
from tests.processes import free_port

_NGINX = """\
worker_processes 1; daemon off; pid nginx.pid; error_log stderr crit; user root;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path a; proxy_temp_path b; fastcgi_temp_path c; uwsgi_temp_path d; scgi_temp_path e;
  upstream mock {{ server {host}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
  }}
}}
"""


@contextmanager
def plain_nginx(folder: Path, base_url: str) -> Iterator[Target]:
    certificates, port = ensure_certificates(folder), free_port()
    host = base_url.removeprefix("http://").removesuffix("/v1")
    text = _NGINX.format(host=host, port=port, certificate=certificates.certificate, key=certificates.key)
    if os.geteuid() != 0:
        text = text.replace("user root;", "")
    (folder / "nginx.conf").write_text(text)
    binary = PROGRAMS["nginx"].find()
    command = [str(binary), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    target = Target(f"https://127.0.0.1:{port}/v1", ca_file=str(certificates.ca))
    with running(command, folder, target) as ready:
        yield ready


@contextmanager
def plain_envoy(folder: Path, base_url: str) -> Iterator[Target]:
    certificates, port = ensure_certificates(folder), free_port()
    (folder / "envoy.json").write_text(json.dumps(_envoy(base_url, port, certificates.certificate, certificates.key)))
    command = [str(PROGRAMS["envoy"].find()), "-c", str(folder / "envoy.json"), "--concurrency", "1", "-l", "error"]
    target = Target(f"https://127.0.0.1:{port}/v1", ca_file=str(certificates.ca))
    with running([*command, "--disable-hot-restart"], folder, target) as ready:
        yield ready


def _envoy(base_url: str, port: int, certificate: Path, key: Path) -> dict[str, object]:
    types = "type.googleapis.com/envoy.extensions"
    host, _, upstream_port = base_url.removeprefix("http://").removesuffix("/v1").partition(":")
    route = {"match": {"prefix": "/"}, "route": {"cluster": "mock", "timeout": "0s"}}
    manager = {
        "@type": f"{types}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "race",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{types}.filters.http.router.v3.Router"}}],
    }
    tls = {
        "@type": f"{types}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {
            "tls_certificates": [
                {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
            ]
        },
    }
    chain = {
        "filters": [{"name": "http", "typed_config": manager}],
        "transport_socket": {"name": "tls", "typed_config": tls},
    }

    def address(where: str, number: int) -> dict[str, object]:
        return {"socket_address": {"address": where, "port_value": number}}

    endpoint = {"endpoint": {"address": address(host, int(upstream_port))}}
    cluster = {
        "name": "mock",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "mock", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
    listener = {"name": "race", "address": address("127.0.0.1", port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
