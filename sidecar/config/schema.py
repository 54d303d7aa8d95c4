"""The JSON Schema of the config file, for editors: `python -m sidecar.config.schema > docs/config.schema.json`.

Made from the same tables as the checks. It knows less than `load` (no secrets, no duplicates, no limits between keys).
"""

from __future__ import annotations

import json
from typing import Any

from adapters.providers import PROVIDERS
from sidecar.config._route import (
    COMPLETIONS_APIS,
    LIST_KEYS,
    MAX_TOKENS_MAX,
    NAME,
    RESPONSE_BYTES,
    ROUTE_KEYS,
    SHARED_KEYS,
    TIMEOUT_KEYS,
    TYPE_KEYS,
    TYPES,
)
from sidecar.config._upstream import config_keys

_Schema = dict[str, Any]

_DURATION: _Schema = {
    "description": 'Seconds, or text such as "500ms", "30s", "5m", "1h"; 1ms to 24h.',
    "oneOf": [
        {"type": "number", "minimum": 0.001, "maximum": 86400},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h)?$"},
    ],
}
_SHARED: dict[str, _Schema] = {
    "timeouts": {
        "type": "object",
        "description": "Limits of one call. Defaults: connect 5s, first_output 120s, idle 120s, total 600s.",
        "properties": dict.fromkeys(TIMEOUT_KEYS, _DURATION),
        "additionalProperties": False,
    },
    "response_bytes_max": {
        "description": 'What one answer may hold: bytes, or text such as "64MiB" (the default).',
        "oneOf": [
            {"type": "integer", "minimum": RESPONSE_BYTES[0], "maximum": RESPONSE_BYTES[1]},
            {"type": "string", "pattern": "^[0-9]+ ?(KiB|MiB|GiB)?$"},
        ],
    },
    "ca_file": {"type": "string", "description": "PEM bundle to trust instead of the system's."},
    "proxy": {"type": "string", "format": "uri", "pattern": "^https?://", "description": "HTTP proxy to the provider."},
}
_ROUTE: dict[str, _Schema] = {
    "name": {"type": "string", "pattern": f"^{NAME.pattern}$", "description": "The name callers use."},
    **{key: {"enum": list(TYPES), "description": "What the route does."} for key in TYPE_KEYS},
    "model": {"$ref": "#/$defs/model"},
    "limit": {"type": "object", "description": "MLflow's rate limit: read, not enforced yet."},
    **_SHARED,
    "default_max_tokens": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_TOKENS_MAX,
        "description": "For providers that insist on max_tokens, where the caller sets none.",
    },
    "drop_params": {
        "type": "array",
        "items": {"type": "string"},
        "description": "Request parameters to leave out where the provider's format lacks them, instead of refusing.",
    },
    "completions_api": {
        "enum": list(COMPLETIONS_APIS),
        "description": "What a completions route calls at the provider. Without it the provider and its model decide.",
    },
    "headers": {
        "type": "object",
        "additionalProperties": {"type": ["string", "number", "boolean"]},
        "description": "Further headers to the provider. Never secret.",
    },
}


def schema() -> _Schema:
    """JSON Schema, draft 2020-12."""
    routes = {"type": "array", "items": {"$ref": "#/$defs/route"}, "minItems": 1}
    shared = {key: _SHARED[key] for key in SHARED_KEYS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llm-gateway-sidecar configuration",
        **_object({**dict.fromkeys(LIST_KEYS, routes), "defaults": _object(shared)}),
        "anyOf": [{"required": [key]} for key in LIST_KEYS],
        "$defs": {
            "route": {
                **_object({key: _ROUTE[key] for key in ROUTE_KEYS}, "name", "model"),
                "oneOf": [{"required": [key]} for key in TYPE_KEYS],
            },
            "model": _model(),
        },
    }


def text() -> str:
    """The published file."""
    return json.dumps(schema(), indent=2) + "\n"


def _model() -> _Schema:
    known = [{"enum": list(PROVIDERS)}, {"type": "string"}]  # any case, `-` and `_` alike: more than an enum can say
    keys: dict[str, _Schema] = {"provider": {"anyOf": known}, "name": {"type": "string", "minLength": 1}}
    made = _object({**keys, "config": {"type": ["object", "null"]}}, "provider", "name")
    made["allOf"] = [
        {
            "if": {"properties": {"provider": {"const": name}}, "required": ["provider"]},
            "then": {"properties": {"config": _config(name)}},
        }
        for name in PROVIDERS
    ]
    return made


def _config(provider: str) -> _Schema:
    row = PROVIDERS[provider]
    keys: dict[str, _Schema] = {key: {"description": _meaning(target)} for key, target in row.config_keys.items()}
    keys.update({key: {"description": "For Azure."} for key in config_keys(row) if key not in keys})
    needed = {"api_key": row.key_required, "base_url": row.base_url is None}
    choices = [
        [key for key, meant in row.config_keys.items() if meant == target]
        for target in dict.fromkeys(row.config_keys.values())
        if needed.get(target) and provider not in ("openai", "azure", "databricks")  # theirs depend on other keys
    ]
    made = _object(keys, *(names[0] for names in choices if len(names) == 1))
    either = [{"anyOf": [{"required": [name]} for name in names]} for names in choices if len(names) > 1]
    return {**made, **({"allOf": either} if either else {}), "type": "object" if choices else ["object", "null"]}


def _meaning(target: str) -> str:
    kind, _, name = target.partition(":")
    if kind == "secret":
        return f"The {name.replace('_', ' ')}: $NAME, ${{NAME}} or file:PATH."
    if kind == "api_key":
        return "The key: $NAME, ${NAME} or file:PATH."
    return {"base_url": "Address of the API, without a trailing slash."}.get(kind, f"{kind.capitalize()} {name}.")


def _object(properties: dict[str, _Schema], *required: str) -> _Schema:
    made: _Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**made, "required": list(required)} if required else made


if __name__ == "__main__":
    print(text(), end="")
