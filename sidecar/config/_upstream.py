"""`model:` of a route -> an Upstream: provider, model, address, key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from adapters import FORMATS, Provider, Task
from adapters.providers import PROVIDERS
from sidecar.config import _fields as fields
from sidecar.config._problems import Report, near_miss, shown
from sidecar.config._secrets import Sources, secret
from sidecar.config._tree import Entry, Node, yaml_type
from sidecar.snapshot import Upstream

MODEL_KEYS = ("provider", "name", "config")

_OWN_URL = "use openai-compatible with base_url {}"
# Providers of MLflow's that have no row yet, and the way around where their own documentation offers OpenAI's API.
NOT_YET: Mapping[str, str] = {
    "ai21labs": "",
    "amazon-bedrock": "",
    "azure": "",
    "bedrock": "",
    "cohere": _OWN_URL.format("https://api.cohere.ai/compatibility/v1"),
    "databricks": _OWN_URL.format("https://<workspace>/serving-endpoints"),
    "databricks-model-serving": _OWN_URL.format("https://<workspace>/serving-endpoints"),
    "deepseek": _OWN_URL.format("https://api.deepseek.com/v1"),
    "gemini": _OWN_URL.format("https://generativelanguage.googleapis.com/v1beta/openai"),
    "groq": _OWN_URL.format("https://api.groq.com/openai/v1"),
    "huggingface-text-generation-inference": _OWN_URL.format("<hf_server_url>/v1"),
    "litellm": _OWN_URL.format("<its proxy's address>/v1"),
    "mistral": _OWN_URL.format("https://api.mistral.ai/v1"),
    "mlflow-model-serving": "",
    "mosaicml": "",
    "ollama": _OWN_URL.format("http://localhost:11434/v1"),
    "openrouter": _OWN_URL.format("https://openrouter.ai/api/v1"),
    "palm": "",
    "portkey": "",
    "sap-ai-core": "",
    "togetherai": _OWN_URL.format("https://api.together.xyz/v1"),
    "vertex-ai": "",
    "xai": _OWN_URL.format("https://api.x.ai/v1"),
}
# MLflow's keys of `openai` that only mean something with Azure.
AZURE_KEYS = ("openai_api_type", "openai_api_version", "openai_deployment_name")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,4096}")


@dataclass(slots=True)
class Found:
    """What `config:` said, sorted by what its keys set."""

    key: Any = None
    base_url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    options: Mapping[str, Any] | None = None


def upstream(
    node: Node, path: str, report: Report, sources: Sources, task: Task | None, local_base_url: str | None
) -> Upstream | None:
    """None with problems reported. `task` is None where the route's type was not legal."""
    entries = fields.mapping(node, path, report, MODEL_KEYS)
    if entries is None:
        return None
    for key in ("provider", "name"):
        if key not in entries:
            report.error(node.line, f"{path}.{key}", "is missing")
    model = fields.text(entries["name"].value, f"{path}.name", report) if "name" in entries else None
    row = _provider(entries["provider"].value, f"{path}.provider", report) if "provider" in entries else None
    if row is None:
        return None
    line = entries["provider"].value.line
    if task is not None:
        _check_task(row, task, line, path, report)
    found = _config(row, entries.get("config"), line, f"{path}.config", report, sources)
    base_url = found.base_url or row.base_url
    if row.name == "local":
        base_url = local_base_url
        if base_url is None:
            report.error(line, f"{path}.provider", 'provider "local" needs `sidecar up`, which runs the model')
    if model is None or base_url is None:
        return None
    return Upstream(row.name, model, base_url, found.key, found.headers, found.options or {})


def provider_name(written: str) -> str:
    """MLflow reads providers in any case, `-` and `_` alike."""
    return written.lower().replace("_", "-")


def _provider(node: Node, path: str, report: Report) -> Provider | None:
    written = fields.text(node, path, report)
    if written is None:
        return None
    name = provider_name(written)
    if name in PROVIDERS:
        return PROVIDERS[name]
    if name in NOT_YET:
        report.error(node.line, path, f'provider "{name}" is not yet supported', NOT_YET[name])
    else:
        report.error(node.line, path, f"unknown provider {shown(written)}", near_miss(name, [*PROVIDERS, *NOT_YET]))
    return None


