"""`model:` of a route -> an Upstream: provider, model, address, key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from adapters import FORMATS, Provider, Task
from adapters.providers import ALIASES, PROVIDERS
from sidecar.config import fields
from sidecar.config.base_url import azure_url, base_url, without_call
from sidecar.config.cloud import AZURE_TYPES, ConfigKeys, ProviderConfig, azure, databricks
from sidecar.config.problems import Report, near_miss, shown
from sidecar.config.scope import Scope
from sidecar.config.secrets import Sources, secret
from sidecar.config.section import Entries
from sidecar.config.yaml_tree import MappingEntry, Node, yaml_type
from sidecar.domain.snapshot import Upstream

# Providers of MLflow without a row here, and the base URL if they offer OpenAI's API (from their documentation).
NOT_YET: Mapping[str, str] = {
    "amazon-bedrock": "https://bedrock-runtime.<region>.amazonaws.com/openai/v1",
    "bedrock": "https://bedrock-runtime.<region>.amazonaws.com/openai/v1",
    "litellm": "<its proxy's address>/v1",
    "portkey": "",
    "replicate": "",
    "sap-ai-core": "",
    "typesafe": "",
    "vertex-ai": "",
}
# Providers whose service has been shut down, and their successors.
GONE: Mapping[str, str] = {
    "ai21labs": "its J2 models are gone; Jamba: use openai-compatible with base_url https://api.ai21.com/studio/v1",
    "palm": "its service is gone; Gemini followed: use gemini with gemini_api_key",
}
# Ids, versions, deployments, scopes (an address with a suffix).
_WORD = re.compile(r"[A-Za-z0-9_.:/-]{1,256}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,4096}")


def upstream(entries: Entries, path: str, task: Task | None, scope: Scope) -> Upstream | None:
    """Builds an upstream from the keys of `model:`; a missing one is reported elsewhere. None with problems
    reported. `task` is None if the route's type is invalid."""
    report = scope.report
    model = fields.line(entries["name"].value, f"{path}.name", report) if "name" in entries else None
    row = _provider(entries["provider"].value, f"{path}.provider", report) if "provider" in entries else None
    if row is None:
        _name_aws(entries.get("config"), path, report)
        return None
    line = entries["provider"].value.line
    if task is not None:
        _check_task(row, task, line, path, report)
    row, found = _config(row, entries.get("config"), line, f"{path}.config", report, scope.sources, model)
    base_url = found.base_url or row.base_url
    if row.name == "local":
        base_url = scope.local_base_url
        if base_url is None:
            report.error(line, f"{path}.provider", 'provider "local" needs `sidecar up`, which runs the model')
    if model is None or base_url is None:
        return None
    made = Upstream(row.name, found.model or model, base_url, found.key, found.headers, found.options)
    return replace(made, auth=found.auth, grant=found.grant)


def _name_aws(entry: MappingEntry | None, path: str, report: Report) -> None:
    """Bedrock's own credentials, which sign requests, are not supported yet; report their line."""
    if entry is not None and (aws := entry.value.entries.get("aws_config")) is not None:
        hint = "use a Bedrock API key as api_key of openai-compatible"
        report.error(aws.line, f"{path}.config.aws_config", "is not supported", hint)


def provider_name(written: str) -> str:
    """MLflow accepts providers in any case, with `-` and `_` alike."""
    name = written.lower().replace("_", "-")
    return ALIASES.get(name, name)


def _provider(node: Node, path: str, report: Report) -> Provider | None:
    written = fields.text(node, path, report)
    if written is None:
        return None
    name = provider_name(written)
    if name in PROVIDERS:
        return PROVIDERS[name]
    if name in GONE:
        report.error(node.line, path, f'provider "{name}" is no longer available', GONE[name])
    elif name in NOT_YET:
        hint = f"use openai-compatible with base_url {NOT_YET[name]}" if NOT_YET[name] else ""
        report.error(node.line, path, f'provider "{name}" is not yet supported', hint)
    else:
        report.error(node.line, path, f"unknown provider {shown(written)}", _near_provider(name))
    return None


def _near_provider(name: str) -> str:
    hint = near_miss(name, [*PROVIDERS, *ALIASES, *NOT_YET])
    return hint or "any server of OpenAI's format: openai-compatible with base_url"


def does(row: Provider, task: Task) -> bool:
    """Whether some model of the provider supports the task."""
    supported = FORMATS[row.format].provider
    return task in row.tasks and (task in supported or (task is Task.COMPLETIONS and Task.CHAT in supported))


def _check_task(row: Provider, task: Task, line: int, path: str, report: Report) -> None:
    if not does(row, task):
        names = ", ".join(known for known in Task if does(row, known))
        report.error(line, f"{path}.provider", f'"{row.name}" does not support {task}', f"it supports {names}")


def config_keys(row: Provider) -> tuple[str, ...]:
    """The keys allowed below `config:`. Azure is provider openai in MLflow's files."""
    return tuple(dict.fromkeys([*row.config_keys, *(PROVIDERS["azure"].config_keys if row.name == "openai" else ())]))


