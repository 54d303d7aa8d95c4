"""What the model does, apart from the format in which it is asked and answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANSWER = "The capital of France is Paris."
TEMPERATURE = "21 degrees"
THOUGHT = "I should look that up."
# Members of schemas by name; others get a value of their type.
_KNOWN = {"city": "Paris", "population": 2_100_000, "customer_name": "你好 こんにちは"}
_OF_TYPE = {"string": "Paris", "integer": 3, "number": 3.5, "boolean": True, "null": None}
_NESTING_MAX = 8
# Who offers more is an agent with tools for everything, and means one of them only where it is named.
_TOOLS_OF_AN_AGENT = 4
# What an agent puts into the user's message is not the user's.
_REMINDERS = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
# Arguments that a user dictates: "Call read_file with file_path=/tmp/Paris".
_DICTATED = re.compile(r"(\w+)=([^\s\"]+)")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a request asks for. `forced` is the tool that must be called, "" for any, None for none. `results` are those of
    the tools called last, `schema` is that of the answer ({}: any JSON)."""

    text: str
    tools: Mapping[str, Any]
    forced: str | None
    results: tuple[str, ...]
    schema: Mapping[str, Any] | None
    thinks: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """One answer."""

    text: str = ""
    thought: str = ""
    calls: tuple[tuple[str, Any], ...] = ()


def turn(prompt: Prompt) -> Turn:
    """Calls a tool first if there is one, then tells what it said."""
    thought = THOUGHT if prompt.thinks else ""
    if name := _tool(prompt):
        return Turn(thought=thought, calls=((name, _arguments(prompt.tools[name], prompt.text)),))
    if prompt.schema is not None or "JSON object" in prompt.text:
        return Turn(thought=thought, text=json.dumps(instance(prompt.schema) if prompt.schema else _free(prompt.text)))
    if prompt.results:
        return Turn(thought=thought, text=f"The tool says: {', '.join(prompt.results)}.")
    return Turn(thought=thought, text=ANSWER)


def _tool(prompt: Prompt) -> str | None:
    """The one to call: what is forced, else the one that the text speaks of. After a result none, unless one ends the work."""
    if not prompt.tools:
        return None
    if prompt.forced:
        return prompt.forced
    last = next((name for name in prompt.tools if name.startswith("final_")), None)
    if prompt.results:
        return last
    text = _REMINDERS.sub("", prompt.text)
    spoken_of = [name for name in prompt.tools if re.search(rf"\b{re.escape(name)}\b", text)]
    if not spoken_of and prompt.forced is None and len(prompt.tools) > _TOOLS_OF_AN_AGENT:
        return None
    return next(iter(spoken_of or [name for name in prompt.tools if name != last]), last)


def _arguments(schema: Mapping[str, Any], text: str) -> Any:
    members = schema.get("properties", {})
    if not members and schema.get("additionalProperties"):
        return _free(text)
    return {**instance(schema), **{name: value for name, value in _DICTATED.findall(text) if name in members}}


def _free(text: str) -> Any:
    """JSON without a schema: the members that the prompt names in quotes, as far as it does."""
    named = re.findall(r"[`'](\w+)[`']", text)
    return {name: _KNOWN.get(name, "Paris") for name in named} if named else instance({})


def instance(schema: Mapping[str, Any], name: str = "", root: Mapping[str, Any] | None = None, depth: int = 0) -> Any:
    """A value that the JSON Schema allows; {"city": "Paris", "population": 2100000} where it allows anything."""
    root = root if root is not None else schema
    if not schema and not name:
        return {member: _KNOWN[member] for member in ("city", "population")}
    if "$ref" in schema:
        schema = _resolved(schema["$ref"], root)
    for member in ("anyOf", "oneOf", "allOf"):
        if schema.get(member):
            wanted = next((each for each in schema[member] if each.get("type") != "null"), schema[member][0])
            return instance(wanted, name, root, depth)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        members = schema.get("properties", {}) if depth < _NESTING_MAX else {}
        needed = schema.get("required", members)
        return {each: instance(inner, each, root, depth + 1) for each, inner in members.items() if each in needed}
    if kind == "array":
        return [instance(schema.get("items", {}), name or "item", root, depth + 1)] if depth < _NESTING_MAX else []
    return _KNOWN[name] if type(_KNOWN.get(name)) is type(_OF_TYPE[kind]) else _OF_TYPE[kind]


def _resolved(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found[step] if step else found
    return found if isinstance(found, Mapping) else {}


def pieces(text: str) -> list[str]:
    """A text as it streams: word by word."""
    words = text.split(" ")
    return [word if number == 0 else f" {word}" for number, word in enumerate(words)] if text else []


def text_of(content: Any) -> str:
    """Of a message's content, whether a string or a list of parts."""
    if isinstance(content, str):
        return content
    parts = [part for part in content or () if isinstance(part, dict)]
    return "".join(part.get("text") or text_of(part.get("content")) for part in parts)
