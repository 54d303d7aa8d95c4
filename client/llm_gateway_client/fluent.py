"""MLflow's gateway functions, for code that is moving over: `from llm_gateway_client import fluent as gateway`.

    set_gateway_uri("https://user:password@host", ca="ca.pem")
    create_route(name="gpt-4-completions", route_type="llm/v1/completions", model={"name": "gpt-4", "provider": "openai", ...})
    query("gpt-4-completions", {"prompt": "What is MLflow?"})["candidates"][0]["text"]

The address applies to the process, as in MLflow. Without set_gateway_uri, MLFLOW_GATEWAY_URI is used, or else what
Client() finds; MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD are used if the address has no credentials.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

from llm_gateway_client import requests
from llm_gateway_client.errors import TargetError
from llm_gateway_client.mlflow_dialects import dialect_of
from llm_gateway_client.mlflow_limits import read_limit, write_limit
from llm_gateway_client.sync.client import Client
from llm_gateway_client.values import Json, RateLimit, Route

_CONFIG = "_config"


class _Current:
    """The process's client: created by the first call, kept until the address changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Client | None = None

    def set(self, client: Client | None) -> None:
        with self._lock:
            self._client, old = client, self._client
        if old is not None:
            old.close()

    def get(self) -> Client:
        with self._lock:
            if self._client is None:
                self._client = _client(os.environ.get("MLFLOW_GATEWAY_URI"), None, None, None)
            return self._client


_current = _Current()


def set_gateway_uri(
    gateway_uri: str,
    *,
    user: str | None = None,
    password: str | None = None,
    ca: str | os.PathLike[str] | None = None,
) -> None:
    """Sets the address for all functions here; any target of Client is valid. Raises TargetError."""
    _current.set(_client(gateway_uri, user, password, ca))


def reset() -> None:
    """Closes the connections and forgets the address."""
    _current.set(None)


def get_gateway_uri() -> str:
    """Returns the address, without credentials. Raises TargetError if none is set."""
    return _current.get().address


def create_route(
    name: str, route_type: str | None = None, model: Json | None = None, data: Json | None = None, **settings: Any
) -> Route:
    """Creates a route, for admins.

    `model` or `data`: {"name", "provider", and "<provider>_config" or "config"}. `settings` are further keys of a
    route in the config file. Raises ValueError, SidecarError.
    """
    given = model if model is not None else data
    if route_type is None or given is None or (model is not None and data is not None):
        raise ValueError("create_route needs a route_type, and either model or data.")
    return _current.get().create_route(name, route_type, _model(given), settings=settings)


def delete_route(name: str) -> None:
    """Deletes a route, for admins."""
    _current.get().delete_route(name)


def get_route(name: str) -> Route:
    """Returns a route. Raises NotFound."""
    return _current.get().get_route(name)


def search_routes() -> list[Route]:
    """Returns all routes that this caller may call."""
    return _current.get().list_routes()


def query(route: str, data: Json) -> dict[str, Any]:
    """Calls a route with a body in either of MLflow's dialects (mlflow_dialects.py); the answer is in the same
    dialect. Raises SidecarError, and ValueError for a mixture of both."""
    client, dialect = _current.get(), dialect_of(data)
    # The typed services do not know MLflow's dialects, so the translation depends on the route.
    found = None if client.is_rest else client.get_route(route)
    return client.call(requests.query(route, dialect, data, found))


def set_limits(route: str, limits: Sequence[Json | RateLimit]) -> list[dict[str, Any]]:
    """Replaces a route's limits, for admins. Each one is MLflow's {"calls", "renewal_period", "key": "user" |
    "route"} or a RateLimit."""
    rows = [each if isinstance(each, RateLimit) else read_limit(each) for each in limits]
    return [write_limit(each) for each in _current.get().set_limits(route, rows)]


def get_limits(route: str) -> list[dict[str, Any]]:
    """Returns the limits in force, in MLflow's format."""
    return [write_limit(each) for each in _current.get().get_limits(route)]


def _client(uri: str | None, user: str | None, password: str | None, ca: str | os.PathLike[str] | None) -> Client:
    if uri == "databricks" or (uri or "").startswith("databricks://"):
        raise TargetError("This client calls a gateway of your own, not Databricks: give its address.")
    has_one = user is not None or "@" in (uri or "")
    if uri is not None and not has_one and (name := os.environ.get("MLFLOW_TRACKING_USERNAME")):
        user, password = name, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")
    return Client(uri, user=user, password=password, ca=ca)


def _model(given: Json) -> dict[str, Any]:
    """Converts MLflow's {"name", "provider", "openai_config": {...}}: the provider's part is renamed to `config`."""
    configs = [key for key in given if key == "config" or key.endswith(_CONFIG)]
    unknown = given.keys() - {"name", "provider", *configs}
    if len(configs) > 1 or unknown:
        raise ValueError(
            f"A model has name, provider and one config, not {', '.join(sorted(configs) + sorted(unknown))}."
        )
    config = given[configs[0]] if configs else {}
    return {"provider": given.get("provider"), "name": given.get("name"), "config": dict(config)}
