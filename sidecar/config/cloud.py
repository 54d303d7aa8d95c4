"""Azure and Databricks, whose keys and addresses need to be derived.

Azure OpenAI has two forms: {base}/openai/deployments/{deployment}/... with ?api-version=, and {base}/openai/v1/...
as at OpenAI. Both clouds accept a key or token from the config, or credentials with which the gateway fetches one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from sidecar.config.problems import Report
from sidecar.config.yaml_tree import MappingEntry
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Grant

# MLflow's values of openai_api_type, in the spellings people use.
AZURE_TYPES = {"azure": "api-key", "azuread": "bearer", "azure-ad": "bearer", "azure_ad": "bearer"}
# Microsoft's documented addresses; each can be overridden, for other clouds and for tests.
_ENTRA = "https://login.microsoftonline.com/{}/oauth2/v2.0/token"
_ENTRA_SCOPE = "https://cognitiveservices.azure.com/.default"
_IDENTITY = "http://169.254.169.254/metadata/identity/oauth2/token"
# The version in Microsoft's samples; Foundry's model inference has no form without a version.
_FOUNDRY_VERSION = "2024-05-01-preview"
_IDENTITY_VERSION = "2018-02-01"
# Any of these provides credentials; if one is invalid, that has been reported already.
_AZURE_KEYS = frozenset({"openai_api_key", "api_key", "azure_client_secret", "azure_managed_identity"})
# api-version of the form without versions, as in Azure's own samples.
_UNVERSIONED = ("v1", "preview", "latest")


@dataclass(slots=True)
class ProviderConfig:
    """The contents of a model's `config:`, sorted by what its keys set."""

    key: Secret | None = None
    base_url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    model: str | None = None  # replaces the route's name in the request
    auth: str | None = None
    grant: Grant | None = None
    of_url: Mapping[str, str | None] = field(default_factory=dict)  # settings that the base URL also contains (Azure)


@dataclass(frozen=True, slots=True)
class ConfigKeys:
    """The keys of `config:`, and their path for messages."""

    entries: Mapping[str, MappingEntry]
    line: int
    path: str
    report: Report

    def missing(self, name: str) -> None:
        self.report.error(self.line, f"{self.path}.{name}", "is missing")

    def wrong(self, name: str, message: str, hint: str = "") -> None:
        self.report.error(self.entries[name].line, f"{self.path}.{name}", message, hint)


def azure(found: ProviderConfig, keys: ConfigKeys, model: str | None, *, mlflow: bool) -> None:
    """The deployment defaults to the model's name. `mlflow`: the config says provider openai, so MLflow's rules
    apply: base, version and deployment are required."""
    settings = found.settings
    _of_url(found, keys)
    kind = settings.get("api_type", "azure").lower()
    if kind not in AZURE_TYPES:
        keys.wrong("openai_api_type", "unknown type", "known: azure, azuread")
        return
    for name in ("openai_api_base", "openai_api_version", "openai_deployment_name") if mlflow else ():
        if name not in keys.entries:
            keys.missing(name)
    if not mlflow and found.base_url is None and not {"openai_api_base", "base_url"} & keys.entries.keys():
        keys.missing("openai_api_base")
    found.auth = AZURE_TYPES[kind]
    found.grant = _azure_grant(found, keys)
    if found.grant is not None:
        found.auth = "bearer"
    elif found.key is None and not _AZURE_KEYS & keys.entries.keys():
        keys.missing("openai_api_key")
    if found.base_url is not None and (deployment := settings.get("deployment") or model):
        _azure_address(found, settings, deployment)


def _of_url(found: ProviderConfig, keys: ConfigKeys) -> None:
    """Takes settings from the URL unless a key sets them. A contradiction is an error."""
    named = {"deployment": "openai_deployment_name", "api_version": "openai_api_version"}
    for setting, value in found.of_url.items():
        if value is None or found.settings.setdefault(setting, value) == value:
            continue
        keys.wrong(named[setting], "contradicts the base URL", "remove one of the two")


