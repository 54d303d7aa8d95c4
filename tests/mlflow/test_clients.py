"""The released clients, unchanged, against the stack behind Nginx: TLS, basic auth, one environment a release.

Each client is a script in tests/mlflow/clients that calls everything its release has and prints what came as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.environments import Environment
from tests.mlflow.environments import environment
from tests.processes import REPOSITORY
from tests.provider import Provider, error_reply, json_reply
from tests.provider.defaults import vector
from tests.stack.stack import Stack, route

# Building the environments is done once a machine; on a slow network it takes minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
CLIENTS = Path(__file__).parent / "clients"
BIN = Path(sys.executable).parent
RUN_S, INSTALL_S = 300, 300
# A 2.x client that is told "later" waits 60 s with its defaults. What it does besides (imports, one call) takes 2 s.
PERMANENT_S_MAX = 10.0
TASKS = {"chat": "gpt-x", "completions": "gpt-y", "embeddings": "ada"}
GATEWAYS = {"2.5.0": "A", "2.8.1": "A", "2.22.0": "B"}
VECTORS = [vector(json.dumps(text), 8) for text in ("cats", "dogs")]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(autouse=True)
def healthy(provider: Provider) -> Iterator[None]:
    yield
    provider.script = None


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, provider: Provider) -> Iterator[Stack]:
    """MLflow's own YAML for the three tasks, and a route of a provider that 2.5 does not know."""
    models = [
        f"  - {{name: {task}, route_type: llm/v1/{task}, model: {{provider: openai, name: {name}, "
        f"config: {{openai_api_key: sk-matrix, openai_api_base: {provider.base_url}}}}}}}\n"
        for task, name in TASKS.items()
    ]
    admins = "manage_routes: true\nconsumers: [{name: operator, users: [sidecar], roles: [admin]}]\n"
    text = "".join(["routes:\n", *models, route("local", "chat", provider, model="m"), admins])
    with Stack(tmp_path_factory.mktemp("matrix"), text) as running:
        yield running


