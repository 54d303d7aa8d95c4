"""Small things of requests that providers refuse or that clients write in their own way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters import FORMATS, Context, GatewayError, Kind, Target, Task
from adapters.providers import PROVIDERS

CONTEXT = Context(0, lambda prefix: prefix + "1")
CLIENT = FORMATS["openai"].client[Task.CHAT]


def claude_gets(**members: Any) -> dict[str, Any]:
    """What Anthropic gets of a REST call."""
    body = {"model": "r", "messages": [{"role": "user", "content": "x"}], **members}
    request = CLIENT.decode_request(CLIENT.open(json.dumps(body).encode()))
    at = Target(PROVIDERS["anthropic"], "claude-x", "http://h")
    sent: dict[str, Any] = json.loads(FORMATS["anthropic"].provider[Task.CHAT].encode(request, at, False, CONTEXT).body)
    return sent


@pytest.mark.parametrize("url", ["data:image/gif;base64,R0lG", "https://example.org/a.gif"])
def test_an_image_by_its_bare_url_is_an_image(url: str) -> None:
    bare, wrapped = ({"type": "image_url", "image_url": one} for one in (url, {"url": url}))
    sent = [claude_gets(messages=[{"role": "user", "content": [part]}])["messages"] for part in (bare, wrapped)]
    assert sent[0] == sent[1]
    assert sent[0][0]["content"][0]["type"] == "image"


def test_a_pdf_among_the_images_is_a_document() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:application/pdf;base64,JVBERi0xLjc="}}
    (block,) = claude_gets(messages=[{"role": "user", "content": [part]}])["messages"][0]["content"]
    assert (block["type"], block["source"]["media_type"]) == ("document", "application/pdf")


def test_effort_may_come_in_anthropics_own_member() -> None:
    assert claude_gets(output_config={"effort": "low"})["output_config"] == {"effort": "low"}
    with pytest.raises(GatewayError) as refused:
        claude_gets(output_config={"effort": "low"}, reasoning_effort="high")
    assert "extra_json" not in refused.value.message


def allowed(mode: str | None, *names: str) -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"tools": tools} | ({} if mode is None else {"mode": mode})}


A_AND_B = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in ("a", "b")]


@pytest.mark.parametrize(("mode", "type_"), [("required", "any"), ("auto", "auto"), (None, "auto")])
def test_allowed_tools_are_those_that_are_sent(mode: str | None, type_: str) -> None:
    body = claude_gets(tools=A_AND_B, tool_choice=allowed(mode, "b", "c"))
    assert [tool["name"] for tool in body["tools"]] == ["b"]
    assert body["tool_choice"] == {"type": type_}


def test_where_no_tool_is_allowed_none_is_called() -> None:
    body = claude_gets(tools=A_AND_B, tool_choice=allowed("auto", "c"))
    assert [tool["name"] for tool in body["tools"]] == ["a", "b"], "calls in the history need them"
    assert body["tool_choice"] == {"type": "none"}


@pytest.mark.parametrize(
    ("choice", "param"),
    [
        (allowed("required", "c"), "tool_choice.allowed_tools.tools"),
        (allowed("any", "a"), "tool_choice.allowed_tools.mode"),
        ({"type": "allowed_tools"}, "tool_choice.allowed_tools"),
        ({"type": "allowed_tools", "allowed_tools": {"tools": "a"}}, "tool_choice.allowed_tools.tools"),
    ],
)
def test_allowed_tools_that_cannot_be_are_refused_with_their_place(choice: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as refused:
        claude_gets(tools=A_AND_B, tool_choice=choice)
    assert (refused.value.kind, refused.value.param) == (Kind.INVALID_REQUEST, param)


def test_results_of_parallel_calls_come_first_though_the_user_spoke_between_them() -> None:
    calls = [{"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in ("a", "b")]
    body = claude_gets(
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "user", "content": "Well?"},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            {"role": "user", "content": "Go on."},
            {"role": "tool", "tool_call_id": "b", "content": "2"},
        ]
    )
    assert body["messages"][-1]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": "1"},
        {"type": "tool_result", "tool_use_id": "b", "content": "2"},
        {"type": "text", "text": "Well?"},
        {"type": "text", "text": "Go on."},
    ]


@pytest.mark.parametrize(
    ("version", "asks"),
    [("2023-05-15", False), ("2024-08-01-preview", False), ("2024-10-21", True), ("preview", True), ("v1", True)],
)
def test_versions_of_azure_without_stream_options_do_not_get_them(version: str, asks: bool) -> None:
    at = Target(PROVIDERS["azure"], "m", "http://h", {"query": {"api-version": version}})
    side = FORMATS["openai"].provider[Task.CHAT]
    envelope = CLIENT.open(b'{"model":"r","messages":[{"role":"user","content":"x"}],"stream":true}')
    assert side.patch is not None
    for call in (side.patch(envelope, at), side.encode(CLIENT.decode_request(envelope), at, True, CONTEXT)):
        assert ("stream_options" in json.loads(call.body)) == asks


def test_half_a_character_in_a_request_is_unknown_and_the_rest_passes() -> None:
    raw = rb'{"model":"r","messages":[{"role":"user","content":"a\ud83d b\ud83d\ude00"}]}'
    side = FORMATS["openai"].provider[Task.CHAT]
    assert side.patch is not None
    sent = side.patch(CLIENT.open(raw), Target(PROVIDERS["openai"], "m", "http://h")).body
    assert json.loads(sent)["messages"][0]["content"] == "a\ufffd b\U0001f600"
