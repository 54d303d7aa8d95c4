"""Azure and Databricks: what their configs give, and what is said about wrong ones."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.domain.snapshot import Grant, Upstream, target_of
from sidecar.upstream.credentials import headers_for
from tests.config.loading import loaded, problems, route

BASE = "https://unit.openai.azure.com"
MLFLOW = (
    f"openai_api_key: $OPENAI_API_KEY, openai_api_base: {BASE}/, openai_api_version: 2024-10-21, "
    "openai_deployment_name: dep"
)
_CONFIG = "config.yaml:4: routes[0].model.config"


def upstream(config: str, provider: str = "azure", **fields: Any) -> Upstream:
    return loaded(route(provider=provider, config=config, **fields)).routes["chat"].upstreams[0]


@pytest.mark.parametrize(
    ("kind", "header"),
    [("azure", ("api-key", "sk-env")), ("AzureAD", ("Authorization", "Bearer sk-env"))],
)
def test_mlflows_azure_is_provider_openai_with_an_api_type(kind: str, header: tuple[str, str]) -> None:
    made = upstream(f"openai_api_type: {kind}, {MLFLOW}", "openai")
    assert (made.provider, made.model) == ("azure", "gpt-4o-mini")
    assert made.base_url == f"{BASE}/openai/deployments/dep"
    assert made.options == {"query": {"api-version": "2024-10-21"}, "deployment": "dep"}
    assert headers_for(made, target_of(made).provider) == (header,)


@pytest.mark.parametrize("missing", ["openai_api_base", "openai_api_version", "openai_deployment_name"])
def test_mlflows_azure_wants_all_it_wants_in_mlflow(missing: str) -> None:
    config = ", ".join(item for item in MLFLOW.split(", ") if not item.startswith(missing))
    assert problems(route(config=f"openai_api_type: azure, {config}")) == [f"{_CONFIG}.{missing}: is missing"]


def test_mlflows_azure_takes_no_organization() -> None:
    text = route(config=f"openai_api_type: azure, {MLFLOW}, openai_organization: x")
    assert problems(text) == [f"{_CONFIG}.openai_organization: does not apply to Azure"]


@pytest.mark.parametrize("base", [BASE, f"{BASE}/", f"{BASE}/openai", f"{BASE}/openai/v1", f"{BASE}/openai/v1/"])
def test_without_a_version_azure_is_asked_by_its_newer_form(base: str) -> None:
    made = upstream(f"api_key: $OPENAI_API_KEY, base_url: {base}, openai_deployment_name: dep")
    assert (made.base_url, made.model, made.options) == (f"{BASE}/openai/v1", "dep", {})


def test_the_preview_of_the_newer_form_is_a_version_in_the_query() -> None:
    made = upstream(f"api_key: $OPENAI_API_KEY, base_url: {BASE}, openai_api_version: preview")
    assert (made.base_url, made.model) == (f"{BASE}/openai/v1", "gpt-4o-mini")
    assert made.options == {"query": {"api-version": "preview"}}


def test_a_deployment_is_named_like_the_model_where_nothing_else_is_said() -> None:
    made = upstream(f"api_key: $OPENAI_API_KEY, base_url: {BASE}, openai_api_version: 2024-10-21", name='"a b"')
    assert made.base_url == f"{BASE}/openai/deployments/a%20b"


def test_an_entra_client_is_asked_for_a_token_at_its_tenant() -> None:
    made = upstream(
        f"base_url: {BASE}, azure_tenant_id: t-1, azure_client_id: c-1, azure_client_secret: $OPENAI_API_KEY",
    )
    assert (made.key, made.auth) == (None, "bearer")
    assert isinstance(made.grant, Grant)
    assert made.grant.url == "https://login.microsoftonline.com/t-1/oauth2/v2.0/token"
    assert dict(made.grant.form or ())["scope"] == "https://cognitiveservices.azure.com/.default"
    assert "sk-env" not in repr(made)


def test_a_managed_identity_needs_no_secret() -> None:
    made = upstream(f"base_url: {BASE}, azure_managed_identity: true, azure_client_id: c-1")
    assert made.grant is not None
    assert made.grant.form is None
    assert made.grant.headers == (("Metadata", "true"),)
    assert made.grant.url == (
        "http://169.254.169.254/metadata/identity/oauth2/token"
        "?api-version=2018-02-01&resource=https%3A%2F%2Fcognitiveservices.azure.com&client_id=c-1"
    )


def test_databricks_takes_a_host_and_a_token() -> None:
    made = upstream("host: https://adb-1.azuredatabricks.net, token: $OPENAI_API_KEY", "databricks-model-serving")
    assert (made.provider, made.base_url) == ("databricks", "https://adb-1.azuredatabricks.net/serving-endpoints")
    assert headers_for(made, target_of(made).provider) == (("Authorization", "Bearer sk-env"),)


def test_databricks_asks_its_workspace_for_a_machines_token() -> None:
    made = upstream("host: https://adb-1.net, client_id: c-1, client_secret: $OPENAI_API_KEY", "databricks")
    assert made.grant is not None
    assert (made.grant.url, made.grant.basic) == ("https://adb-1.net/oidc/v1/token", True)
    assert dict(made.grant.form or ()) == {"grant_type": "client_credentials", "scope": "all-apis"}


_BASE = f"base_url: {BASE}"
_SECRET = "azure_client_secret: $OPENAI_API_KEY"


@pytest.mark.parametrize(
    ("provider", "config", "message"),
    [
        ("azure", "api_key: $OPENAI_API_KEY", f"{_CONFIG}.openai_api_base: is missing"),
        ("azure", _BASE, f"{_CONFIG}.openai_api_key: is missing"),
        ("azure", f"{_BASE}, {_SECRET}, azure_client_id: c", f"{_CONFIG}.azure_tenant_id: is missing"),
        (
            "azure",
            f"{_BASE}, api_key: $OPENAI_API_KEY, azure_tenant_id: t",
            (
                f"{_CONFIG}.azure_tenant_id: has no effect here; "
                "it requires azure_client_secret or azure_managed_identity: true"
            ),
        ),
        (
            "azure",
            f"{_BASE}, api_key: $OPENAI_API_KEY, azure_managed_identity: true",
            f"{_CONFIG}.api_key: would not be used, because a token is fetched; keep one of the two",
        ),
        (
            "azure",
            f"{_BASE}, azure_managed_identity: maybe",
            f"{_CONFIG}.azure_managed_identity: expected true or false",
        ),
        (
            "azure",
            f"{_BASE}, api_key: $OPENAI_API_KEY, openai_deployment_name: $X",
            f"{_CONFIG}.openai_deployment_name: environment variable X is not set",
        ),
        ("databricks", "token: $OPENAI_API_KEY", f"{_CONFIG}.host: is missing"),
        ("databricks", "host: https://x.net", f"{_CONFIG}.token: is missing"),
        ("databricks", "host: https://x.net, client_id: c", f"{_CONFIG}.client_secret: is missing"),
        (
            "databricks",
            "host: https://x.net, client_id: c, client_secret: $OPENAI_API_KEY, token: $OPENAI_API_KEY",
            f"{_CONFIG}.token: would not be used, because a token is fetched; keep token, or client_id and "
            "client_secret",
        ),
    ],
)
def test_each_mistake_has_its_message(provider: str, config: str, message: str) -> None:
    assert problems(route(provider=provider, config=config)) == [message]
