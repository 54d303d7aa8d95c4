"""The running gateway's lines: one a call, whichever way it came, and nothing of what was said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from sidecar.v1 import inference_pb2_grpc
from tests.processes import wait_until
from tests.provider import Provider
from tests.stack.load import chat_request
from tests.stack.stack import LOCAL, Stack, config_for

PROMPT = "a very private sentence"
BODY = {"model": "chat", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 3}
FORGED = 'x","outcome":"ok"}\n{"message":"call","route":"forged'


@pytest.fixture
def logging_stack(tmp_path: Path, provider: Provider) -> Iterator[Stack]:
    with Stack(tmp_path, config_for(provider), options=("--access-log", "json")) as running:
        yield running


def _lines(stack: Stack) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in stack.process.output.splitlines() if line.startswith("{")]
    return [line for line in found if line["message"] == "call"]


def _line(stack: Stack, request_id: str) -> dict[str, Any]:
    wait_until(lambda: any(line["request_id"] == request_id for line in _lines(stack)))
    (found,) = [line for line in _lines(stack) if line["request_id"] == request_id]
    return found


async def test_every_call_has_one_line_and_no_line_says_what_was_said(logging_stack: Stack) -> None:
    stack = logging_stack
    with stack.http() as http:

        def ask(request_id: str, **more: object) -> int:
            return http.post(
                "/v1/chat/completions", json={**BODY, **more}, headers={"x-request-id": request_id}
            ).status_code

        answer = http.post("/v1/chat/completions", json=BODY, headers={"x-request-id": "whole-answer-1"})
        answered = answer.json()["usage"]
        assert ask("a-stream-of-it", stream=True) == 200
        assert ask("no-such-route-1", model=FORGED) == 404
        refused = http.post("/v1/chat/completions", json=[PROMPT], headers={"x-request-id": "not-an-object-1"})
        assert refused.status_code == 400
    async with stack.channel(LOCAL) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        await stub.Chat(chat_request(route="chat"), metadata=(("x-request-id", "over-local-grpc-0001"),))
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.Chat(chat_request(route="none"), metadata=(("x-request-id", "over-local-grpc-0002"),))
    whole = _line(stack, "whole-answer-1")
    assert (whole["consumer"], whole["route"], whole["operation"]) == (stack.user, "chat", "chat")
    assert (whole["outcome"], whole["upstream"], whole["attempts"]) == ("ok", "openai-compatible", 1)
    assert whole["output_tokens"] == answered["completion_tokens"]
    assert 0 < whole["overhead_ms"] < whole["total_ms"]
    stream = _line(stack, "a-stream-of-it")
    assert stream["operation"] == "stream_chat"
    assert 0 < stream["first_output_ms"] <= stream["total_ms"]
    assert _line(stack, "no-such-route-1")["outcome"] == "route_not_found"
    assert _line(stack, "not-an-object-1")["outcome"] == "invalid_request"
    assert _line(stack, "over-local-grpc-0001")["consumer"] == "local"
    assert _line(stack, "over-local-grpc-0002")["attempts"] == 0
    assert len({line["request_id"] for line in _lines(stack)}) == len(_lines(stack)), "one line a call"
    assert not any(line["route"] == "forged" for line in _lines(stack))
    assert PROMPT not in stack.log
    assert "upstream-key" not in stack.process.output.partition("Sidecar is running")[2]


def test_the_last_call_before_a_stop_has_its_line(logging_stack: Stack) -> None:
    with logging_stack.http() as http:
        assert (
            http.post("/v1/chat/completions", json=BODY, headers={"x-request-id": "the-last-one-1"}).status_code == 200
        )
    assert logging_stack.stop() == 0
    assert [line["request_id"] for line in _lines(logging_stack)][-1] == "the-last-one-1"


def test_a_terminal_gets_words_and_off_says_nothing(tmp_path: Path, provider: Provider) -> None:
    for kind, words in (("human", " ok chat chat for "), ("off", "")):
        folder = tmp_path / kind
        folder.mkdir()
        with Stack(folder, config_for(provider), workers=1, options=("--access-log", kind)) as stack:
            with stack.http() as http:
                assert http.post("/v1/chat/completions", json=BODY).status_code == 200
            assert stack.stop() == 0
        after = stack.process.output.partition("try it:")[2]
        assert words in after
        assert (" for sidecar by " in after) is (kind == "human")
