"""Extracts what the tests need from OpenAI's published API description: names of request members, the schema of
answers.

    python -m tools.openai_schema openapi.json COMMIT  # from https://github.com/openai/openai-openapi (MIT)

Only facts: names, types, allowed values; no text of the description.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "tests" / "openai_schema"
_REQUESTS = {
    "chat": "CreateChatCompletionRequest",
    "completions": "CreateCompletionRequest",
    "embeddings": "CreateEmbeddingRequest",
}
_ANSWERS = {
    "chat": "CreateChatCompletionResponse",
    "chat chunk": "CreateChatCompletionStreamResponse",
    "completions": "CreateCompletionResponse",
    "embeddings": "CreateEmbeddingResponse",
    "error": "ErrorResponse",
}
_KEPT = ("type", "enum", "const", "required", "minimum", "maximum", "minItems", "maxItems")
_DEPTH_MAX = 8
_Schema = dict[str, Any]


class Description:
    """The components of one OpenAPI document."""

    def __init__(self, document: _Schema) -> None:
        self._schemas: _Schema = document["components"]["schemas"]

    def opened(self, schema: _Schema) -> _Schema:
        while "$ref" in schema:
            schema = self._schemas[schema["$ref"].rpartition("/")[2]]
        return schema

    def named(self, name: str) -> _Schema:
        found: _Schema = self._schemas[name]
        return found

    def variants(self, schema: _Schema) -> Iterator[_Schema]:
        """The objects and arrays that a value may be."""
        schema = self.opened(schema)
        for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
            yield from self.variants(each)
        if "allOf" in schema:
            yield {"properties": {n: p for each in schema["allOf"] for n, p in self._properties(each).items()}}
        elif "properties" in schema or "items" in schema:
            yield schema

    def _properties(self, schema: _Schema) -> _Schema:
        return {n: p for each in self.variants(schema) for n, p in each.get("properties", {}).items()}

    def members(self, schema: _Schema, at: str = "", depth: int = 0) -> Iterator[str]:
        """The names of all members with their paths. {word} is the role or type of an object that has one."""
        for each in self.variants(schema):
            if "items" in each:
                yield from self.members(each["items"], f"{at}[]", depth)
            tag = next((self._tag(each, key) for key in ("role", "type") if self._tag(each, key)), "")
            for name, inner in each.get("properties", {}).items():
                path = f"{at}{tag}.{name}" if at else name
                yield path
                if depth < _DEPTH_MAX:
                    yield from self.members(inner, path, depth + 1)

    def _tag(self, schema: _Schema, key: str) -> str:
        words = self.opened(schema.get("properties", {}).get(key, {})).get("enum", ())
        return f"{{{words[0]}}}" if len(words) == 1 else ""

    def plain(self, schema: _Schema) -> _Schema:
        """As JSON Schema without references and texts; `nullable` becomes a type."""
        nullable = schema.get("nullable", False)
        schema = self.opened(schema)
        out = {key: schema[key] for key in _KEPT if key in schema}
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema:
                out["anyOf" if key == "oneOf" else key] = [self.plain(each) for each in schema[key]]
        if "properties" in schema:
            out["properties"] = {name: self.plain(each) for name, each in schema["properties"].items()}
        if "items" in schema:
            out["items"] = self.plain(schema["items"])
        if nullable or schema.get("nullable", False):
            out = {"anyOf": [out, {"type": "null"}]}
        return out


def main(path: str, commit: str) -> None:
    document = json.loads(Path(path).read_text(encoding="utf-8"))
    description = Description(document)
    head = {
        "source": "https://github.com/openai/openai-openapi",
        "commit": commit,
        "version": document["info"]["version"],
    }
    requests = {
        task: list(dict.fromkeys(description.members(description.named(name)))) for task, name in _REQUESTS.items()
    }
    answers = {kind: description.plain(description.named(name)) for kind, name in _ANSWERS.items()}
    for name, found in (("requests", requests), ("answers", answers)):
        (FOLDER / f"{name}.json").write_text(json.dumps(head | found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