def run(release: Environment, script: str, stack: Stack, *arguments: str, **env: str) -> Any:
    """What the script printed. The client's own settings are those of its release."""
    login = {"MLFLOW_TRACKING_USERNAME": stack.user, "MLFLOW_TRACKING_PASSWORD": stack.password}
    done = subprocess.run(
        [release.python, str(CLIENTS / script), *arguments],
        env=release.env(REQUESTS_CA_BUNDLE=str(stack.ca), **login, **env),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("version", GATEWAYS)
def test_mlflow_gateway_of_this_release(version: str, stack: Stack, provider: Provider) -> None:
    dialect = GATEWAYS[version]
    results = run(environment(f"client-{version}"), "gateway.py", stack, stack.url, dialect)
    assert (results["version"], results["uri"], results["client_uri"]) == (version, stack.url, stack.url)
    names = [*TASKS] if version == "2.5.0" else [*TASKS, "local"]
    assert [each["name"] for each in results["routes"]] == results["client_routes"] == names
    assert results["next_page_token"] is None
    _is_route(results["routes"][0], stack, "chat")
    _is_route(results["route"], stack, "chat")
    _is_route(results["client_route"], stack, "embeddings")
    (_answers_in_a if dialect == "A" else _answers_in_b)(results)
    assert results["create"]["type"] == results["delete"]["type"] == "MlflowException", "refused by the client itself"
    for name, status in (("unknown_route", 404), ("unknown_query", 404), ("wrong_query", 422)):
        assert results[name]["type"] == "HTTPError", results[name]
        assert str(status) in results[name]["text"]
    if version != "2.5.0":
        made = {"calls": 100000, "key": "user", "renewal_period": "minute"}
        assert [[_limit(each) for each in answer["limits"]] for answer in results["limits"]] == [[made], [made], []]


def _is_route(found: Any, stack: Stack, task: str) -> None:
    assert (found["name"], found["route_type"], found["model"]) == (
        task,
        f"llm/v1/{task}",
        {"name": TASKS[task], "provider": "openai"},
    )
    assert found["route_url"] == f"{stack.url}/gateway/{task}/invocations"


def _limit(row: Any) -> Any:
    return {name: row[name] for name in ("calls", "key", "renewal_period")}


def _answers_in_a(results: Any) -> None:
    for name in ("chat", "client_chat"):
        [candidate] = results[name]["candidates"]
        assert candidate["message"] == {"role": "assistant", "content": "echo: Say hello."}
        assert candidate["metadata"] == {"finish_reason": "stop"}
        assert results[name]["metadata"].keys() == {
            "input_tokens",
            "output_tokens",
            "total_tokens",
            "model",
            "route_type",
        }
    assert results["chat"]["metadata"]["model"] == "gpt-x"
    assert results["completions"]["candidates"] == [{"text": "echo: Once", "metadata": {"finish_reason": "stop"}}]
    assert results["completions"]["metadata"]["route_type"] == "llm/v1/completions"
    assert results["embeddings"]["embeddings"] == VECTORS


def _answers_in_b(results: Any) -> None:
    for name in ("chat", "client_chat"):
        assert name not in results or results[name]["choices"][0]["message"]["content"] == "echo: Say hello."
    assert results["chat"]["usage"]["total_tokens"] > 0
    assert results["completions"]["choices"][0]["text"] == "echo: Once"
    assert [row["embedding"] for row in results["embeddings"]["data"]] == VECTORS


@pytest.mark.parametrize("version", ["2.22.0", "3.17.2"])
def test_mlflow_deployments_of_this_release(version: str, stack: Stack, provider: Provider) -> None:
    results = run(environment(f"client-{version}"), "deployments.py", stack, stack.url)
    assert results["version"] == version
    assert [each["name"] for each in results["endpoints"]] == [*TASKS, "local"]
    for found in (results["endpoints"][0], results["endpoint"]):
        assert (found["name"], found["endpoint_type"]) == ("chat", "llm/v1/chat")
        assert found["model"] == {"name": "gpt-x", "provider": "openai"}
        assert found["endpoint_url"] == f"{stack.url}/endpoints/chat/invocations"
        assert found["limit"] is None
    _answers_in_b(results)
    assert results["unknown"]["type"] == "HTTPError"
    assert "404" in results["unknown"]["text"]
    assert results["create"]["type"] == "NotImplementedError"


def test_langchains_gateway_classes(stack: Stack, provider: Provider) -> None:
    before = len(provider.calls)
    results = run(environment("langchain-2.8.1"), "by_langchain.py", stack, stack.url)
    assert results["llm"] == "echo: Once"
    assert results["chat"] == ["ai", "echo: Say hello."]
    assert results["documents"] == [VECTORS], "this release wraps each query's vectors once more"
    assert results["query"] == VECTORS[:1]
    chat = provider.calls[before].json
    assert [message["role"] for message in chat["messages"]] == ["system", "user"]
    assert chat["temperature"] == 1.0


def test_langchains_classes_for_the_deployments_server(stack: Stack, provider: Provider) -> None:
    before = len(provider.calls)
    results = run(environment("langchain-2.22.0"), "by_langchain_deployments.py", stack, stack.url)
    assert results["llm"] == "echo: Once"
    assert results["chat"] == ["ai", "echo: Say hello."]
    assert results["documents"] == VECTORS
    assert results["query"] == VECTORS[0]
    assert provider.calls[before].json["temperature"] == 0.5, "dialect B's is the provider's own"


FAILURES = {
    "its key is refused": (lambda call: error_reply(call, 401, "bad key"), "424", 1),
    "its answer is nonsense": (lambda call: json_reply({"no": "chat"}), "424", 2),
    "it is down for good": (lambda call: error_reply(call, 503, "down"), "504", 2),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_client_does_not_sit_in_its_retry_loop_after_a_permanent_failure(
    name: str, stack: Stack, provider: Provider
) -> None:
    """MLflow's own gateway answers 500 here, and this client takes 60 s and six provider calls to say so."""
    provider.script, status, calls_max = FAILURES[name]
    before = len(provider.calls)
    results = run(environment("client-2.8.1"), "gateway.py", stack, stack.url, "A", "chat")
    assert results["type"] == "HTTPError", results
    assert status in results["text"]
    assert results["seconds"] < PERMANENT_S_MAX
    assert 1 <= len(provider.calls) - before <= calls_max


def test_that_retry_loop_is_real(stack: Stack) -> None:
    """The positive control: told 503 by whoever stands in the gateway's place, the same client calls again."""
    with Provider(script=lambda call: error_reply(call, 503, "later")) as instead:
        results = run(
            environment("client-2.8.1"),
            "gateway.py",
            stack,
            instead.root_url,
            "A",
            "chat",
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
        )
        assert results["type"] in ("HTTPError", "MlflowException")
        assert len(instead.calls) == 2


PATHS = ("/v1", "/gateway/mlflow/v1", "/gateway/openai/v1")


@pytest.mark.parametrize("path", PATHS)
def test_openais_python_sdk_on_every_path_for_it(path: str, stack: Stack) -> None:
    transport = openai.DefaultHttpxClient(verify=stack.trust(), trust_env=False)
    with openai.OpenAI(
        base_url=f"{stack.url}{path}", api_key=stack.api_key, http_client=transport, max_retries=0
    ) as client:
        hello: Any = [{"role": "user", "content": "Say hello."}]
        assert (
            client.chat.completions.create(model="chat", messages=hello).choices[0].message.content
            == "echo: Say hello."
        )
        with client.chat.completions.create(model="chat", messages=hello, stream=True) as stream:
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "echo: Say hello."
        if path != "/gateway/mlflow/v1":  # as MLflow's: no embeddings there
            vectors = client.embeddings.create(model="embeddings", input=["cats", "dogs"])
            assert [row.embedding for row in vectors.data] == VECTORS
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="no-such-route", messages=hello)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tests/node with its packages, as the lock has them."""
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc", "openai.mjs"):
        shutil.copy(REPOSITORY / "tests" / "node" / name, folder)
    done = subprocess.run(
        [BIN / "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=folder,
        env=_node_env(),
        capture_output=True,
        text=True,
        timeout=INSTALL_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def _node_env(**more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **more}


@pytest.mark.parametrize("path", ["/v1", "/gateway/openai/v1"])
def test_openais_node_sdk(path: str, stack: Stack, node: Path) -> None:
    done = subprocess.run(
        [BIN / "node", "openai.mjs", f"{stack.url}{path}"],
        cwd=node,
        env=_node_env(OPENAI_API_KEY=stack.api_key, NODE_EXTRA_CA_CERTS=str(stack.ca)),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["text"] == results["streamed"] == "echo: Say hello."
    assert results["tokens"] == results["usage"]["total_tokens"] > 0
    assert results["vectors"] == [8, 8]
    assert results["unknown"] == ["NotFoundError", 404, "model_not_found"]
