"""What is behind the routes: the answer of each format's provider, and what it got of a request."""

from __future__ import annotations

import json
from typing import Any

from tests.doors.neutral import Call
from tests.messages.providers import CALLS, CITY, COUNTS, TEXT, THOUGHT, answers_schemas
from tests.provider import Call as Received
from tests.provider import Reply, json_reply, sse_reply
from tests.provider.openai_responses import MESSAGE, REASONING, answer, events, is_responses

Body = dict[str, Any]
SIGNATURE, SEALED = "c2ln", "gAAAAsealed"


def reply(call: Received) -> Reply:
    return _responses(call.json) if is_responses(call) else answers_schemas(call)


def counts(call: Received) -> tuple[int, int]:
    """Tokens in and out, as the provider has counted them."""
    return (30, 12) if is_responses(call) else (COUNTS["input"], COUNTS["output"])


def _responses(body: Body) -> Reply:
    text = json.dumps(CITY) if "people" in json.dumps(body.get("text")) else TEXT
    items: list[Body] = [{**MESSAGE, "content": [{"type": "output_text", "text": text, "annotations": []}]}]
    done = any(item.get("type") == "function_call_output" for item in body["input"] if isinstance(item, dict))
    if body.get("tools") and not done:
        summary = [{"type": "summary_text", "text": THOUGHT}]
        items.insert(0, {**REASONING, "summary": summary, "encrypted_content": SEALED})
        for number, (name, value) in enumerate(CALLS):
            shell = {"id": f"fc_{number}", "type": "function_call", "status": "completed"}
            items.append({**shell, "call_id": f"call_{number}", "name": name, "arguments": json.dumps(value)})
    return sse_reply(events(*items)) if body.get("stream") else json_reply(answer(*items))


def calls_in(body: Body) -> list[Call]:
    """Calls of the history."""
    if "input" in body:
        items = [item for item in body["input"] if item.get("type") == "function_call"]
        return [Call(item["call_id"], item["name"], json.loads(item["arguments"])) for item in items]
    found = []
    for turn in body["messages"]:
        for call in turn.get("tool_calls") or ():
            found.append(Call(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
        for block in _blocks(turn):
            if block.get("type") == "tool_use":
                found.append(Call(block["id"], block["name"], block["input"]))
    return found


def results_in(body: Body) -> list[tuple[str, str]]:
    """Ids of calls and what came of them."""
    if "input" in body:
        items = [item for item in body["input"] if item.get("type") == "function_call_output"]
        return [(item["call_id"], item["output"]) for item in items]
    found = [(turn["tool_call_id"], _text(turn)) for turn in body["messages"] if turn["role"] == "tool"]
    blocks = [block for turn in body["messages"] for block in _blocks(turn) if block.get("type") == "tool_result"]
    return found + [(block["tool_use_id"], _text(block)) for block in blocks]


def _blocks(turn: Body) -> list[Body]:
    content = turn.get("content")
    return content if isinstance(content, list) else []


def _text(turn: Body) -> str:
    if isinstance(turn["content"], str):
        return turn["content"]
    return "".join(block.get("text") or block["document"]["data"] for block in turn["content"])


def tools_in(body: Body) -> list[str]:
    return [tool.get("function", tool)["name"] for tool in body.get("tools") or ()]


def schema_in(body: Body) -> Any:
    """The schema that the answer is to keep to."""
    of = (body.get("response_format"), body.get("output_config", {}).get("format"), body.get("text", {}).get("format"))
    form: Body = next((each for each in of if each), {})
    inner = form.get("json_schema", form)
    return inner.get("schema", inner)  # Cohere's has no name beside it


def effort_in(body: Body) -> Any:
    """How much it is to think."""
    return (
        body.get("reasoning_effort")
        or body.get("output_config", {}).get("effort")
        or body.get("reasoning", {}).get("effort")
        or body.get("thinking", {}).get("type")
    )
