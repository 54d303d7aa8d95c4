"""JSON without a schema from Claude, on every door, whole and streamed, behind a worker."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody

from adapters import Task
from sidecar.v1 import inference_pb2 as pb
from tests.clients.double import reply
from tests.clients.judging import CITY
from tests.provider import Provider
from tests.worker.running import WorkerProcess, route, snapshot
from tests.worker.test_rest import USER, Http, read

PROMPT = "Tell me about Paris, as JSON."
MESSAGES = [{"role": "user", "content": PROMPT}]


def routes(provider: Provider) -> Any:
    return snapshot([route("claude", Task.CHAT, provider.root_url, provider="anthropic", model="claude-sonnet-4-5")])


def body(**members: Any) -> HttpBody:
    return HttpBody(content_type="application/json", data=json.dumps({"model": "claude", **members}).encode())


def events(answer: Http) -> list[dict[str, Any]]:
    lines = [line[6:] for line in answer.body.decode().split("\n") if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


async def by_chat(worker: WorkerProcess, stream: bool) -> tuple[str, str]:
    wanted = body(messages=MESSAGES, response_format={"type": "json_object"}, stream=stream)
    answer = await read(worker.rest().ChatCompletions(wanted, metadata=USER))
    if not stream:
        choice = answer.json["choices"][0]
        assert "tool_calls" not in choice["message"]
        return choice["message"]["content"], choice["finish_reason"]
    choices = [choice for chunk in events(answer) for choice in chunk["choices"]]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    return text, next(choice["finish_reason"] for choice in choices if choice.get("finish_reason"))


async def by_responses(worker: WorkerProcess, stream: bool) -> tuple[str, str]:
    wanted = body(input=MESSAGES, text={"format": {"type": "json_object"}}, stream=stream)
    answer = await read(worker.rest().CreateResponse(wanted, metadata=USER))
    whole = events(answer)[-1]["response"] if stream else answer.json
    assert [item["type"] for item in whole["output"]] == ["message"]
    return whole["output"][0]["content"][0]["text"], {"completed": "stop"}.get(whole["status"], whole["status"])


async def by_stub(worker: WorkerProcess, stream: bool) -> tuple[str, str]:
    user = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=PROMPT)])
    wanted = pb.ResponseFormat(json_object=pb.JsonObjectFormat())
    request = pb.ChatRequest(route="claude", messages=[user], response_format=wanted)
    if not stream:
        choice = (await worker.inference().Chat(request)).choices[0]
        return choice.message.content[0].text, "stop" if choice.finish_reason == pb.FINISH_REASON_STOP else "?"
    choices = [choice async for chunk in worker.inference().StreamChat(request) for choice in chunk.choices]
    text = "".join(choice.delta.content for choice in choices)
    return text, "stop" if choices[-1].finish_reason == pb.FINISH_REASON_STOP else "?"


@pytest.mark.parametrize("stream", [False, True], ids=("whole", "stream"))
@pytest.mark.parametrize("door", [by_chat, by_responses, by_stub], ids=lambda door: door.__name__)
async def test_the_answer_is_one_object_and_no_call(provider: Provider, door: Any, stream: bool) -> None:
    provider.script = reply
    async with WorkerProcess(routes(provider)) as worker:
        text, finish = await door(worker, stream)
    assert json.loads(text) == CITY
    assert finish == "stop"
    assert provider.calls[0].json["tool_choice"]["type"] == "tool"
