"""MLflow is installed once a run; one server of the echo model, and one stack whose routes lead to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mlflow_models.serving import Mlflow, Served
from tests.processes import free_port
from tests.provider import Provider
from tests.stack.stack import Stack, config_for

# Ready to be filled with the two servers' addresses.
_ROUTES = """\
  - name: echo-{task}
    route_type: llm/v1/{task}
    model: {{provider: mlflow-model-serving, name: echo, config: {{model_server_url: {url}}}}}
"""


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Mlflow:
    return Mlflow(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="session")
def echo(mlflow: Mlflow) -> Iterator[Served]:
    with Served(mlflow, "echo", free_port()) as served:
        yield served


@pytest.fixture(scope="session")
def caller_url() -> str:
    """Where the model that calls the gateway will be: the gateway's config names it before it runs."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, echo: Served, caller_url: str) -> Iterator[Stack]:
    """Routes echo-chat, echo-completions, echo-embeddings to the served model, `caller`, and the simulator's own."""
    routes = [_ROUTES.format(task=task, url=echo.url) for task in ("chat", "completions", "embeddings")]
    caller = _ROUTES.format(task="chat", url=caller_url).replace("echo-chat", "caller")
    with (
        Provider() as simulator,
        Stack(tmp_path_factory.mktemp("s"), config_for(simulator, *routes, caller)) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def caller(mlflow: Mlflow, stack: Stack, caller_url: str) -> Iterator[Served]:
    env = {name: stack.env[name] for name in ("SIDECAR_URL", "SIDECAR_API_KEY", "SIDECAR_CA")}
    with Served(mlflow, "caller", int(caller_url.rpartition(":")[2]), env) as served:
        yield served