def _config(
    row: Provider, entry: MappingEntry | None, line: int, path: str, report: Report, sources: Sources, model: str | None
) -> tuple[Provider, ProviderConfig]:
    """Returns the row and its settings: Azure's row if a config of provider openai turns out to be that."""
    found = ProviderConfig()
    node = entry.value if entry else Node("mapping", line)
    entries = fields.mapping(node, path, report, config_keys(row))
    if entries is None:
        return row, found
    keys = ConfigKeys(entries, entry.line if entry else line, path, report)
    mlflow = row.name == "openai"
    if mlflow and _is_azure(keys):
        row = PROVIDERS["azure"]
        if "openai_organization" in entries:
            keys.wrong("openai_organization", "does not apply to Azure")
    by_target: dict[str, str] = {}
    for name, item in entries.items():
        target = row.config_keys.get(name)
        if target is None:
            continue
        if target in by_target:
            report.error(item.line, path, f"{by_target[target]} and {name} mean the same", "keep one")
        by_target[target] = name
        node = _azure_parts(found, item.value) if target == "base_url" and row.name == "azure" else item.value
        _set(found, target, node, f"{path}.{name}", report, sources)
    if found.base_url is not None and row.name != "azure":
        name = by_target["base_url"]
        found.base_url = without_call(found.base_url, row, model or "", entries[name].value, f"{path}.{name}", report)
    if row.name == "azure":
        azure(found, keys, model, mlflow=mlflow)
    elif row.name == "databricks":
        databricks(found, keys)
    else:
        _check_needed(row, by_target, keys)
    if row.name == "cohere":
        row = _cohere(row, found, keys)
    return row, found


def _azure_parts(found: ProviderConfig, node: Node) -> Node:
    """Returns the node of the base alone; deployment and version of a call's URL go to `found`."""
    url = azure_url(node)
    found.of_url = {"deployment": url.deployment, "api_version": url.version}
    return url.node


def _cohere(row: Provider, found: ProviderConfig, keys: ConfigKeys) -> Provider:
    version = found.settings.get("api_version", "v2")
    if version not in ("v1", "v2"):
        keys.wrong("cohere_api_version", "unknown version", "known: v1, v2")
    return PROVIDERS["cohere-v1"] if version == "v1" else row


def _check_needed(row: Provider, by_target: Mapping[str, str], keys: ConfigKeys) -> None:
    needed = {"api_key": row.key_required, "base_url": row.base_url is None}
    for target in dict.fromkeys(row.config_keys.values()):
        if needed.get(target) and target not in by_target:
            keys.missing(next(name for name, meant in row.config_keys.items() if meant == target))


def _is_azure(keys: ConfigKeys) -> bool:
    """Whether provider openai is actually Azure's. `openai_api_type: openai` is the default and has no effect."""
    kind = keys.entries.get("openai_api_type")
    word = kind.value.text.lower() if kind is not None else "openai"
    if word in AZURE_TYPES:
        return True
    if word != "openai":
        keys.wrong("openai_api_type", "unknown type", "known: openai, azure, azuread")
        return False
    for name in keys.entries:
        if name in PROVIDERS["azure"].config_keys and name not in (*PROVIDERS["openai"].config_keys, "openai_api_type"):
            keys.wrong(name, "is for Azure", "it requires openai_api_type: azure, or provider: azure")
    return False


def _set(found: ProviderConfig, target: str, node: Node, path: str, report: Report, sources: Sources) -> None:
    kind, _, name = target.partition(":")
    if kind == "api_key":
        found.key = secret(node, path, report, sources)
    elif kind == "base_url":
        found.base_url = base_url(node, path, report)
    elif kind == "header":
        if (value := header_value(node, path, report)) is not None:
            found.headers = (*found.headers, (name, value))
    elif kind == "secret":
        if (hidden := secret(node, path, report, sources)) is not None:
            found.secrets[name] = hidden
    elif kind == "setting":
        if (setting := _setting(node, name, path, report)) is not None:
            found.settings[name] = setting
    elif kind == "query":
        if (value := fields.text(node, path, report)) is not None:
            found.options["query"] = {**found.options.get("query", {}), name: value}
    elif (option := _option(node, path, report)) is not None:
        found.options[name] = option


def _setting(node: Node, name: str, path: str, report: Report) -> str | None:
    """Reads a value of Azure's or Databricks' keys that is not secret: a word, an address, or "yes" and "" for true
    and false."""
    if name == "token_url":
        return base_url(node, path, report)
    if name == "managed_identity":
        answer = fields.boolean(node, path, report)
        return None if answer is None else "yes" * answer
    # api-versions look like dates, and YAML reads them as such.
    value = node.text if node.kind == "scalar" and not fields.empty(node) else fields.text(node, path, report)
    if value is None or _WORD.fullmatch(value):
        return value
    report.error(node.line, path, "is not valid here", "1 to 256 of A-Z a-z 0-9 _ - . : /")
    return None


def header_value(node: Node, path: str, report: Report) -> str | None:
    """YAML's dates and numbers are taken as written: people write `anthropic_version: 2023-06-01`."""
    if node.kind != "scalar" or yaml_type(node) == "nothing":
        fields.text(node, path, report)
        return None
    if _HEADER_VALUE.fullmatch(node.text) and node.text == node.text.strip():
        return node.text
    report.error(node.line, path, "is not a valid header value", "printable ASCII, no blank at either end")
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
    """Adds the route's own headers and options to those of `model.config`."""
    return replace(made, headers=made.headers + headers, options={**made.options, **options})
