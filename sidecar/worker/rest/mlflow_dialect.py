"""Which of MLflow's dialects a caller of /gateway/{name}/invocations speaks, and what is known of a client by its name."""

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

# A front that speaks gRPC with a library of its own cannot pass a client's user-agent under that name.
_USER_AGENT_KEYS = ("x-user-agent", "user-agent")
_MLFLOW = re.compile(r"\bmlflow-python-client/([0-9]{1,4})\.([0-9]{1,4})\b")
_FIRST_OF_A, _FIRST_OF_B = (2, 5), (2, 9)
# Members that only one of the two has. `stop`, `temperature` and the rest are in both.
_ONLY_A = ("candidate_count", "text")
_ONLY_B = ("n", "input", "stream")

# These clients take a list apart by an enumeration of providers: one that is not in it fails the whole list.
_KNOWN = {
    (2, 5): frozenset({"openai", "anthropic", "cohere", "databricks-model-serving"}),
    (2, 6): frozenset(
        {"openai", "anthropic", "cohere", "databricks-model-serving", "mlflow-model-serving", "mosaicml"}
    ),
}
# Ours -> MLflow's, where they differ.
_PROVIDER_NAMES = {
    "azure": "openai",
    "cohere-v1": "cohere",
    "databricks": "databricks-model-serving",
    "together": "togetherai",
}


def client_version(context: Context) -> tuple[int, int] | None:
    """Of MLflow's Python client; None for any other, and for those that knew no gateway yet."""
    metadata: Iterable[tuple[str, Any]] = context.invocation_metadata() or ()
    agents = {key: value for key, value in metadata if key in _USER_AGENT_KEYS and isinstance(value, str)}
    for key in _USER_AGENT_KEYS:
        if (found := _MLFLOW.search(agents.get(key, ""))) is not None:
            version = int(found[1]), int(found[2])
            return version if version >= _FIRST_OF_A else None
    return None


def dialect_of(version: tuple[int, int] | None, members: Container[str], route: Route) -> Dialect:
    """By the client's version, then by what its body has, then by the route."""
    if version is not None:
        return A if version < _FIRST_OF_B else B
    if any(name in members for name in _ONLY_A):
        return A
    if any(name in members for name in _ONLY_B):
        return B
    return A if route.mlflow_dialect == "a" else B


def provider_name(route: Route) -> str:
    """As MLflow's config calls it."""
    provider = route.upstreams[0].provider
    return _PROVIDER_NAMES.get(provider, provider)


def is_known_to(version: tuple[int, int] | None, route: Route) -> bool:
    """Whether a client of that version can read the route's provider."""
    known = _KNOWN.get(version) if version is not None else None
    return known is None or provider_name(route) in known
