"""The rules of a streamed message, by the documentation of the Messages API alone: the order of its events, and that blocks never
overlap. https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

import json
from typing import Any

FIRST = {"text": "", "thinking": "", "tool_use": {}}
DELTAS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "input_json_delta": "tool_use",
}


def events(sse: bytes) -> list[dict[str, Any]]:
    """The events, each named as its data says; comments left out."""
    found = []
    for block in sse.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if lines:
            data = json.loads(lines["data"])
            assert lines["event"] == data["type"]
            found.append(data)
    return found


def check(found: list[dict[str, Any]], *, whole: bool = True) -> None:
    """That these are the events of one message; not `whole`: a beginning of one, which may end with an error event."""
    if found and found[-1]["type"] == "error" and not whole:
        assert found[-1]["error"].keys() >= {"type", "message"}
        found = found[:-1]
    found = [event for event in found if event["type"] != "ping"]
    names = [event["type"] for event in found]
    assert not whole or (names[0], names[-2:]) == ("message_start", ["message_delta", "message_stop"])
    if found:
        message = found[0]["message"]
        assert (message["type"], message["role"], message["content"]) == ("message", "assistant", [])
        assert message["stop_reason"] is None
        assert message["usage"].keys() >= {"input_tokens", "output_tokens"}
    if whole:
        assert found[-2]["delta"]["stop_reason"]
        assert "output_tokens" in found[-2]["usage"]
    is_open, index = "", -1
    for event in found[1 : -2 if whole else len(found)]:
        match event["type"]:
            case "content_block_start":
                assert (is_open, event["index"]) == ("", index + 1)
                index, is_open = event["index"], event["content_block"]["type"]
                if is_open in FIRST:
                    assert event["content_block"]["input" if is_open == "tool_use" else is_open] == FIRST[is_open]
            case "content_block_delta":
                assert (event["index"], DELTAS[event["delta"]["type"]]) == (index, is_open)
            case "content_block_stop":
                assert event["index"] == index
                assert is_open
                is_open = ""
            case name:
                assert not whole, name
    assert not (whole and is_open)
