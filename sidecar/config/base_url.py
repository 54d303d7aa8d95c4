"""Base URLs of providers. People often copy the address of a call from a provider's page, so its ending is removed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from adapters import FORMATS, Provider
from sidecar.config import fields
from sidecar.config.problems import Report
from sidecar.config.yaml_tree import Node

_MODEL = "{model}"
# Azure's portal shows a deployment's "target URI", which includes the API version.
_AZURE = re.compile(
    r"(?P<base>https?://[^?#]*?)(?:/openai/deployments/(?P<deployment>[^/?#]+))?"
    r"(?P<call>/chat/completions|/completions|/embeddings)?/?(?:\?api-version=(?P<version>[A-Za-z0-9.-]{1,64}))?"
)


def base_url(node: Node, path: str, report: Report) -> str | None:
    """Returns the base URL without a trailing slash."""
    parts = fields.url(node, path, report)
    if parts is None:
        return None
    if parts.scheme == "http" and not fields.loopback(parts):
        report.warn(
            node.line, path, "uses plain http to another machine; keys and prompts are sent unencrypted", "use https"
        )
    return node.text.rstrip("/")


def without_call(base: str, row: Provider, model: str, node: Node, path: str, report: Report) -> str | None:
    """Returns the base URL without the path of a call at its end. None with a problem reported if that path names
    another model."""
    own: str | None = row.options.get("path")
    paths = FORMATS[row.format].paths if own is None else (own,)
    for ending in sorted(paths, key=len, reverse=True):
        if base.endswith(filled := ending.replace(_MODEL, quote(model, safe=""))):
            return base.removesuffix(filled).rstrip("/")
        if _MODEL in ending and _ends_in_call(base, ending):
            hint = "remove the path of the call, or name the same model"
            report.error(node.line, path, "is the URL of a call to another model than `name`", hint)
            return None
    return base


def _ends_in_call(base: str, ending: str) -> bool:
    """Whether the path ends in that of a call, possibly for another model."""
    before, _, after = ending.partition(_MODEL)
    start, slash, model = base.removesuffix(after).rpartition("/")
    return base.endswith(after) and model != "" and (start + slash).endswith(before)


@dataclass(frozen=True, slots=True)
class AzureUrl:
    """A base URL of Azure, and what else the URL of a call contains."""

    node: Node  # contains only the base
    deployment: str | None = None
    version: str | None = None


def azure_url(node: Node) -> AzureUrl:
    """Leaves a URL that does not look like Azure's unchanged, for `base_url` to validate."""
    found = _AZURE.fullmatch(node.text) if node.kind == "scalar" else None
    if found is None:
        return AzureUrl(node)
    deployment = None if found["deployment"] is None else unquote(found["deployment"])
    return AzureUrl(replace(node, text=found["base"]), deployment, found["version"])
