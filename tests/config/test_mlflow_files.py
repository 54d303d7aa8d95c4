"""Whole files as users of four MLflow releases write them: what works loads, what cannot is named, each by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters import Task
from sidecar.config import ConfigErrors, load
from sidecar.domain.snapshot import Limit, Snapshot

FILES = Path(__file__).with_name("mlflow")
NAMES = ("OPENAI", "ANTHROPIC", "COHERE", "MOSAICML", "PALM", "AI21", "MISTRAL", "TOGETHERAI", "GEMINI", "GROQ")
ENV = {f"{name}_API_KEY": f"key-of-{name}" for name in (*NAMES, "DEEPSEEK", "XAI", "OPENROUTER", "AZURE")}
ENV |= {"AZURE_AAD_TOKEN": "token", "DATABRICKS_SECRET": "secret", "AWS_BEARER_TOKEN": "token"}

# version -> what is said of it, in the file's order: line, path and the beginning of the message
REFUSED = {
    "2.5": [],
    "2.8": [
        'config.yaml:45: routes[6].model.provider: provider "palm" is no longer available',
        'config.yaml:51: routes[7].model.provider: provider "ai21labs" is no longer available',
        'config.yaml:57: routes[8].model.provider: provider "bedrock" is not yet supported',
        "config.yaml:60: routes[8].model.config.aws_config: is not supported",
        "config.yaml:67: routes[9].model.name: is missing",
        "config.yaml:71: routes[10].model.config.host: is missing",
        "config.yaml:71: routes[10].model.config.token: is missing",
        "config.yaml:72: routes[11].name: (not shown: it may contain a secret) is not a valid name",
    ],
    "2.22": [],
    "3.17": [
        'config.yaml:57: endpoints[10].model.provider: provider "bedrock" is not yet supported',
        "config.yaml:60: endpoints[10].model.config.aws_config: is not supported",
        'config.yaml:64: endpoints[11].model.provider: provider "vertex-ai" is not yet supported',
        'config.yaml:69: endpoints[12].model.provider: provider "litellm" is not yet supported',
        'config.yaml:72: endpoints[13].model.provider: provider "portkey" is not yet supported',
    ],
}


def _load(text: str) -> Snapshot:
    return load(text, ENV, read_file={"keys/azure": "azure-key\n"}.get)


def _without(text: str, problems: list[str]) -> str:
    """The file without the items that have problems: a user who follows the messages."""
    items = text.split("\n  - ")
    starts = [0]
    for item in items[:-1]:
        starts.append(starts[-1] + item.count("\n") + 1)
    lines = {int(problem.split(":")[1]) for problem in problems}
    bad = {max(index for index, start in enumerate(starts) if start < line) for line in lines}
    return "\n  - ".join(item for index, item in enumerate(items) if index not in bad)


@pytest.mark.parametrize("version", REFUSED)
def test_each_thing_that_cannot_work_is_named_by_its_line(version: str) -> None:
    text = (FILES / f"{version}.yaml").read_text()
    found: list[str] = []
    try:
        _load(text)
    except ConfigErrors as errors:
        found = [str(problem) for problem in errors.problems]
    assert len(found) == len(REFUSED[version])
    for problem, start in zip(found, REFUSED[version], strict=True):
        assert problem.startswith(start)


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("2.5", ["completions", "chat", "azure_chat", "claude-completions", "embeddings.v1"]),
        ("2.8", ["chat", "azuread", "served", "llama", "mpt", "falcon"]),
        ("2.22", ["chat", "claude", "mistral-embeddings", "together", "gemini-embeddings"]),
        (
            "3.17",
            ["gpt", "claude", "groq", "deepseek", "grok", "router", "laptop", "dbrx", "azure", "flash", "ab"],
        ),
    ],
)
def test_all_the_rest_loads_without_a_warning(version: str, names: list[str]) -> None:
    snapshot = _load(_without((FILES / f"{version}.yaml").read_text(), REFUSED[version]))
    assert list(snapshot.routes) == names
    assert snapshot.warnings == ()


def test_keys_addresses_and_types_of_the_oldest_file_are_as_written() -> None:
    routes = _load((FILES / "2.5.yaml").read_text()).routes
    keys = {name: route.upstreams[0].key for name, route in routes.items()}
    assert {name: key.reveal() for name, key in keys.items() if key is not None} == {
        "completions": "key-of-OPENAI",
        "chat": "key-of-OPENAI",
        "azure_chat": "azure-key",
        "claude-completions": "key-of-ANTHROPIC",
        "embeddings.v1": "key-of-COHERE",
    }
    azure = routes["azure_chat"].upstreams[0]
    assert azure.base_url == "https://resource.openai.azure.com/openai/deployments/my-deployment"
    assert azure.options["query"] == {"api-version": "2023-05-15"}
    assert routes["chat"].upstreams[0].headers == (("OpenAI-Organization", "org-1"),)
    assert [route.task for route in routes.values()] == [
        *(Task.COMPLETIONS, Task.CHAT, Task.CHAT, Task.COMPLETIONS, Task.EMBEDDINGS)
    ]


def test_limits_are_kept_for_mlflows_clients_and_enforced() -> None:
    routes = _load((FILES / "2.22.yaml").read_text()).routes
    assert routes["chat"].mlflow_limit == (10, "minute", None)
    assert routes["chat"].limits == (Limit("requests", 10, 60),)
    assert routes["claude"].mlflow_limit == (3, "10 minutes", "user")
    assert routes["claude"].limits == (Limit("requests", 3, 600, True),)
    assert (routes["mistral-embeddings"].mlflow_limit, routes["mistral-embeddings"].limits) == (None, ())


def test_the_traffic_split_of_the_newest_file_has_its_shares() -> None:
    text = (FILES / "3.17.yaml").read_text()
    made = _load(_without(text, REFUSED["3.17"])).routes["ab"]
    assert [(each.name, each.weight) for each in made.upstreams] == [("gpt", 90), ("claude", 10)]
    assert made.strategy == "weighted"
