"""The whole stack as a user meets it: `sidecar up` as a child, with Nginx, workers and free ports, in a directory of its own.

with Stack(folder, config_for(provider)) as stack:      # config None: the default one, with the embedded model
    stack.http().get("/v1/models")
    async with stack.channel(FRONT) as channel: ...
    assert stack.stop() == 0
"""

from __future__ import annotations

import os
import ssl
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import httpx
from prometheus_client.parser import text_string_to_metric_families

from sidecar.supervisor.start.announcement import read_env
from tests.cli.running import FRONT_PORTS
from tests.processes import RunningProcess, command_line
from tests.provider import Provider
from tests.supervisor.supervised import descendants

SERVING_S = 60.0
# The first start on a machine fetches the model, 93 MB.
SERVING_WITH_MODEL_S = 600.0
STOP_S = 30.0
HTTP_S = 60.0
# As the README tells clients: gRPC's own limit is 4 MiB.
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
FRONT, LOCAL, SOCKET = "front", "local", "socket"
# Subchannels are shared in a process by default: two channels to one address would be one connection.
_CHANNEL = [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.use_local_subchannel_pool", 1)]

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of /metrics."""

    name: str
    labels: Labels
    value: float


class Stack:
    """Serves inside the `with` block; whatever is left of it dies with the block. Attributes are what `.sidecar/env` says."""

    def __init__(
        self,
        folder: Path,
        config: str | None,
        *,
        workers: int = 2,
        env: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        front: str = "nginx",
        package: Path | None = None,
    ) -> None:
        """`package`: the folder with the code to run, in place of this checkout."""
        self.state = folder / "state"
        self.config = folder / "config.yaml"
        arguments = ["up", "--state-dir", str(self.state), "--workers", str(workers), *FRONT_PORTS, *options]
        self.front = front
        arguments += ["--front", front]
        if config is not None:
            self.config.write_text(config)
            arguments += ["--config-path", str(self.config)]
        self._serving_s = SERVING_S if config is not None else SERVING_WITH_MODEL_S
        self.process = RunningProcess.python("-m", "sidecar", *arguments, env=env, cwd=package)
        self.env: dict[str, str] = {}

    def __enter__(self) -> Self:
        try:
            self.process.wait_for_line("^Sidecar is running", self._serving_s)
        except BaseException:
            self.process.kill()
            raise
        self.env = read_env(self.state / "env")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self.process.stop(deadline_s=STOP_S)

    @property
    def url(self) -> str:
        return self.env["SIDECAR_URL"]

    @property
    def user(self) -> str:
        return self.env["SIDECAR_USER"]

    @property
    def password(self) -> str:
        return self.env["SIDECAR_PASSWORD"]

    @property
    def api_key(self) -> str:
        return self.env["SIDECAR_API_KEY"]

    @property
    def ca(self) -> Path:
        return Path(self.env["SIDECAR_CA"])

    @property
    def grpc_front(self) -> str:
        """Through the front, TLS."""
        return self.env["SIDECAR_GRPC"]

    @property
    def grpc_local(self) -> str:
        return self.env["SIDECAR_GRPC_LOCAL"]

    @property
    def grpc_socket(self) -> str:
        return f"unix:{self.state / 'run' / 'grpc.sock'}"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        """All that the supervisor and its children said so far, Nginx's own files beside it."""
        logs = self.state / "logs"
        files = sorted(logs.iterdir()) if logs.exists() else []
        return self.process.output + "".join(file.read_text(errors="replace") for file in files)

    @property
    def supervisor_pid(self) -> int:
        return self.process.pid

    @property
    def worker_pids(self) -> list[int]:
        return self._named("sidecar.worker")

    @property
    def envoy_pids(self) -> list[int]:
        return self._named("envoy.yaml")

    @property
    def nginx_pids(self) -> list[int]:
        """Master first."""
        return self._named("nginx: master") + self._named("nginx: worker")

    def _named(self, word: str) -> list[int]:
        return [pid for pid in descendants(self.process.pid) if word in command_line(pid)]

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def http(self, *, http2: bool = False, key: str | None = "", timeout_s: float = HTTP_S) -> httpx.Client:
        """A client of the front that trusts its CA. `key`: "" for the right API key, None for no credentials."""
        return httpx.Client(**self._http(http2, key, timeout_s))

    def async_http(self, *, http2: bool = False, key: str | None = "", timeout_s: float = HTTP_S) -> httpx.AsyncClient:
        """http, for async tests."""
        return httpx.AsyncClient(**self._http(http2, key, timeout_s))

    def _http(self, http2: bool, key: str | None, timeout_s: float) -> dict[str, Any]:
        headers = {} if key is None else {"authorization": f"Bearer {key or self.api_key}"}
        return {
            "base_url": self.url,
            "verify": self.trust(),
            "http1": not http2,
            "http2": http2,
            "headers": headers,
            "timeout": timeout_s,
            "trust_env": False,
        }

    def metadata(self, entrance: str) -> tuple[tuple[str, str], ...]:
        """What a call by this way must carry: the credential at the front, nothing over local gRPC."""
        return (("authorization", f"Bearer {self.api_key}"),) if entrance == FRONT else ()

    def channel(self, entrance: str = LOCAL) -> grpc.aio.Channel:
        """An async channel: `FRONT` (TLS), `LOCAL` (port) or `SOCKET`. Close it."""
        if entrance == FRONT:
            return grpc.aio.secure_channel(
                self.grpc_front, grpc.ssl_channel_credentials(self.ca.read_bytes()), _CHANNEL
            )
        return grpc.aio.insecure_channel(self.grpc_local if entrance == LOCAL else self.grpc_socket, _CHANNEL)

    def metrics_text(self) -> str:
        with urllib.request.urlopen(self.env["SIDECAR_METRICS"], timeout=10) as page:
            return str(page.read().decode())

    def samples(self) -> list[Sample]:
        families = text_string_to_metric_families(self.metrics_text())
        return [Sample(one.name, one.labels, one.value) for family in families for one in family.samples]

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that carry these labels; 0 if there are none."""
        return sum(
            sample.value
            for sample in self.samples()
            if sample.name == name and labels.items() <= dict(sample.labels).items()
        )


def counts_of(pid: int) -> int:
    """A descriptor of the memory that the worker counts its metrics in; close it."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{name}"
        if os.readlink(path).startswith("/memfd:sidecar-metrics"):
            return os.open(path, os.O_RDWR)
    raise AssertionError(f"process {pid} counts nowhere")


def route(
    name: str, task: str, provider: Provider, *, model: str = "", kind: str = "openai-compatible", extra: str = ""
) -> str:
    """YAML of one route on the simulator. `kind` is the provider; `extra` are further lines of the route, such as
    "timeouts: {idle: 1s}". An `anthropic` route gets the key "anthropic-key", others the key "upstream-key"."""
    keys = {
        "openai-compatible": f"{{base_url: {provider.base_url}, api_key: upstream-key}}",
        "openai": f"{{openai_api_base: {provider.base_url}, openai_api_key: upstream-key}}",
        "cohere": f"{{cohere_api_base: {provider.root_url}, cohere_api_key: upstream-key}}",
        "anthropic": f"{{anthropic_api_base: {provider.root_url}, anthropic_api_key: anthropic-key}}",
    }
    lines = [
        f"  - name: {name}",
        f"    route_type: llm/v1/{task}",
        f"    model: {{provider: {kind}, name: {model or f'sim-{task}'!r}, config: {keys[kind]}}}",
        *(f"    {line}" for line in extra.splitlines()),
    ]
    return "\n".join(lines) + "\n"


def config_for(provider: Provider, *more: str) -> str:
    """Routes chat, completions, embeddings and claude (Anthropic's format) on one simulator, and `more` of route()."""
    tasks = [route(task, task, provider) for task in ("chat", "completions", "embeddings")]
    return "".join(["routes:\n", *tasks, route("claude", "chat", provider, kind="anthropic"), *more])
