"""Plain members as rows: JSON name, how it is read, protobuf field. One table serves reading and writing."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from typing import Any

from adapters.json_object import Obj, of_request, raw_json

# (JSON name, method of Obj that reads it, protobuf field)
Row = tuple[str, str, str]


def same(kind: str, *names: str) -> tuple[Row, ...]:
    return tuple((name, kind, name) for name in names)


CHAT: tuple[Row, ...] = (
    *same("integer", "n", "max_tokens", "max_completion_tokens", "top_logprobs"),
    *same("integer64", "seed"),
    *same("number", "temperature", "top_p", "frequency_penalty", "presence_penalty"),
    *same("boolean", "parallel_tool_calls", "logprobs", "store"),
    *same("string", "reasoning_effort", "user", "service_tier", "verbosity", "safety_identifier", "prompt_cache_key"),
    ("logit_bias", "json", "logit_bias_json"),
    ("prediction", "json", "prediction_json"),
)
COMPLETIONS: tuple[Row, ...] = (
    *same("integer", "n", "best_of", "max_tokens", "logprobs"),
    *same("integer64", "seed"),
    *same("number", "temperature", "top_p", "frequency_penalty", "presence_penalty"),
    *same("boolean", "echo"),
    *same("string", "suffix", "user"),
    ("logit_bias", "json", "logit_bias_json"),
)
EMBEDDINGS: tuple[Row, ...] = (*same("integer", "dimensions"), *same("string", "user"))
STREAM_OPTIONS: tuple[Row, ...] = same("boolean", "include_usage", "include_obfuscation")
FUNCTION_TOOL: tuple[Row, ...] = (
    *same("string", "name", "description"),
    *same("boolean", "strict"),
    ("parameters", "json", "parameters_json"),
)
CUSTOM_TOOL: tuple[Row, ...] = (*same("string", "name", "description"), ("format", "json", "format_json"))
JSON_SCHEMA: tuple[Row, ...] = (
    *same("string", "name", "description"),
    *same("boolean", "strict"),
    ("schema", "json", "schema_json"),
)


def names(*tables: Iterable[Row]) -> frozenset[str]:
    return frozenset(row[0] for table in tables for row in table)


def read(obj: Obj, into: Any, table: tuple[Row, ...]) -> None:
    for name, kind, attribute in table:
        if name in obj.members:
            value = getattr(obj, kind)(name)
            if value is not None:
                setattr(into, attribute, value)


@cache
def _without_presence(descriptor: Any) -> frozenset[str]:
    """Fields without presence, which are always written."""
    return frozenset(field.name for field in descriptor.fields if not field.has_presence)


def write(message: Any, table: tuple[Row, ...], out: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Writes the fields that are set into `out`. JSON text is written unchanged."""
    present = {field.name for field, _ in message.ListFields()}
    always = _without_presence(message.DESCRIPTOR)
    for name, kind, attribute in table:
        if attribute not in present and attribute not in always:
            continue
        value = getattr(message, attribute)
        if kind == "number" and not math.isfinite(value):
            raise of_request(f"{path}{attribute}", "a finite number")
        out[name] = raw_json(value, f"{path}{attribute}") if kind == "json" else value
    return out
