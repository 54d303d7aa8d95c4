"""Texts of blanks, which Anthropic refuses, do not reach it; what else a message holds does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, Context, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(0, lambda prefix: prefix + "1")
BLANKS = ["", " ", "\n\n", "\t", "\u00a0"]
CALL = pb.ToolCall(id="c", name="f", arguments_json="{}")
ROLES = {"user": pb.ROLE_USER, "assistant": pb.ROLE_ASSISTANT, "system": pb.ROLE_SYSTEM, "tool": pb.ROLE_TOOL}


def message(role: str, *texts: str, **more: Any) -> pb.Message:
    return pb.Message(role=ROLES[role], content=[pb.ContentPart(text=text) for text in texts], **more)


def sent(*messages: pb.Message) -> dict[str, Any]:
    row = PROVIDERS["anthropic"]
    side = FORMATS[row.format].provider[Task.CHAT]
    call = side.encode(pb.ChatRequest(messages=messages), Target(row, "m", "http://h"), False, CONTEXT)
    body: dict[str, Any] = json.loads(call.body)
    return body


@pytest.mark.parametrize("blank", BLANKS)
def test_blanks_beside_something_else_are_left_out(blank: str) -> None:
    body = sent(
        message("system", blank),
        message("system", "Be brief.", blank),
        message("user", blank, "x"),
        message("assistant", blank, tool_calls=[CALL]),
        message("tool", blank, tool_call_id="c"),
        message("assistant", blank),
        message("user", "y"),
        message("user", blank),
    )
    assert body["system"] == "Be brief."
    assert body["messages"] == [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}, {"type": "text", "text": "y"}]},
    ]


@pytest.mark.parametrize("blank", BLANKS)
def test_a_last_question_of_blanks_is_refused_with_its_place(blank: str) -> None:
    for before in ([], [message("user", "x"), message("assistant", "y")]):
        with pytest.raises(GatewayError) as refused:
            sent(*before, message("user", blank))
        assert refused.value.kind is Kind.INVALID_REQUEST
        assert refused.value.param == f"messages[{len(before)}].content"


def test_no_system_is_sent_where_it_is_blanks_alone() -> None:
    assert "system" not in sent(message("system", " "), message("user", "x"))
