"""The JSON Schema of the config file, for editors: `python -m sidecar.config.schema > docs/config.schema.json`.

Made from the same tables as the checks. It knows less than `load` (no secrets, no duplicates, no limits between keys).
"""

from __future__ import annotations

import json

from adapters.providers import PROVIDERS
from sidecar.config.models import STRATEGIES, UPSTREAMS_MAX, WEIGHT_MAX
from sidecar.config.names import NAME
from sidecar.config.route import COMPLETIONS_APIS, MAX_TOKENS_MAX, ROUTE_KEYS, TYPE_KEYS, TYPES
from sidecar.config.schema_parts import (
    ADMISSION,
    COST,
    DIALECT,
    LIMITED,
    SHARED,
    Schema,
    closed,
    consumers,
    definitions,
)
from sidecar.config.settings import SHARED_KEYS
from sidecar.config.top_level import LIST_KEYS, SECRETS_IN_PROMPTS
from sidecar.config.upstream import config_keys

_ROUTE: dict[str, Schema] = {
    "name": {"type": "string", "pattern": f"^{NAME.pattern}$", "description": "The name callers use."},
    **{key: {"enum": list(TYPES), "description": "What the route does."} for key in TYPE_KEYS},
    "model": {"$ref": "#/$defs/model"},
    "fallbacks": {
        "type": "array",
        "items": {"$ref": "#/$defs/model"},
        "maxItems": UPSTREAMS_MAX - 1,
        "description": "Tried in this order where the model fails.",
    },
    "models": {
        "type": "array",
        "items": {"$ref": "#/$defs/model"},
        "minItems": 1,
        "maxItems": UPSTREAMS_MAX,
        "description": "Several models in place of one; `strategy` says which answers.",
    },
    "strategy": {
        "enum": list(STRATEGIES),
        "description": "Of `models`: in their order (the default), by `weight`, or the one with the fewest calls.",
    },
    **LIMITED,
    **SHARED,
    "price": {"$ref": "#/$defs/price"},
    "cost": COST,
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


def schema() -> Schema:
    """JSON Schema, draft 2020-12."""
    top = {
        **dict.fromkeys(LIST_KEYS, _routes()),
        "defaults": closed({key: SHARED[key] for key in SHARED_KEYS}),
        "consumers": consumers(),
        "secrets_in_prompts": {
            "enum": [*SECRETS_IN_PROMPTS, False],  # YAML 1.1 reads `off` as false
            "description": "What becomes of a prompt with one of the gateway's own keys in it: refuse is the default.",
        },
        "manage_routes": {"type": "boolean", "description": "Whether admins may make and remove routes by call."},
        "admission": {**ADMISSION, "description": "Of each worker, over all routes. Default: 1000 at once."},
        "mlflow_dialect": DIALECT,
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llm-gateway-sidecar configuration",
        **closed(top),
        "anyOf": [*({"required": [key]} for key in LIST_KEYS), {"properties": {"manage_routes": {"const": True}}}],
        "$defs": {
            "route": {
                **closed({key: _ROUTE[key] for key in ROUTE_KEYS}, "name"),
                "allOf": [
                    {"oneOf": [{"required": [key]} for key in TYPE_KEYS]},
                    {"oneOf": [{"required": [key]} for key in ("model", "models")]},
                ],
            },
            "model": _model(),
            **definitions(),
        },
    }


def _routes() -> Schema:
    """MLflow has two meanings of an item; the keys tell."""
    split = {"anyOf": [{"required": ["destinations"]}, {"required": ["task_type"]}]}
    either = {"if": split, "then": {"$ref": "#/$defs/split"}, "else": {"$ref": "#/$defs/route"}}
    return {"type": "array", "items": either}


def text() -> str:
    """The published file."""
    return json.dumps(schema(), indent=2) + "\n"


def _model() -> Schema:
    known = [{"enum": list(PROVIDERS)}, {"type": "string"}]  # any case, `-` and `_` alike: more than an enum can say
    keys: dict[str, Schema] = {"provider": {"anyOf": known}, "name": {"type": "string", "minLength": 1}}
    keys["weight"] = {"type": "integer", "minimum": 0, "maximum": WEIGHT_MAX, "description": "Its share, 1 by default."}
    keys["price"] = {"$ref": "#/$defs/price"}
    keys["cost"] = COST
    made = closed({**keys, "config": {"type": ["object", "null"]}}, "provider", "name")
    made["allOf"] = [
        {
            "if": {"properties": {"provider": {"const": name}}, "required": ["provider"]},
            "then": {"properties": {"config": _config(name)}},
        }
        for name in PROVIDERS
    ]
    return made


def _config(provider: str) -> Schema:
    row = PROVIDERS[provider]
    keys: dict[str, Schema] = {key: {"description": _meaning(target)} for key, target in row.config_keys.items()}
    keys.update({key: {"description": "For Azure."} for key in config_keys(row) if key not in keys})
    needed = {"api_key": row.key_required, "base_url": row.base_url is None}
    choices = [
        [key for key, meant in row.config_keys.items() if meant == target]
        for target in dict.fromkeys(row.config_keys.values())
        if needed.get(target) and provider not in ("openai", "azure", "databricks")  # theirs depend on other keys
    ]
    made = closed(keys, *(names[0] for names in choices if len(names) == 1))
    either = [{"anyOf": [{"required": [name]} for name in names]} for names in choices if len(names) > 1]
    return {**made, **({"allOf": either} if either else {}), "type": "object" if choices else ["object", "null"]}


def _meaning(target: str) -> str:
    kind, _, name = target.partition(":")
    if kind == "secret":
        return f"The {name.replace('_', ' ')}: $NAME, ${{NAME}} or file:PATH."
    if kind == "api_key":
        return "The key: $NAME, ${NAME} or file:PATH."
    return {"base_url": "Address of the API, without a trailing slash."}.get(kind, f"{kind.capitalize()} {name}.")


if __name__ == "__main__":
    print(text(), end="")
