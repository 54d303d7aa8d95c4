"""Kinds of values: how each is read, and how the JSON Schema and the pages describe it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sidecar.config import fields
from sidecar.config.scope import Scope
from sidecar.config.yaml_tree import MappingEntry

Schema = dict[str, Any]
# Returns a value, or None with a problem reported in the scope. The text is the path for messages.
Read = Callable[[MappingEntry, str, Scope], Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """`words` describes the values in a page's table, `written` is a sentence on the notation, `text` formats a
    default ("" is not shown), `unit` is the suffix of the attribute, as in `idle_s`.

    A kind without `read` is read by the section's own code, because it needs more than the value.
    """

    schema: Schema
    words: str = ""
    read: Read | None = None
    written: str = ""
    text: Callable[[Any], str] = str
    unit: str = ""


def plain(reader: Callable[..., Any], *arguments: Any) -> Read:
    """Adapts a reader of `fields` to a kind."""

    def read(entry: MappingEntry, path: str, scope: Scope) -> Any:
        return reader(entry.value, path, scope.report, *arguments)

    return read


def integer(least: int, most: int) -> Kind:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Kind(schema, f"{least:,} to {most:,}", plain(fields.integer, least, most))


def size(least: int, most: int) -> Kind:
    """A size in bytes."""
    shapes: list[Schema] = [
        {"type": "integer", "minimum": least, "maximum": most},
        {"type": "string", "pattern": "^[0-9]+ ?(KiB|MiB|GiB)?$"},
    ]
    words = f"{_size_text(least)} to {_size_text(most)}"
    return Kind(
        {"oneOf": shapes}, words, plain(fields.size, least, most), 'Bytes, or text such as "64MiB".', _size_text
    )


def _size_text(count: int) -> str:
    """Formats a size so that `fields.size` reads it."""
    unit = next(unit for unit in ("GiB", "MiB", "KiB", None) if count % fields.BYTES[unit] == 0)
    return f"{count // fields.BYTES[unit]}{unit or ''}"


def choice(known: tuple[str, ...], what: str = "word", *, schema: Schema | None = None) -> Kind:
    """One of a few words. `what` is for the message about any other."""
    return Kind(schema or {"enum": list(known)}, _listed(known), plain(fields.word, known, what))


def _listed(known: tuple[str, ...]) -> str:
    words = [f"`{word}`" for word in known]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def reference(name: str) -> Schema:
    """A reference to a section in `$defs`."""
    return {"$ref": f"#/$defs/{name}"}


def or_variable(schema: Schema) -> Schema:
    """The schema of a single value, or a text containing a variable. Not needed for lists, mappings and arbitrary
    text."""
    types = schema.get("type")
    if "$ref" in schema or types in ("object", "array") or isinstance(types, list):
        return schema
    if any("$ref" in each or each.get("type") in ("object", "array") for each in schema.get("anyOf", ())):
        return schema
    if types == "string" and "pattern" not in schema:
        return schema
    return {"anyOf": [schema, {"type": "string", "pattern": r"\$"}]}


def list_of(item: Schema, most: int | None = None, read: Read | None = None, *, least: int = 0) -> Kind:
    schema: Schema = {"type": "array", "items": item}
    if least:
        schema["minItems"] = least
    if most is not None:
        schema["maxItems"] = most
    return Kind(schema, "list", read, text=lambda items: "")


def _duration_text(seconds: float) -> str:
    """Formats a duration so that `fields.duration` reads it."""
    return f"{seconds * 1000:g}ms" if seconds < 1 else f"{seconds:g}s"


def _durations(least_s: float, most_s: float) -> list[Schema]:
    return [
        {"type": "number", "minimum": least_s, "maximum": most_s},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)?$"},
    ]


def long_duration(
    least_s: float, most_s: float, words: str, written: str, text: Callable[[Any], str] = str, unit: str = ""
) -> Kind:
    """A duration that may be longer than the day at which DURATION ends."""
    read = plain(fields.long_duration, least_s, most_s)
    return Kind({"oneOf": _durations(least_s, most_s)}, words, read, written, text, unit)


_DURATIONS = _durations(0.001, fields.DURATION_S_MAX)
_DURATION_WRITTEN = 'Seconds, or text such as "500ms", "30s", "5m", "1h"; 1ms to 24h.'
DURATION = Kind({"oneOf": _DURATIONS}, "time", plain(fields.duration), _DURATION_WRITTEN, _duration_text, "_s")
# 0.0 is off. YAML 1.1 reads `off` as false.
DURATION_OR_OFF = Kind(
    {"oneOf": [*_DURATIONS, {"const": False}]},
    "time or `off`",
    plain(fields.duration_or_off),
    _DURATION_WRITTEN,
    lambda seconds: _duration_text(seconds) if seconds else "off",
    "_s",
)
SHARE = Kind({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "above 0, up to 1", plain(fields.share))
BOOLEAN = Kind(
    {"type": "boolean"}, "`true` or `false`", plain(fields.boolean), text=lambda value: "true" if value else "false"
)
TEXT = Kind({"type": "string"}, "text", plain(fields.text))
TEXTS = list_of({"type": "string"}, read=plain(fields.texts))
