"""A route that asks for version 2026-10-21 of Anthropic's API gets nothing that this version refuses: every caller's format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS
from adapters.contract import Context, HttpCall, Target, Task
from adapters.errors import GatewayError, Kind
from adapters.providers import PROVIDERS

CONTEXT = Context(1_700_000_000, lambda prefix: prefix + "1")
NEW, OLD = "2026-10-21", "2023-06-01"
BODIES: dict[str, dict[str, Any]] = {
    "openai": {"messages": [{"role": "user", "content": "hi"}]},
    "responses": {"input": "hi"},
}


def sent(door: str, version: str, members: dict[str, Any], name: str = "anthropic-version", **options: Any) -> HttpCall:
    """The call that a provider of Anthropic's format gets of such a body."""
    target = Target(PROVIDERS["anthropic"], "claude-x", "https://a", options, ((name, version),))
    side = FORMATS[door].client[Task.CHAT]
    envelope = side.open(json.dumps({"model": "claude", **BODIES[door], **members}).encode())
    request = side.decode_request(envelope)
    fitted = request if side.fit is None else side.fit(request, target)
    return FORMATS["anthropic"].provider[Task.CHAT].encode(fitted, target, False, CONTEXT)


# Responses has no top_k.
@pytest.mark.parametrize(
    ("door", "name", "value"),
    [
        *((door, *each) for door in BODIES for each in (("temperature", 0), ("temperature", 0.7), ("top_p", 0.9))),
        ("openai", "top_k", 40),
    ],
)
def test_sampling_is_refused_by_name_or_dropped(door: str, name: str, value: float) -> None:
    assert json.loads(sent(door, OLD, {name: value}).body)[name] == value
    with pytest.raises(GatewayError, match=NEW) as refused:
        sent(door, NEW, {name: value})
    assert (refused.value.kind, refused.value.param) == (Kind.UNSUPPORTED_PARAMETER, name)
    dropped = sent(door, NEW, {name: value}, drop_params=[name])
    assert name not in json.loads(dropped.body)
    assert name in dropped.left_out


@pytest.mark.parametrize("door", BODIES)
@pytest.mark.parametrize("name", ["temperature", "top_p"])
def test_a_default_asks_for_nothing_and_is_left_out(door: str, name: str) -> None:
    call = sent(door, NEW, {name: 1}, name="Anthropic-Version")
    assert name not in json.loads(call.body)
    assert name in call.left_out


def test_documents_of_the_assistant_are_refused_by_name_or_dropped() -> None:
    part = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}
    history = [
        {"role": "user", "content": [part]},
        {"role": "assistant", "content": [{"type": "text", "text": "see"}, part]},
        {"role": "user", "content": "go on"},
    ]
    old = json.loads(sent("openai", OLD, {"messages": history}).body)["messages"]
    assert [block["type"] for block in old[1]["content"]] == ["text", "document"]
    with pytest.raises(GatewayError, match=NEW) as refused:
        sent("openai", NEW, {"messages": history})
    assert refused.value.param == "messages[1].content"
    new = json.loads(sent("openai", NEW, {"messages": [history[0], history[2]]}).body)["messages"]
    assert new[0]["content"][0]["type"] == "document"
