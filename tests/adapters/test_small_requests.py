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


def test_allowed_tools_are_refused_by_name() -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}
    with pytest.raises(GatewayError) as refused:
        claude_gets(tool_choice=choice)
    assert (refused.value.kind, refused.value.param) == (Kind.UNSUPPORTED_PARAMETER, "tool_choice.allowed_tools")


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
