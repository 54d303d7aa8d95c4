"""Parts of the JSON Schema that hold no provider: settings, limits, money, consumers, splits."""

from __future__ import annotations

from typing import Any

from sidecar.config import limits, settings
from sidecar.config.consumers import CONSUMERS_MAX, ENTRIES_MAX, NAME, ROLES
from sidecar.config.models import UPSTREAMS_MAX
from sidecar.config.split import ROUTING

Schema = dict[str, Any]

DURATION: Schema = {
    "description": 'Seconds, or text such as "500ms", "30s", "5m", "1h"; 1ms to 24h.',
    "oneOf": [
        {"type": "number", "minimum": 0.001, "maximum": 86400},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h)?$"},
    ],
}
_SHARE: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
_PERIOD: Schema = {
    "type": "string",
    "pattern": "^([0-9]+ ?)?(s|m|h|d|seconds?|minutes?|hours?|days?)$",
    "description": 'second, minute, hour, day, or such as "10 minutes" and "30s"; up to 31 days.',
}
_DOLLARS: Schema = {
    "description": "Dollars, with at most six decimals.",
    "oneOf": [
        {"type": "number", "minimum": 0, "maximum": limits.DOLLARS_MAX},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
    ],
}


def closed(properties: dict[str, Schema], *required: str, description: str = "") -> Schema:
    """An object of these keys only."""
    made: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if description:
        made["description"] = description
    return {**made, "required": list(required)} if required else made


def _count(most: int, least: int = 1) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


def _list(reference: str, most: int, description: str) -> Schema:
    return {
        "type": "array",
        "items": {"$ref": f"#/$defs/{reference}"},
        "maxItems": most,
        "description": description,
    }


ADMISSION = closed(
    {
        "concurrent": _count(settings.CONCURRENT_MAX),
        "queue": _count(settings.CONCURRENT_MAX, 0),
        "queue_time": DURATION,
    },
    description="How many calls may be under way and waiting in each worker.",
)
DIALECT: Schema = {
    "enum": list(settings.DIALECTS),
    "description": "MLflow's wire format on /gateway/{name}/invocations where nothing else tells: a (2.5 to 2.8) or b.",
}
SHARED: dict[str, Schema] = {
    "timeouts": closed(
        dict.fromkeys(settings.TIMEOUT_KEYS, DURATION),
        description="Limits of one call. Defaults: connect 5s, first_output 120s, idle 120s, total 600s, write 30s.",
    ),
    "response_bytes_max": {
        "description": 'What one answer may hold: bytes, or text such as "64MiB" (the default).',
        "oneOf": [
            {"type": "integer", "minimum": settings.RESPONSE_BYTES[0], "maximum": settings.RESPONSE_BYTES[1]},
            {"type": "string", "pattern": "^[0-9]+ ?(KiB|MiB|GiB)?$"},
        ],
    },
    "ca_file": {"type": "string", "description": "PEM bundle to trust instead of the system's."},
    "proxy": {"type": "string", "format": "uri", "pattern": "^https?://", "description": "HTTP proxy to the provider."},
    "retries": closed(
        {"budget": _count(settings.RETRIES_MAX, 0), "backoff": DURATION, "backoff_max": DURATION},
        description="Further attempts of one call. Defaults: budget 1, backoff 250ms, backoff_max 8s.",
    ),
    "breaker": closed(
        {
            "consecutive_failures": _count(settings.BREAKER_COUNT_MAX),
            "error_ratio": _SHARE,
            "calls_min": _count(settings.BREAKER_COUNT_MAX),
            "window": DURATION,
            "open": DURATION,
        },
        description="When an upstream is left alone for a while.",
    ),
    "admission": ADMISSION,
    "mlflow_dialect": DIALECT,
}
LIMITED: dict[str, Schema] = {
    "limit": {"anyOf": [{"$ref": "#/$defs/mlflow_limit"}, {"type": "null"}]},
    "limits": {
        "type": "array",
        "items": {"anyOf": [{"$ref": "#/$defs/route_limit"}, {"$ref": "#/$defs/mlflow_limit"}]},
        "maxItems": limits.SCOPE_MAX,
        "description": "How many requests or tokens in a time, or how many calls at once.",
    },
    "budgets": _list("route_budget", limits.SCOPE_MAX, "Money in a calendar day or month (UTC)."),
}


COST: Schema = {
    "enum": list(limits.COSTS),
    "description": "What is counted as spent: tokens times the price (the default), or what the provider says it bills.",
}


def definitions() -> dict[str, Schema]:
    """What `$defs` holds beside route and model."""
    return {
        "split": _split(),
        "consumer": _consumer(),
        **{f"{words.of}_limit": _limit(words.each) for words in (limits.OF_ROUTE, limits.OF_CONSUMER)},
        **{f"{words.of}_budget": _budget(words.each) for words in (limits.OF_ROUTE, limits.OF_CONSUMER)},
        "mlflow_limit": closed(
            {
                "calls": _count(limits.COUNT_MAX),
                "renewal_period": {"type": "string"},
                "key": {"enum": [*limits.MLFLOW_SCOPES, None]},
            },
            "calls",
            "renewal_period",
            description="MLflow's rate limit.",
        ),
        "price": closed(
            dict.fromkeys(limits.PRICE_KEYS, _DOLLARS),
            "input",
            "output",
            description="Dollars for a million tokens.",
        ),
    }


def _limit(each: str) -> Schema:
    counts: dict[str, Schema] = dict.fromkeys(limits.UNITS, _count(limits.COUNT_MAX))
    made = closed({**counts, "per": _PERIOD, "each": {"const": each}})
    return {**made, "oneOf": [{"required": [unit]} for unit in limits.UNITS]}


def _budget(each: str) -> Schema:
    period: Schema = {"enum": list(limits.BUDGET_PERIODS)}
    return closed({"dollars": _DOLLARS, "per": period, "soft": _SHARE, "each": {"const": each}}, "dollars", "per")


def _consumer() -> Schema:
    def words(description: str) -> Schema:
        return {"type": "array", "items": {"type": "string"}, "maxItems": ENTRIES_MAX, "description": description}

    return closed(
        {
            "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
            "users": words("Users of the front proxy: names or globs."),
            "local": {"type": "boolean", "description": "The local gRPC port and socket."},
            "roles": {"type": "array", "items": {"enum": list(ROLES)}},
            "allow": words("Globs of the routes it may call. Without it: all."),
            "deny": words("Globs of the routes it may not call; stronger than allow."),
            "limits": _list("consumer_limit", limits.SCOPE_MAX, "As on a route."),
            "budgets": _list("consumer_budget", limits.SCOPE_MAX, "As on a route."),
        },
        "name",
    )


def consumers() -> Schema:
    return {**_list("consumer", CONSUMERS_MAX, "Who calls, and what they may call."), "minItems": 1}


def _split() -> Schema:
    destination = closed(
        {"name": {"type": "string"}, "traffic_percentage": _count(100, 0)}, "name", "traffic_percentage"
    )
    return closed(
        {
            "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
            "task_type": {"type": "string", "pattern": "^llm/v1/"},
            "destinations": {"type": "array", "items": destination, "minItems": 1},
            "routing_strategy": {"enum": list(ROUTING)},
            **LIMITED,
            **{key: shape for key, shape in SHARED.items() if key not in ("ca_file", "proxy")},
        },
        "name",
        "task_type",
        "destinations",
        description=f"MLflow's traffic split. At most {UPSTREAMS_MAX} destinations get traffic.",
    )
