"""Azure and Databricks: where their keys and addresses do not say the upstream by themselves.

Azure OpenAI has two forms: {base}/openai/deployments/{deployment}/... with ?api-version=, and {base}/openai/v1/... as at OpenAI.
Either cloud takes a key or token that stands in the config, or credentials by which the gateway fetches one.
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

# MLflow's values of openai_api_type, and how people write them.
AZURE_TYPES = {"azure": "api-key", "azuread": "bearer", "azure-ad": "bearer", "azure_ad": "bearer"}
# Microsoft's documented addresses; each can be said otherwise, for other clouds and for tests.
_ENTRA = "https://login.microsoftonline.com/{}/oauth2/v2.0/token"
_ENTRA_SCOPE = "https://cognitiveservices.azure.com/.default"
_IDENTITY = "http://169.254.169.254/metadata/identity/oauth2/token"
# What Microsoft's samples use; Foundry's model inference has no form without a version.
_FOUNDRY_VERSION = "2024-05-01-preview"
_IDENTITY_VERSION = "2018-02-01"
# Any of these says how to be let in; one that was read wrongly has had its message.
_AZURE_KEYS = frozenset({"openai_api_key", "api_key", "azure_client_secret", "azure_managed_identity"})
# api-version of the form without versions; Azure's own samples pass them there.
_UNVERSIONED = ("v1", "preview", "latest")


@dataclass(slots=True)
class Found:
    """What `config:` said, sorted by what its keys set."""

    key: Secret | None = None
    base_url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, Secret] = field(default_factory=dict)
    model: str | None = None  # in place of the route's, in the request
    auth: str | None = None
    grant: Grant | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where `config:` stands, for messages."""

    entries: Mapping[str, MappingEntry]
    line: int
    path: str
    report: Report

    def missing(self, name: str) -> None:
        self.report.error(self.line, f"{self.path}.{name}", "is missing")

    def wrong(self, name: str, message: str, hint: str = "") -> None:
        self.report.error(self.entries[name].line, f"{self.path}.{name}", message, hint)


def azure(found: Found, place: Place, model: str | None, *, mlflow: bool) -> None:
    """A deployment is named like the model where nothing else is said. `mlflow`: the config says provider openai, and MLflow's
    rules hold: base, version and deployment must be there."""
    said = found.settings
    kind = said.get("api_type", "azure").lower()
    if kind not in AZURE_TYPES:
        place.wrong("openai_api_type", "unknown type", "known: azure, azuread")
        return
    for name in ("openai_api_base", "openai_api_version", "openai_deployment_name") if mlflow else ():
        if name not in place.entries:
            place.missing(name)
    if not mlflow and found.base_url is None and not {"openai_api_base", "base_url"} & place.entries.keys():
        place.missing("openai_api_base")
    found.auth = AZURE_TYPES[kind]
    found.grant = _azure_grant(found, place)
    if found.grant is not None:
        found.auth = "bearer"
    elif found.key is None and not _AZURE_KEYS & place.entries.keys():
        place.missing("openai_api_key")
    if found.base_url is not None and (deployment := said.get("deployment") or model):
        _azure_address(found, said, deployment)


def _azure_address(found: Found, said: Mapping[str, str], deployment: str) -> None:
    base = found.base_url or ""
    if base.endswith("/models"):  # Foundry: the model stands in the body
        found.model = deployment
        found.options["query"] = {"api-version": said.get("api_version", _FOUNDRY_VERSION)}
        return
    version = said.get("api_version", "v1")
    if version in _UNVERSIONED or base.endswith("/openai/v1"):
        found.base_url = base.removesuffix("/v1").removesuffix("/openai") + "/openai/v1"
        found.model = deployment
        if version in _UNVERSIONED[1:]:
            found.options["query"] = {"api-version": version}
        return
    found.base_url = f"{base.removesuffix('/openai')}/openai/deployments/{quote(deployment, safe='')}"
    found.options["query"] = {"api-version": version}


def _azure_grant(found: Found, place: Place) -> Grant | None:
    said, secret = found.settings, found.secrets.get("client_secret")
    managed = said.get("managed_identity")
    if secret is None and not managed:
        for name in ("azure_tenant_id", "azure_client_id"):
            if name in place.entries and "azure_client_secret" not in place.entries:
                place.wrong(
                    name, "is of no use here", "azure_client_secret or azure_managed_identity: true goes with it"
                )
        return None
    if secret is not None and managed:
        place.wrong("azure_managed_identity", "and azure_client_secret are two ways to one token", "keep one")
    for name in ("openai_api_key", "api_key"):
        if name in place.entries:
            place.wrong(name, "would not be used: a token is fetched", "keep one of the two")
    scope = said.get("scope", _ENTRA_SCOPE)
    if managed:
        return _identity_grant(said, scope.removesuffix("/.default"))
    for name in ("azure_tenant_id", "azure_client_id"):
        if name not in place.entries and not (name == "azure_tenant_id" and "azure_token_url" in place.entries):
            place.missing(name)
    url = said.get("token_url") or _ENTRA.format(said.get("tenant_id", ""))
    form = (("grant_type", "client_credentials"), ("scope", scope))
    return Grant(url, form, client_id=said.get("client_id", ""), client_secret=secret)


def _identity_grant(said: Mapping[str, str], resource: str) -> Grant:
    """https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token"""
    query = {"api-version": _IDENTITY_VERSION, "resource": resource}
    if "client_id" in said:
        query["client_id"] = said["client_id"]
    return Grant(f"{said.get('token_url') or _IDENTITY}?{urlencode(query)}", headers=(("Metadata", "true"),))


def databricks(found: Found, place: Place) -> None:
    """`host` is the workspace's; a token stands in the config or is fetched (OAuth, machine to machine)."""
    said, secret = found.settings, found.secrets.get("client_secret")
    if "host" not in place.entries:
        place.missing("host")
    one = {"client_id", "client_secret"} & place.entries.keys()
    if len(one) == 1:
        place.missing(({"client_id", "client_secret"} - one).pop())
    elif one and "token" in place.entries:
        place.wrong("token", "would not be used: a token is fetched", "keep token, or client_id and client_secret")
    elif not one and "token" not in place.entries:
        place.missing("token")
    if found.base_url is None:
        return
    workspace = found.base_url.removesuffix("/serving-endpoints")
    if secret is not None and "client_id" in said:
        form = (("grant_type", "client_credentials"), ("scope", "all-apis"))
        url = said.get("token_url") or f"{workspace}/oidc/v1/token"
        found.grant = Grant(url, form, client_id=said["client_id"], client_secret=secret, basic=True)
    found.base_url = f"{workspace}/serving-endpoints"
