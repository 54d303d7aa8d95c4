"""The JSON Schema of the config file, for editors: `python -m sidecar.config.schema > docs/reference/config.schema.json`.

Generated from the tables of the readers. It checks less than `load` (no secrets, no duplicates, no constraints
between keys).
"""

from __future__ import annotations

import json

from adapters.providers import PROVIDERS
from sidecar.config.archive import POSTGRES
from sidecar.config.consumers import CONSUMER
from sidecar.config.kinds import Schema
from sidecar.config.limits import MLFLOW_LIMIT, OF_CONSUMER, OF_ROUTE, UNITS
from sidecar.config.models import MODEL
from sidecar.config.prices import PRICE
from sidecar.config.route import ROUTE, TYPE_KEYS
from sidecar.config.split import SPLIT
from sidecar.config.store import REDIS, STORE
from sidecar.config.top_level import LIST_KEYS, TOP
from sidecar.config.upstream import config_keys


def schema() -> Schema:
    """JSON Schema, draft 2020-12."""
    sections = (SPLIT, CONSUMER, MLFLOW_LIMIT, PRICE, STORE, REDIS, POSTGRES, OF_ROUTE.budget, OF_CONSUMER.budget)
    limits = (OF_ROUTE.limit, OF_CONSUMER.limit)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "llm-gateway-sidecar configuration",
        **TOP.schema(),
        "anyOf": [*_required(LIST_KEYS), {"properties": {"manage_routes": {"const": True}}}],
        "$defs": {
            "route": {
                **ROUTE.schema(),
                "allOf": [{"oneOf": _required(TYPE_KEYS)}, {"oneOf": _required(("model", "models"))}],
            },
            "model": {**MODEL.schema(), "allOf": [_provider(name) for name in PROVIDERS]},
            **{each.name: each.schema() for each in sections},
            **{each.name: {**each.schema(), "oneOf": _required(UNITS)} for each in limits},
        },
    }


def text() -> str:
    """The published file."""
    return json.dumps(schema(), indent=2) + "\n"


def _required(keys: tuple[str, ...]) -> list[Schema]:
    return [{"required": [key]} for key in keys]


def _provider(name: str) -> Schema:
    """What `config` may contain for this provider."""
    return {
        "if": {"properties": {"provider": {"const": name}}, "required": ["provider"]},
        "then": {"properties": {"config": _config(name)}},
    }


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
    made = _closed(keys, [names[0] for names in choices if len(names) == 1])
    either = [{"anyOf": [{"required": [name]} for name in names]} for names in choices if len(names) > 1]
    return {**made, **({"allOf": either} if either else {}), "type": "object" if choices else ["object", "null"]}


def _closed(properties: dict[str, Schema], required: list[str]) -> Schema:
    made: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**made, "required": required} if required else made


def _meaning(target: str) -> str:
    kind, _, name = target.partition(":")
    if kind == "secret":
        return f"The {name.replace('_', ' ')}: $NAME, ${{NAME}} or file:PATH."
    if kind == "api_key":
        return "The key: $NAME, ${NAME} or file:PATH."
    return {"base_url": "Address of the API, without a trailing slash."}.get(kind, f"{kind.capitalize()} {name}.")


if __name__ == "__main__":
    print(text(), end="")