def _azure_address(found: ProviderConfig, settings: Mapping[str, str], deployment: str) -> None:
    base = found.base_url or ""
    if base.endswith("/models"):  # Foundry: the model is in the body
        found.model = deployment
        found.options["query"] = {"api-version": settings.get("api_version", _FOUNDRY_VERSION)}
        return
    version = settings.get("api_version", "v1")
    if version in _UNVERSIONED or base.endswith("/openai/v1"):
        found.base_url = base.removesuffix("/v1").removesuffix("/openai") + "/openai/v1"
        found.model = deployment
        if version in _UNVERSIONED[1:]:
            found.options["query"] = {"api-version": version}
        return
    found.base_url = f"{base.removesuffix('/openai')}/openai/deployments/{quote(deployment, safe='')}"
    found.options["query"] = {"api-version": version}
    found.options["deployment"] = deployment


def _azure_grant(found: ProviderConfig, keys: ConfigKeys) -> Grant | None:
    settings, secret = found.settings, found.secrets.get("client_secret")
    managed = settings.get("managed_identity")
    if secret is None and not managed:
        for name in ("azure_tenant_id", "azure_client_id"):
            if name in keys.entries and "azure_client_secret" not in keys.entries:
                keys.wrong(
                    name, "has no effect here", "it requires azure_client_secret or azure_managed_identity: true"
                )
        return None
    if secret is not None and managed:
        keys.wrong("azure_managed_identity", "and azure_client_secret exclude each other", "keep one")
    for name in ("openai_api_key", "api_key"):
        if name in keys.entries:
            keys.wrong(name, "would not be used, because a token is fetched", "keep one of the two")
    scope = settings.get("scope", _ENTRA_SCOPE)
    if managed:
        return _identity_grant(settings, scope.removesuffix("/.default"))
    for name in ("azure_tenant_id", "azure_client_id"):
        if name not in keys.entries and not (name == "azure_tenant_id" and "azure_token_url" in keys.entries):
            keys.missing(name)
    url = settings.get("token_url") or _ENTRA.format(settings.get("tenant_id", ""))
    form = (("grant_type", "client_credentials"), ("scope", scope))
    return Grant(url, form, client_id=settings.get("client_id", ""), client_secret=secret)


def _identity_grant(settings: Mapping[str, str], resource: str) -> Grant:
    """https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token"""
    query = {"api-version": _IDENTITY_VERSION, "resource": resource}
    if "client_id" in settings:
        query["client_id"] = settings["client_id"]
    return Grant(f"{settings.get('token_url') or _IDENTITY}?{urlencode(query)}", headers=(("Metadata", "true"),))


def databricks(found: ProviderConfig, keys: ConfigKeys) -> None:
    """`host` is the workspace's. The token is in the config or is fetched (OAuth machine to machine)."""
    settings, secret = found.settings, found.secrets.get("client_secret")
    if "host" not in keys.entries:
        keys.missing("host")
    one = {"client_id", "client_secret"} & keys.entries.keys()
    if len(one) == 1:
        keys.missing(({"client_id", "client_secret"} - one).pop())
    elif one and "token" in keys.entries:
        keys.wrong(
            "token", "would not be used, because a token is fetched", "keep token, or client_id and client_secret"
        )
    elif not one and "token" not in keys.entries:
        keys.missing("token")
    if found.base_url is None:
        return
    workspace = found.base_url.removesuffix("/serving-endpoints")
    if secret is not None and "client_id" in settings:
        form = (("grant_type", "client_credentials"), ("scope", "all-apis"))
        url = settings.get("token_url") or f"{workspace}/oidc/v1/token"
        found.grant = Grant(url, form, client_id=settings["client_id"], client_secret=secret, basic=True)
    found.base_url = f"{workspace}/serving-endpoints"
