"""The other gateways of the race, each started as its documentation says, with one worker and one route to the
mock."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.environments import node_environment, python_environment
from bench.stack import ROUTE
from bench.target import Target, running
from tests.processes import free_port

_LOOPBACK = Path(__file__).with_name("loopback.cjs")
_PROVIDER_KEY = "sk-loopback"  # the mock accepts any key
# MLflow ends a stream after the provider's last chunk, the one with the usage, without [DONE].
_MLFLOW_END = '"total_tokens":'


@contextmanager
def mlflow(folder: Path, base_url: str) -> Iterator[Target]:
    config = folder / "mlflow.yaml"
    config.write_text(
        f"endpoints:\n  - name: {ROUTE}\n    endpoint_type: llm/v1/chat\n    model:\n      provider: openai\n"
        f"      name: bench-model\n      config: {{openai_api_key: {_PROVIDER_KEY}, openai_api_base: {base_url}}}\n"
    )
    port, programs = free_port(), python_environment("mlflow") / "bin"
    command = [str(programs / "mlflow"), "gateway", "start", "--config-path", str(config)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # It looks for gunicorn on the PATH.
    env = {"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
    target = Target(f"http://127.0.0.1:{port}/v1", stream_end=_MLFLOW_END)
    with running(command, folder, target, env) as ready:
        yield ready


@contextmanager
def litellm(folder: Path, base_url: str) -> Iterator[Target]:
    config = folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n  - model_name: {ROUTE}\n    litellm_params:\n      model: openai/bench-model\n"
        f"      api_base: {base_url}\n      api_key: {_PROVIDER_KEY}\n"
    )
    port, programs = free_port(), python_environment("litellm") / "bin"
    key = f"sk-{secrets.token_hex(16)}"
    command = [str(programs / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--num_workers", "1", "--telemetry", "False"]
    env = {"LITELLM_MASTER_KEY": key, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with running(command, folder, Target(f"http://127.0.0.1:{port}/v1", api_key=key), env) as ready:
        yield ready


@contextmanager
def ferrogw(folder: Path, base_url: str) -> Iterator[Target]:
    config = folder / "ferro.yaml"
    config.write_text("strategy:\n  mode: fallback\ntargets:\n  - virtual_key: openai\n")
    port, key = (
        free_port(),
        f"fgw_{secrets.token_hex(16)}",
    )  # it cannot be bound to an address and listens on all of them
    env = {
        "OPENAI_API_KEY": _PROVIDER_KEY,
        "OPENAI_BASE_URL": base_url,
        "MASTER_KEY": key,
        "GATEWAY_CONFIG": str(config),
        "PORT": str(port),
        "RATE_LIMIT_RPS": "0",  # off; otherwise 20 per second for each address
        "FERRO_MODEL_CATALOG_TIMEOUT": "0",  # off; otherwise it contacts the internet when it starts
    }
    command = [str(python_environment("ferrogw") / "bin" / "ferrogw"), "serve"]
    with running(
        command, folder, Target(f"http://127.0.0.1:{port}/v1", model="gpt-4o-mini", api_key=key), env
    ) as ready:
        yield ready


@contextmanager
def portkey(folder: Path, base_url: str) -> Iterator[Target]:
    port = free_port()
    node, modules = node_environment("portkey")
    script = modules / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    command = [str(node), "--require", str(_LOOPBACK), str(script), "--headless", f"--port={port}"]
    headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": base_url}
    with running(
        command, folder, Target(f"http://127.0.0.1:{port}/v1", api_key=_PROVIDER_KEY, headers=headers)
    ) as ready:
        yield ready
