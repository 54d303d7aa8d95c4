"""Moves the keys of a route that came through the API into the secrets directory; the route's file refers to them.

Refuses anything that would make the gateway read its own environment or files: those who may create routes must not
read those through it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from adapters import GatewayError, Kind
from sidecar.config import secret_keys
from sidecar.config.route_store import key_name

# Of any provider: if the provider is misspelled, its key must not stay in the text either.
SECRET_KEYS: Final = secret_keys("")
# Settings that name a file of the server.
FILE_KEYS: Final = frozenset({"ca_file", "client_certificate"})
_REFERENCES = ("$", "file:", "secret:", "/", "./", "../", "~")
# The deepest valid place in the file is 6 levels down; this bounds the recursion.
_DEPTH_MAX = 32


def without_keys(spec: Mapping[str, Any], name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns the route for its file, and the keys by their names in `secret:`. Raises invalid_request."""
    keys: dict[str, str] = {}
    found = _walk(spec, "", name, keys, 0)
    assert isinstance(found, dict)
    return found, keys


def _walk(value: Any, path: str, name: str, keys: dict[str, str], depth: int) -> Any:
    if depth > _DEPTH_MAX:
        raise GatewayError(Kind.INVALID_REQUEST, f"A route can be nested at most {_DEPTH_MAX} levels deep.")
    if isinstance(value, list):
        return [_walk(each, f"{path}[{index}]", name, keys, depth + 1) for index, each in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    made: dict[str, Any] = {}
    for key, each in value.items():
        where = f"{path}.{key}" if path else key
        if key in FILE_KEYS:
            raise GatewayError(
                Kind.INVALID_REQUEST,
                f"{where}: A route created through the API cannot name files of the server.",
                param=where,
            )
        if key in SECRET_KEYS and isinstance(each, str):
            made[key] = f"secret:{_keep(each, where, name, keys)}"
        else:
            made[key] = _walk(each, where, name, keys, depth + 1)
    return made


def _keep(value: str, where: str, name: str, keys: dict[str, str]) -> str:
    if value.startswith(_REFERENCES):
        raise GatewayError(
            Kind.INVALID_REQUEST,
            f"{where}: Pass the key itself. Variables, files and paths of the server are refused through the API.",
            param=where,
        )
    stored = key_name(name)
    keys[stored] = value
    return stored
