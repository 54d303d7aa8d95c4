"""A stream that is silent before its first output: comments, then the answer, or an error that a reader of events sees."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.provider import Call, Gate, Provider, Reply, default_reply, error_reply, json_reply
from tests.stack.load import chat_body
from tests.stack.stack import Stack, route

pytestmark = pytest.mark.slow
COMMENT = ": keep-alive"


@pytest.fixture(scope="module", params=["nginx", "envoy"])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Provider]]:
    with Provider() as provider:
        fallback = (
            f"fallbacks: [{{provider: openai-compatible, name: second, config: {{base_url: {provider.base_url}}}}}]"
        )
        routes = (
            route("quiet", "chat", provider, model="first", extra="stream_keepalive: 100ms"),
            route("two", "chat", provider, model="first", extra=f"stream_keepalive: 100ms\n{fallback}"),
            route("silent", "chat", provider, model="first", extra="stream_keepalive: off"),
        )
        folder = tmp_path_factory.mktemp("keepalive")
        with Stack(Path(folder), "".join(["routes:\n", *routes]), front=request.param) as running:
            yield running, provider


def _held(provider: Provider, gate: Gate, status: int = 200) -> None:
    """The model `first` waits at the gate, and then answers with this status."""

    def script(call: Call) -> Reply | None:
        if call.json["model"] != "first":
            return None
        if status != 200:
            return Reply(status=status, before=gate, parts=error_reply(call, status, "no").parts)
        reply = default_reply(call, call.json)
        return Reply(headers=reply.headers, parts=reply.parts, framing=reply.framing, before=gate)

    provider.script = script


async def _lines(answer: httpx.Response) -> AsyncIterator[str]:
    async for line in answer.aiter_lines():
        if line:
            yield line


async def _after_two_comments(
    stack: Stack, model: str, gate: Gate, path: str = "/v1/chat/completions", body: Any = None
) -> tuple[httpx.Response, list[str]]:
    """Opens the gate once two comments have come. The answer, and the lines that are no comments."""
    async with stack.async_http() as http:
        body = {**(body or chat_body()), "model": model, "stream": True}
        async with http.stream("POST", path, json=body) as answer:
            lines = _lines(answer)
            assert [await anext(lines), await anext(lines)] == [COMMENT, COMMENT]
            gate.open()
            rest = [line async for line in lines]
    return answer, [line for line in rest if line != COMMENT]


async def test_comments_come_while_the_provider_says_nothing_and_then_the_whole_answer(
    stack: tuple[Stack, Provider],
) -> None:
    running, provider = stack
    gate = provider.gate()
    _held(provider, gate)
    answer, lines = await _after_two_comments(running, "quiet", gate)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-accel-buffering"] == "no"
    assert lines[-1] == "data: [DONE]"
    assert all(line.startswith("data: {") for line in lines[:-1])


async def test_a_failure_after_the_first_comment_is_an_event_and_no_end_of_a_good_stream(
    stack: tuple[Stack, Provider],
) -> None:
    running, provider = stack
    gate = provider.gate()
    _held(provider, gate, 400)
    answer, lines = await _after_two_comments(running, "quiet", gate)
    assert answer.status_code == 200
    (line,) = [line for line in lines if line.startswith("data:")]
    assert '"type":"invalid_request_error"' in line
    assert "data: [DONE]" not in lines


async def test_a_fallback_still_answers_after_comments(stack: tuple[Stack, Provider]) -> None:
    running, provider = stack
    gate = provider.gate()
    _held(provider, gate, 500)
    answer, lines = await _after_two_comments(running, "two", gate)
    assert answer.status_code == 200
    assert lines[-1] == "data: [DONE]"
    assert provider.calls[-1].json["model"] == "second"


async def test_off_means_that_a_failure_has_its_status_however_late(stack: tuple[Stack, Provider]) -> None:
    running, provider = stack
    provider.script = lambda call: Reply(status=400, head_delay_s=0.4, parts=json_reply({"error": "no"}).parts)
    async with running.async_http() as http:
        answer = await http.post("/v1/chat/completions", json=chat_body(model="silent", stream=True))
    assert answer.status_code == 400
    assert COMMENT not in answer.text


async def test_an_answer_that_is_not_streamed_has_no_comment(stack: tuple[Stack, Provider]) -> None:
    running, provider = stack

    def late(call: Call) -> Reply:
        reply = default_reply(call, call.json)
        return Reply(headers=reply.headers, parts=reply.parts, head_delay_s=0.4)

    provider.script = late
    async with running.async_http() as http:
        answer = await http.post("/v1/chat/completions", json=chat_body(model="quiet"))
    assert answer.json()["choices"][0]["message"]["content"]


HELLO = [{"role": "user", "content": "hello"}]
# How each door says in its stream that a call has failed: the event's name, the member that has the error, its type.
DOORS: dict[str, tuple[Any, str, tuple[str, ...], str]] = {
    "/v1/chat/completions": ({"messages": HELLO}, "", ("error",), "invalid_request_error"),
    "/v1/messages": ({"messages": HELLO, "max_tokens": 9}, "error", ("error",), "invalid_request_error"),
    "/v1/responses": ({"input": "hello"}, "response.failed", ("response", "error"), "invalid_request"),
}


@pytest.mark.parametrize("path", DOORS)
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_each_door_tells_of_a_failure_after_a_comment_in_its_own_shape(
    stack: tuple[Stack, Provider], path: str, status: int
) -> None:
    running, provider = stack
    gate = provider.gate()
    _held(provider, gate, status)
    body, name, members, kind = DOORS[path]
    answer, lines = await _after_two_comments(running, "quiet", gate, path, body)
    assert answer.status_code == 200
    named = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
    found = json.loads([line for line in lines if line.startswith("data: ")][-1].removeprefix("data: "))
    assert (named[-1] if named else "") == name
    assert not name or found["type"] == name
    for member in members:
        found = found[member]
    assert found["message"]
    if status == 400:
        assert kind in (found.get("type"), found.get("code"))
    assert "data: [DONE]" not in lines
    assert "upstream-key" not in "".join(lines)