def _check_task(row: Provider, task: Task, line: int, path: str, report: Report) -> None:
    supported = FORMATS[row.format].provider
    if task not in supported:
        names = ", ".join(known for known in Task if known in supported)
        report.error(line, f"{path}.provider", f'"{row.name}" does not do {task}', f"it does {names}")


def _config(row: Provider, entry: Entry | None, line: int, path: str, report: Report, sources: Sources) -> Found:
    found = Found()
    node = entry.value if entry else Node("mapping", line)
    azure = AZURE_KEYS if row.name == "openai" else ()
    entries = fields.mapping(node, path, report, [*row.config_keys, *azure])
    if entries is None:
        return found
    if _azure(entries, azure, path, report):
        return found
    for name, item in entries.items():
        if name in row.config_keys:
            _set(found, row.config_keys[name], item.value, f"{path}.{name}", report, sources)
    for name, target in row.config_keys.items():
        needed = row.key_required if target == "api_key" else target == "base_url" and row.base_url is None
        if needed and name not in entries:
            report.error(entry.line if entry else line, f"{path}.{name}", "is missing")
    return found


def _azure(entries: Mapping[str, Entry], keys: tuple[str, ...], path: str, report: Report) -> bool:
    """Whether the upstream is Azure's, which is reported. `openai_api_type: openai` is the default and says nothing."""
    present = {key: entries[key] for key in keys if key in entries}
    kind = present.pop("openai_api_type", None)
    if kind is not None and kind.value.text.lower() in ("azure", "azuread", "azure-ad", "azure_ad"):
        hint = "use openai-compatible with base_url https://<resource>.openai.azure.com/openai/v1"
        report.error(kind.value.line, f"{path}.openai_api_type", "Azure is not yet supported", hint)
        return True
    if kind is not None and kind.value.text.lower() != "openai":
        report.error(kind.value.line, f"{path}.openai_api_type", "unknown type", "known: openai, azure, azuread")
    for key, entry in present.items():
        report.error(entry.line, f"{path}.{key}", "is for Azure, which is not yet supported")
    return False


def _set(found: Found, target: str, node: Node, path: str, report: Report, sources: Sources) -> None:
    kind, _, name = target.partition(":")
    if kind == "api_key":
        found.key = secret(node, path, report, sources)
    elif kind == "base_url":
        found.base_url = base_url(node, path, report)
    elif kind == "header":
        if (value := header_value(node, path, report)) is not None:
            found.headers = (*found.headers, (name, value))
    elif kind == "query":
        if (value := fields.text(node, path, report)) is not None:
            query = {**(found.options or {}).get("query", {}), name: value}
            found.options = {**(found.options or {}), "query": query}
    elif (option := _option(node, path, report)) is not None:
        found.options = {**(found.options or {}), name: option}


def base_url(node: Node, path: str, report: Report) -> str | None:
    """Without a trailing slash."""
    parts = fields.url(node, path, report)
    if parts is None:
        return None
    if parts.scheme == "http" and not fields.loopback(parts):
        report.warn(node.line, path, "plain http to another machine: keys and prompts travel unencrypted", "use https")
    return node.text.rstrip("/")


def header_value(node: Node, path: str, report: Report) -> str | None:
    """YAML's dates and numbers are taken as written: `anthropic_version: 2023-06-01` is how people write it."""
    if node.kind != "scalar" or yaml_type(node) == "nothing":
        fields.text(node, path, report)
        return None
    if _HEADER_VALUE.fullmatch(node.text) and node.text == node.text.strip():
        return node.text
    report.error(node.line, path, "is not a legal header value", "printable ASCII, no blank at either end")
    return None


def _option(node: Node, path: str, report: Report) -> str | int | float | bool | None:
    """A scalar with YAML's type."""
    found = fields.kind_of(node)
    if found == "true or false":
        return node.text.lower() in ("true", "yes", "on")
    if found == "a number" and re.fullmatch("-?[0-9]{1,15}", node.text):
        return int(node.text)
    if found == "a number" and re.fullmatch(r"-?[0-9]{1,15}\.[0-9]{1,15}", node.text):
        return float(node.text)
    return fields.text(node, path, report)


def with_settings(made: Upstream, headers: tuple[tuple[str, str], ...], options: Mapping[str, Any]) -> Upstream:
    """The route's own headers and options beside those of `model.config`."""
    return replace(made, headers=made.headers + headers, options={**made.options, **options})
