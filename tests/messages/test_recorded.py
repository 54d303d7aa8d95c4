"""Every request that a real program was recorded with, through its door, on a route of each kind of provider: answered, or
refused so that the program knows what to do. (tests/adapters looks at what the providers get.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.messages.providers import answers
from tests.provider import Call, Provider, Reply, default_reply
from tests.shared import shared_path
from tests.stack.stack import Stack

_ROOT = shared_path()
RECORDED = sorted((_ROOT / "recordings" / "_agents").glob("*.json")) if _ROOT else []
DOORS = ("/v1/messages", "/v1/responses", "/v1/models", "/")
SENT = ("anthropic-version", "anthropic-beta", "user-agent")
OTHERS = ("gpt-5", "chat", "cohere")
NO_MEMORY = ("claude", "chat", "cohere")
# What is refused: the end of a recording's name -> routes, and what the answer says. What needs a memory is refused with what to
# do; the rest asks for what only one provider has, by people who tried out a member and not by a program of its own accord.
REFUSED: tuple[tuple[tuple[str, ...], tuple[str, ...], str], ...] = (
    (("__websearch", "__server-tools"), OTHERS, "web_search_20250305"),
    (("__beta-create",), OTHERS, "context_management"),
    (("__image-document",), OTHERS, "citations"),
    (("second-turn-chat-default-store", "gpt5-reasoning-default-store-2"), NO_MEMORY, "store to false"),
    (("__previous",), NO_MEMORY, "previous_response_id"),
    (("responses__create-string",), NO_MEMORY, "truncation"),
    (("__compact",), NO_MEMORY, "Ask for a summary"),
    (("openai-sdk-python__responses__items",), ("claude",), "image_url.detail"),
    (("openai-sdk-python__responses__items",), ("cohere",), "file"),
    # Cohere cannot be told to call one tool at a time.
    (("anthropic__messages__object-unknown-model",), ("cohere",), "parallel_tool_calls"),
    (("sdk-python__messages__toolloop-1", "sdk-python__messages__toolloop-2"), ("cohere",), "parallel_tool_calls"),
)


def refusal_of(name: str, route: str, body: dict[str, Any]) -> tuple[int, str] | None:
    """Status and a word of the answer. After the two of threads the SDKs' tool runners go on with whole histories."""
    thread = body.get("thread")
    if isinstance(thread, dict) and route != "claude":
        return (400, "thread_unsupported_request") if thread["type"] == "create" else (404, "thread_not_found")
    found = (text for ends, routes, text in REFUSED if route in routes and name.endswith(ends))
    return next(((400, text) for text in found), None)


def reply(call: Call) -> Reply:
    if call.path.endswith("/count_tokens"):
        return Reply(parts=(b'{"input_tokens":9}',))
    if call.path.endswith("/compact"):
        return Reply(parts=(b'{"id":"resp_1","object":"response.compaction","output":[],"usage":null}',))
    return answers(call) if "messages" in call.json else default_reply(call, call.json)


def of(path: Path) -> dict[str, Any]:
    recording: dict[str, Any] = json.loads(path.read_text())
    return recording


@pytest.mark.parametrize("route", ["claude", *OTHERS])
def test_each_recorded_request_is_answered_or_refused_as_its_program_can_use_it(
    stacks: dict[str, Stack], simulator: Provider, route: str
) -> None:
    simulator.script = reply
    wrong, seen = [], 0
    with stacks["envoy" if route == "cohere" else "nginx"].http() as http:
        for path in RECORDED:
            recording = of(path)
            target, body = recording["path_with_query"], recording["body"]
            if not target.partition("?")[0].startswith(DOORS) or not isinstance(body, dict) or "model" not in body:
                continue
            seen += 1
            headers = {name: value for name, value in dict(recording["headers"]).items() if name.lower() in SENT}
            answer = http.request(recording["method"], target, headers=headers, json={**body, "model": route})
            status, words = refusal_of(path.stem, route, body) or (200, "")
            if answer.status_code != status or words not in answer.text:
                wrong.append(f"{path.stem}: {answer.status_code} {answer.text[:160]}")
            ended = any(f"event: {word}\n" in answer.text for word in ("message_stop", "response.completed"))
            if status == 200 and body.get("stream") and not ended:
                wrong.append(f"{path.stem}: the stream ends {answer.text[-80:]}")
    assert wrong == []
    assert seen > 150 or _ROOT is None


def test_what_programs_ask_without_a_body_is_answered(stacks: dict[str, Stack]) -> None:
    expected = {"claude-code__root__loop3": 200, "anthropic-sdk-python__models__models": 200}
    expected |= {"openai-sdk-python__other__retrieve": 404, "codex__responses__builtin-openai-1": 426}
    with stacks["nginx"].http() as http:
        for path in RECORDED:
            recording = of(path)
            if isinstance(recording["body"], dict) or path.stem not in expected:
                continue
            headers = {name: value for name, value in dict(recording["headers"]).items() if name.lower() in SENT}
            if path.stem == "codex__responses__builtin-openai-1":
                headers |= {"upgrade": "websocket", "connection": "upgrade"}
            answer = http.request(recording["method"], recording["path_with_query"], headers=headers)
            assert answer.status_code == expected.pop(path.stem), (path.stem, answer.text)
    assert expected == {} or _ROOT is None
