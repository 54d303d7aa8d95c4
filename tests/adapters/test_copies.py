"""Copies of requests: equal, and of large ones never the whole in one call in C, in which the event loop would wait."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from google.protobuf.message import Message

from adapters import FORMATS, GatewayError, Task, pieces
from adapters.copies import AT_ONCE, copied, extend
from sidecar.domain.call import Call
from sidecar.domain.secret import Secret
from sidecar.domain.snapshot import Consumer, Upstream
from sidecar.gateway.attempt import CallReader, plan_for, prepare
from sidecar.transport.unknown_fields import refuse_unknown_fields_of_large
from sidecar.v1 import inference_pb2 as pb

LONG = 2 * AT_ONCE + 7
Repeated = type(pb.ChatRequest().messages)
# Of a field that nobody knows: number 999, a varint.
UNKNOWN = b"\xb8\x3e\x01"


def request_with(count: int) -> pb.ChatRequest:
    """Every kind of field is set: scalars, one that may be absent, an enum, a map, lists of messages and of texts, messages."""
    messages = [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=f"hello {i}")]) for i in range(count)]
    return pb.ChatRequest(
        route="chat",
        messages=messages,
        temperature=0.0,
        stop=["a", "b"],
        metadata={"k": "v", "l": ""},
        tools=[pb.Tool(function=pb.FunctionTool(name="f"))],
        tool_choice=pb.ToolChoice(mode=pb.ToolChoice.MODE_NONE),
        response_format=pb.ResponseFormat(text=pb.TextFormat()),
    )


@pytest.mark.parametrize("count", [0, 3, AT_ONCE, LONG])
def test_a_copy_is_the_request_and_is_its_own(count: int) -> None:
    request = request_with(count)
    out = copied(request)
    assert out == request
    assert out.HasField("temperature")
    assert not out.HasField("top_p")
    out.messages.add(role=pb.ROLE_USER)
    out.tool_choice.function_name = "f"
    assert request == request_with(count)


@pytest.mark.parametrize("count", [0, 3, AT_ONCE, LONG])
def test_the_pieces_of_a_request_are_the_request(count: int) -> None:
    request = request_with(count)
    whole = pb.ChatRequest()
    for piece in pieces(request):
        assert len(piece.messages) <= AT_ONCE
        whole.MergeFrom(piece)
    assert whole == request


def test_long_maps_and_long_lists_of_texts_are_copied_too() -> None:
    request = request_with(3)
    request.metadata.update({str(i): "v" for i in range(LONG)})
    request.stop.extend(map(str, range(LONG)))
    assert copied(request) == request
    whole = pb.ChatRequest()
    for piece in pieces(request):
        whole.MergeFrom(piece)
    assert whole == request


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, LONG])
def test_a_list_is_extended_by_all_of_another_in_its_order(count: int) -> None:
    request = pb.ChatRequest(messages=[pb.Message(name="first")])
    extend(request.messages, [pb.Message(name=str(i)) for i in range(count)])
    assert [each.name for each in request.messages] == ["first", *map(str, range(count))]


@pytest.mark.parametrize("place", ["the request", "its last message", "a tool"])
def test_an_unknown_field_of_a_large_request_is_refused(place: str) -> None:
    request = request_with(LONG)
    refuse_unknown_fields_of_large(request)
    into: Any = {"the request": request, "its last message": request.messages[-1], "a tool": request.tools[0]}[place]
    into.MergeFromString(UNKNOWN)
    with pytest.raises(GatewayError, match="Unknown field number 999"):
        refuse_unknown_fields_of_large(request)


# ----- what holds the interpreter -----

COUNT = 5 * AT_ONCE
HISTORY = [{"role": ("user", "assistant")[i % 2], "content": f"hello there {i}"} for i in range(COUNT)]
BODIES = {
    "anthropic": {"model": "chat", "max_tokens": 10, "messages": HISTORY},
    "responses": {"model": "chat", "input": HISTORY},
}
_COPY = {"CopyFrom", "MergeFrom", "extend"}


def longest_copy_s(work: Callable[[], object]) -> float:
    """The longest call in which protobuf copies, in processor time of this thread."""
    began_s: list[float] = []
    longest_s = 0.0

    def note(_: FrameType, event: str, function: Any) -> None:
        nonlocal longest_s
        if event == "c_call":
            began_s.append(time.thread_time())
        elif event in ("c_return", "c_exception") and began_s:
            took_s = time.thread_time() - began_s.pop()
            if function.__name__ in _COPY and isinstance(getattr(function, "__self__", None), Message | Repeated):
                longest_s = max(longest_s, took_s)

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return longest_s


def whole_copy_s() -> float:
    """Of the history, in one call."""
    messages = [pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=each["content"])]) for each in HISTORY]
    return min(longest_copy_s(lambda: pb.ChatRequest().messages.extend(messages)) for _ in range(3))


def worked_on(client: str) -> Callable[[], object]:
    """What the thread for large bodies does with such a request before it is sent."""
    upstream = Upstream("openai-compatible", "m", "http://127.0.0.1:9/v1", Secret("a-key-of-some-length"))
    plan = plan_for(upstream, Task.CHAT)

    def call_of(**of: Any) -> Call:
        return Call(task=Task.CHAT, operation="chat", route="chat", consumer=Consumer("x"), request_id="r" * 32, **of)

    if client == "typed":
        request = pb.ChatRequest(
            route="chat",
            messages=[
                pb.Message(
                    role=(pb.ROLE_USER, pb.ROLE_ASSISTANT)[i % 2], content=[pb.ContentPart(text=each["content"])]
                )
                for i, each in enumerate(HISTORY)
            ],
        )

        def typed() -> None:
            refuse_unknown_fields_of_large(request)
            prepare(plan, CallReader(call_of(request=request)))

        return typed
    body = json.dumps(BODIES[client]).encode()
    opened = FORMATS[client].client[Task.CHAT].open
    return lambda: prepare(plan, CallReader(call_of(envelope=opened(body), client_format=client)))


@pytest.mark.slow
@pytest.mark.parametrize("client", [*BODIES, "typed"])
def test_no_copy_of_a_history_is_one_call_in_c(client: str) -> None:
    """Such a call holds the event loop for 150 ms where the history has 31 MB."""
    assert longest_copy_s(worked_on(client)) < whole_copy_s() / 2
