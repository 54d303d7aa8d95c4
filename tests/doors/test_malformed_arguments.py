"""A model that wrote arguments that are no JSON object, and an agent that sends them back: every door, every format. The
conversation goes on, and the model sees what it wrote."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from sidecar.v1 import inference_pb2 as pb
from tests.doors.callers import CALLERS
from tests.doors.neutral import TOOL, Answer, Ask, Call
from tests.doors.providers import reply, results_in
from tests.doors.test_matrix import Cell, snapshot
from tests.faults.entrances import Clients
from tests.messages.providers import TEXT
from tests.provider import Provider
from tests.worker.running import WorkerProcess

pytestmark = pytest.mark.slow
WRITTEN = ['{"q": "cut', "[1]", '"a text"', "no JSON"]
WRAPPED = "_malformed_arguments"
ID = "call_1"
# Formats that take arguments as text, whatever it is.
TEXTS = ("openai", "asked")


def native(door: str, arguments: str) -> Any:
    """The answer with the call, as its caller sends it back. Anthropic's format has no such call: an input is an object."""
    if door == "grpc":
        return pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[pb.ToolCall(id=ID, name=TOOL, arguments_json=arguments)])
    if door == "responses":
        return [{"type": "function_call", "call_id": ID, "name": TOOL, "arguments": arguments, "status": "completed"}]
    function = {"name": TOOL, "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": ID, "type": "function", "function": function}]}


def arguments_in(body: dict[str, Any]) -> Any:
    """Of the call, as the provider got them: text, or an object."""
    if "input" in body:
        return next(item["arguments"] for item in body["input"] if item.get("type") == "function_call")
    turn = next(turn for turn in body["messages"] if turn["role"] == "assistant")
    if calls := turn.get("tool_calls"):
        return calls[0]["function"]["arguments"]
    return next(block["input"] for block in turn["content"] if block["type"] == "tool_use")


async def test_the_conversation_goes_on_and_callers_learn_that_arguments_took_another_form(provider: Provider) -> None:
    provider.script = reply
    async with WorkerProcess(snapshot(provider)) as worker, Clients(worker) as clients:
        doors = [door for door in CALLERS if door != "messages"]
        for door, format_, arguments in itertools.product(doors, ("openai", "asked", "anthropic", "cohere"), WRITTEN):
            after = Answer("", "", [Call(ID, TOOL, None)], "tool_calls", None, native(door, arguments))
            ask, cell = Ask(format_, tools=True, after=after), Cell(door, format_, clients, provider)
            assert (await cell.ask(ask)).text == TEXT
            assert results_in(cell.body) == [(ID, "found 0")]
            got, takes_texts = arguments_in(cell.body), format_ in TEXTS
            if takes_texts:
                assert got == arguments
            else:
                assert (json.loads(got) if isinstance(got, str) else got) == {WRAPPED: arguments}
            if door != "grpc" and arguments == WRITTEN[0]:
                found = await clients.http["nginx"].post(cell.caller.path, json=cell.caller.request(ask))
                named = "messages[].tool_calls[].function.arguments" in found.headers.get("x-sidecar-left-out", "")
                assert named is not takes_texts
