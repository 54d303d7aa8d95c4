"""Schemas that are nested deeper than Python's functions can call each other: translated or refused, at every door, for every
format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, GatewayError, Target, Task
from adapters.providers import PROVIDERS
from tests.adapters.laws import CONTEXT

DEPTH = 450
CLOSED = '{"type":"object","properties":{"a":%s},"required":["a"],"additionalProperties":false}'
OPEN = '{"type":"object","properties":{"a":%s}}'
MESSAGES = b'{"model":"r","max_tokens":9,"messages":[{"role":"user","content":"q"}],%s}'
CHAT = b'{"model":"r","messages":[{"role":"user","content":"q"}],%s}'
RESPONSES = b'{"model":"r","input":"q",%s}'
# Door -> the body, and where a schema may be in it.
BODIES: dict[str, tuple[bytes, tuple[bytes, ...]]] = {
    "anthropic": (
        MESSAGES,
        (b'"output_config":{"format":{"type":"json_schema","schema":%s}}', b'"tools":[{"name":"f","input_schema":%s}]'),
    ),
    "openai": (
        CHAT,
        (
            b'"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":%s}}',
            b'"tools":[{"type":"function","function":{"name":"f","parameters":%s}}]',
        ),
    ),
    "responses": (
        RESPONSES,
        (
            b'"text":{"format":{"type":"json_schema","name":"n","schema":%s}}',
            b'"tools":[{"type":"function","name":"f","parameters":%s}]',
        ),
    ),
}


def nested(around: str, leaf: str = '{"type":"string"}', depth: int = DEPTH) -> bytes:
    before, after = around.split("%s")
    return f"{before * depth}{leaf}{after * depth}".encode()


def sent(door: str, provider: str, body: bytes) -> bytes:
    side = FORMATS[door].client[Task.CHAT]
    target = Target(PROVIDERS[provider], "m", "http://127.0.0.1:1")
    request = side.decode_request(side.open(body))
    fitted = request if side.fit is None else side.fit(request, target)
    return FORMATS[target.provider.format].provider[Task.CHAT].encode(fitted, target, False, CONTEXT).body


@pytest.mark.parametrize("provider", ["openai", "anthropic", "cohere", "vllm", "gemini", "local", "cohere-v1"])
@pytest.mark.parametrize("around", [CLOSED, OPEN, "[%s]", '{"anyOf":[%s]}'])
@pytest.mark.parametrize("door", BODIES)
def test_they_are_translated_or_refused(door: str, around: str, provider: str) -> None:
    body, places = BODIES[door]
    for place in places:
        try:
            assert sent(door, provider, body % (place % nested(around)))
        except GatewayError as error:
            assert error.param


@pytest.mark.parametrize(
    ("around", "leaf", "strict"), [(CLOSED, "{}", True), (OPEN, "{}", None), (CLOSED, OPEN % "{}", None)]
)
def test_a_schema_is_strict_where_all_of_it_is_closed(around: str, leaf: str, strict: bool | None) -> None:
    body, places = BODIES["anthropic"]
    for depth in (1, 30):
        made: dict[str, Any] = json.loads(sent("anthropic", "openai", body % (places[0] % nested(around, leaf, depth))))
        assert made["response_format"]["json_schema"].get("strict") is strict
