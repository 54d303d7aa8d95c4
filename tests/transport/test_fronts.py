"""The transport behind a plain Nginx and a plain Envoy, and called by @grpc/grpc-js and grpc-go: direct and through both."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import grpc.aio
import pytest

from sidecar.front.programs import PROGRAMS
from tests.processes import REPOSITORY, RunningProcess, accepts, free_port, wait_until
from tests.transport.raw import PATIENCE_S
from tests.transport.service import DETAILS, ODD_TEXT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BIN = Path(sys.executable).parent
INSTALL_S, RUN_S = 200, 90
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20)]
PATHS = ("direct", "nginx", "envoy")
same: Any = bytes
# grpc-go's sources, where Debian's golang-google-grpc-dev puts them.
GOCODE = Path("/usr/share/gocode")

NGINX = Template("""
$user
worker_processes 1; pid $folder/nginx.pid; error_log $folder/error.log warn; daemon off;
events { worker_connections 8192; }
http {
  access_log off; client_max_body_size 64m; client_body_buffer_size 1m; http2_max_concurrent_streams 2000;
  keepalive_requests 1000000; large_client_header_buffers 4 32k;
  client_body_temp_path $folder/b; proxy_temp_path $folder/p; fastcgi_temp_path $folder/f; uwsgi_temp_path $folder/u;
  scgi_temp_path $folder/s;
  upstream core { server unix:$socket; keepalive 64; }
  server { listen 127.0.0.1:$port; http2 on; location / { grpc_pass grpc://core; grpc_buffer_size 64k; } }
}
""")
ENVOY = Template("""
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: $port}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          codec_type: HTTP2
          http2_protocol_options: {max_concurrent_streams: 2000}
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: core, timeout: 0s}}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: core
    type: STATIC
    connect_timeout: 2s
    circuit_breakers: {thresholds: [{max_connections: 4096, max_pending_requests: 8192, max_requests: 8192}]}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {max_concurrent_streams: 2000}}
    load_assignment:
      cluster_name: core
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: $socket}}}}]}]
""")


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """A server process; its port and its unix socket."""
    socket = tmp_path_factory.mktemp("core") / "front.sock"
    with RunningProcess.python("-m", "tests.transport.service", "native", str(socket)) as server:
        yield int(server.wait_for_line(r"port (\d+)")[1]), socket


@pytest.fixture(scope="module", params=PATHS)
def target(
    request: pytest.FixtureRequest, core: tuple[int, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    if request.param == "direct":
        yield f"127.0.0.1:{core[0]}"
        return
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    template = NGINX if request.param == "nginx" else ENVOY
    config = folder / "config.yaml"
    user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not reach the socket
    config.write_text(template.substitute(folder=folder, port=port, socket=core[1], user=user))
    with RunningProcess(_command(request.param, folder, config)) as front:
        wait_until(lambda: accepts(port), 30, f"a listening {request.param}: {front.output}")
        yield f"127.0.0.1:{port}"


def _command(name: str, folder: Path, config: Path) -> list[str]:
    found = PROGRAMS[name].find()
    if name == "nginx":
        return [str(found), "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")]
    return [str(found), "-c", str(config), "--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"]


async def test_calls_streams_and_failures_come_through(target: str) -> None:
    async with grpc.aio.insecure_channel(target, OPTIONS) as channel:

        def unary(name: str) -> Any:
            return channel.unary_unary(f"/test.Bytes/{name}", same, same)

        stream: Any = channel.unary_stream("/test.Bytes/stream", same, same)
        for size in (0, 65_535, 8 << 20):
            assert await unary("echo")(bytes(size)) == bytes(size)
        assert sum([len(message) async for message in stream(b"50 300000")]) == 15_000_000
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await unary("refuse")(b"")
        assert (refused.value.code(), refused.value.details()) == (grpc.StatusCode.FAILED_PRECONDITION, ODD_TEXT)
        trailing: Any = refused.value.trailing_metadata()
        assert dict(trailing)["grpc-status-details-bin"] == DETAILS
        seen = json.loads(await unary("metadata")(b"", metadata=[("x-data-bin", b"\0\xff"), ("x-text", "two words")]))
        assert ["x-data-bin", "00ff"] in seen
        assert ["x-text", "two words"] in seen
        assert set(await asyncio.gather(*(unary("echo")(b"hi") for _ in range(300)))) == {b"hi"}


async def test_a_caller_that_leaves_is_noticed(target: str) -> None:
    async with grpc.aio.insecure_channel(target, OPTIONS) as channel:
        count: Any = channel.unary_unary("/test.Bytes/count", same, same)
        before = json.loads(await count(b""))["cancelled"]
        calls: list[Any] = [channel.unary_stream("/test.Bytes/one_then_wait", same, same)(b"") for _ in range(20)]
        for call in calls:
            assert await call.read() == b"one"
        for call in calls:
            call.cancel()
        async with asyncio.timeout(PATIENCE_S):
            while (now := json.loads(await count(b"")))["live"]:
                await asyncio.sleep(0.01)
        assert now["cancelled"] == before + 20


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/node with its packages, as the lock has them."""
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc", "bytes.mjs"):
        shutil.copy(REPOSITORY / "tests" / "node" / name, folder)
    done = subprocess.run(
        [BIN / "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_grpc_js_has_no_complaint(target: str, node: Path) -> None:
    done = subprocess.run(
        [BIN / "node", "bytes.mjs", target], cwd=node, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert len(seen) == 13
    assert {name: found for name, found in seen.items() if found is not True} == {}


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/transport/go, built as Debian builds: by GOPATH, with nothing fetched."""
    if not (GOCODE / "src/google.golang.org/grpc").is_dir() and os.environ.get("CI") != "true":
        pytest.skip("needs golang-google-grpc-dev, which is not installed")
    folder = tmp_path_factory.mktemp("go")
    shutil.copytree(Path(__file__).parent / "go", folder / "src" / "bytesclient")
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": f"{folder}:{GOCODE}", "GOCACHE": str(folder / "cache")}
    build = ["go", "build", "-o", str(folder / "client"), "bytesclient"]
    built = subprocess.run(build, env=env, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "client"


def complaints_of_go(client: Path, target: str) -> dict[str, object]:
    done = subprocess.run([client, target], capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert len(seen) == 19
    return {name: found for name, found in seen.items() if found is not True}


@pytest.mark.needs("go")
def test_grpc_go_has_no_complaint(target: str, go_client: Path) -> None:
    assert complaints_of_go(go_client, target) == {}


@pytest.mark.needs("go")
def test_grpc_go_has_no_complaint_about_the_second_transport(go_client: Path) -> None:
    with RunningProcess.python("-m", "tests.transport.service", "grpcio") as server:
        port = server.wait_for_line(r"port (\d+)")[1]
        assert complaints_of_go(go_client, f"127.0.0.1:{port}") == {}
