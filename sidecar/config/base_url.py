"""Addresses of providers. What people copy from a provider's page is often the address of a call: its ending is understood."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from adapters import FORMATS, Provider
from sidecar.config import fields
from sidecar.config.problems import Report
from sidecar.config.yaml_tree import Node

_MODEL = "{model}"
# Azure's portal shows a deployment's "target URI" with its version behind.
_AZURE = re.compile(
    r"(?P<base>https?://[^?#]*?)(?:/openai/deployments/(?P<deployment>[^/?#]+))?"
    r"(?P<call>/chat/completions|/completions|/embeddings)?/?(?:\?api-version=(?P<version>[A-Za-z0-9.-]{1,64}))?"
)


def base_url(node: Node, path: str, report: Report) -> str | None:
    """Without a trailing slash."""
    parts = fields.url(node, path, report)
    if parts is None:
        return None
    if parts.scheme == "http" and not fields.loopback(parts):
        report.warn(node.line, path, "plain http to another machine: keys and prompts travel unencrypted", "use https")
    return node.text.rstrip("/")


def without_call(base: str, row: Provider, model: str, node: Node, path: str, report: Report) -> str | None:
    """The base URL without the path of a call at its end. None with a problem: that path names another model."""
    own: str | None = row.options.get("path")
    paths = FORMATS[row.format].paths if own is None else (own,)
    for ending in sorted(paths, key=len, reverse=True):
        if base.endswith(filled := ending.replace(_MODEL, quote(model, safe=""))):
            return base.removesuffix(filled).rstrip("/")
        if _MODEL in ending and _ends_in_call(base, ending):
            hint = "leave the path of the call off, or name the same model"
            report.error(node.line, path, "is the URL of a call to another model than `name`", hint)
            return None
    return base


def _ends_in_call(base: str, ending: str) -> bool:
    """With some other model in the place of ours."""
    before, _, after = ending.partition(_MODEL)
    start, slash, model = base.removesuffix(after).rpartition("/")
    return base.endswith(after) and model != "" and (start + slash).endswith(before)


@dataclass(frozen=True, slots=True)
class AzureUrl:
    """A base URL of Azure, and what the URL of a call says besides."""

    node: Node  # with the base alone
    deployment: str | None = None
    version: str | None = None


def azure_url(node: Node) -> AzureUrl:
    """What does not look like Azure's is left as it is, for `base_url` to judge."""
    found = _AZURE.fullmatch(node.text) if node.kind == "scalar" else None
    if found is None:
        return AzureUrl(node)
    deployment = None if found["deployment"] is None else unquote(found["deployment"])
    return AzureUrl(replace(node, text=found["base"]), deployment, found["version"])
