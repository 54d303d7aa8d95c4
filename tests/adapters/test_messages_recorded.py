"""What real programs sent to a Messages API, as other providers get it: each recorded request is translated, or refused by the
name of what only Anthropic can do. Nothing of it that belongs to Anthropic alone, or to a person, goes to anybody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters import FORMATS, LEFT_OUT, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS
from tests.adapters.laws import CONTEXT
from tests.shared import shared_path

CLIENT = FORMATS["anthropic"].client[Task.CHAT]
TARGETS = {
    name: Target(PROVIDERS[name], model, "http://127.0.0.1/v1")
    for name, model in (("openai", "gpt-5"), ("cohere", "command-a"))
}
_ROOT = shared_path()
REQUESTS = sorted((_ROOT / "recordings" / "_agents").glob("*__messages__*.json")) if _ROOT else []
# What the program asked for that no other provider has -> the word in the refusal.
REFUSED = {
    "context_management": "beta-create",
    "citations": "image-document",
    "web_search_20250305": "server-tools websearch",
}
# Cohere has no word for "one call at a time".
REFUSED_BY_COHERE = {"parallel_tool_calls": "object-unknown-model toolloop-1 toolloop-2"}


def refusal_of(path: Path, provider: str) -> str | None:
    if isinstance(json.loads(path.read_text())["body"].get("thread"), dict):
        return "thread"
    what = path.stem.split("__", 2)[2]
    table = REFUSED | (REFUSED_BY_COHERE if provider == "cohere" else {})
    return next((word for word, names in table.items() if what in names.split()), None)


def translated(path: Path, target: Target) -> tuple[Any, tuple[str, ...]]:
    """The body for the provider, and what was left out of it."""
    body = json.loads(path.read_text())["body"]
    envelope = CLIENT.open(json.dumps(body, ensure_ascii=False).encode())
    assert CLIENT.foreign is not None
    assert CLIENT.fit is not None
    left_out = CLIENT.foreign(envelope, target)
    request = CLIENT.fit(CLIENT.decode_request(envelope), target)
    side = FORMATS[target.provider.format].provider[Task.CHAT]
    call = side.encode(request, target, envelope.stream, CONTEXT)
    return json.loads(call.body), (*left_out, *call.left_out)


@pytest.mark.parametrize("provider", TARGETS)
@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_a_recorded_request_is_translated_or_refused_by_name(path: Path, provider: str) -> None:
    word = refusal_of(path, provider)
    try:
        sent, left_out = translated(path, TARGETS[provider])
    except GatewayError as error:
        may_be = provider == "cohere" and "toolloop" in path.stem and error.param == "parallel_tool_calls"
        assert may_be or (word or "no refusal") in f"{error.message} {error.param}"
        assert error.kind in (Kind.UNSUPPORTED_PARAMETER, Kind.ROUTE_NOT_FOUND)
        return
    assert word is None or word == "parallel_tool_calls"
    assert set(left_out) <= LEFT_OUT
    text = json.dumps(sent)
    marks = ("device_id", "x-anthropic-billing-header", '"cache_control"', "clear_thinking", "eager_input")
    assert [mark for mark in marks if mark in text] == []
    assert "metadata" not in sent
    original = json.loads(path.read_text())["body"]
    calls = [call["id"] for turn in sent["messages"] for call in turn.get("tool_calls") or ()]
    results = [turn["tool_call_id"] for turn in sent["messages"] if turn["role"] == "tool"]
    assert sorted(results) == sorted(calls)  # each call has its result, and the other way round
    assert json.dumps(original["messages"]).count('"tool_use_id"') == len(results)
    names = [tool["function"]["name"] for tool in sent.get("tools") or ()]
    assert names == [tool["name"] for tool in original.get("tools") or () if not tool.get("defer_loading")]
    if provider == "openai" and original.get("max_tokens"):
        assert sent["max_completion_tokens"] == original["max_tokens"]


def test_the_requests_are_those_of_eight_programs_or_more() -> None:
    if _ROOT is not None:
        assert len({path.stem.split("__")[0] for path in REQUESTS}) >= 8
