"""Finds out which of MLflow's dialects a caller of /gateway/{name}/invocations speaks."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from typing import Any

from adapters import FORMATS
from adapters.mlflow_client import CLIENT_B, CLIENT_C
from sidecar.domain.snapshot import Route
from sidecar.transport.caller import Context
from sidecar.worker.rest.route_calls import Dialect

A = Dialect("mlflow-a", FORMATS["mlflow-a"].client)
B = Dialect("openai", CLIENT_B)
C = Dialect("openai", CLIENT_C)

# A front that uses its own gRPC library cannot pass a client's user-agent under that name.
_USER_AGENT_KEYS = ("x-user-agent", "user-agent")
_MLFLOW = re.compile(r"\bmlflow-python-client/([0-9]{1,4})\.([0-9]{1,4})\b")
_FIRST_OF_A, _FIRST_OF_B = (2, 5), (2, 9)
# Members that only one of the two dialects has. `stop`, `temperature` and others are in both.
_ONLY_A = ("candidate_count", "text")
_ONLY_B = ("n", "input", "stream")

# These clients parse the provider of each route in a list as an enumeration: one unknown provider fails the whole
# list.
_KNOWN = {
    (2, 5): frozenset({"openai", "anthropic", "cohere", "databricks-model-serving"}),
    (2, 6): frozenset(
        {"openai", "anthropic", "cohere", "databricks-model-serving", "mlflow-model-serving", "mosaicml"}
    ),
}
# Our names -> MLflow's, where they differ.
_PROVIDER_NAMES = {
    "azure": "openai",
    "cohere-v1": "cohere",
    "databricks": "databricks-model-serving",
    "together": "togetherai",
}


def client_version(context: Context) -> tuple[int, int] | None:
    """Returns the version of MLflow's Python client; None for other clients, and for versions without a gateway
    client."""
    metadata: Iterable[tuple[str, Any]] = context.invocation_metadata() or ()
    agents = {key: value for key, value in metadata if key in _USER_AGENT_KEYS and isinstance(value, str)}
    for key in _USER_AGENT_KEYS:
        if (found := _MLFLOW.search(agents.get(key, ""))) is not None:
            version = int(found[1]), int(found[2])
            return version if version >= _FIRST_OF_A else None
    return None


def dialect_of(version: tuple[int, int] | None, members: Container[str], route: Route) -> Dialect:
    """Decides by the client's version, else by the members of the body, else by the route."""
    if version is not None:
        return A if version < _FIRST_OF_B else B
    if any(name in members for name in _ONLY_A):
        return A
    if any(name in members for name in _ONLY_B):
        return B
    return A if route.mlflow_dialect == "a" else B


def provider_name(route: Route) -> str:
    """The provider's name in MLflow's config."""
    provider = route.upstreams[0].provider
    return _PROVIDER_NAMES.get(provider, provider)


def is_known_to(version: tuple[int, int] | None, route: Route) -> bool:
    """Whether a client of that version can parse the route's provider."""
    known = _KNOWN.get(version) if version is not None else None
    return known is None or provider_name(route) in known
