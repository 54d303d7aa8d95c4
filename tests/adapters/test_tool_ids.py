"""Ids of tool calls in a history that another provider began: each provider gets a form that it takes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from adapters import FORMATS, Context, Target, Task
from adapters.providers import PROVIDERS
from sidecar.v1 import inference_pb2 as pb

CONTEXT = Context(0, lambda prefix: prefix + "1")
FOREIGN = ["functions.find:0", "call|fc_1", "ä", "x" * 200 + "/"]
OWN = {"anthropic": "toolu_01-A", "mistral": "D681PevKs"}


def sent_ids(provider: str, id_: str) -> tuple[str, str]:
    """Of the call and of its result, as the provider gets them."""
    row = PROVIDERS[provider]
    request = pb.ChatRequest(
        messages=[
            pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text="x")]),
            pb.Message(role=pb.ROLE_ASSISTANT, tool_calls=[pb.ToolCall(id=id_, name="f", arguments_json="{}")]),
            pb.Message(role=pb.ROLE_TOOL, tool_call_id=id_, content=[pb.ContentPart(text="y")]),
        ]
    )
    side = FORMATS[row.format].provider[Task.CHAT]
    body: dict[str, Any] = json.loads(side.encode(request, Target(row, "m", "http://h"), False, CONTEXT).body)
    if row.format == "anthropic":
        return body["messages"][1]["content"][0]["id"], body["messages"][2]["content"][0]["tool_use_id"]
    return body["messages"][1]["tool_calls"][0]["id"], body["messages"][2]["tool_call_id"]


@pytest.mark.parametrize(("provider", "form"), [("anthropic", "[a-zA-Z0-9_-]{1,64}"), ("mistral", "[a-zA-Z0-9]{9}")])
def test_a_foreign_id_gets_the_providers_form_and_stays_one_id(provider: str, form: str) -> None:
    seen = set()
    for id_ in FOREIGN:
        call, result = sent_ids(provider, id_)
        assert call == result
        assert re.fullmatch(form, call)
        assert sent_ids(provider, id_) == (call, result), "the same in every request: caches of prompts hold"
        seen.add(call)
    assert len(seen) == len(FOREIGN)


@pytest.mark.parametrize("provider", OWN)
def test_an_id_of_the_providers_own_is_sent_as_it_is(provider: str) -> None:
    assert sent_ids(provider, OWN[provider]) == (OWN[provider], OWN[provider])


def test_other_providers_get_ids_as_they_are() -> None:
    assert sent_ids("openai", FOREIGN[0]) == (FOREIGN[0], FOREIGN[0])


def test_a_body_that_passes_gets_the_providers_form_and_keeps_its_other_bytes() -> None:
    side = FORMATS["openai"]
    calls = '[{"function": {"name":"f", "arguments":"{}"}, "id":"functions.find:0", "type":"function"}]'
    messages = '[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":%s},%s]'
    result = '{"role":"tool","tool_call_id":"functions.find:0","content":1.0}'
    raw = ('{"model":"r","messages":' + messages % (calls, result) + "}").encode()
    envelope = side.client[Task.CHAT].open(raw)
    patch = side.provider[Task.CHAT].patch
    assert patch is not None
    call, found = sent_ids("mistral", FOREIGN[0])
    sent = patch(envelope, Target(PROVIDERS["mistral"], "m", "http://h")).body
    assert sent.count(call.encode()) == 2
    assert call == found
    assert b'{"name":"f", "arguments":"{}"}' in sent
    assert b'"content":1.0' in sent
    assert b"functions.find:0" in patch(envelope, Target(PROVIDERS["openai"], "m", "http://h")).body
